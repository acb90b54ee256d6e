//! Durations on the command line: seconds, fractions allowed.

use fanwire::limits::TIMEOUT_MS_CEILING;

/// Milliseconds of what the user wrote in seconds. What is not 0 is at least 1 ms.
///
/// # Errors
/// If it is not a number, or is negative, or longer than eleven days.
pub(crate) fn parse(seconds: &str) -> Result<u32, String> {
    let seconds_max = f64::from(TIMEOUT_MS_CEILING) / 1000.0;
    match seconds.parse::<f64>() {
        #[expect(clippy::cast_sign_loss, reason = "checked by the guard")]
        Ok(seconds) if (0.0..=seconds_max).contains(&seconds) => Ok((seconds * 1000.0).ceil() as u32),
        Ok(_) => Err(format!("give 0 to {seconds_max} seconds")),
        Err(_) => Err("give seconds, as 30 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_fractions() {
        assert_eq!(parse("30"), Ok(30_000));
        assert_eq!(parse("0.25"), Ok(250));
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("0.0001"), Ok(1), "what is not 0 does not become 0, which is off");
    }

    #[test]
    fn what_is_no_duration_is_an_error() {
        for wrong in ["", "-1", "NaN", "inf", "5s", "1000001"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

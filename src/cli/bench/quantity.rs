//! Quantities as people read them: three digits that count, thousands apart, in the unit that fits.

/// A number and its unit, to be shown apart or together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quantity {
    pub(super) number: String,
    pub(super) unit: &'static str,
}

impl Quantity {
    fn new(value: f64, unit: &'static str) -> Quantity {
        Quantity { number: decimal(value), unit }
    }

    /// Both, with a space between.
    pub(super) fn together(&self) -> String {
        format!("{} {}", self.number, self.unit)
    }
}

/// A time in ns, µs, ms or s.
pub(super) fn time(nanoseconds: u64) -> Quantity {
    scaled(nanoseconds, ["ns", "µs", "ms", "s"])
}

/// Bytes in B, kB, MB or GB of 1,000.
pub(super) fn bytes(bytes: u64) -> Quantity {
    scaled(bytes, ["B", "kB", "MB", "GB"])
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn scaled(value: u64, units: [&'static str; 4]) -> Quantity {
    let mut value = value as f64;
    let mut units = units.into_iter();
    let mut unit = units.next().unwrap_or_default();
    // From here on it would be shown as 1,000.
    while value >= 999.5 {
        let Some(larger) = units.next() else { break };
        unit = larger;
        value /= 1000.0;
    }
    Quantity::new(value, unit)
}

/// A number with at least three digits that count: 0.123, 1.23, 12.3, 123, 1,234.
pub(super) fn decimal(value: f64) -> String {
    let size = value.abs();
    let places = match size {
        _ if !value.is_finite() || size == 0.0 || size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if size >= 0.09995 => 3,
        _ if size >= 0.009_995 => 4,
        _ => 5,
    };
    separated(&format!("{value:.places$}"))
}

/// A whole number with commas between its thousands.
pub(super) fn whole(value: u64) -> String {
    separated(&value.to_string())
}

/// `noun` for one of it, or `nouns`.
pub(super) fn count(value: u64, noun: &str, nouns: &str) -> String {
    format!("{} {}", whole(value), if value == 1 { noun } else { nouns })
}

fn separated(number: &str) -> String {
    let digits = number.find('.').unwrap_or(number.len());
    let mut separated = String::with_capacity(number.len() + digits / 3);
    for (place, digit) in number.char_indices() {
        let is_thousand = place > 0 && place < digits && (digits - place).is_multiple_of(3);
        if is_thousand && separated.ends_with(|before: char| before.is_ascii_digit()) {
            separated.push(',');
        }
        separated.push(digit);
    }
    separated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        for (value, said) in [(0, "0"), (999, "999"), (1000, "1,000"), (85_123_456, "85,123,456")] {
            assert_eq!(whole(value), said);
        }
    }

    #[test]
    fn a_decimal_has_three_digits_that_count() {
        for (value, said) in [
            (0.0, "0"),
            (0.001_234, "0.00123"),
            (0.012_34, "0.0123"),
            (0.1234, "0.123"),
            (1.234, "1.23"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (8_512_345.6, "8,512,346"),
            (-1234.5, "-1,234"),
            (-123.4, "-123"),
        ] {
            assert_eq!(decimal(value), said);
        }
    }

    #[test]
    fn a_time_is_in_the_unit_that_fits() {
        for (nanoseconds, said) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (7_612_345, "7.61 ms"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (12_000_000_000, "12.0 s"),
            (1_234_000_000_000, "1,234 s"),
        ] {
            assert_eq!(time(nanoseconds).together(), said);
        }
    }

    #[test]
    fn bytes_are_in_the_unit_that_fits() {
        for (value, said) in [(457, "457 B"), (24_500_000, "24.5 MB"), (5_000_000_000_000, "5,000 GB")] {
            assert_eq!(bytes(value).together(), said);
        }
    }

    #[test]
    fn one_of_a_thing_is_singular() {
        assert_eq!(count(1, "message", "messages"), "1 message");
        assert_eq!(count(0, "message", "messages"), "0 messages");
        assert_eq!(count(1200, "message", "messages"), "1,200 messages");
    }
}

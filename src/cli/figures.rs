//! Figures as people read them: counts, rates, bytes and times.

/// `1234567` as `1,234,567`.
pub(crate) fn digits(number: u64) -> String {
    let plain = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit that says most.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let in_unit = |shift: u32| bytes as f64 / f64::from(1_u32 << shift);
    match bytes {
        0..0x2800 => format!("{bytes} B"),
        0x2800..0xa0_0000 => format!("{:.0} KiB", in_unit(10)),
        0xa0_0000..0x2_8000_0000 => format!("{:.0} MiB", in_unit(20)),
        _ => format!("{:.1} GiB", in_unit(30)),
    }
}

/// How many a second: whole from ten on, in millions from there on.
#[expect(clippy::cast_sign_loss, reason = "what is negative is no rate, and shown as 0")]
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        many if many >= 10_000_000.0 => format!("{:.1} M", many / 1e6),
        some if some >= 9.95 => digits(some.round() as u64),
        few if few > 0.0 => format!("{few:.1}"),
        _ => "0".to_owned(),
    }
}

/// Seconds as a latency is said.
pub(crate) fn latency(seconds: f64) -> String {
    match seconds {
        long if long >= 1.0 => format!("{long:.1} s"),
        long if long >= 0.01 => format!("{:.0} ms", long * 1e3),
        some if some >= 0.001 => format!("{:.1} ms", some * 1e3),
        short => format!("{:.0} µs", short.max(0.0) * 1e6),
    }
}

/// Seconds as an age is said.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(digits), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn bytes_have_the_unit_that_says_most() {
        assert_eq!([0, 10_239, 10_240, 1 << 20].map(size), ["0 B", "10239 B", "10 KiB", "1024 KiB"]);
        assert_eq!([10 << 20, 5 << 30, 10 << 30].map(size), ["10 MiB", "5120 MiB", "10.0 GiB"]);
    }

    #[test]
    fn rates_are_whole_unless_there_are_few() {
        assert_eq!([0.0, 0.25, 9.94, 10.4, 1234.6].map(rate), ["0", "0.2", "9.9", "10", "1,235"]);
        assert_eq!([9_999_999.0, 12_340_000.0, -1.0].map(rate), ["9,999,999", "12.3 M", "0"]);
    }

    #[test]
    fn times_have_the_unit_that_says_most() {
        assert_eq!([0.000_05, 0.0012, 0.0123, 1.25].map(latency), ["50 µs", "1.2 ms", "12 ms", "1.2 s"]);
        assert_eq!([59, 61, 3600, 90_000].map(age), ["59 s", "1m 01s", "1h 00m", "1d 01h"]);
    }
}

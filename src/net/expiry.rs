//! When a certificate expires: the one field of X.509 that an operator wants to be told of (RFC 5280 §4.1).
//!
//! It reads a certificate that the operator has chosen, and no other; rustls judges whether it is one.

/// The second from which on a certificate, in DER, is no longer valid, in Unix time. None if it is no certificate.
pub(super) fn expires(certificate: &[u8]) -> Option<u64> {
    let certificate = Value::only(certificate)?.inside(SEQUENCE)?;
    let tbs_certificate = Value::first(certificate)?.0.inside(SEQUENCE)?;
    let (first, mut rest) = Value::first(tbs_certificate)?;
    // The version has a default and may be absent; then the first is the serial number already.
    if first.tag == VERSION {
        rest = Value::first(rest)?.1;
    }
    let [_signature, _issuer, validity] = Value::three(rest)?;
    let (_not_before, rest) = Value::first(validity.inside(SEQUENCE)?)?;
    let not_after = Value::only(rest)?;
    match not_after.tag {
        // §4.1.2.5.1: the years are 1950 to 2049.
        UTC_TIME => {
            let (year, rest) = digits::<2>(not_after.content)?;
            unix_time(if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits::<4>(not_after.content)?;
            unix_time(year, rest)
        }
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A value in DER.
#[derive(Clone, Copy)]
struct Value<'d> {
    tag: u8,
    content: &'d [u8],
}

impl<'d> Value<'d> {
    /// The first value, and what follows it.
    fn first(der: &'d [u8]) -> Option<(Value<'d>, &'d [u8])> {
        let (&tag, rest) = der.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        Some((Value { tag, content }, rest))
    }

    /// The only value.
    fn only(der: &'d [u8]) -> Option<Value<'d>> {
        Value::first(der).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
    }

    /// The first three values.
    fn three(der: &'d [u8]) -> Option<[Value<'d>; 3]> {
        let (first, rest) = Value::first(der)?;
        let (second, rest) = Value::first(rest)?;
        Some([first, second, Value::first(rest)?.0])
    }

    /// Its content, if it has this tag.
    fn inside(self, tag: u8) -> Option<&'d [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

/// A number of `N` digits, and what follows them.
fn digits<const N: usize>(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(N)?;
    let number = digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))?;
    Some((number, rest))
}

/// The Unix time of a year and of what follows it: `MMDDHHMMSSZ`, always UTC and with seconds (§4.1.2.5).
fn unix_time(year: u64, rest: &[u8]) -> Option<u64> {
    let (month, rest) = digits::<2>(rest)?;
    let (day, rest) = digits::<2>(rest)?;
    let (hour, rest) = digits::<2>(rest)?;
    let (minute, rest) = digits::<2>(rest)?;
    let (second, rest) = digits::<2>(rest)?;
    if rest != b"Z" || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days_since_1970 = days.checked_sub(719_468)?;
    Some(days_since_1970 * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn a_certificate_says_when_it_expires_as_seconds_since_1970() {
        for ((year, month, day), seconds) in [
            ((2000, 3, 1), 951_868_800),
            ((2024, 2, 29), 1_709_164_800),
            ((2038, 1, 19), 2_147_472_000),
            ((2049, 12, 31), 2_524_521_600), // the last year of UTCTime
            ((2050, 1, 1), 2_524_608_000),   // the first of GeneralizedTime
            ((4096, 1, 1), 67_090_118_400),
        ] {
            assert_eq!(expires(&certificate(year, month, day)), Some(seconds), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn what_is_no_certificate_says_nothing_and_no_cut_or_changed_one_panics() {
        assert_eq!(expires(b""), None);
        assert_eq!(expires(b"\x30\x84\xff\xff\xff\xff"), None);
        let certificate = certificate(2030, 1, 1);
        for len in 0..certificate.len() {
            assert_eq!(expires(&certificate[..len]), None, "{len}");
        }
        for at in 0..certificate.len() {
            for bit in 0..8 {
                let mut changed = certificate.clone();
                changed[at] ^= 1 << bit;
                expires(&changed);
            }
        }
    }
}

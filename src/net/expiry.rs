//! When a certificate expires: the one field of X.509 that an operator wants to be told of (RFC 5280 §4.1).

use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The second from which on a certificate, in DER, is no longer valid, in Unix time. None if it is no certificate.
pub(super) fn expires(certificate: &[u8]) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
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

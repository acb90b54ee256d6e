//! [`Rates`]: how fast each client may send.

use super::ConfigError;
use crate::limits;

/// How fast each client may send. Over it, a client is not read for a while, so that TCP slows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Messages, which count when they are whole; not limited if absent.
    pub messages: Option<Rate>,
    /// Bytes, with those of frame headers and control frames, as they come: before inflating, after decrypting; not
    /// limited if absent. The burst is at least [`limits::BYTE_BURST_MIN`].
    pub bytes: Option<Rate>,
}

impl Rates {
    /// Whether there is any.
    #[must_use]
    pub fn are_limited(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }
}

/// A rate with a burst: in any T seconds at most `burst + per_second * T` may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// 1 to [`limits::RATE_MAX`].
    pub per_second: u64,
    /// What may come at once after a silence: at least what [`limits::RATE_PAUSE_MS`] allow, at least 1.
    pub burst: u64,
}

impl Rate {
    /// What a client waits for that is over the rate: what [`limits::RATE_PAUSE_MS`] allow, at least 1.
    #[must_use]
    pub fn per_pause(&self) -> u64 {
        (self.per_second / (1000 / limits::RATE_PAUSE_MS)).max(1)
    }

    /// Checks it, as that of these two options.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub(super) fn check(
        &self,
        rate_option: &'static str,
        burst_option: &'static str,
        burst_min: u64,
    ) -> Result<(), ConfigError> {
        let Rate { per_second, burst } = *self;
        if per_second == 0 || per_second > limits::RATE_MAX {
            let fix = format!("give 1 to {}, or leave it out", limits::RATE_MAX);
            return Err(ConfigError::new(rate_option, format!("is {per_second}"), fix));
        }
        let burst_min = burst_min.max(self.per_pause());
        if burst < burst_min || burst > limits::RATE_MAX {
            let problem = format!("is {burst}, at {rate_option} {per_second}");
            let fix = format!("give {burst_min} to {}", limits::RATE_MAX);
            return Err(ConfigError::new(burst_option, problem, fix));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_burst_is_at_least_what_a_pause_is_for_and_of_bytes_a_request_head() {
        let check = |messages: Option<(u64, u64)>, bytes: Option<(u64, u64)>| {
            let rate = |(per_second, burst)| Rate { per_second, burst };
            let rates = Rates { messages: messages.map(rate), bytes: bytes.map(rate) };
            Config { rates, ..Config::default() }.check().map_err(|error| error.option)
        };
        let max = limits::RATE_MAX;
        for good in [(1, 1), (20, 1), (39, 1), (40, 2), (1_000, 50), (1, max), (max, max)] {
            assert_eq!(check(Some(good), None), Ok(()), "{good:?}");
        }
        for (wrong, option) in [
            ((0, 1), "--max-messages-per-second"),
            ((max + 1, max), "--max-messages-per-second"),
            ((1, 0), "--message-burst"),
            ((40, 1), "--message-burst"),
            ((1_000, 49), "--message-burst"),
            ((1, max + 1), "--message-burst"),
        ] {
            assert_eq!(check(Some(wrong), None), Err(option), "{wrong:?}");
        }
        for good in [(1, 16_384), (327_680, 16_384), (1_000_000, 50_000)] {
            assert_eq!(check(None, Some(good)), Ok(()), "{good:?}");
        }
        for (wrong, option) in [
            ((0, 16_384), "--max-bytes-per-second"),
            ((1, 16_383), "--byte-burst"),
            ((1_000_000, 49_999), "--byte-burst"),
        ] {
            assert_eq!(check(None, Some(wrong)), Err(option), "{wrong:?}");
        }
    }
}

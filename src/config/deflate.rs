//! [`DeflateConfig`]: whether and how messages are compressed.

use crate::limits;

/// permessage-deflate (RFC 7692).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateConfig {
    /// Whether it is agreed to with clients that offer it.
    pub enabled: bool,
    /// Bytes from which on a message is compressed; 0 compresses even what grows by it.
    pub bytes_min: usize,
    /// 1, fast, to 9, small.
    pub level: u8,
    /// Whether clients may refer to their earlier messages, which are smaller then and cost up to 32 KiB for each client
    /// here. What goes to clients never does.
    pub client_context_takeover: bool,
}

impl Default for DeflateConfig {
    fn default() -> Self {
        DeflateConfig {
            enabled: true,
            bytes_min: limits::DEFLATE_BYTES_MIN_DEFAULT,
            level: limits::DEFLATE_LEVEL_DEFAULT,
            client_context_takeover: false,
        }
    }
}

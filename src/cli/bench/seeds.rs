//! [`Seeds`]: a thread's randomness.

use fanwire::protocol::MaskingKey;
use std::io;

/// Seeds for connections: unpredictable, and one of each.
#[derive(Debug)]
pub(super) struct Seeds {
    base: [u8; 32],
    drawn: u64,
}

impl Seeds {
    /// Seeds that nobody else has.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn new() -> io::Result<Seeds> {
        let mut base = [0; 32];
        getrandom::fill(&mut base).map_err(io::Error::other)?;
        Ok(Seeds { base, drawn: 0 })
    }

    /// The next connection's seed.
    pub(super) fn next(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let mut seed = self.base;
        seed[..8].copy_from_slice(&self.drawn.to_le_bytes());
        seed
    }

    /// Seeds drawn so far.
    pub(super) fn drawn(&self) -> usize {
        self.drawn as usize
    }

    /// A key that is not 0: by 0 a server could skip unmasking.
    pub(super) fn masking_key(&self) -> MaskingKey {
        let [.., a, b, c, d] = self.base;
        MaskingKey([a | 1, b, c, d])
    }
}

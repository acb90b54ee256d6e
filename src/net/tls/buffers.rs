//! What TLS works in: [`Buffers`] that a worker's clients share, and the [`Rest`] that a client keeps.

use rustls::unbuffered::{EncodeError, EncryptError};

/// What a worker's clients share: nothing stays here between two calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Where ciphertext is read and decrypted.
    pub(super) incoming: Vec<u8>,
    /// Where plaintext that comes in pieces is put together.
    pub(super) plaintext: Vec<u8>,
    /// Where ciphertext is made.
    pub(super) outgoing: Outgoing,
}

/// Bytes that are taken from the front, and free of memory once there are none.
#[derive(Debug, Default)]
pub(super) struct Rest {
    bytes: Vec<u8>,
    /// How many of them are gone. Invariant: 0 when there are none, else less than all.
    gone: usize,
}

impl From<Vec<u8>> for Rest {
    fn from(bytes: Vec<u8>) -> Self {
        Rest { bytes, gone: 0 }
    }
}

impl Rest {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that they take, with those that are gone.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn forget(&mut self, count: usize) {
        self.gone += count;
        if self.gone >= self.bytes.len() {
            *self = Rest::default();
        }
    }

    /// Moves as many as fit; how many that was.
    pub(super) fn move_to(&mut self, into: &mut [u8]) -> usize {
        let count = self.bytes().len().min(into.len());
        into[..count].copy_from_slice(&self.bytes()[..count]);
        self.forget(count);
        count
    }
}

/// Where records are put one behind the other.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// As long as it ever had to be, which runs and flights bound.
    space: Vec<u8>,
    filled: usize,
}

impl Outgoing {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.space[..self.filled]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Appends what `make` writes to the front of the space it is given; it is called again with more if it asks for it.
    pub(super) fn append<E: Shortage>(
        &mut self,
        mut make: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), rustls::Error> {
        loop {
            match make(&mut self.space[self.filled..]) {
                Ok(len) => {
                    self.filled += len;
                    return Ok(());
                }
                Err(error) => {
                    let required = error.bytes_required().ok_or(rustls::Error::EncryptError)?;
                    self.space.resize(self.filled + required, 0);
                }
            }
        }
    }
}

/// An error that may mean that more space is needed.
pub(super) trait Shortage {
    /// How much, if that is what it means.
    fn bytes_required(&self) -> Option<usize>;
}

impl Shortage for EncodeError {
    fn bytes_required(&self) -> Option<usize> {
        match self {
            EncodeError::InsufficientSize(size) => Some(size.required_size),
            EncodeError::AlreadyEncoded => None,
        }
    }
}

impl Shortage for EncryptError {
    fn bytes_required(&self) -> Option<usize> {
        match self {
            EncryptError::InsufficientSize(size) => Some(size.required_size),
            EncryptError::EncryptExhausted => None,
        }
    }
}

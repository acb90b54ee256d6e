//! Masking (RFC 6455 §5.3): every byte of a client's payload is combined with a key by exclusive or, so that no client
//! can choose the bytes that stand on the wire. Unmasking is the same deed.
//!
//! Where keys come from is not decided here: they must be unpredictable (§10.3), and a pure module has no randomness.

/// The four bytes that a frame's payload is masked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct MaskingKey(pub [u8; 4]);

/// Bytes masked at a time: a multiple of any vector register's width.
const BLOCK_BYTES: usize = 64;

impl MaskingKey {
    /// The key as it applies from `offset` bytes into the payload on.
    #[inline]
    #[must_use]
    pub const fn rotated(self, offset: usize) -> MaskingKey {
        let MaskingKey(key) = self;
        MaskingKey([key[offset % 4], key[(offset + 1) % 4], key[(offset + 2) % 4], key[(offset + 3) % 4]])
    }
}

/// Masks or unmasks `payload` in place, as if its first byte stood `offset` bytes into the frame's payload (§5.3).
/// Doing it twice restores the input.
#[inline]
pub fn apply(key: MaskingKey, payload: &mut [u8], offset: usize) {
    let MaskingKey(key) = key.rotated(offset);
    let rest = if payload.len() < BLOCK_BYTES {
        payload
    } else {
        // Loops without branches over arrays of a known size: the compiler makes vector instructions of them.
        let mut block = [0; BLOCK_BYTES];
        for (index, byte) in block.iter_mut().enumerate() {
            *byte = key[index % 4];
        }
        let (chunks, rest) = payload.as_chunks_mut::<BLOCK_BYTES>();
        for chunk in chunks {
            for (byte, key) in chunk.iter_mut().zip(&block) {
                *byte ^= key;
            }
        }
        rest
    };
    let key = u32::from_ne_bytes(key);
    let (words, rest) = rest.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.to_ne_bytes()) {
        *byte ^= key;
    }
}

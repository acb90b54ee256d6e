//! Masking (RFC 6455 §5.3): every byte of a client's payload is combined with a key by exclusive or, so that no client
//! can choose the bytes that stand on the wire. Unmasking is the same deed.
//!
//! Where keys come from is not decided here: they must be unpredictable (§10.3), and a pure module has no randomness.

/// The four bytes that a frame's payload is masked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct MaskingKey(pub [u8; 4]);

/// Below this many bytes, what aligning saves is less than what it costs.
const ALIGNED_FROM_BYTES: usize = 2 << 10;

/// Bytes of a cache line. So many at once, unrolled, are masked at the speed at which they are written.
const BLOCK_BYTES: usize = 64;

/// Bytes of a vector register that every 64-bit machine of today has.
const VECTOR_BYTES: usize = 16;

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
    let key = key.rotated(offset);
    if payload.len() < ALIGNED_FROM_BYTES {
        return apply_blocks(key, payload);
    }
    // A payload stands behind its header, so it is aligned by chance only, and vectors that straddle a cache line are
    // written at two thirds of the speed.
    let head_len = payload.as_ptr().align_offset(VECTOR_BYTES).min(payload.len());
    let (head, rest) = payload.split_at_mut(head_len);
    apply_words(key, head);
    apply_blocks(key.rotated(head_len), rest);
}

#[inline]
fn apply_blocks(key: MaskingKey, payload: &mut [u8]) {
    let (blocks, rest) = payload.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        apply_words(key, block);
    }
    let rest = apply_front::<32>(key, rest);
    let rest = apply_front::<16>(key, rest);
    let rest = apply_front::<8>(key, rest);
    let rest = apply_front::<4>(key, rest);
    for (byte, key) in rest.iter_mut().zip(key.0) {
        *byte ^= key;
    }
}

/// Applies the key to the first `LEN` bytes, a multiple of four, if there are so many; returns what is left. The halves
/// of a block, each known in size, cost a short payload less than a loop over its words.
#[inline]
fn apply_front<const LEN: usize>(key: MaskingKey, payload: &mut [u8]) -> &mut [u8] {
    if payload.len() < LEN {
        return payload;
    }
    let (front, rest) = payload.split_at_mut(LEN);
    apply_words(key, front);
    rest
}

/// A loop without branches over arrays of a known size: the compiler makes vector instructions of it.
#[inline]
fn apply_words(MaskingKey(key): MaskingKey, payload: &mut [u8]) {
    let key_word = u32::from_ne_bytes(key);
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ key_word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

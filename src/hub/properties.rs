//! The hub's laws, each written once: what holds for every script of operations.
//!
//! A law takes bytes, reads them as a script, and asserts that the real structure agrees with a model too simple to
//! be wrong, which stands with it. proptest drives the laws at the end of their files; a fuzzer can hand in its input as it
//! is.

mod homes;
mod log;
mod subscriptions;

pub use homes::homes_hand_out_what_a_map_of_lists_would;
pub use log::a_log_agrees_with_one_big_vector;
pub use subscriptions::a_lap_misses_nobody;

use super::channel::{ChannelName, HashSeed, home_of};
use super::{ClientId, ClientKey, Mark, Segment, ShardId};
use crate::limits::{CHUNK_BYTES_MAX, SEGMENT_COPY_BYTES_MAX};
use std::io::IoSlice;
use std::sync::Arc;

/// A name's home is below the number of shards, and the same for everybody who asks with the same seed.
///
/// # Panics
/// If it is not.
pub fn a_home_is_one_shard_for_everybody(name: &str, shards: usize, seed: HashSeed) {
    let (Ok(name), Ok(same_name)) = (ChannelName::new(name), ChannelName::new(name)) else { return };
    let home = home_of(&name, shards, seed);
    assert!(home < shards);
    assert_eq!(home, home_of(&same_name, shards, seed));
    assert_eq!(home_of(&name, 1, seed), 0, "with one shard every home is local");
}

/// A binary frame as a server sends it (RFC 6455 §5.2), spelled out once more so that tests need no encoder.
#[must_use]
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    match payload.len() {
        len @ ..=125 => bytes.push(len as u8),
        len @ ..=65_535 => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

/// One segment of these publications, a [`frame`] each.
#[must_use]
pub fn segment(publications: &[(ClientId, &[u8])]) -> Segment {
    let (mut frames, mut marks) = (Vec::new(), Vec::new());
    for (origin, payload) in publications {
        frames.extend(frame(payload));
        marks.push(Mark { end: frames.len() as u32, origin: *origin });
    }
    Segment { frames: Arc::new(frames), marks: Arc::new(marks) }
}

/// The bytes that a vectored write of `slices` would send.
#[must_use]
pub fn concatenated(slices: &[IoSlice<'_>]) -> Vec<u8> {
    let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
    slices.concat()
}

/// Bytes read as the choices of a test; where they end, every choice is 0.
struct Script<'s>(&'s [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// Mostly small; the lengths at which frames, segments and chunks change their ways are well among them.
    fn size(&mut self) -> usize {
        let choice = self.byte();
        match choice {
            0..=199 => usize::from(choice),
            200..=229 => usize::from(choice) * 20 + usize::from(self.byte()),
            230..=239 => SEGMENT_COPY_BYTES_MAX - 8 + usize::from(self.byte() % 16),
            240..=247 => CHUNK_BYTES_MAX - 16 + usize::from(self.byte() % 32),
            248..=250 => 65_534 + usize::from(self.byte() % 4),
            _ => 20_000 + usize::from(choice),
        }
    }
}

const HERE: ShardId = ShardId(0);

fn client(number: u8) -> ClientKey {
    ClientKey { index: u32::from(number), generation: 0 }
}

fn here(client: ClientKey) -> ClientId {
    ClientId { shard: HERE, client }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_home_is_one_shard_for_everybody(
            name in "[A-Za-z0-9_=@,.;:/-]{1,200}",
            shards in 1..=256_usize,
            seed in any::<(u64, u64)>(),
        ) {
            super::a_home_is_one_shard_for_everybody(&name, shards, HashSeed(seed.0, seed.1));
        }
    }
}

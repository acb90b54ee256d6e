//! Channels: who listens to what, in which order publications stand, and the bytes that all subscribers share.
//!
//! Everything here is a data structure. The shard that owns it hands in publications, interest and seeds, encodes
//! through a closure, and carries away what comes out; no socket, clock, thread or randomness is touched, and what
//! a message means is not known.
//!
//! # Vocabulary
//!
//! - A channel's **home** is the one shard that decides its order ([`home_of`] says which; what is kept there
//!   is `Homes`).
//! - **Interest** is a shard's standing wish for a channel's publications in one [`Rendering`]; the home knows it as
//!   a [`Listener`].
//! - A **segment** ([`Segment`]) is what one turn added to a channel in one rendering: frames ready for the wire,
//!   encoded once, and shared by every shard that listens.
//! - A **log** (`Log`) is where a listening shard keeps a channel's frames until all its subscribers there
//!   were written them; a **cursor** is a subscriber's `LogPosition` in it.
//!
//! ```text
//!  publications ──▶ home: sequence ──▶ open segment ──seal──▶ segment ──┬──▶ log of shard 0 ──▶ its subscribers
//!                   (offset 1, 2, 3 …)                                  └──▶ log of shard 1 ──▶ its subscribers
//! ```
//!
//! # The ordering promise
//!
//! A channel has one order, the one in which its home sequenced. A listener is handed every publication that was
//! sequenced after its interest, once, in that order, at the next seal at which its interest still stands; and nothing
//! that was sequenced before. A log hands on to each cursor every byte that was appended after the cursor joined, in order
//! and without a gap, unless a channel's policy for slow consumers lets the cursor jump. What lies between, the mail from a
//! home to a shard, is first in, first out; so any two subscribers see the same order, on whatever shards they are.

mod channel;
mod home;
mod log;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod subscriptions;

pub use channel::{ChannelName, ChannelNameError, HashSeed, home_of};
pub use home::{HomeKey, Listener};
pub(crate) use home::{Homes, Standing};
pub(crate) use log::{FrameRest, Log, LogPosition, Loss};
pub(crate) use subscriptions::{Channel, Interest, Membership, Subscriptions};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The number of a shard, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// Names a client on its shard: a slot, and the generation of who sits there, so that a key that outlived its
/// client finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// The slot in the shard's slab of clients.
    pub index: u32,
    /// Which of the slot's tenants is meant.
    pub generation: u32,
}

impl ClientKey {
    /// Finds nobody on any shard: the origin of what no client has published.
    pub const NOBODY: ClientKey = ClientKey { index: u32::MAX, generation: u32::MAX };
}

/// A wire form in which a channel can be published. Each is encoded only where somebody listens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rendering {
    /// The message itself, in one unfragmented and uncompressed frame.
    Relay,
    /// The same, compressed on its own where that is worth it, so that all who negotiated permessage-deflate share it.
    Deflated,
    /// Compressed with a small window, for those who negotiated less than the largest.
    DeflatedSmall,
}

impl Rendering {
    /// Every rendering there is, in the order of [`Rendering::index`].
    pub const ALL: [Rendering; 3] = [Rendering::Relay, Rendering::Deflated, Rendering::DeflatedSmall];
    /// How many renderings there are.
    pub const COUNT: usize = Rendering::ALL.len();

    /// The rendering's place in [`Rendering::ALL`] and in arrays with an element for each.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A publication's place in its channel, decided by the channel's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which life of the channel is meant: a channel that was forgotten and created again counts from the start,
    /// under another epoch.
    pub epoch: u32,
    /// 1 for the first publication of the epoch; 0 is where a channel stands that has none yet.
    pub offset: u64,
}

/// Names a client on any shard. What it publishes has this for its origin, and logs call it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId {
    /// The shard that the client is on.
    pub shard: ShardId,
    /// The client, as its shard knows it.
    pub client: ClientKey,
}

/// What logs call a client: the numbers of its shard, slot and tenancy, as `0.17.3`.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClientId { shard, client } = self;
        write!(f, "{}.{}.{}", shard.0, client.index, client.generation)
    }
}

impl FromStr for ClientId {
    type Err = ClientIdError;

    /// Reads what is displayed, and nothing else: `00.17.3` and `+0.17.3` name nobody.
    fn from_str(text: &str) -> Result<ClientId, ClientIdError> {
        let mut numbers = text.split('.');
        let mut next = || numbers.next().ok_or(ClientIdError);
        let (shard, index, generation) = (number(next()?)?, number(next()?)?, number(next()?)?);
        match numbers.next() {
            None => Ok(ClientId { shard: ShardId(shard), client: ClientKey { index, generation } }),
            Some(_) => Err(ClientIdError),
        }
    }
}

/// A decimal number without a sign or leading zeros.
fn number<N: FromStr>(text: &str) -> Result<N, ClientIdError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().map_err(|_| ClientIdError) } else { Err(ClientIdError) }
}

/// A text names no client. Displayed, it says how one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIdError;

impl fmt::Display for ClientIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a client is named by three numbers, as 0.17.3")
    }
}

impl std::error::Error for ClientIdError {}

/// Frames of one channel in one rendering, sequenced in one turn, ready for the wire; shared, never changed.
///
/// Always whole frames, at least one. A turn's frames are one segment unless there are more than
/// [`SEGMENT_BYTES_MAX`](crate::limits::SEGMENT_BYTES_MAX) of them.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The frames, one behind the other.
    pub frames: Arc<Vec<u8>>,
    /// Where each publication ends and whose it is, in order: one mark per publication.
    pub marks: Arc<Vec<Mark>>,
}

/// Where a publication's bytes end in a segment, and whose they are. They begin where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Offset in [`Segment::frames`] of the first byte behind the publication.
    pub end: u32,
    /// Who published it.
    pub origin: ClientId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_called_by_its_shard_its_slot_and_its_tenancy() {
        let client = ClientKey { index: 17, generation: 3 };
        assert_eq!(ClientId { shard: ShardId(0), client }.to_string(), "0.17.3");
    }

    #[test]
    fn a_client_is_found_by_what_it_is_called_and_by_nothing_else() {
        for (shard, index, generation) in [(0, 17, 3), (0, 0, 0), (u16::MAX, u32::MAX, u32::MAX)] {
            let origin = ClientId { shard: ShardId(shard), client: ClientKey { index, generation } };
            assert_eq!(origin.to_string().parse(), Ok(origin));
        }
        for text in [
            "",
            "0",
            "0.17",
            "0.17.",
            "0.17.3.",
            "0.17.3.1",
            "00.17.3",
            "+0.17.3",
            "-0.17.3",
            " 0.17.3",
            "65536.0.0",
            "0.4294967296.0",
            "0.17.x",
        ] {
            assert_eq!(text.parse::<ClientId>(), Err(ClientIdError), "{text}");
        }
        let said = ClientIdError.to_string();
        assert!(said.ends_with("as 0.17.3"), "{said}");
    }
}

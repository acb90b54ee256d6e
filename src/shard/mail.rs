//! All that crosses threads: [`Mail`] from shard to shard, [`Order`] to a shard, [`Notice`] from one.
//!
//! Mail between two shards arrives in the order in which it was posted; what the hub promises rests on that.

use crate::hub::{ChannelName, ClientKey, HomeKey, Listener, Rendering, Segment, ShardId};
use crate::protocol::Kind;

/// One turn's mail from one shard to another.
#[derive(Debug)]
pub struct Batch {
    /// Who posted it.
    pub from: ShardId,
    /// What it says, in order.
    pub mail: Vec<Mail>,
    /// The payloads of the [`Mail::Publish`] among it, one behind the other.
    pub payloads: Vec<u8>,
}

impl Batch {
    /// An empty batch from `from`.
    pub fn new(from: ShardId) -> Batch {
        Batch { from, mail: Vec::new(), payloads: Vec::new() }
    }

    /// Bytes that the batch keeps alive: the envelope, payloads and segments.
    pub fn bytes(&self) -> usize {
        let segments = self.mail.iter().map(|mail| match mail {
            Mail::Segment { segment, .. } => segment.frames.len() + size_of_val(segment.marks.as_slice()),
            _ => 0,
        });
        size_of_val(self.mail.as_slice()) + self.payloads.len() + segments.sum::<usize>()
    }
}

/// What shards tell each other.
#[derive(Debug)]
pub enum Mail {
    /// To a home: `listener` wants every publication of the channel from now on, in this rendering.
    Interest {
        /// The channel.
        name: ChannelName,
        /// The wire form wanted.
        rendering: Rendering,
        /// Whose interest it is.
        listener: Listener,
    },
    /// From a home: interest stands; every segment sealed after this reaches the listener.
    Confirm {
        /// The listener's own number for the channel.
        local: u32,
        /// The listener's nonce, as a proof that the interest is not a former one's.
        nonce: u32,
        /// What publications are addressed to.
        home: HomeKey,
    },
    /// To a home: `listener` wants no more.
    Withdraw {
        /// The channel at its home.
        home: HomeKey,
        /// The wire form no longer wanted.
        rendering: Rendering,
        /// Whose interest it was.
        listener: Listener,
    },
    /// To a home: a message to be given its place. Its payload is the next `payload_len` bytes of the batch.
    Publish {
        /// The channel at its home.
        home: HomeKey,
        /// Who said it, on the posting shard.
        client: ClientKey,
        /// Text or binary.
        kind: Kind,
        /// Bytes of its payload.
        payload_len: u32,
    },
    /// From a home: frames in the channel's order.
    Segment {
        /// The listener's own number for the channel.
        local: u32,
        /// The listener's nonce.
        nonce: u32,
        /// The frames.
        segment: Segment,
    },
    /// To every shard, at shutdown.
    Barrier(Round, Barrier),
}

/// What of the posting shard's mail is behind the receiver once the barrier is: all of this kind that belongs to the
/// [`Round`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// Its publications.
    Publications,
    /// The segments of its homes.
    Segments,
}

/// Which part of what is published a drain makes sure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// What was accepted before the drain. More may follow.
    Accepted,
    /// All there is. Nothing follows.
    Last,
}

/// What the server tells a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Say in `/healthz` that the end is near. All else goes on.
    Announce,
    /// Deliver what was accepted, say goodbye to everyone, finish.
    Drain {
        /// Milliseconds over which goodbyes are spread; 0 is at once.
        spread_ms: u32,
    },
    /// Count that the loop still goes round.
    Check,
}

/// What those who wait for the server's end are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The drain is over: the shard has no client left.
    Drained(ShardId),
    /// The worker cannot go on, for this reason; its clients are gone.
    Failed(ShardId, String),
    /// Whoever waits for a drain waits no longer: this signal came once more.
    Interrupted(i32),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Mark, Origin};
    use std::sync::Arc;

    #[test]
    fn a_batch_keeps_its_envelope_its_payloads_and_its_segments_alive() {
        let client = ClientKey { index: 0, generation: 0 };
        let mark = Mark { end: 100, origin: Origin { shard: ShardId(0), client } };
        let segment = Segment { frames: Arc::new(vec![0; 100]), marks: Arc::new(vec![mark; 3]) };
        let mut batch = Batch::new(ShardId(0));
        assert_eq!(batch.bytes(), 0);
        batch.payloads.extend([0; 10]);
        batch.mail.push(Mail::Barrier(Round::Last, Barrier::Publications));
        assert_eq!(batch.bytes(), size_of::<Mail>() + 10);
        batch.mail.push(Mail::Segment { local: 0, nonce: 0, segment });
        assert_eq!(batch.bytes(), 2 * size_of::<Mail>() + 10 + 100 + 3 * size_of::<Mark>());
    }
}

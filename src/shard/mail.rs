//! All that crosses threads: [`Mail`] from shard to shard, [`Order`] to a shard, [`Notice`] and [`Answered`] from one.
//!
//! Mail between two shards arrives in the order in which it was posted; what the hub promises rests on that.

use crate::auth::Keys;
use crate::config::Config;
use crate::hub::{
    ChannelName, ClientId, ClientKey, HomeKey, Listener, Position, Rendering, Segment, ShardId,
};
use crate::protocol::{CloseCode, CloseReason, Kind};
use std::sync::Arc;

/// One turn's mail from one shard to another.
#[derive(Debug)]
pub struct Batch {
    /// Who posted it.
    pub from: ShardId,
    /// When the turn began that it is of, in microseconds since a start that all shards share.
    pub turn_us: u32,
    /// What it says, in order.
    pub mail: Vec<Mail>,
    /// The payloads of the [`Mail::Publish`] among it, one behind the other.
    pub payloads: Vec<u8>,
}

impl Batch {
    /// An empty batch from `from`.
    pub fn new(from: ShardId) -> Batch {
        Batch { from, turn_us: 0, mail: Vec::new(), payloads: Vec::new() }
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
#[derive(Clone, Debug)]
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
    /// Run with this from now on, and check tokens with these keys, if they are to be checked. What cannot change is as it
    /// was.
    Reconfigure(Arc<Config>, Option<Arc<Keys>>),
    /// Answer a question, by way of the mesh's answers. A shard whose drain is over answers no more.
    Ask(Ticket, Question),
}

/// Names a question, so that its answers find who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What an operator wants of a shard. Each is answered once, with the [`Answer`] of the same name if nothing else is said.
///
/// Answers are as of one moment between two turns, and on their way only when all mail of the turn is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// To the channel's home ([`home_of`](crate::hub::home_of)): give this its place, as any publication. Its origin is
    /// [nobody's](ClientKey::NOBODY), so everyone gets it. Answered with [`Answer::Published`].
    Publish {
        /// The channel.
        channel: ChannelName,
        /// Text or binary.
        kind: Kind,
        /// The payload: UTF-8 if it is text, and no longer than a message may be. Who asks has made sure.
        payload: Vec<u8>,
    },
    /// Channels that clients of this shard listen to or that are at home here, by name or by traffic.
    ///
    /// By name, the first `limit` of all shards' answers together are the first `limit` of the server. By traffic the
    /// answer has only channels at home here, for only a home knows it; who listens to them elsewhere, [`Question::These`]
    /// says.
    Channels {
        /// How their names begin.
        prefix: String,
        /// Only names behind this one. By traffic it has no meaning.
        after: Option<String>,
        /// How many, at most [`ADMIN_PAGE_MAX`](crate::limits::ADMIN_PAGE_MAX).
        limit: usize,
        /// Which come first.
        order: ChannelOrder,
    },
    /// Those of these channels that clients of this shard listen to or that are at home here. Answered with
    /// [`Answer::Channels`]; no more than [`ADMIN_PAGE_MAX`](crate::limits::ADMIN_PAGE_MAX) are looked at.
    These {
        /// The channels.
        channels: Vec<ChannelName>,
    },
    /// One channel.
    Channel {
        /// Which.
        channel: ChannelName,
    },
    /// Clients of this shard.
    Clients {
        /// Only those in this channel.
        channel: Option<ChannelName>,
        /// Only those behind this one, by id. By slowness it has no meaning.
        after: Option<ClientKey>,
        /// How many, at most [`ADMIN_PAGE_MAX`](crate::limits::ADMIN_PAGE_MAX).
        limit: usize,
        /// Which come first.
        order: ClientOrder,
    },
    /// One client.
    Client {
        /// Which.
        client: ClientKey,
    },
    /// Close a client as an operator does: it is written what lies in its log, then the Close frame, and cut off after the
    /// close timeout if it takes neither. Answered with [`Answer::Closed`].
    Close {
        /// Which.
        client: ClientKey,
        /// The code of the Close frame, one that [may be sent](CloseCode::may_be_sent).
        code: CloseCode,
        /// Its reason.
        reason: CloseReason,
    },
}

impl Question {
    /// What a shard answers that has neither clients nor channels any more.
    #[must_use]
    pub fn answer_of_nobody(&self) -> Answer {
        match self {
            Question::Publish { .. } => Answer::Published(None),
            Question::Channels { .. } | Question::These { .. } => {
                Answer::Channels { channels: Vec::new(), total: 0 }
            }
            Question::Channel { .. } => Answer::Channel(None),
            Question::Clients { .. } => Answer::Clients { clients: Vec::new(), total: 0 },
            Question::Client { .. } => Answer::Client(None),
            Question::Close { .. } => Answer::Closed(false),
        }
    }
}

/// Which channels come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// By name, in the order of bytes.
    Name,
    /// Those that publish most bytes in a second.
    Traffic,
}

/// Which clients come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOrder {
    /// By id, which is the order of slots and not of coming.
    Id,
    /// Those with most bytes queued.
    Slowest,
}

/// What a shard answers to a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Which question's answer it is.
    pub ticket: Ticket,
    /// Who answers.
    pub shard: ShardId,
    /// What it says.
    pub answer: Answer,
}

/// The answer itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The publication's place in its channel. It is on its way to every shard that listens: whoever is asked about the
    /// channel from now on answers when its subscribers have it queued. None: nobody listens, so there is no such channel.
    Published(Option<Position>),
    /// Channels.
    Channels {
        /// Those asked for, in the order asked for.
        channels: Vec<ChannelFacts>,
        /// How many channels with this prefix, or of these, are at home here: over all shards, how many there are.
        total: usize,
    },
    /// A channel, if anyone here listens to it or it is at home here.
    Channel(Option<ChannelFacts>),
    /// Clients.
    Clients {
        /// Those asked for, in the order asked for.
        clients: Vec<ClientFacts>,
        /// How many there are here, in that channel if one is asked for.
        total: usize,
    },
    /// A client, if it is there.
    Client(Option<ClientFacts>),
    /// Whether there was such a client, open.
    Closed(bool),
}

/// What a shard knows of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelFacts {
    /// Its name.
    pub channel: ChannelName,
    /// Subscribers on this shard.
    pub subscribers: u64,
    /// Those among them that have more than half of the outbox limit still to be written, as far as the pieces tell that
    /// the log is kept in.
    pub behind: u64,
    /// Bytes of frames that the shard keeps for them.
    pub retained_bytes: u64,
    /// What its home knows, if that is this shard.
    pub home: Option<HomeFacts>,
}

/// What a channel's home knows of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HomeFacts {
    /// Of the latest publication.
    pub position: Position,
    /// Publications in a second, over the last five to ten.
    pub messages_per_second: f64,
    /// Their payload bytes in a second.
    pub bytes_per_second: f64,
}

/// What a shard knows of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// What logs call it, too.
    pub id: ClientId,
    /// Where it comes from, as `192.0.2.1:4711`. None if nobody knows any more.
    pub address: Option<String>,
    /// The channel that it is in.
    pub channel: Option<ChannelName>,
    /// How far it has come.
    pub state: ClientState,
    /// Milliseconds since it was accepted, up to 49 days.
    pub age_ms: u64,
    /// Bytes still to be written to it: its own, and those of its channel's log.
    pub queued_bytes: u64,
    /// Milliseconds between the latest Ping that it answered and its Pong. None before the first.
    pub rtt_ms: Option<u32>,
    /// Whether what it says is published.
    pub may_publish: bool,
    /// Who it is, if it has said so with a token.
    pub user: Option<Arc<str>>,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Its opening handshake is not complete.
    Handshake,
    /// It is connected.
    Open,
    /// A Close frame, or a response that is no 101, is the last that it gets.
    Closing,
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
    use crate::hub::{ClientId, Mark};

    #[test]
    fn a_batch_keeps_its_envelope_its_payloads_and_its_segments_alive() {
        let client = ClientKey { index: 0, generation: 0 };
        let mark = Mark { end: 100, origin: ClientId { shard: ShardId(0), client } };
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

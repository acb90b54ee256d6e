//! How much memory peers may make the server hold: [`Bounds`], computed from its limits and from how many clients,
//! channels and shards there are, and from nothing that was measured.

use crate::operator;
use crate::plan::Plan;
use fanwire::config::Rates;
use fanwire::hub::Mark;
use fanwire::limits::{self, Limits};
use fanwire::protocol::{FrameHeader, WindowBits};
use fanwire::shard::mail::Mail;

/// Bytes of the shortest frame that a client sends: header, key, no payload.
const CLIENT_FRAME_BYTES_MIN: usize = 6;

/// Bytes of the shortest frame that the server sends.
const SERVER_FRAME_BYTES_MIN: usize = 2;

/// Bytes that it takes to note whose a frame is, and room for one more.
const ORIGIN_BYTES: usize = 40;

/// What a client's earlier messages may cost that it may refer to (RFC 7692 section 7.1.1): a window, and where it is
/// kept.
pub const CONTEXT_BYTES: usize = (1 << WindowBits::MAX) + 256;

/// What must never be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "they say their unit")]
pub struct Bounds {
    /// Bytes that one turn reads.
    pub read_bytes: usize,
    /// Of messages that one turn looks at.
    pub message_bytes: usize,
    /// In one mailbox.
    pub mailbox_bytes: usize,
    /// Of frames in all logs of a shard.
    pub log_bytes: usize,
    /// Of one client's own, not yet written.
    pub own_bytes: usize,
    /// That one client has sent of something that is not whole yet.
    pub unfinished_bytes: usize,
    /// In a shard, all in all.
    pub shard_bytes: usize,
}

impl Bounds {
    /// The bounds of a world to which so many clients have come.
    pub fn new(plan: &Plan, clients: usize) -> Bounds {
        let Limits { message_bytes_max, outbox_bytes_max, .. } = plan.config.limits;
        let read_bytes = limits::READ_BYTES_PER_TURN_MAX.min(outbox_bytes_max / 2).max(1);
        let deflate = plan.config.deflate;
        // Publications have one form for all who do not compress, and two for those who do.
        let renderings = if deflate.enabled { 3 } else { 1 };
        // What does not shrink may grow, where it is compressed all the same.
        let deflated_bytes_max = message_bytes_max
            + message_bytes_max / limits::DEFLATED_GROWTH_SHARE
            + limits::DEFLATED_GROWTH_MIN;
        let frame_bytes = deflated_bytes_max + FrameHeader::LEN_MAX;
        // The message in which the budget ends is looked at whole.
        let message_bytes = read_bytes + message_bytes_max;
        // A turn publishes what it looks at, and what an operator says.
        let turn_bytes = message_bytes + operator::PENDING_MAX * message_bytes_max;
        // Others may still be in a turn when a mailbox comes over the mark. Besides publications there is mail about
        // interest in channels, and barriers.
        let rooms = plan.channels + 1;
        let publications = turn_bytes / CLIENT_FRAME_BYTES_MIN;
        let turn_mail_bytes = renderings * turn_bytes
            + renderings * publications * (size_of::<Mail>() + size_of::<Mark>())
            + (3 * renderings * rooms + 2) * size_of::<Mail>();
        let filling_bytes = plan.mailbox_bytes_mark + plan.shards * turn_mail_bytes;
        // What waits in all mailboxes for homes may become segments, and all of these may be for one shard.
        let mailbox_bytes = (plan.shards + 1) * filling_bytes;
        let mail_bytes = if plan.shards == 1 { 0 } else { mailbox_bytes };
        // Who lags more is closed when a lap comes to it; laps that are behind stop all reading; a cursor holds on to
        // the whole of its chunk.
        let ahead_bytes = limits::LOG_AHEAD_BYTES_MARK.min(outbox_bytes_max / 2);
        let log_bytes = renderings
            * (rooms * (outbox_bytes_max + ahead_bytes + limits::CHUNK_BYTES_MAX + frame_bytes) + turn_bytes)
            + mail_bytes;
        // Beyond the mark no more is read, but a read turns into answers, a torn frame goes before them, and a response
        // or a Close frame behind. Buffers grow by doubling.
        let own_bytes = limits::OWN_BYTES_MARK
            + read_bytes
            + 2 * frame_bytes
            + include_str!("../../src/pages/chat.html").len()
            + 1024;
        let head_bytes = 2 * limits::REQUEST_HEAD_BYTES_MAX;
        let unfinished_message_bytes = 2 * (deflated_bytes_max + 2 * limits::CONTROL_PAYLOAD_BYTES_MAX);
        let context_bytes = if deflate.client_context_takeover { CONTEXT_BYTES } else { 0 };
        // What one read brought and was left for another turn, besides a message that goes on in it.
        let Rates { messages, .. } = plan.config.rates;
        let is_rated = plan.config.rates.are_limited();
        let one_read = if is_rated { read_bytes.min(limits::RATED_READ_BYTES_MAX) } else { read_bytes };
        let put_by_bytes = if deflate.enabled || messages.is_some() { one_read } else { 0 };
        let unfinished_bytes =
            head_bytes.max(2 * read_bytes).max(unfinished_message_bytes + put_by_bytes) + context_bytes;
        // The rest of a torn frame may keep all of its segment; and logs note whose their frames are.
        let client_bytes = own_bytes + limits::SEGMENT_BYTES_MAX + unfinished_bytes;
        let index_bytes = log_bytes / SERVER_FRAME_BYTES_MIN * ORIGIN_BYTES;
        let shard_bytes = log_bytes + index_bytes + clients * client_bytes + turn_bytes + mail_bytes;
        Bounds {
            read_bytes,
            message_bytes,
            mailbox_bytes,
            log_bytes,
            own_bytes,
            unfinished_bytes,
            shard_bytes,
        }
    }
}

//! Every bound in one place: hard ceilings as constants, and [`Limits`], what an operator chooses at the start.
//!
//! A server meets its peers' worst day with these numbers, so each says its unit, its reason and what it costs.
//! Relations between them are checked by the compiler.

// ---- The opening handshake ------------------------------------------------------------------------------------

/// Bytes a request head may have, from the method to the empty line. Browsers with many cookies send 8 KiB;
/// beyond it the answer is 431. One connection in its handshake can hold this much.
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 << 10;

/// Header fields a request may have; nginx, Apache and `HAProxy` allow about as many. Beyond it the answer is 431.
pub const REQUEST_HEADERS_MAX: usize = 100;

/// Bytes that a header of the PROXY protocol may have. Addresses take 216 at most (of Unix sockets), and what proxies tell
/// besides, names and identifiers, some hundred. A connection whose header is not whole can hold this much.
pub const PROXY_HEADER_BYTES_MAX: usize = 1024;

/// Subprotocols that a client may offer and that are looked at.
pub const SUBPROTOCOLS_MAX: usize = 32;

/// Offers of permessage-deflate that are looked at. Clients make one or two, the Autobahn test suite four.
pub const DEFLATE_OFFERS_MAX: usize = 8;

// ---- Tokens ---------------------------------------------------------------------------------------------------

/// Bytes that a token (JWT) may have: half of a request head. Issuers' are below 2 KiB.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

const _: () = assert!(TOKEN_BYTES_MAX <= REQUEST_HEAD_BYTES_MAX, "a token has to fit into a request");

/// Keys against which one token is checked: two of an algorithm overlap while an issuer changes its key, and more of them
/// have names (`kid`). It bounds what a token costs.
pub const VERIFICATIONS_PER_TOKEN_MAX: usize = 4;

/// Bytes for which a request counts on top of its own in the turn's budget of bytes read, where tokens are asked for. To check
/// one takes 4 µs by HS256 (30 for one of 8 KiB), 27 by RS256 with 2048 bits, 47 by `EdDSA` and 70 by ES256, as measured on a
/// virtual machine of 2 cores, and nobody else is heard meanwhile: a thousand clients that come at once are served over many
/// turns.
pub const TOKEN_COST_BYTES: usize = 32 << 10;

/// Keys there may be altogether; issuers' sets have two to ten.
pub const TOKEN_KEYS_MAX: usize = 64;

/// Bytes of a file with a key or a set of them, a certificate with its chain, or a token.
pub const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes that a secret for HS256 has at least (RFC 7518 §3.2).
pub const HMAC_SECRET_BYTES_MIN: usize = 32;

/// Bytes of a user's name, which is a token's `sub`. It is kept for each client with a token.
pub const USER_BYTES_MAX: usize = 200;

/// The default of `--jwt-leeway`, in seconds: what clocks that are set by NTP, and forgotten, differ by.
pub const TOKEN_LEEWAY_SECONDS_DEFAULT: u64 = 30;

/// The most seconds of leeway: "usually no more than a few minutes" (RFC 7519 §4.1.4).
pub const TOKEN_LEEWAY_SECONDS_MAX: u64 = 600;

/// Milliseconds after which the clock on the wall is looked at again for a client whose token has not expired by then: it may
/// have been set, or the machine suspended.
pub const TOKEN_LOOK_MS: u64 = 60_000;

// ---- One connection's frames ----------------------------------------------------------------------------------

/// Payload bytes of a control frame (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Fragments that every message may have. Fragments are appended to one buffer, so an empty one costs nothing that
/// lasts; this bounds the work that a message may cost.
pub const FRAGMENTS_MAX: u32 = 1 << 16;

/// Bytes of the message limit for each further fragment: a message as long as it may be, in fragments of 16 bytes, fits
/// whatever the limit.
pub const BYTES_PER_FRAGMENT: usize = 16;

/// The default of `--deflate-min-size`: a shorter chat message hardly shrinks, and below it costs more than it saves.
pub const DEFLATE_BYTES_MIN_DEFAULT: usize = 128;

/// The default of `--deflate-level`.
pub const DEFLATE_LEVEL_DEFAULT: u8 = 3;

/// Blocks with BFINAL that one compressed message may have. A sender that cannot flush otherwise needs one (RFC 7692
/// §7.2.3.4); each costs us a copy of the window.
pub const DEFLATE_LAST_BLOCKS_MAX: u32 = 64;

/// Bytes of a window, copied so that a message may refer to them, that count for one byte of a message in what a turn takes
/// in: a copied byte takes at most so small a part of the time of an inflated one.
pub const WINDOW_BYTES_PER_BYTE: usize = 16;

/// Bytes of messages for which one compression counts, on top of those of its message, in what a turn takes in: a table of
/// 128 KiB is cleared for it, however short the message is.
pub const COMPRESSION_COST_BYTES: usize = 4 << 10;

/// Bytes by which an inflater's room for a message grows at first; then it doubles, up to the message limit.
pub const INFLATE_STEP_BYTES: usize = 4 << 10;

/// Bytes that an inflater holds on to for the next message.
pub const INFLATER_SPARE_BYTES_MAX: usize = SCRATCH_BYTES;

/// Bytes that a deflater holds on to for the next message.
pub const DEFLATER_SPARE_BYTES_MAX: usize = SCRATCH_BYTES;

/// The share of the message limit by which a message may be longer while it is compressed, as 1 / this: what cannot be
/// compressed grows, by less than an eighth if its sender flushes no more often than every 128 bytes.
pub const DEFLATED_GROWTH_SHARE: usize = 8;

/// Bytes by which a message may be longer while it is compressed, whatever the limit: an empty one has one.
pub const DEFLATED_GROWTH_MIN: usize = 64;

/// Bytes of a client's own, not yet written, from which on only its latest Ping is answered and its socket is not
/// read for more: replies are made as fast as they are taken.
pub const OWN_BYTES_MARK: usize = 64 << 10;

/// Bytes of a client's own beyond the outbox limit at which it is closed as slow. Its socket is not read once the
/// mark is passed, so only what one read turns into can get here. What that can be is allowed: a message of one byte
/// takes seven, and the answer that it is no JSON about a hundred.
pub const OWN_BYTES_BEYOND_OUTBOX: usize = OWN_BYTES_MARK + 16 * SCRATCH_BYTES;

/// The largest `--max-message-size`: a length that fits 32 bits leaves no room for overflow anywhere.
pub const MESSAGE_BYTES_CEILING: usize = 1 << 30;

/// The default of `--max-message-size`.
pub const MESSAGE_BYTES_DEFAULT: usize = 1 << 20;

/// The default of `--outbox-limit` unless two messages need more: about a second at 8 Mbit/s.
pub const OUTBOX_BYTES_DEFAULT_MIN: usize = 1 << 20;

/// Eighths of the outbox limit that `drop-oldest` leaves a slow consumer at most, so that an eighth of the limit is
/// published before it is too slow again: a jump walks along the frames of a chunk or two, and without that slack it would
/// for every publication and every slow consumer.
const DROP_OLDEST_KEPT_EIGHTHS: u64 = 7;

/// Bytes that `drop-oldest` leaves a slow consumer at most.
pub const fn drop_oldest_kept_bytes(outbox_bytes_max: usize) -> u64 {
    outbox_bytes_max as u64 / 8 * DROP_OLDEST_KEPT_EIGHTHS
}

// ---- Channels -------------------------------------------------------------------------------------------------

/// Bytes of a channel's name.
pub const CHANNEL_NAME_BYTES_MAX: usize = 200;

/// A segment below this is copied into the log's tail chunk, so that a lap is one contiguous write; a larger one
/// is taken over by reference.
pub const SEGMENT_COPY_BYTES_MAX: usize = 16 << 10;

/// Bytes of a log's growing chunk. It bounds the walk along frame headers and what a lagging cursor pins.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(SEGMENT_COPY_BYTES_MAX <= CHUNK_BYTES_MAX, "a copied segment fits an empty chunk");

/// Bytes of a segment from which on the next publication opens another: a segment is below this and one frame.
/// It bounds, like a chunk's size, the walk along frame headers and what a lagging cursor pins.
pub const SEGMENT_BYTES_MAX: usize = CHUNK_BYTES_MAX;

const _: () = assert!(
    SEGMENT_BYTES_MAX + 2 * MESSAGE_BYTES_CEILING < u32::MAX as usize,
    "an offset in a segment fits 32 bits, even if a dialect writes a message at twice its length"
);

/// Segments whose buffers a shard keeps for reuse, none of them larger than [`SEGMENT_COPY_BYTES_MAX`].
pub const SPARE_SEGMENTS_MAX: usize = 32;

/// Bytes by which a log may be ahead of the lap over its subscribers before nobody reads sockets for publications:
/// about a thousand chat messages, so that one call still carries many. At most half of the outbox limit is used.
pub const LOG_AHEAD_BYTES_MARK: usize = 256 << 10;

/// Milliseconds that a channel's interest outlives its last subscriber, so that churn sends no mail.
pub const INTEREST_LINGER_MS: u32 = 5_000;

// ---- One turn of the loop -------------------------------------------------------------------------------------

/// Bytes of a worker's receive buffer: a 64 KiB frame and its header fit several times over.
pub const SCRATCH_BYTES: usize = 256 << 10;

/// Bytes read in a turn, over all clients, before the turn goes on: what they publish is fanned out, and fan-out that
/// falls behind is noticed, before more is taken in. Of one client a turn reads what fits the scratch buffer once.
/// At most half of the outbox limit is used.
pub const READ_BYTES_PER_TURN_MAX: usize = 4 * SCRATCH_BYTES;

/// Connections accepted in a turn on one listener; more stay in the kernel's queue until the next.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;

/// Writes in a turn before the loop goes round to read and accept.
pub const WRITES_PER_TURN_MAX: usize = 256;

/// The same while a lap goes on, of a shard that is alone: publishers are heard six times while a thousand subscribers
/// are written, so that who is written later gets more in the same call. Fewer writes would carry yet more messages each,
/// and take longer, until publishers that wait for their own messages are a whole lap ahead.
pub const WRITES_PER_LAP_TURN_MAX: usize = 160;

/// The least of them, of a shard among many: what a turn costs by itself is small against so many writes.
pub const WRITES_PER_LAP_TURN_MIN: usize = 16;

/// Writes in a turn of one of `shards` shards while a lap goes on. Each has its part of the subscribers, and a message
/// whose channel is at home elsewhere is on its way for a turn there and a turn here before its publisher sees it.
pub const fn writes_per_lap_turn(shards: usize) -> usize {
    let writes = WRITES_PER_LAP_TURN_MAX / (shards * shards);
    if writes < WRITES_PER_LAP_TURN_MIN { WRITES_PER_LAP_TURN_MIN } else { writes }
}

const _: () = assert!(
    WRITES_PER_LAP_TURN_MAX <= WRITES_PER_TURN_MAX
        && writes_per_lap_turn(1) == WRITES_PER_LAP_TURN_MAX
        && writes_per_lap_turn(WORKERS_MAX) == WRITES_PER_LAP_TURN_MIN
);

/// Bytes that count as a write: the kernel copies so much in the time that a small write takes. Without it a turn that
/// writes a large message to many lasts a quarter of a second, in which nobody else is heard or written.
pub const WRITE_BYTES_PER_WRITE: usize = 32 << 10;

/// Writes that one channel may have before the next dirty one has its go.
pub const WRITES_PER_QUANTUM: usize = 64;

/// Subscribers looked at in a turn, written or not: a channel whose every subscriber is blocked costs no more.
pub const VISITS_PER_TURN_MAX: usize = 4 * 1024;

/// Visits that count for one with a write, where channels have their goes: a turn has so many more of them.
pub const VISITS_PER_WRITE: usize = VISITS_PER_TURN_MAX / WRITES_PER_TURN_MAX;

/// Visits that one channel may have before the next dirty one has its go. One whose subscribers are blocked makes no writes,
/// and keeps no other waiting all the same, however many they are.
pub const VISITS_PER_QUANTUM: usize = WRITES_PER_QUANTUM * VISITS_PER_WRITE;

const _: () =
    assert!(WRITES_PER_QUANTUM <= WRITES_PER_TURN_MAX && WRITES_PER_TURN_MAX <= VISITS_PER_TURN_MAX);

/// Visits that count for one at which a slow consumer is closed or made to jump: it walks along up to some ten thousand
/// frames, if they are tiny. Thousands who stopped reading at the same time are dealt with over several turns.
pub const VISITS_PER_JUMP: usize = 16;

/// Milliseconds after which a deadline that is looked at is so late that the worker must have stood still: the process was
/// stopped, its machine suspended or moved, the clock put forward. What clients could not know of is not held against them.
pub const STALL_MS: u32 = 1_000;

/// Deadlines that expire in a turn, and channels closed in it that nobody listens to; more wait for the next, which does not
/// sleep.
pub const EXPIRIES_PER_TURN_MAX: usize = 1024;

/// Slices handed to one vectored write; Linux takes 1,024, few are ever needed.
pub const SLICES_PER_WRITE_MAX: usize = 64;

/// Boxes for clients' own bytes that a shard keeps to use again: as many clients as may be answered in a turn without
/// any memory being asked for.
pub const SPARES_MAX: usize = 1024;

/// Bytes that each of them may hold on to.
pub const SPARE_BYTES_MAX: usize = SCRATCH_BYTES;

/// Bytes that all of them together, of one worker, may hold on to.
pub const SPARES_BYTES_MAX: usize = 16 << 20;

/// Bytes in a shard's mailbox from which on no one who posts to it reads sockets. Posting itself never fails.
pub const MAILBOX_BYTES_MARK: usize = 8 << 20;

// ---- Rates of single clients ------------------------------------------------------------------------------------

/// The largest rate, and the largest burst, a second, of messages and of bytes: far above any network's.
pub const RATE_MAX: u64 = 1 << 40;

/// Milliseconds for which a client that is over its rate is not read at the least, unless it takes longer until it may
/// send anything at all: a flood costs so few reads, and so few timers.
pub const RATE_PAUSE_MS: u64 = 50;

/// The smallest `--byte-burst`: an opening handshake is never slowed.
pub const BYTE_BURST_MIN: u64 = REQUEST_HEAD_BYTES_MAX as u64;

/// Bytes read at once from a client whose rate is limited. What is read and then turns out to be more messages than may
/// come is held, so it bounds what each such client can make us hold.
pub const RATED_READ_BYTES_MAX: usize = 16 << 10;

// ---- TLS ------------------------------------------------------------------------------------------------------

/// Bytes of plaintext that are encrypted at once: four full records. Each write of a client's becomes runs of so many,
/// and what TCP does not take of the last run, with 22 bytes and more for each record, waits as ciphertext. It comes on
/// top of the outbox limit, for blocked clients only.
pub const TLS_RUN_BYTES: usize = 64 << 10;

/// Bytes of plaintext that one write takes: about what the kernel's send buffer grows to, which is where a write in
/// plaintext ends. A peer that reads as fast as we encrypt would otherwise have a worker for as long as it likes.
pub const TLS_WRITE_BYTES_MAX: usize = 4 << 20;

/// Bytes of ciphertext read at once. A client's latest, incomplete record is decrypted where it lies in front of them.
pub const TLS_READ_BYTES: usize = 64 << 10;

/// Bytes that one client can make us keep because they are no whole record, or no whole handshake message, yet: the
/// longest record there is (RFC 8446 §5.2, RFC 5246 §6.2.3) with its header. A `ClientHello` has about 2 KiB.
pub const TLS_UNDIGESTED_BYTES_MAX: usize = 5 + (16 << 10) + 2048;

/// Bytes for which an answered flight of a handshake counts in the turn's budget of bytes read. Signing and agreeing on
/// keys take 0.1 to 1 ms, in which nobody else is heard: a thousand clients that come at once are served over many turns.
pub const TLS_FLIGHT_COST_BYTES: usize = 64 << 10;

/// Seconds before its end from which on a certificate is warned about, at the start, at each reload, and daily.
pub const CERTIFICATE_WARNING_SECONDS: u64 = 14 * 24 * 60 * 60;

// ---- The admin API --------------------------------------------------------------------------------------------

/// Connections to the admin API at a time, live feeds included. For one more, one that waits and has not shown the token is
/// closed; if there is none, it gets 503. It is for a few people and programs.
pub const ADMIN_CONNECTIONS_MAX: u32 = 64;

/// Connections over that which are being told so; one more is closed unheard. They take descriptors that clients could have.
pub const ADMIN_REFUSALS_MAX: usize = 16;

/// Milliseconds in which a request's head must come, and for which a connection waits for the next one.
pub const ADMIN_HEAD_TIMEOUT_MS: u64 = 10_000;

/// Milliseconds in which a request's body must come and its answer be made.
pub const ADMIN_REQUEST_TIMEOUT_MS: u64 = 30_000;

/// Milliseconds for which bytes of an answer may lie with the kernel without being taken.
pub const ADMIN_WRITE_TIMEOUT_MS: u64 = 10_000;

/// Milliseconds in which every worker must answer what it is asked: a turn takes a few at most.
pub const ADMIN_ANSWER_TIMEOUT_MS: u64 = 2_000;

/// Milliseconds after which nothing more of a request is given to the workers to be published: who sent it hears how far it
/// came before [`ADMIN_REQUEST_TIMEOUT_MS`] is over.
pub const ADMIN_PUBLISH_TIMEOUT_MS: u64 = 22_000;

// The last portion waits until subscribers have caught up, and is answered; then all workers are asked who listens.
const _: () = assert!(ADMIN_PUBLISH_TIMEOUT_MS + 3 * ADMIN_ANSWER_TIMEOUT_MS < ADMIN_REQUEST_TIMEOUT_MS);

/// Milliseconds that requests under way have at the server's end.
pub const ADMIN_FAREWELL_MS: u64 = 500;

/// Publications in one batch: each message once for each of its channels.
pub const ADMIN_BATCH_MAX: usize = 1000;

/// Bytes that all publications of one batch may have together, unless a single message may have more.
pub const ADMIN_BATCH_BYTES_MAX: usize = 64 << 20;

/// Bytes of a batch's body that are no payload: names, keys, quotes.
pub const ADMIN_BATCH_ENVELOPE_BYTES: usize = 1 << 20;

/// Bytes that are read at once from who watches the live feed, and what a message of theirs may have: nothing is expected
/// of them.
pub const ADMIN_WATCHER_BYTES_MAX: usize = 4 << 10;

/// Bytes of the shortest token: what is shorter can be guessed.
pub const ADMIN_TOKEN_BYTES_MIN: usize = 16;

/// Channels or clients in one answer to an operator: some hundred kilobytes, and a fraction of a millisecond's work next to
/// the few milliseconds that choosing them among 100,000 takes.
pub const ADMIN_PAGE_MAX: usize = 1_000;

/// What a page of channels or clients has unless it is said.
pub const ADMIN_PAGE_DEFAULT: usize = 100;

/// Milliseconds between two messages of the live feed.
pub const ADMIN_SAMPLE_MS: u64 = 1_000;

// ---- The process ----------------------------------------------------------------------------------------------

/// Bytes that `--send-buffer` may ask for: a page, below which the kernel takes its own least, to what it can double and count
/// with a signed integer of 32 bits.
pub const SEND_BUFFER_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=1 << 30;

/// Worker threads: far above any machine's cores.
pub const WORKERS_MAX: usize = 256;

/// Milliseconds between looks at the files of certificate and key, and at those of the configuration. They are read again
/// when they have changed and then stayed the same for one look more: whoever replaces both is not caught in between.
pub const FILES_LOOK_MS: u64 = 1_000;

/// Connections over `--max-connections` that are being told so, per worker; the rest wait in the kernel's queue.
pub const REFUSALS_MAX: usize = 64;

/// Milliseconds between lines of a worker's log about addresses that have too many connections.
pub const ADDRESSES_LOG_MS: u32 = 10_000;

/// Milliseconds for which a refused connection is read, so that its 503 is not lost to a reset.
pub const REFUSAL_LINGER_MS: u32 = 2_000;

/// Milliseconds until accepting is tried again after the process ran out of descriptors or buffers.
pub const ACCEPT_RETRY_MS: u32 = 200;

/// Clients that are told goodbye in a second of a drain, as long as `--drain-seconds` allows: what a server on one core
/// lets in again beside its work, handshakes of TLS included. It is told to more in a second where there are more.
pub const GOODBYES_PER_SECOND: u64 = 250;

/// Milliseconds below which goodbyes are not spread: who comes back at once is no crowd.
pub const DRAIN_SPREAD_MS_MIN: u32 = 100;

/// The default of `--drain-seconds`, in milliseconds: service managers wait for 30 s and more until they kill.
pub const DRAIN_SPREAD_MS_DEFAULT: u32 = 10_000;

/// The most milliseconds for `--drain-delay` and for `--drain-seconds`, an hour each: longer is not a restart but a second
/// server.
pub const DRAIN_MS_CEILING: u32 = 3_600_000;

/// Milliseconds over which `clients` are told goodbye if it may take as many as `spread_ms_max`; 0 is at once.
pub fn drain_spread_ms(clients: usize, spread_ms_max: u32) -> u32 {
    let needed_ms = (clients as u64).saturating_mul(1000) / GOODBYES_PER_SECOND;
    let spread_ms = needed_ms.min(u64::from(spread_ms_max)) as u32;
    if spread_ms < DRAIN_SPREAD_MS_MIN { 0 } else { spread_ms }
}

/// Descriptors that are not clients: standard streams, polls, wakers, listeners, logs, with room to spare.
pub const DESCRIPTORS_RESERVED: usize = 64;

/// Descriptors that a worker needs for itself: poll, waker, and a listener for each address.
pub const DESCRIPTORS_PER_WORKER: usize = 8;

/// Length of the kernel's queue of connections not yet accepted, before the system's own cap (somaxconn).
pub const LISTEN_BACKLOG: i32 = 4096;

/// The share of the memory budget, as 1 / this, that is kept for those who are in: nobody new is let in once only so much is
/// left.
pub const MEMORY_FOR_THOSE_IN_SHARE: u64 = 5;

/// The share of the memory budget, as 1 / this, that is free again after queues were let go: the larger, the less often every
/// client is looked at for that.
pub const MEMORY_RELIEF_SHARE: u64 = 8;

/// Bytes for which a connection counts in the memory budget, whatever it does: its entries, a deadline, a place in its
/// channel, and what the allocator rounds up. 168 to 185 were measured of one in plaintext that is idle.
pub const CLIENT_COST_BYTES: u64 = 256;

/// Bytes for which a connection counts besides if TLS is spoken on it: its keys and the state of rustls. 3,800 to 3,900 were
/// measured.
pub const TLS_COST_BYTES: u64 = 4096;

/// Bytes for which a channel with a subscriber counts in the memory budget, in each wire form: its entries here and at its
/// home, and its name. 540 were measured with a short name.
pub const CHANNEL_COST_BYTES: u64 = 768;

/// The most milliseconds for a timeout of [`Limits`], eleven days: times are compared by the half of a 32-bit range of
/// milliseconds, so what lies more than 24 days ahead has passed.
pub const TIMEOUT_MS_CEILING: u32 = 1_000_000_000;

/// What an operator chooses at the start; the same for every connection. A timeout is at most [`TIMEOUT_MS_CEILING`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes a message may have, summed over its fragments. At most [`MESSAGE_BYTES_CEILING`].
    pub message_bytes_max: usize,
    /// Bytes a client may lag behind before it counts as slow; at least one message with its header.
    pub outbox_bytes_max: usize,
    /// Milliseconds from accept to the response of the opening handshake; 0 is off.
    pub handshake_timeout_ms: u32,
    /// Milliseconds without a byte from the peer after which it gets a Ping; 0 is off.
    pub ping_interval_ms: u32,
    /// Milliseconds without a byte from the peer after which the connection is closed; 0 is off.
    pub idle_timeout_ms: u32,
    /// Milliseconds that the closing handshake, and then the peer's end of the TCP connection, may take; 0 means
    /// that nobody waits.
    pub close_timeout_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes_max: MESSAGE_BYTES_DEFAULT,
            outbox_bytes_max: 2 * MESSAGE_BYTES_DEFAULT,
            handshake_timeout_ms: 10_000,
            ping_interval_ms: 30_000,
            idle_timeout_ms: 75_000,
            close_timeout_ms: 5_000,
        }
    }
}

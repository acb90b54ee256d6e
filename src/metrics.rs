//! Every counter's name and meaning, once. A shard writes its own [`Counters`], anyone may read them.
//!
//! A cell has one writer, so counting is a load and a store without a lock prefix. Gauges are copies of what the
//! registry itself says, taken once a turn: they cannot drift.

mod closes;
mod histogram;

pub use closes::Closes;
pub use histogram::{Histogram, HistogramSnapshot};

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and any thread may read.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Nothing.
    const fn new() -> Cell {
        Cell(AtomicU64::new(0))
    }

    /// Counts `n` more. Only the owning shard calls this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Replaces the value, for gauges. Only the owning shard calls this.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value as last written.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        /// One shard's counters.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Cell,)+
            /// With which codes WebSocket connections have ended.
            pub closes: Closes,
            /// How long turns of the loop took, without the wait before each: what the worker's clients wait for each other.
            /// The sum is the time that the worker was busy.
            pub turn: Histogram,
            /// How old publications were when they were written: one duration for each write that carried any to a
            /// subscriber, that of the oldest in it. It counts from the beginning of the turn in which the channel's home
            /// gave them their place, to within 32 writes of the one that carried them. Subscribers that keep us waiting by
            /// not reading are left out, as long as they do.
            pub delivery: Histogram,
        }

        /// The sum of all shards' counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Totals { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Totals {
            /// Adds up what the shards have counted so far.
            pub fn of<'c>(counters: impl IntoIterator<Item = &'c Counters>) -> Totals {
                let mut totals = Totals::default();
                for shard in counters {
                    $(totals.$name += shard.$name.get();)+
                }
                totals
            }

            /// Each counter's name and meaning, in the order in which they are declared. Of a gauge it begins with "Gauge: ".
            pub fn meanings() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), concat!($($doc),+).trim_ascii()),)+].into_iter()
            }

            /// Each counter's name and value, in the order in which they are declared.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

counters! {
    /// TCP connections accepted, those that were then turned away included.
    connections_accepted;
    /// Connections turned away with 503 because the server was full.
    connections_turned_away;
    /// Connections turned away with 503 because peers made the server hold nearly what it may.
    connections_turned_away_for_memory;
    /// Connections turned away because their address had too many, with 429 or, if there was no place left to tell them,
    /// without a word.
    connections_turned_away_by_address;
    /// Connections that were to begin with a PROXY header and had none, none in time, or none that is believed.
    proxy_headers_refused;
    /// Gauge: clients on this shard, those in their handshakes and those being refused included.
    connections_open;
    /// Times that accepting paused because the process had no descriptors or buffers left.
    accept_pauses;
    /// TLS handshakes completed.
    tls_handshakes_completed;
    /// TLS handshakes among them that resumed a former session.
    tls_sessions_resumed;
    /// TLS handshakes that failed, or whose connection ended before they were complete.
    tls_handshakes_failed;
    /// Connections to a TLS port that spoke plain HTTP, and were told so.
    tls_plaintext_requests;
    /// Gauge: connections that TLS is spoken on.
    tls_connections_open;
    /// Gauge: bytes that TLS holds for single clients: ciphertext that is no whole record yet, that TCP has not taken,
    /// and plaintext that a read had no room for. On top of `bytes_retained`.
    tls_bytes_held;
    /// Opening handshakes answered with 101.
    handshakes_accepted;
    /// Requests answered with a page or a health check.
    pages_served;
    /// Requests refused with an HTTP error.
    handshakes_refused;
    /// Requests refused for want of a token, for a bad one, or for one that does not name the channel.
    tokens_refused;
    /// Connections closed with 3000 because their token expired.
    tokens_expired;
    /// Opening handshakes that were not complete in time.
    handshakes_timed_out;
    /// Messages received whole.
    messages_received;
    /// Payload bytes of messages received whole, after inflating.
    message_bytes_received;
    /// Times that a client was not read for a while because it was over its rate.
    reads_paused_by_rate;
    /// Opening handshakes in which permessage-deflate was agreed to.
    handshakes_deflated;
    /// Messages compressed for subscribers: one for each publication and window that anyone listens with.
    publications_deflated;
    /// Messages that the payload policy did not accept, or whose senders may not publish; they were told.
    messages_rejected;
    /// Messages given their place in a channel by this shard.
    publications;
    /// Frames appended for a subscriber: one for each publication and subscriber, the sender included.
    deliveries_queued;
    /// Bytes read from sockets.
    bytes_read;
    /// Bytes taken by sockets.
    bytes_written;
    /// Clients closed with 1008 because they lagged over the outbox limit.
    slow_consumers_closed;
    /// Bytes of messages that slow consumers were not sent, whatever became of them.
    slow_consumer_bytes_dropped;
    /// Messages that clients closed as slow had not been sent.
    slow_consumer_messages_dropped_by_closing;
    /// Messages that slow consumers were not sent because they were the oldest (`drop-oldest`).
    slow_consumer_messages_dropped_oldest;
    /// Messages that slow consumers were not sent because there was a newer one (`latest`).
    slow_consumer_messages_dropped_for_latest;
    /// Times that slow consumers lost messages and stayed, by either of these.
    slow_consumer_jumps;
    /// Clients ended because peers made the server hold more than it may, and these held much of it.
    clients_shed;
    /// Connections failed because the peer broke the protocol (RFC 6455 §7.1.7).
    protocol_failures;
    /// Connections closed after too long without a byte.
    idle_timeouts;
    /// Connections that ended with a closing handshake that the peer took part in.
    closed_cleanly;
    /// Connections that ended without a Close frame from the peer.
    closed_abnormally;
    /// Clients told at the end that the server goes away.
    goodbyes_said;
    /// Clients cut off at the end: they had not taken what there was for them, or not answered their goodbye, in time.
    goodbyes_cut;
    /// Times that this worker answered whether it still goes round.
    checks_answered;
    /// Publications that found no home; always 0 unless there is a bug.
    publications_homeless;
    /// Gauge: bytes that peers make us hold: logs, clients' own bytes, messages and requests not yet whole.
    bytes_retained;
    /// Gauge: bytes of them in logs: frames that subscribers have not been written yet, kept once for all of them, and whose
    /// they are, where that is noted for who passes over its own.
    log_bytes;
    /// Gauge: bytes of them held for single clients: their own outboxes, messages and requests that are not whole.
    client_bytes;
    /// Gauge: clients whose sockets have no room: they do not read, or the way to them is slow.
    clients_blocked;
    /// Gauge: bytes of mail that this worker found when it looked the last time.
    mailbox_bytes;
    /// Publications of operators, among [`publications`](Self::publications).
    operator_publications;
    /// Clients that operators had closed.
    operator_closes;
    /// Gauge: bytes that count towards the memory budget: those retained, what TLS holds, and what each connection and
    /// channel costs.
    memory_held;
    /// Gauge: channels with a subscriber on this shard, or that had one a moment ago; once for each wire form in use.
    channels_open;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_up_the_shards() {
        let (a, b) = (Counters::default(), Counters::default());
        a.publications.add(2);
        b.publications.add(3);
        b.connections_open.set(7);
        let totals = Totals::of([&a, &b]);
        assert_eq!((totals.publications, totals.connections_open), (5, 7));
        assert!(totals.iter().any(|row| row == ("publications", 5)));
        assert!(totals.iter().map(|(name, _)| name).eq(Totals::meanings().map(|(name, _)| name)));
        let (_, meaning) = Totals::meanings().find(|(name, _)| *name == "bytes_read").expect("it is there");
        assert_eq!(meaning, "Bytes read from sockets.");
    }
}

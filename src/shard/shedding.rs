//! What a shard holds, and what it lets go when all peers together hold too much: the largest queues first.
//!
//! A queue is a log, which its most lagging readers keep, or what one client holds for itself: a message that is not
//! whole, answers it has not read, the bytes of a request, ciphertext on its way to its socket. Whoever can still be told
//! gets 1013 (Try Again Later), or 503 if it has asked for nothing yet. Whose socket has no room is cut off: what it does
//! not read is what has to go.

use super::Shard;
use super::allowance::Allowance;
use crate::hub::ClientKey;
use crate::limits;
use crate::protocol::{CloseCode, Response, Status, Time};
use std::cmp::Reverse;
use std::mem;

/// What a shard holds because of its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// In all, in bytes: queues, and what each connection and channel costs.
    pub bytes: u64,
    /// Bytes of it in queues, which can be let go.
    pub queued_bytes: u64,
}

/// What a client's transport holds for it, and the shard does not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// In bytes.
    pub bytes: u64,
    /// Some of them wait for room in its socket: it does not read.
    pub is_stuck: bool,
}

/// What can be let go at once.
#[derive(Clone, Copy, Debug)]
enum Queue {
    /// What a client holds for itself.
    Client(ClientKey),
    /// A channel's log, by the channel's number.
    Log(u32),
}

impl Shard {
    /// What the shard holds because of its peers.
    pub fn held(&self) -> Held {
        let queued_bytes = self.bytes_retained() + self.counters.tls_bytes_held.get();
        let clients = self.clients.len() as u64 * limits::CLIENT_COST_BYTES;
        let allowances = (self.allowances * size_of::<Allowance>()) as u64;
        let channels = self.subscriptions.len() as u64 * limits::CHANNEL_COST_BYTES;
        let kept_for_later = self.spares.bytes() as u64;
        let tls = self.counters.tls_connections_open.get() * limits::TLS_COST_BYTES;
        let bytes = queued_bytes + clients + allowances + tls + channels + kept_for_later;
        Held { bytes, queued_bytes }
    }

    /// Gives back the memory that is kept for later.
    pub fn spare_nothing(&mut self) {
        self.spares.clear();
    }

    /// Lets go of the largest queues until `excess_bytes` less are held, as far as it is queues that hold them. `carried`
    /// says what a client's transport holds. It looks at every client.
    pub fn shed(&mut self, excess_bytes: u64, mut carried: impl FnMut(ClientKey) -> Carried, now: Time) {
        let mut left = excess_bytes;
        let of_clients = self.clients.iter().filter_map(|(key, client)| {
            let Carried { bytes, is_stuck } = carried(key);
            let has_no_room = client.outbox.blocked || is_stuck;
            // Answers that no socket was offered yet wait for us: who reads takes them in this turn.
            let waits_for_us = if has_no_room { 0 } else { client.outbox.held_bytes() as u64 };
            let bytes = u64::from(client.held).saturating_sub(waits_for_us) + bytes;
            // Who has been told already and takes it goes anyway.
            let can_go = !client.dying && (has_no_room || !client.connection.is_over());
            (bytes > 0 && can_go).then_some((bytes, Queue::Client(key)))
        });
        let logs = self.subscriptions.iter().filter(|(_, channel)| channel.log.held_bytes() > 0);
        let logs = logs.map(|(local, channel)| (channel.log.held_bytes(), Queue::Log(local)));
        let mut queues: Vec<(u64, Queue)> = of_clients.chain(logs).collect();
        queues.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        let (mut clients, mut freed) = (0, 0);
        for (bytes, queue) in queues {
            if left == 0 {
                break;
            }
            let mut going = match queue {
                Queue::Client(key) => vec![key],
                Queue::Log(local) => self.laggards(local),
            };
            while !going.is_empty() {
                for key in mem::take(&mut going) {
                    let bytes = self.let_go(key, carried(key), now);
                    left = left.saturating_sub(bytes);
                    freed += bytes;
                    clients += 1;
                }
                // All of a chunk is kept until nobody stands in it.
                if let Queue::Log(local) = queue
                    && self
                        .subscriptions
                        .get(local)
                        .is_some_and(|channel| channel.log.held_bytes() > bytes / 2)
                {
                    going = self.laggards(local);
                }
            }
        }
        if clients > 0 {
            tracing::warn!(clients, bytes = freed, "let go: more memory is held than --memory-budget allows");
        }
    }

    /// Those of a log's readers whose sockets have no room and who lag most: by more than half of what any of them does.
    fn laggards(&self, local: u32) -> Vec<ClientKey> {
        let Some(channel) = self.subscriptions.get(local) else { return Vec::new() };
        let lag = |key: &ClientKey| {
            let client = self.clients.get(*key).filter(|client| client.outbox.blocked && !client.dying)?;
            Some((*key, self.view(*key, client)?.lag()))
        };
        let lags = || channel.subscribers().iter().filter_map(lag);
        let most = lags().map(|(_, bytes)| bytes).max().unwrap_or(0);
        lags().filter(|(_, bytes)| *bytes > most / 2).map(|(key, _)| key).collect()
    }

    /// Ends a client for what it holds; how many bytes that frees, with those that go when it is forgotten.
    fn let_go(&mut self, key: ClientKey, carried: Carried, now: Time) -> u64 {
        let before = self.bytes_retained();
        let Some(client) = self.clients.get(key).filter(|client| !client.dying) else { return 0 };
        let (is_open, is_over) = (client.connection.is_open(), client.connection.is_over());
        let mut held = u64::from(client.held);
        self.counters.clients_shed.add(1);
        if is_over || client.outbox.blocked || carried.is_stuck {
            self.leave(key);
            self.let_die(key);
        } else if is_open {
            self.fail(
                key,
                CloseCode::TRY_AGAIN_LATER,
                "the server is short of memory, and you hold much of it",
                now,
            );
            held = 0;
        } else {
            self.respond(key, &short_of_memory(), now);
            held = 0;
        }
        before.saturating_sub(self.bytes_retained()) + held + carried.bytes
    }
}

/// What somebody gets who comes when there is no memory for more.
pub(super) fn short_of_memory() -> Response {
    Response::text(Status::SERVICE_UNAVAILABLE, "the server is short of memory: try again later\n")
        .with_header("Retry-After", "5")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::protocol::Opcode;
    use crate::shard::Slices;
    use crate::shard::trial::{self, NOW, flush};

    fn shard() -> Shard {
        trial::shard(Config::default())
    }

    /// A client in the channel `name`, with nothing to be written.
    fn member(shard: &mut Shard, name: &str) -> ClientKey {
        trial::client(shard, &format!("/ws/{name}"))
    }

    /// `key` sends a frame of so many zeros, which ends a message or does not.
    fn send(shard: &mut Shard, key: ClientKey, fin: bool, bytes: usize) {
        let mut frame = trial::frame(fin, Opcode::Binary, &vec![0; bytes]);
        shard.receive(key, &mut frame, false, usize::MAX, NOW);
    }

    /// `key` begins a message with so many bytes.
    fn begin(shard: &mut Shard, key: ClientKey, bytes: usize) {
        send(shard, key, false, bytes);
    }

    fn publish(shard: &mut Shard, key: ClientKey, bytes: usize) {
        send(shard, key, true, bytes);
    }

    fn is_open(shard: &Shard, key: ClientKey) -> bool {
        shard.clients.get(key).is_some_and(|client| client.connection.is_open() && !client.dying)
    }

    #[test]
    fn a_connection_and_a_channel_count_though_they_hold_nothing() {
        let mut shard = shard();
        assert_eq!(shard.held(), Held::default());
        member(&mut shard, "a");
        member(&mut shard, "a");
        let Held { bytes, queued_bytes } = shard.held();
        let spare = shard.spares.bytes() as u64;
        let cost = 2 * limits::CLIENT_COST_BYTES + limits::CHANNEL_COST_BYTES;
        assert_eq!((bytes, queued_bytes), (cost + spare, 0));
        // What their transports hold is counted elsewhere.
        shard.counters.tls_connections_open.set(2);
        shard.counters.tls_bytes_held.set(1_000);
        shard.allowances = 3;
        let cost = cost + 2 * limits::TLS_COST_BYTES + 3 * size_of::<Allowance>() as u64;
        assert_eq!(shard.held(), Held { bytes: cost + spare + 1_000, queued_bytes: 1_000 });
        assert!(spare > 0);
        shard.spare_nothing();
        assert_eq!(shard.held().bytes, cost + 1_000);
    }

    #[test]
    fn who_was_not_yet_offered_its_answers_stays_and_who_does_not_take_them_goes() {
        let mut shard = trial::shard(Config { echo: true, ..Config::default() });
        let [stuck, asks] = [(); 2].map(|()| trial::client(&mut shard, "/echo"));
        publish(&mut shard, asks, 60_000);
        let carried =
            |key| if key == stuck { Carried { bytes: 30_000, is_stuck: true } } else { Carried::default() };
        shard.shed(60_000, carried, NOW);
        assert_eq!([stuck, asks].map(|key| is_open(&shard, key)), [false, true]);
        assert_eq!(shard.counters.clients_shed.get(), 1);
        flush(&mut shard, |_| 10);
        shard.shed(1, |_| Carried::default(), NOW);
        assert!(!is_open(&shard, asks), "its socket has no room");
    }

    #[test]
    fn the_largest_goes_first_and_no_more_than_need_be() {
        let mut shard = shard();
        let keys: Vec<ClientKey> = (0..4).map(|_| member(&mut shard, "a")).collect();
        for (key, bytes) in keys.iter().zip([1_000, 10_000, 90_000, 50_000]) {
            begin(&mut shard, *key, bytes);
        }
        let before = shard.held().queued_bytes;
        shard.shed(90_001, |_| Carried::default(), NOW);
        let open: Vec<bool> = keys.iter().map(|key| is_open(&shard, *key)).collect();
        assert_eq!(open, [true, true, false, false]);
        assert!(shard.held().queued_bytes < before - 130_000, "it is free at once");
        assert_eq!(shard.counters.clients_shed.get(), 2);
        shard.check_invariants();
    }

    #[test]
    fn of_a_logs_readers_only_those_are_cut_off_who_keep_its_older_half() {
        let mut shard = shard();
        let [reader, early, late] = [(); 3].map(|()| member(&mut shard, "a"));
        publish(&mut shard, reader, 100_000);
        flush(&mut shard, |key| if key == early { 10 } else { usize::MAX });
        publish(&mut shard, reader, 30_000);
        flush(&mut shard, |key| if key == reader { usize::MAX } else { 10 });
        let small = member(&mut shard, "b");
        begin(&mut shard, small, 20_000);
        shard.shed(1, |_| Carried::default(), NOW);
        let open = [reader, early, late, small].map(|key| is_open(&shard, key));
        assert_eq!(open, [true, false, true, true]);
        assert!((30_000..65_000).contains(&shard.log_bytes()), "{} are kept", shard.log_bytes());
        shard.check_invariants();
    }

    #[test]
    fn a_log_is_let_go_even_if_all_have_taken_its_older_half_because_a_chunk_is_kept_as_a_whole() {
        let mut shard = shard();
        let [reader, early, late] = [(); 3].map(|()| member(&mut shard, "a"));
        publish(&mut shard, reader, 100_000);
        let room = |key| match key {
            key if key == early => 60_000,
            key if key == late => 90_000,
            _ => usize::MAX,
        };
        flush(&mut shard, room);
        let small = member(&mut shard, "b");
        begin(&mut shard, small, 20_000);
        shard.shed(1, |_| Carried::default(), NOW);
        let open = [reader, early, late, small].map(|key| is_open(&shard, key));
        assert_eq!((open, shard.log_bytes()), ([true, false, false, true], 0));
        shard.check_invariants();
    }

    #[test]
    fn what_a_transport_holds_counts_as_its_clients_and_who_does_not_take_it_is_cut_off() {
        let mut shard = shard();
        let [stuck, begun, small] = ["a", "b", "c"].map(|name| member(&mut shard, name));
        begin(&mut shard, small, 1_000);
        let carried = |key| match key {
            key if key == stuck => Carried { bytes: 30_000, is_stuck: true },
            key if key == begun => Carried { bytes: 16_000, is_stuck: false },
            _ => Carried::default(),
        };
        shard.shed(30_001, carried, NOW);
        assert_eq!([stuck, begun, small].map(|key| is_open(&shard, key)), [false, false, true]);
        assert_eq!((shard.next_dead(), shard.next_dead()), (Some(stuck), None), "the other is told 1013");
    }

    #[test]
    fn who_lags_only_because_it_was_not_written_yet_stays() {
        let mut shard = shard();
        let reader = member(&mut shard, "a");
        publish(&mut shard, reader, 100_000);
        shard.seal();
        shard.shed(u64::MAX, |_| Carried::default(), NOW);
        assert!(is_open(&shard, reader));
    }

    #[test]
    fn a_request_that_is_not_whole_gets_503() {
        let mut shard = shard();
        let key = shard.connect(NOW);
        shard.receive(key, &mut b"GET / HTTP/1.1\r\nX: ".to_vec(), false, usize::MAX, NOW);
        shard.shed(1, |_| Carried::default(), NOW);
        let mut out = Slices::new();
        shard.unwritten(key, &mut out);
        assert!(out[0].starts_with(b"HTTP/1.1 503 "), "{:?}", String::from_utf8_lossy(&out[0]));
    }

    #[test]
    fn who_is_closing_already_and_does_not_read_is_cut_off() {
        let mut shard = shard();
        let key = member(&mut shard, "a");
        publish(&mut shard, key, 100_000);
        flush(&mut shard, |_| 10);
        shard.fail(key, CloseCode::NORMAL, "", NOW);
        shard.shed(u64::MAX, |_| Carried::default(), NOW);
        assert_eq!(shard.next_dead(), Some(key));
    }
}

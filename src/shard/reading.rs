//! *read*: what clients' bytes do, and what they are answered.

use super::Shard;
use super::client::Client;
use super::mail::Mail;
use crate::dialect::Command;
use crate::hub::{ClientId, ClientKey, Interest};
use crate::limits;
use crate::protocol::{CloseCode, Event, Kind, Message, Time, Wants};
use std::mem;

impl Shard {
    /// A socket has something to be read. `ending`: the peer's end, or an error, is part of it.
    pub fn list_readable(&mut self, key: ClientKey, ending: bool) {
        if let Some(client) = self.clients.get_mut(key) {
            client.inbox.unread = true;
            client.inbox.ending |= ending;
            if !mem::replace(&mut client.inbox.listed, true) {
                self.readable.push_back(key);
            }
        }
    }

    /// Lists a client to be read that went on after a pause.
    pub(super) fn list_if_unread(&mut self, key: ClientKey) {
        if self.clients.get(key).is_some_and(|client| client.inbox.unread) {
            self.list_readable(key, false);
        }
    }

    /// Bytes to be read in one turn, over all clients: at most half of what a client may lag behind, so that nobody
    /// who takes what a turn brings becomes slow by that turn.
    pub fn read_budget_bytes(&self) -> usize {
        limits::READ_BYTES_PER_TURN_MAX.min(self.place.config.limits.outbox_bytes_max / 2).max(1)
    }

    /// How many sockets are listed to be read.
    pub fn listed_to_read(&self) -> usize {
        self.readable.len()
    }

    /// The next socket to be read once. A client that is paused is passed over: it is listed again when it goes on. So is
    /// one that is open when nothing is accepted any more: what it says comes too late.
    pub fn next_to_read(&mut self) -> Option<ClientKey> {
        while let Some(key) = self.readable.pop_front() {
            if let Some(client) = self.clients.get_mut(key) {
                client.inbox.listed = false;
                let is_to_leave = client.connection.is_open() && !self.drain.lets_publish();
                if !client.dying && !client.is_paused() && !is_to_leave {
                    return Some(key);
                }
            }
        }
        None
    }

    /// The socket had nothing more to read. It says so itself when that changes.
    pub fn drained(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.inbox.unread = false;
        }
    }

    /// Bytes came from a client. `more`: the socket may have more of them. Returns what they came to, as
    /// [`receive_held`](Self::receive_held) does.
    pub fn receive(
        &mut self,
        key: ClientKey,
        bytes: &mut [u8],
        more: bool,
        budget_bytes: usize,
        now: Time,
    ) -> usize {
        self.counters.bytes_read.add(bytes.len() as u64);
        if let Some(client) = self.clients.get_mut(key) {
            client.inbox.unread = more || client.inbox.ending;
            if let Some(allowance) = client.allowance_mut() {
                allowance.spend_bytes(bytes.len() as u64);
            }
        }
        let came_to = self.process(key, bytes, budget_bytes, now);
        self.list_if_unread(key);
        came_to
    }

    /// Goes on with what is left of bytes that came from a client: behind its request, too much for a turn once inflated, or
    /// more messages than it might send. Returns what they came to, to be taken off the turn's budget: bytes of messages,
    /// and what was copied for them, or bytes of input if those are more. `None` if nothing is left: its socket is to be read.
    pub fn receive_held(&mut self, key: ClientKey, budget_bytes: usize, now: Time) -> Option<usize> {
        let mut held = self.clients.get_mut(key)?.connection.take_held();
        if held.is_empty() {
            return None;
        }
        let came_to = self.process(key, &mut held, budget_bytes, now);
        self.list_readable(key, false);
        Some(came_to)
    }

    /// The peer's end of the TCP connection came.
    pub fn receive_eof(&mut self, key: ClientKey, now: Time) {
        self.drained(key);
        let Some(client) = self.clients.get_mut(key) else { return };
        let is_websocket = client.connection.is_established();
        if let Some(Event::Closed(closure)) = client.connection.receive_eof(now) {
            if is_websocket {
                self.counters.closes.add(CloseCode::ABNORMAL.number());
            }
            self.note_closure(key, &closure);
        }
        self.settle(key, now);
    }

    /// The socket failed: there is nobody to talk to.
    pub fn lose(&mut self, key: ClientKey, now: Time) {
        self.receive_eof(key, now);
        self.let_die(key);
    }

    /// Feeds bytes to a client's connection and does what comes out, until they have come to more than `budget_bytes`, or
    /// the client has sent as many messages as it may; the connection holds what is left then, which counts as unread.
    /// Returns what the bytes came to.
    fn process(&mut self, key: ClientKey, mut input: &mut [u8], budget_bytes: usize, now: Time) -> usize {
        let read = input.len();
        let messages_max = self.messages_allowed(key, now);
        let (mut messages, mut said, mut beside, mut left, mut cost) = (0, 0, 0, None, 0);
        let mut replies = mem::take(&mut self.replies);
        let mut inflater = mem::take(&mut self.inflater);
        let mut scratch = mem::take(&mut self.scratch);
        let mut terms = self.terms(key);
        self.deflater.take_compressions();
        while let Some(client) = self.clients.get_mut(key) {
            if messages >= messages_max && !input.is_empty() {
                client.connection.hold(input);
                client.inbox.unread = true;
                left = Some(input.len());
                break;
            }
            if (said + beside).max(read - input.len()) > budget_bytes && !input.is_empty() {
                client.connection.hold(input);
                client.inbox.unread = true;
                break;
            }
            match client.connection.next_event_inflating(&mut input, now, &mut inflater, &mut replies) {
                Some(Event::Message(message)) => {
                    messages += 1;
                    let len = message.payload.len();
                    said += len;
                    let Message { kind, payload } = &message;
                    match client.dialect.read(terms, client.user(), *kind, payload, &mut scratch) {
                        Command::Reply { kind, payload } => {
                            client.connection.send_deflated(kind, payload, &mut self.deflater, &mut replies);
                        }
                        Command::Reject { error } => {
                            self.counters.messages_rejected.add(1);
                            client.connection.send(Kind::Text, error, &mut replies);
                        }
                        Command::Publish { kind, payload } => {
                            // With the speaker's name it may be many times as long as it was said.
                            beside += payload.len().saturating_sub(len);
                            self.publish_from(key, kind, payload);
                        }
                    }
                }
                Some(Event::Requested(request)) if request.forwarding.is_some() => {
                    self.unidentified.push((key, request));
                }
                Some(Event::Requested(request)) => {
                    let held;
                    (held, cost) = self.answer(key, &request, now, &mut replies);
                    debug_assert!(held.is_empty(), "nothing is held before we say so");
                    terms = self.terms(key);
                }
                Some(Event::Closed(closure)) => self.note_closure(key, &closure),
                // Only in the client role.
                Some(Event::Accepted(_)) => {}
                None => {
                    if client.connection.wants() == Wants::Decision {
                        client.connection.hold(input);
                    }
                    break;
                }
            }
            beside += inflater.take_window_bytes() / limits::WINDOW_BYTES_PER_BYTE;
            beside += self.deflater.take_compressions() * limits::COMPRESSION_COST_BYTES;
        }
        self.inflater = inflater;
        self.scratch = scratch;
        self.counters.messages_received.add(messages as u64);
        self.counters.message_bytes_received.add(said as u64);
        self.reply(key, &mut replies);
        self.replies = replies;
        if messages_max < usize::MAX
            && let Some(allowance) = self.clients.get_mut(key).and_then(Client::allowance_mut)
        {
            allowance.spend_messages(messages as u64);
        }
        if left.is_some() {
            self.pause(key, now);
        }
        self.settle(key, now);
        (said + beside).max(read - left.unwrap_or(0)) + cost
    }

    /// A client publishes in its channel.
    fn publish_from(&mut self, key: ClientKey, kind: Kind, payload: &[u8]) {
        let membership = self.clients.get(key).and_then(|client| client.membership);
        let channel = membership.and_then(|membership| self.subscriptions.get(membership.channel));
        let Some((Interest::Standing(home), home_shard)) =
            channel.map(|channel| (&channel.interest, channel.home_shard))
        else {
            self.counters.publications_homeless.add(1);
            return;
        };
        if home_shard == self.place.id {
            let (home, origin) = (*home, self.id_of(key));
            self.publish(home, origin, kind, payload);
        } else {
            let batch = &mut self.outgoing[usize::from(home_shard.0)];
            let payload_len = payload.len() as u32;
            batch.mail.push(Mail::Publish { home: *home, client: key, kind, payload_len });
            batch.payloads.extend_from_slice(payload);
        }
    }

    /// Has `say` append what is to be said to a client, in memory that serves all of them, and hands it on as
    /// [`reply`](Self::reply) does.
    pub(super) fn replying<T>(
        &mut self,
        key: ClientKey,
        say: impl FnOnce(&mut Shard, &mut Vec<u8>) -> T,
    ) -> T {
        let mut replies = mem::take(&mut self.replies);
        let said = say(self, &mut replies);
        self.reply(key, &mut replies);
        self.replies = replies;
        said
    }

    /// Puts `replies` behind what a client has still to be sent, and seals the outbox if its connection has come to
    /// an end.
    pub(super) fn reply(&mut self, key: ClientKey, replies: &mut Vec<u8>) {
        let Some(client) = self.clients.get_mut(key) else {
            replies.clear();
            return;
        };
        if client.outbox.is_sealed() {
            debug_assert!(replies.is_empty(), "nothing follows a Close frame");
            replies.clear();
        } else if client.connection.is_over() {
            self.seal_client(key, replies);
        } else if !replies.is_empty() {
            let spares = &mut self.spares;
            client.outbox.push(replies, || spares.take());
            // What the answers to one client took is not for the next one to hold.
            replies.shrink_to(limits::SPARE_BYTES_MAX);
            self.list_writable(key);
        }
    }

    /// Draws the conclusions from what a client's connection has become: when to look at it next, whether it has
    /// too much to be sent, and whether nothing is left to be done.
    pub(super) fn settle(&mut self, key: ClientKey, now: Time) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.connection.wants() {
            Wants::Nothing => self.let_die(key),
            Wants::FlushThenShutdown => self.finish_if_written(key),
            Wants::Input | Wants::Decision => {}
        }
        let Some(client) = self.clients.get_mut(key) else { return };
        let answer_bytes = client.outbox.answer_bytes();
        if answer_bytes > limits::OWN_BYTES_MARK && !client.outbox.is_sealed() {
            // Nothing goes out while the mark is passed, so there is nothing to append.
            client.connection.set_congested(true, &mut Vec::new());
            if answer_bytes > self.place.config.limits.outbox_bytes_max + limits::OWN_BYTES_BEYOND_OUTBOX {
                self.counters.slow_consumers_closed.add(1);
                self.fail(key, CloseCode::POLICY_VIOLATION, "too many answers not read", now);
            }
        }
        self.recount(key);
        self.reschedule(key);
    }

    /// What other shards and logs call a client.
    pub(super) fn id_of(&self, key: ClientKey) -> ClientId {
        ClientId { shard: self.place.id, client: key }
    }
}

impl Client {
    /// Not to be read for the time being: it has to wait, or is over its rate.
    pub(super) fn is_paused(&self) -> bool {
        self.has_to_wait() || self.is_over_rate()
    }

    /// A decision is pending, or it takes its own bytes too slowly.
    pub(super) fn has_to_wait(&self) -> bool {
        self.connection.wants() == Wants::Decision
            || (self.outbox.answer_bytes() > limits::OWN_BYTES_MARK && !self.outbox.is_sealed())
    }

    /// Not read although it may have sent something, by our choice: it does not count as silent.
    pub(super) fn is_kept_waiting(&self) -> bool {
        self.inbox.unread && self.connection.is_open() && !self.has_to_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, PayloadPolicy};
    use crate::protocol::Opcode;
    use crate::shard::trial::{self, NOW};
    use flate2::{Compress, Compression, FlushCompress};

    /// A compressed message as a client sends it (RFC 7692 §6), under the key that changes nothing.
    fn compressed(payload: &[u8]) -> Vec<u8> {
        assert!(payload.len() <= 125, "its length takes a byte");
        [&[0xc2, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat()
    }

    #[test]
    fn what_is_copied_for_messages_counts_in_a_turn_even_if_they_say_nothing() {
        let mut config = Config::default();
        config.deflate.client_context_takeover = true;
        let mut shard = trial::shard(config);
        let key = shard.connect(Time(0));
        let mut request = trial::request("/ws", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        shard.receive(key, &mut request, false, usize::MAX, Time(0));
        let mut window = Vec::with_capacity(200);
        Compress::new(Compression::best(), false)
            .compress_vec(&vec![0; 40_000], &mut window, FlushCompress::Sync)
            .expect("there is room");
        window.truncate(window.len() - 4);
        shard.receive(key, &mut compressed(&window), false, usize::MAX, Time(0));
        // Sixty blocks with BFINAL and nothing in them, and what a flush begins with: each has the window copied.
        let nothing = compressed(&[&[0x03, 0x00].repeat(60)[..], &[0x00]].concat());
        let budget_bytes = 1 << 20;
        let came_to = shard.receive(key, &mut nothing.repeat(1_000), false, budget_bytes, Time(0));
        let held: usize = shard.held_input().map(|(_, bytes)| bytes).sum();
        assert!(came_to > budget_bytes && held > 900 * nothing.len(), "{came_to}, {held} bytes are held");
        assert_eq!(shard.counters().protocol_failures.get(), 0);
    }

    #[test]
    fn what_a_message_is_published_with_counts_in_a_turn() {
        let mut shard = trial::shard(Config { payload: PayloadPolicy::Chat, ..Config::default() });
        let key = trial::client(&mut shard, "/ws");
        // 8 bytes each, of which a frame of 27 is made.
        let mut input = trial::frame(true, Opcode::Text, b"{}").repeat(10_000);
        let came_to = shard.receive(key, &mut input, false, 100_000, NOW);
        let made = shard.homes.open_bytes();
        assert!(came_to > 100_000 && (100_000..110_000).contains(&made), "{came_to}, {made} bytes are made");
        assert!(shard.held_input().any(|(held_of, _)| held_of == key));
    }

    #[test]
    fn a_compression_counts_in_a_turn_for_more_than_the_bytes_of_its_message() {
        let mut shard = trial::shard(Config::default());
        let key = shard.connect(NOW);
        let mut request = trial::request("/ws", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        shard.receive(key, &mut request, false, usize::MAX, NOW);
        let mut input = trial::frame(true, Opcode::Binary, &[7; 128]).repeat(300);
        let came_to = shard.receive(key, &mut input, false, 1 << 20, NOW);
        assert!(came_to > 1 << 20, "{came_to}");
        assert!(shard.held_input().any(|(held_of, _)| held_of == key));
    }

    #[test]
    fn who_is_answered_little_does_not_hold_the_memory_of_anothers_answers() {
        let mut shard = trial::shard(Config { payload: PayloadPolicy::Json, ..Config::default() });
        // The 101 of one of them waits still, and no JSON is refused behind it.
        let (quiet, flooder) = (trial::client(&mut shard, "/ws"), trial::asking(&mut shard, "/ws", NOW));
        let mut input = trial::frame(true, Opcode::Text, b"x").repeat(20_000);
        shard.receive(flooder, &mut input, false, usize::MAX, NOW);
        shard.receive(quiet, &mut trial::frame(true, Opcode::Ping, b""), false, usize::MAX, NOW);
        let held = shard.clients.get(quiet).map_or(0, |client| client.outbox.held_bytes());
        assert!(held <= 2 * limits::SPARE_BYTES_MAX, "{held} bytes for a Pong");
    }
}

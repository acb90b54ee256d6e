//! The laws of connections (RFC 6455 §4, §7): what the cuts in their input change, which is nothing.

use super::Script;
use super::frames::decode;
use crate::limits::Limits;
use crate::protocol::{
    Agreement, ClientRequest, CloseCode, CloseReason, Closure, Connection, Deflate, DeflateOffer, Event,
    HandshakeError, Kind, Opcode, Payload, Request, Time, Wants, WindowBits,
};
use std::sync::Arc;

/// If a server makes a request of some bytes, it makes nothing of fewer (§4.2.1), and the same of them byte by byte.
pub fn a_strict_prefix_of_a_handshake_is_incomplete(bytes: &[u8]) {
    let mut whole = bytes.to_vec();
    let mut input = whole.as_mut_slice();
    let mut out = Vec::new();
    let event = Connection::server(law_limits(), Time(0)).next_event(&mut input, Time(0), &mut out);
    let Some(Event::Requested(requested)) = event else { return };
    assert!(requested.path.starts_with('/'));
    // A request of HTTP/1.0 need not name its host; it opens no WebSocket.
    assert!(!requested.host.is_empty() || requested.upgrade == Err(HandshakeError::HttpVersion));
    let head_len = bytes.len() - input.len();
    assert!(bytes[..head_len].ends_with(b"\r\n\r\n"));
    let mut drips = Connection::server(law_limits(), Time(0));
    for len in 0..head_len {
        let mut prefix = bytes[..len].to_vec();
        let mut connection = Connection::server(law_limits(), Time(0));
        assert_eq!(connection.next_event(&mut prefix.as_mut_slice(), Time(0), &mut out), None);
        assert_eq!(connection.wants(), Wants::Input);
        let mut byte = [bytes[len]];
        let event = drips.next_event(&mut byte.as_mut_slice(), Time(0), &mut out);
        assert_eq!(event, (len + 1 == head_len).then(|| Event::Requested(requested.clone())));
    }
    assert!(out.is_empty(), "nothing is said to half a request");
}

/// Small enough that a fuzzer reaches them.
pub(super) fn law_limits() -> Arc<Limits> {
    Arc::new(Limits { message_bytes_max: 4096, ..Limits::default() })
}

/// A request that opens a WebSocket; the key is §1.3's.
pub(super) const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// An event that has left its input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Requested(Request),
    Accepted(Agreement),
    Message(Kind, Vec<u8>),
    Closed(Closure),
}

/// All that can be seen of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Transcript {
    seen: Vec<Seen>,
    out: Vec<u8>,
    wants: Wants,
    is_open: bool,
    deadline: Option<Time>,
}

/// However its input is cut, a connection does the same: the same events, the same bytes out, the same state, in both
/// roles, from the handshake to the close, with or without a close of ours in between.
///
/// Byte by byte, no message takes the short way that it takes when it is whole.
///
/// On the way: nothing follows a Close frame into `out`, `Closed` comes at most once, all input is consumed, and the
/// memory held stays within twice what has come in, and a window if the peer may refer to earlier messages. The bytes
/// begin with a [`Script`]; its switches choose the role (1), whether a handshake that succeeds comes first (2), whether
/// we close after half of the input (4), how what is behind the request head gets to the connection (8), whether messages
/// may be compressed (16), and that with references to earlier ones (32), and whether messages that are whole in a piece
/// are taken in a row and not as events (64).
pub fn a_connection_ignores_how_its_input_is_cut(bytes: &[u8]) {
    let script = Script::new(bytes);
    let (_, handshake) = law_connection(&script, &mut Vec::new());
    let mut input = if script.switch(1) { handshake } else { Vec::new() };
    let middle =
        if script.switch(2) { input.len() + script.rest.len() / 2 } else { input.len() + script.rest.len() };
    input.extend_from_slice(script.rest);
    let (before, after) = input.split_at(middle);
    let whole = converse(&script, &[before], &[after], false);
    assert_eq!(converse(&script, &script.cut(before), &script.cut(after), script.switch(6)), whole);
    let drips = |bytes| <[u8]>::chunks(bytes, 1).collect::<Vec<_>>();
    assert_eq!(converse(&script, &drips(before), &drips(after), false), whole);
}

/// Hands a connection two rows of input, with a close of ours in between if the script says so. Messages that are whole in
/// a piece are taken in a row, or come as events.
fn converse(script: &Script<'_>, before: &[&[u8]], after: &[&[u8]], in_rows: bool) -> Transcript {
    let mut out = Vec::new();
    let (mut connection, _) = law_connection(script, &mut out);
    let mut conversation = Conversation {
        received: 0,
        opened_at: None,
        holds: script.switch(3),
        in_rows,
        agreement: law_agreement(script),
        seen: Vec::new(),
    };
    for piece in before {
        conversation.receive(&mut connection, piece, &mut out);
    }
    if script.switch(2) {
        connection.close(CloseCode::NORMAL, &CloseReason::new("enough"), Time(0), &mut out);
    }
    for piece in after {
        conversation.receive(&mut connection, piece, &mut out);
    }
    let Conversation { opened_at, seen, .. } = conversation;
    if let Some(opened_at) = opened_at {
        let decoded = decode(&[&out[opened_at..]]);
        assert_eq!(decoded.error, None);
        let close = decoded.frames.iter().position(|(header, _, _)| header.opcode == Opcode::Close);
        assert!(close.is_none_or(|index| index + 1 == decoded.frames.len()), "a Close frame is the last");
        assert!(
            decoded
                .frames
                .iter()
                .all(|(header, _, ended)| *ended && header.masking_key.is_some() == script.switch(0))
        );
    }
    assert!(seen.iter().filter(|seen| matches!(seen, Seen::Closed(_))).count() <= 1);
    let (wants, is_open, deadline) = (connection.wants(), connection.is_open(), connection.deadline());
    Transcript { seen, out, wants, is_open, deadline }
}

/// A connection in the role that the script chooses, and the handshake that it waits for.
fn law_connection(script: &Script<'_>, out: &mut Vec<u8>) -> (Connection, Vec<u8>) {
    let mut server = Connection::server(law_limits(), Time(0));
    if !script.switch(0) {
        return (server, REQUEST.to_vec());
    }
    let mut request = ClientRequest::new("server.example.com", "/chat").expect("it is a request");
    if script.switch(4) {
        request = request.with_deflate(DeflateOffer::PLAIN);
    }
    let client = Connection::client(law_limits(), request, [7; 32], Time(0), out);
    let mut request = out.clone();
    let mut response = Vec::new();
    let event = server.next_event(&mut request.as_mut_slice(), Time(0), &mut response);
    assert!(matches!(event, Some(Event::Requested(_))));
    server.accept(law_agreement(script), Time(0), &mut response);
    (client, response)
}

/// What the script has both ends agree on.
fn law_agreement(script: &Script<'_>) -> Agreement {
    let no_context_takeover = !script.switch(5);
    let deflate = script.switch(4).then_some(Deflate {
        server_no_context_takeover: no_context_takeover,
        client_no_context_takeover: no_context_takeover,
        server_max_window_bits: None,
        client_max_window_bits: None,
    });
    Agreement { deflate, ..Agreement::default() }
}

struct Conversation {
    /// Bytes of input so far.
    received: usize,
    /// Where in `out` frames begin, if the handshake succeeded.
    opened_at: Option<usize>,
    /// Bytes behind a request head are held by the connection rather than by us.
    holds: bool,
    /// Messages that are whole in an input are taken in a row.
    in_rows: bool,
    /// What a request is answered with.
    agreement: Agreement,
    seen: Vec<Seen>,
}

impl Conversation {
    /// Hands over one input and answers what comes out: requests are accepted if they can be, messages echoed.
    fn receive(&mut self, connection: &mut Connection, piece: &[u8], out: &mut Vec<u8>) {
        self.received += piece.len();
        let mut bytes = piece.to_vec();
        let mut input = bytes.as_mut_slice();
        let mut held = None;
        loop {
            if self.in_rows {
                input = self.take_row(connection, input, out);
            }
            let Some(event) = connection.next_event(&mut input, Time(0), out) else { break };
            let seen = match event {
                Event::Requested(request) => {
                    if let Err(error) = request.upgrade {
                        connection.respond(&error.response(), Time(0), out);
                    } else {
                        assert_eq!(connection.wants(), Wants::Decision);
                        if self.holds {
                            let rest = std::mem::take(&mut input);
                            connection.hold(rest);
                        }
                        held = Some(connection.accept(self.agreement.clone(), Time(0), out));
                        self.opened_at = Some(out.len());
                    }
                    Seen::Requested(*request)
                }
                Event::Accepted(agreement) => {
                    self.opened_at = Some(out.len());
                    Seen::Accepted(agreement)
                }
                Event::Message(message) => {
                    assert!(
                        connection.send(message.kind, &message.payload, out),
                        "a message comes while it is open"
                    );
                    Seen::Message(message.kind, message.payload.into_vec())
                }
                Event::Closed(closure) => Seen::Closed(closure),
            };
            self.seen.push(seen);
        }
        assert!(input.is_empty(), "all of an input is consumed");
        let keeps_context = self.agreement.deflate.is_some_and(|deflate| !deflate.client_no_context_takeover);
        let context = if keeps_context { 1 << WindowBits::MAX } else { 0 };
        let held_bytes = connection.held_bytes();
        assert!(held_bytes <= 2 * self.received + 64 + context, "memory follows what has come: {held_bytes}");
        if let Some(held) = held.filter(|held| !held.is_empty()) {
            self.received -= held.len();
            self.receive(connection, &held, out);
        }
    }

    /// Takes the whole messages at the front of an input, and echoes them. Returns what is left.
    fn take_row<'i>(
        &mut self,
        connection: &mut Connection,
        input: &'i mut [u8],
        out: &mut Vec<u8>,
    ) -> &'i mut [u8] {
        let mut row = Vec::new();
        let mut rest = input;
        connection.take_whole_messages(&mut rest, Time(0), |message| {
            assert!(matches!(message.payload, Payload::Lent(_)), "it is whole in the input");
            row.push((message.kind, message.payload.into_vec()));
        });
        for (kind, payload) in row {
            assert!(connection.send(kind, &payload, out), "a message comes while it is open");
            self.seen.push(Seen::Message(kind, payload));
        }
        rest
    }
}

/// An event that has left its input.
pub(super) fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Requested(request) => Seen::Requested(*request),
        Event::Accepted(agreement) => Seen::Accepted(agreement),
        Event::Message(message) => Seen::Message(message.kind, message.payload.into_vec()),
        Event::Closed(closure) => Seen::Closed(closure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::deflate::{NaiveDeflater, append_compressed, pieces_of};
    use crate::properties::strategies::{script, stream};
    use crate::protocol::{self, MaskingKey};
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Messages in fragments with control frames between them, all right.
    fn right_stream() -> impl Strategy<Value = Vec<u8>> {
        let message = (any::<bool>(), vec(".{0,20}", 1..5), any::<[u8; 4]>(), any::<bool>()).prop_map(
            |(is_text, fragments, key, ping)| {
                let mut bytes = Vec::new();
                let last = fragments.len() - 1;
                for (index, fragment) in fragments.iter().enumerate() {
                    let opcode = match (index, is_text) {
                        (0, true) => Opcode::Text,
                        (0, false) => Opcode::Binary,
                        _ => Opcode::Continuation,
                    };
                    let key = Some(MaskingKey(key));
                    protocol::append_frame(index == last, opcode, key, fragment.as_bytes(), &mut bytes);
                    if ping {
                        protocol::append_control(Opcode::Ping, key, b"still there?", &mut bytes);
                    }
                }
                bytes
            },
        );
        vec(message, 0..6).prop_map(|messages| messages.concat())
    }

    /// The same, compressed, each message by itself, or so that it may refer to those before.
    fn compressed_stream(keeps_context: bool, masked: bool) -> impl Strategy<Value = Vec<u8>> {
        let message = (any::<bool>(), ".{0,200}", 1..5_usize, any::<[u8; 4]>(), any::<bool>());
        vec(message, 0..6).prop_map(move |messages| {
            let mut deflater = NaiveDeflater::new(6, 15, keeps_context);
            let mut bytes = Vec::new();
            for (is_text, payload, count, key, pings) in messages {
                let kind = if is_text { Kind::Text } else { Kind::Binary };
                let compressed = deflater.compress(payload.as_bytes(), false);
                let key = masked.then_some(MaskingKey(key));
                append_compressed(kind, key, pieces_of(&compressed, count), pings, &mut bytes);
            }
            bytes
        })
    }

    fn request() -> impl Strategy<Value = Vec<u8>> {
        let extra = vec(("[A-Za-z-]{1,12}", "[ -~]{0,20}"), 0..6);
        ("/[a-z0-9/?=&%.]{0,20}", extra, any::<[bool; 6]>()).prop_map(|(target, extra, cases)| {
            let mut lines = vec![format!("GET {target} HTTP/1.1")];
            let own = [
                ("Host", "a.example:8080"),
                ("Upgrade", "websocket"),
                ("Connection", "keep-alive, Upgrade"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Protocol", "a, b"),
            ];
            for ((name, value), upper) in own.iter().zip(cases) {
                let name = if upper { name.to_uppercase() } else { name.to_lowercase() };
                lines.push(format!("{name}: {value}"));
            }
            for (name, value) in extra {
                lines.push(format!("x-{name}:{value}"));
            }
            (lines.join("\r\n") + "\r\n\r\n").into_bytes()
        })
    }

    proptest! {
        #[test]
        fn s4_2_1_handshakes(request in request()) {
            let event = Connection::server(law_limits(), Time(0)).next_event(
                &mut request.clone().as_mut_slice(), Time(0), &mut Vec::new(),
            ).map(|event| format!("{event:?}"));
            prop_assert!(event.as_ref().is_some_and(|event| event.starts_with("Requested")), "{event:?}");
            a_strict_prefix_of_a_handshake_is_incomplete(&request);
        }

        #[test]
        fn connections_with_streams_that_go_wrong(mut script in script(), right in right_stream(), streams in (stream(true), stream(false))) {
            script[0] = script[0] & !16 | 2;
            let bytes = if script[0] & 1 == 0 { [script, right, streams.0].concat() } else { [script, streams.1].concat() };
            a_connection_ignores_how_its_input_is_cut(&bytes);
        }

        #[test]
        fn connections_with_compressed_streams(
            mut script in script(),
            own_contexts in (compressed_stream(false, true), compressed_stream(false, false)),
            contexts in (compressed_stream(true, true), compressed_stream(true, false)),
            behind in stream(true),
            damage in any::<Option<(u16, u8)>>(),
        ) {
            script[0] |= 2 | 16;
            let ours = if script[0] & 32 == 0 { own_contexts } else { contexts };
            let mut stream = [if script[0] & 1 == 0 { ours.0 } else { ours.1 }, behind].concat();
            if let (Some((index, byte)), false) = (damage, stream.is_empty()) {
                let index = usize::from(index) % stream.len();
                stream[index] = byte;
            }
            a_connection_ignores_how_its_input_is_cut(&[script, stream].concat());
        }

        #[test]
        fn connections_that_come_with_their_request(mut script in script(), request in request(), right in right_stream(), damage in any::<Option<(u16, u8)>>()) {
            script[0] &= !(7 | 16);
            let mut stream = [request, right].concat();
            if let Some((index, byte)) = damage {
                let index = usize::from(index) % stream.len();
                stream[index] = byte;
            }
            a_connection_ignores_how_its_input_is_cut(&[script, stream].concat());
        }
    }
}

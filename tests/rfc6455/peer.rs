//! One end of a connection, with what came out of it.

use fanwire::limits::Limits;
use fanwire::protocol::{
    Agreement, ClientRequest, Closure, Connection, Event, Kind, MaskingKey, Opcode, ProtocolError, Request,
    Time, append_frame,
};
use std::sync::Arc;

/// A request that opens a WebSocket; the key is §1.3's.
pub(crate) const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// An event that has left its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Requested(Request),
    Accepted(Agreement),
    Text(String),
    Binary(Vec<u8>),
    Closed(Closure),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Seen {
        match event {
            Event::Requested(request) => Seen::Requested(*request),
            Event::Accepted(agreement) => Seen::Accepted(agreement),
            Event::Message(message) => match message.kind {
                Kind::Text => {
                    Seen::Text(String::from_utf8(message.payload.into_vec()).expect("text is UTF-8"))
                }
                Kind::Binary => Seen::Binary(message.payload.into_vec()),
            },
            Event::Closed(closure) => Seen::Closed(closure),
        }
    }
}

pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) out: Vec<u8>,
    pub(crate) now: Time,
}

impl Peer {
    /// A server that has read nothing.
    pub(crate) fn connecting_server(limits: Limits) -> Peer {
        Peer { connection: Connection::server(Arc::new(limits), Time(0)), out: Vec::new(), now: Time(0) }
    }

    /// A server whose opening handshake is over.
    pub(crate) fn server() -> Peer {
        Peer::server_with(Limits::default())
    }

    pub(crate) fn server_with(limits: Limits) -> Peer {
        let mut peer = Peer::connecting_server(limits);
        assert!(matches!(peer.receive(REQUEST)[..], [Seen::Requested(_)]));
        peer.connection.accept(Agreement::default(), peer.now, &mut peer.out);
        peer.out.clear();
        peer
    }

    /// A client that has sent its request, which is in `out`.
    pub(crate) fn connecting_client(request: ClientRequest) -> Peer {
        let mut out = Vec::new();
        let connection = Connection::client(Arc::new(Limits::default()), request, [7; 32], Time(0), &mut out);
        Peer { connection, out, now: Time(0) }
    }

    /// A client whose opening handshake is over.
    pub(crate) fn client() -> Peer {
        let mut client = Peer::connecting_client(ClientRequest::new("a", "/").unwrap());
        let mut server = Peer::connecting_server(Limits::default());
        server.receive(&client.take_out());
        server.connection.accept(Agreement::default(), server.now, &mut server.out);
        assert_eq!(client.receive(&server.out), [Seen::Accepted(Agreement::default())]);
        client
    }

    /// What comes out of these bytes. All of them are consumed, unless a decision is awaited.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let mut bytes = bytes.to_vec();
        let mut input = bytes.as_mut_slice();
        let mut seen = Vec::new();
        while let Some(event) = self.connection.next_event(&mut input, self.now, &mut self.out) {
            seen.push(event.into());
        }
        seen
    }

    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Receives bytes that fail the connection; returns the error, and checks the Close frame that a server sends.
    #[track_caller]
    pub(crate) fn fail_by(mut self, bytes: &[u8]) -> ProtocolError {
        let seen = self.receive(bytes);
        let [Seen::Closed(Closure::Failed(error))] = &seen[..] else { panic!("{seen:?}") };
        let [high, low] = error.code().number().to_be_bytes();
        let mut close = vec![0x88, 2 + error.sentence().len() as u8, high, low];
        close.extend_from_slice(error.sentence().as_bytes());
        assert_eq!(self.out, close);
        *error
    }
}

/// A frame as a client sends it, under the key that changes nothing.
pub(crate) fn masked(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(fin, opcode, Some(MaskingKey([0; 4])), payload, &mut frame);
    frame
}

/// A frame as a server sends it.
pub(crate) fn unmasked(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(fin, opcode, None, payload, &mut frame);
    frame
}

pub(crate) fn text(text: &str) -> Seen {
    Seen::Text(text.into())
}

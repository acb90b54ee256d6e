//! A listener that plays a server, with `fanwire::protocol::Connection` in the server role.

use crate::PATIENCE;
use fanwire::limits::Limits;
use fanwire::protocol::{Agreement, CloseCode, CloseReason, Closure, Connection, Event, Kind, Time, Wants};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// A listener that plays a server.
pub(crate) struct FakeServer(pub(crate) TcpListener);

impl FakeServer {
    pub(crate) fn bind() -> FakeServer {
        FakeServer(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// At an address that nobody else uses: its port is free when it has gone, until it comes back.
    pub(crate) fn alone() -> FakeServer {
        static PORT: AtomicU16 = AtomicU16::new(1_024);
        let [.., high, low] = std::process::id().to_be_bytes();
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        FakeServer(TcpListener::bind(SocketAddr::from(([127, 93, high, low], port))).unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address())
    }

    pub(crate) fn accept_stream(&self) -> TcpStream {
        let (sender, accepted) = channel();
        let listener = self.0.try_clone().unwrap();
        // If nobody comes in time, the test has failed and nobody listens.
        thread::spawn(move || sender.send(listener.accept().unwrap().0));
        let stream = accepted.recv_timeout(PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Accepts a connection and opens it as a WebSocket.
    pub(crate) fn accept(&self) -> Peer {
        Peer::open(self.accept_stream())
    }
}

/// What carries a connection.
pub(crate) trait Stream: Read + Write {
    /// Says that nothing more will come.
    fn shutdown_write(&mut self);
}

impl Stream for TcpStream {
    fn shutdown_write(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// The server's end of a connection. It answers Close frames and nothing else by itself.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    connection: Connection,
    unread: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Requested,
    Text(String),
    Closed(Closure),
}

impl<S: Stream> Peer<S> {
    /// Answers the opening handshake.
    pub(crate) fn open(stream: S) -> Peer<S> {
        let connection = Connection::server(Arc::new(Limits::default()), Time(0));
        let mut peer = Peer { stream, connection, unread: Vec::new() };
        assert_eq!(peer.next(), Seen::Requested);
        peer
    }

    fn next(&mut self) -> Seen {
        let mut buffer = [0; 4096];
        loop {
            let mut out = Vec::new();
            let mut input = self.unread.as_mut_slice();
            let seen = match self.connection.next_event(&mut input, Time(0), &mut out) {
                None => None,
                Some(Event::Requested(request)) => {
                    assert_eq!(request.upgrade, Ok(()));
                    self.connection.accept(Agreement::default(), Time(0), &mut out);
                    Some(Seen::Requested)
                }
                Some(Event::Message(message)) => Some(Seen::Text(message.as_text().unwrap().to_owned())),
                Some(Event::Closed(closure)) => Some(Seen::Closed(closure)),
                Some(Event::Accepted(_)) => unreachable!("a server is not accepted"),
            };
            let left = input.len();
            self.unread.drain(..self.unread.len() - left);
            self.stream.write_all(&out).unwrap();
            if let Some(seen) = seen {
                return seen;
            }
            match self.stream.read(&mut buffer).expect("the client says something") {
                0 => return Seen::Closed(Closure::Lost),
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    pub(crate) fn receive_text(&mut self) -> String {
        match self.next() {
            Seen::Text(text) => text,
            seen => panic!("a text is expected: {seen:?}"),
        }
    }

    /// Reads to the Close frame, and ends the TCP connection as a server does.
    pub(crate) fn receive_closure(&mut self) -> Closure {
        match self.next() {
            Seen::Closed(closure) => {
                assert_eq!(self.connection.wants(), Wants::FlushThenShutdown);
                self.stream.shutdown_write();
                closure
            }
            seen => panic!("the end is expected: {seen:?}"),
        }
    }

    pub(crate) fn send(&mut self, kind: Kind, payload: &[u8]) {
        let mut out = Vec::new();
        assert!(self.connection.send(kind, payload, &mut out));
        self.stream.write_all(&out).unwrap();
    }

    /// Closes, and waits for the client's answer.
    pub(crate) fn close(mut self, code: CloseCode, reason: &str) {
        let mut out = Vec::new();
        self.connection.close(code, &CloseReason::new(reason), Time(0), &mut out);
        self.stream.write_all(&out).unwrap();
        assert_eq!(self.receive_closure(), Closure::Agreed(Some(code), CloseReason::none()));
    }
}

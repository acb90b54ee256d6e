//! Clients to test with: [`Client`] speaks the protocol and sees messages, [`Raw`] speaks bytes and sees bytes. Both
//! block, and panic when nothing comes for too long.

use fanwire::limits::Limits;
use fanwire::protocol::{
    Agreement, ClientRequest, CloseCode, CloseReason, Closure, Compressing, Connection, Deflate,
    DeflateOffer, Deflater, Event, Inflater, Kind, Time,
};
use socket2::{Domain, Socket, Type};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// RFC 6455 §1.3's sample key, and what the server must make of it.
pub(crate) const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const SAMPLE_101: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What a client talks over.
pub(crate) trait Stream: Read + Write + Send {
    /// TCP below it.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

/// A WebSocket client.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    connection: Connection,
    deflater: Deflater,
    inflater: Inflater,
    /// What came and was not asked for yet.
    received: VecDeque<Received>,
}

/// What a client has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Closed(Closure),
}

impl Client {
    /// Connects to `target` and waits for the 101.
    pub(crate) fn connect(address: SocketAddr, target: &str) -> Client {
        Client::on(connect(address, None), target, None)
    }

    /// The same with an offer of compression, with which the client compresses what it says if the server agrees.
    pub(crate) fn offering(address: SocketAddr, target: &str, offer: DeflateOffer) -> Client {
        Client::on(connect(address, None), target, Some(offer))
    }

    /// What was agreed about compression.
    pub(crate) fn deflate(&self) -> Option<Deflate> {
        self.connection.deflate()
    }

    /// A client whose kernel takes only about `bytes` that it has not read.
    pub(crate) fn with_receive_buffer(address: SocketAddr, target: &str, bytes: usize) -> Client {
        Client::on(connect(address, Some(bytes)), target, None)
    }

    /// A client on a connection that is there.
    pub(crate) fn on(stream: impl Stream + 'static, target: &str, offer: Option<DeflateOffer>) -> Client {
        let mut stream = Box::new(stream);
        let host = stream.tcp().peer_addr().expect("connected").to_string();
        let mut request = ClientRequest::new(host, target).expect("a valid request");
        if let Some(offer) = offer {
            request = request.with_deflate(offer);
        }
        let mut out = Vec::new();
        // What the server may send is not what is under test here.
        let limits = Limits { message_bytes_max: 1 << 30, ..Limits::default() };
        let connection = Connection::client(Arc::new(limits), request, [7; 32], Time(0), &mut out);
        stream.write_all(&out).expect("the server takes the request");
        let deflater = Deflater::new(Compressing { level: 1, bytes_min: 1 });
        let (inflater, received) = (Inflater::new(), VecDeque::new());
        let mut client = Client { stream, connection, deflater, inflater, received };
        while !client.connection.is_open() {
            client.pump();
            assert!(client.received.is_empty() || client.connection.is_open(), "{:?}", client.received);
        }
        client
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.send_all([text.to_owned()]);
    }

    pub(crate) fn send_binary(&mut self, payload: &[u8]) {
        self.send_messages(Kind::Binary, [payload]);
    }

    pub(crate) fn send_fragments(&mut self, kind: Kind, fragments: &[&[u8]]) {
        let fragments = fragments.iter().copied();
        self.command(|connection, out| assert!(connection.send_fragments(kind, fragments, out), "open"));
    }

    /// Sends many texts at once.
    pub(crate) fn send_all(&mut self, texts: impl IntoIterator<Item = String>) {
        self.send_messages(Kind::Text, texts);
    }

    /// Sends many messages at once.
    pub(crate) fn send_messages(&mut self, kind: Kind, payloads: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let mut out = Vec::new();
        for payload in payloads {
            let is_open = self.connection.send_deflated(kind, payload.as_ref(), &mut self.deflater, &mut out);
            assert!(is_open, "open");
        }
        self.send_raw(&out);
    }

    /// Sends a text unless the server has gone; whether it was sent.
    pub(crate) fn try_send(&mut self, text: &str) -> bool {
        let mut out = Vec::new();
        self.connection.send(Kind::Text, text.as_bytes(), &mut out) && self.stream.write_all(&out).is_ok()
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes it");
    }

    fn command(&mut self, command: impl FnOnce(&mut Connection, &mut Vec<u8>)) {
        let mut out = Vec::new();
        command(&mut self.connection, &mut out);
        self.stream.write_all(&out).expect("the server takes it");
    }

    /// Another handle on the socket, to write to it while this one reads.
    pub(crate) fn second_hand(&self) -> TcpStream {
        self.stream.tcp().try_clone().expect("a descriptor")
    }

    /// The next thing that comes.
    pub(crate) fn receive(&mut self) -> Received {
        let started = Instant::now();
        loop {
            if let Some(received) = self.received.pop_front() {
                return received;
            }
            assert!(started.elapsed() < PATIENCE, "nothing but Pings came within {PATIENCE:?}");
            self.pump();
        }
    }

    /// The next message, which is a text.
    pub(crate) fn text(&mut self) -> String {
        match self.receive() {
            Received::Text(text) => text,
            other => panic!("a text was expected, and not {other:?}"),
        }
    }

    /// The next `count` messages, which are texts.
    pub(crate) fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.text()).collect()
    }

    /// Reads to the end: the texts that still come, and how the connection ends. It ends with the server's end of the
    /// TCP connection.
    pub(crate) fn rest(mut self) -> (Vec<String>, Closure) {
        let mut texts = Vec::new();
        loop {
            match self.receive() {
                Received::Text(text) => texts.push(text),
                Received::Closed(closure) => {
                    if closure != Closure::Lost {
                        assert_eof(&mut *self.stream);
                    }
                    return (texts, closure);
                }
                other @ Received::Binary(_) => panic!("a text or the end was expected, and not {other:?}"),
            }
        }
    }

    /// How the connection ends; nothing comes before.
    pub(crate) fn closure(self) -> Closure {
        let (texts, closure) = self.rest();
        assert_eq!(texts, [""; 0], "before {closure:?}");
        closure
    }

    /// Closes by a whole closing handshake; nothing else comes meanwhile.
    pub(crate) fn close(mut self) {
        self.command(|connection, out| {
            connection.close(CloseCode::NORMAL, &CloseReason::none(), Time(0), out);
        });
        assert_eq!(self.closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
    }

    /// Reads once and does what the protocol demands.
    fn pump(&mut self) {
        let mut buffer = [0; 16 << 10];
        let read = match self.stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing came within {PATIENCE:?}: {error}"),
        };
        if read == 0 {
            match self.connection.receive_eof(Time(0)) {
                Some(Event::Closed(closure)) => self.received.push_back(Received::Closed(closure)),
                _ => panic!("the end came twice"),
            }
            return;
        }
        let mut out = Vec::new();
        let mut input = &mut buffer[..read];
        let inflater = &mut self.inflater;
        while let Some(event) = self.connection.next_event_inflating(&mut input, Time(0), inflater, &mut out)
        {
            self.received.push_back(match event {
                Event::Accepted(agreement) => {
                    let deflate = agreement.deflate;
                    assert_eq!(agreement, Agreement { deflate, ..Agreement::default() });
                    continue;
                }
                Event::Message(message) => match message.as_text() {
                    Some(text) => Received::Text(text.to_owned()),
                    None => Received::Binary(message.payload.into_vec()),
                },
                Event::Closed(closure) => Received::Closed(closure),
                Event::Requested(_) => unreachable!("a server's event"),
            });
        }
        // The server may have gone meanwhile; then its end comes next.
        drop(self.stream.write_all(&out));
    }
}

/// The closure of a client that was told `code` for a reason that contains `reason`.
pub(crate) fn assert_closed(closure: &Closure, code: CloseCode, reason: &str) {
    match closure {
        Closure::Agreed(Some(got), because) if *got == code && because.as_str().contains(reason) => {}
        other => panic!("{code} {reason:?} was expected, and not {other:?}"),
    }
}

/// A TCP connection with bytes in sight.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        Raw(connect(address, None))
    }

    /// Connects and opens a WebSocket by the RFC's sample request.
    pub(crate) fn upgraded(address: SocketAddr, target: &str) -> Raw {
        let mut raw = Raw::connect(address);
        raw.send(upgrade(target));
        assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101);
        raw
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the server takes it");
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shut_down(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("connected");
    }

    /// The next `count` bytes.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{count} bytes did not come: {error}"));
        bytes
    }

    pub(crate) fn read_text(&mut self, count: usize) -> String {
        String::from_utf8(self.read(count)).expect("UTF-8")
    }

    /// All bytes until the server's end of the connection, which is no reset.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("after {bytes:02x?}: {error}"));
        bytes
    }

    /// Reads a Close frame and the end: the code and the reason.
    pub(crate) fn close_frame(&mut self) -> (u16, String) {
        let bytes = self.read_to_end();
        match *bytes.as_slice() {
            [0x88, len, high, low, ref reason @ ..] if usize::from(len) == reason.len() + 2 => {
                (u16::from_be_bytes([high, low]), String::from_utf8(reason.to_vec()).expect("UTF-8"))
            }
            _ => panic!("a Close frame with a code and then the end was expected, and not {bytes:02x?}"),
        }
    }
}

/// An HTTP response, whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    /// Reads a response that ends with the connection.
    pub(crate) fn read(raw: &mut Raw) -> Response {
        Response::of(raw.read_to_end())
    }

    /// The response that these bytes are.
    pub(crate) fn of(bytes: Vec<u8>) -> Response {
        let bytes = String::from_utf8(bytes).expect("UTF-8");
        let (head, body) = bytes.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {bytes:?}"));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
        Response { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A header's value; the header comes once or not at all.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes once");
        value
    }

    /// Asserts what holds for every response: it is complete and says that the connection closes.
    pub(crate) fn assert_complete(&self) {
        let connection = self.header("Connection").unwrap_or_default();
        assert!(connection.split(", ").any(|option| option == "close"), "{self:?}");
        assert_eq!(self.header("Content-Length"), Some(&*self.body.len().to_string()), "{self:?}");
        assert!(self.header("Content-Type").is_some(), "{self:?}");
    }
}

/// Sends a request and reads the whole answer, up to the server's end of the connection.
pub(crate) fn http(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut raw = Raw::connect(address);
    raw.send(request);
    Response::read(&mut raw)
}

/// The RFC's sample request.
pub(crate) fn upgrade(target: &str) -> String {
    upgrade_with(target, "")
}

/// The same with more header lines, each with its CRLF.
pub(crate) fn upgrade_with(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {SAMPLE_KEY}\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// A client's frame that begins with `first` (FIN, RSV and opcode), masked with the key of RFC 6455 §5.7.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, payload.len() as u64);
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The header of a client's frame, without its masking key.
pub(crate) fn header(first: u8, len: u64) -> Vec<u8> {
    match len {
        0..=125 => vec![first, 0x80 + len as u8],
        126..=0xffff => [&[first, 0x80 + 126][..], &(len as u16).to_be_bytes()].concat(),
        _ => [&[first, 0x80 + 127][..], &len.to_be_bytes()].concat(),
    }
}

/// Reads the server's end of the connection, and nothing before it.
pub(crate) fn assert_eof(stream: &mut (impl Read + ?Sized)) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert_eq!(rest, b"", "the end was expected"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the end was expected"),
    }
}

/// A TCP connection, with a kernel that takes only about so many bytes that are not read, if that is said.
pub(crate) fn connect(address: SocketAddr, receive_buffer_bytes: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes).expect("a socket");
    }
    socket.connect_timeout(&address.into(), PATIENCE).expect("the server listens");
    socket.set_tcp_nodelay(true).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
    socket.into()
}

/// The same from the address `from`, one of this machine's.
pub(crate) fn connect_from(from: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("an address of this machine");
    socket.connect_timeout(&address.into(), PATIENCE).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.into()
}

//! [`Tls`] on a stream in memory, against rustls' client: however the bytes come and go. (The file is long because each
//! behaviour has a test of its own.)

use super::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
};
use std::collections::VecDeque;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// The server's end of a connection, as far as the kernel has it.
struct Pipe {
    /// From the client, not read yet.
    up: VecDeque<u8>,
    /// The client has ended.
    up_ended: bool,
    /// To the client.
    down: VecDeque<u8>,
    /// Bytes that `down` has still room for.
    room: usize,
    is_shut_down: bool,
    /// Bytes that one call moves at most.
    cut: usize,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.up.is_empty() && !self.up_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = into.len().min(self.cut);
        self.up.read(&mut into[..len])
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.is_shut_down, "nothing is written behind the end");
        let len = bytes.len().min(self.room).min(self.cut);
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.down.extend(&bytes[..len]);
        self.room -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Pipe {
    fn shutdown_write(&mut self) {
        assert!(!self.is_shut_down, "a write side is shut down once");
        self.is_shut_down = true;
    }
}

/// Both ends.
struct Pair {
    server: Tls<Pipe>,
    client: ClientConnection,
    buffers: Buffers,
    /// What the client has been told.
    heard: Vec<u8>,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion, cut: usize) -> Pair {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate: CertificateDer<'static> = cert.der().clone();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("PKCS#8");
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone());
        let server = server.with_protocol_versions(&VERSIONS).expect("both");
        let server = server.with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a root");
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_protocol_versions(&[version]).expect("one");
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.enable_secret_extraction = true;
        let client = ClientConnection::new(Arc::new(client), "localhost".try_into().expect("a name"));
        let (up, down) = (VecDeque::new(), VecDeque::new());
        let pipe = Pipe { up, up_ended: false, down, room: usize::MAX, is_shut_down: false, cut };
        Pair {
            server: Tls::new(pipe, Arc::new(server.expect("they belong together")), 0, Vec::new())
                .expect("a configuration"),
            client: client.expect("a configuration"),
            buffers: Buffers::default(),
            heard: Vec::new(),
        }
    }

    /// Both ends after the handshake, with nothing on its way.
    fn open(version: &'static SupportedProtocolVersion) -> Pair {
        let mut pair = Pair::new(version, usize::MAX);
        assert_eq!(pair.exchange(), b"");
        assert!(pair.server.is_open() && !pair.client.is_handshaking());
        pair
    }

    /// Carries everything that can be carried, both ways; what the server has read.
    fn exchange(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        loop {
            self.send_up();
            read.extend(self.read_all(1 << 18).0);
            if !self.receive_down() && !self.client.wants_write() {
                return read;
            }
        }
    }

    fn send_up(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.server.stream.up).expect("memory");
        }
    }

    /// Lets the client have what is there for it; whether it was anything.
    fn receive_down(&mut self) -> bool {
        let mut is_any = false;
        while !self.server.stream.down.is_empty() {
            is_any = true;
            self.client.read_tls(&mut self.server.stream.down).expect("memory");
            self.client.process_new_packets().expect("the server keeps to the rules");
            match self.client.reader().read_to_end(&mut self.heard) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
                _ => {}
            }
        }
        is_any
    }

    /// Reads `room` bytes at a time for as long as there may be more: what came, and how that ended.
    fn read_all(&mut self, room: usize) -> (Vec<u8>, io::Result<Received>) {
        let (mut all, mut into) = (Vec::new(), vec![0; room]);
        loop {
            match self.server.read(&mut into, &mut self.buffers) {
                Ok(Received::Bytes { bytes, more, .. }) => {
                    all.extend(&into[..bytes]);
                    if !more {
                        return (all, Ok(Received::Bytes { bytes, cost_bytes: 0, more }));
                    }
                }
                other => return (all, other),
            }
        }
    }

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        self.server.write(&slices, &mut self.buffers)
    }

    /// What the client has been told since the last time.
    fn heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }

    /// Lengths of the records on their way to the client, without their headers.
    fn records(&mut self) -> Vec<usize> {
        let bytes = self.server.stream.down.make_contiguous();
        let (mut records, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            assert_eq!(bytes[at], 23, "application data");
            let len = usize::from(u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]));
            records.push(len);
            at += 5 + len;
        }
        records
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn what_is_said_arrives_however_the_stream_is_cut_and_however_little_room_the_reader_has() {
    let said = noise(100_000);
    for version in VERSIONS {
        for (cut, room) in [(usize::MAX, 1 << 18), (usize::MAX, 1), (1, 1 << 18), (7, 5), (1_400, 4_096)] {
            let mut pair = Pair::new(version, cut);
            assert_eq!(pair.exchange(), b"");
            assert_eq!(pair.server.handshake(), Handshake::Completed { resumed: false });
            let mut heard = Vec::new();
            for piece in said.chunks(30_000) {
                pair.client.writer().write_all(piece).expect("memory");
                pair.send_up();
                let (read, end) = pair.read_all(room);
                heard.extend(read);
                assert!(matches!(end, Ok(Received::Bytes { .. })) || is_blocked(&end), "{end:?}");
            }
            assert!(heard == said, "to the server, cut {cut}, room {room}");
            let mut taken = 0;
            while taken < said.len() {
                taken += pair.write(&[&said[taken..]]).expect("there is room");
            }
            pair.receive_down();
            assert!(pair.heard() == said, "to the client, cut {cut}");
            assert_eq!(pair.server.held_bytes(), 0);
        }
    }
}

fn is_blocked<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn before_the_handshake_is_complete_nothing_can_be_written_and_then_it_can() {
    let mut pair = Pair::new(&TLS13, usize::MAX);
    assert!(is_blocked(&pair.write(&[b"early"])));
    assert_eq!((pair.server.is_open(), pair.server.handshake()), (false, Handshake::Pending));
    pair.exchange();
    assert!(pair.server.is_open());
    assert_eq!(pair.write(&[b"late"]).expect("there is room"), 4);
}

#[test]
fn the_slices_of_a_write_become_records_as_full_as_they_can_be() {
    let mut pair = Pair::open(&TLS13);
    let slices: Vec<&[u8]> = (0..100).map(|_| &[7; 500][..]).collect();
    assert_eq!(pair.write(&slices).expect("there is room"), 50_000);
    // Each has a byte for its type and 16 for its tag (RFC 8446 §5.2).
    assert_eq!(pair.records(), [16_384 + 17, 16_384 + 17, 16_384 + 17, 50_000 - 3 * 16_384 + 17]);
    pair.receive_down();
    assert_eq!(pair.heard().len(), 50_000);
}

#[test]
fn slices_long_and_short_arrive_in_their_order() {
    let said = noise(500_000);
    let mut pair = Pair::open(&TLS13);
    let cuts = [0, 1, 10, 10, 80_000, 80_001, 300_000, 300_020, 365_556, 500_000];
    let slices: Vec<&[u8]> = cuts.windows(2).map(|cut| &said[cut[0]..cut[1]]).collect();
    assert_eq!(pair.write(&slices).expect("there is room"), said.len());
    pair.receive_down();
    assert!(pair.heard() == said);
}

#[test]
fn a_short_write_means_that_the_stream_is_full_and_what_waits_is_bounded() {
    let said = noise(1 << 20);
    let mut pair = Pair::open(&TLS13);
    pair.server.stream.room = 100_000;
    let mut taken = pair.write(&[&said]).expect("there is room");
    assert_eq!(pair.server.stream.room, 0, "it was written until there was no room");
    assert!((100_000..100_000 + 2 * limits::TLS_RUN_BYTES).contains(&taken), "{taken}");
    assert!(pair.server.held_bytes() <= limits::TLS_RUN_BYTES + 4 * 22, "one run of records");
    assert!(is_blocked(&pair.write(&[&said[taken..]])), "what waits goes first");
    assert!(!pair.server.flush().expect("the stream is there"));
    let mut heard = Vec::new();
    while taken < said.len() {
        pair.receive_down();
        heard.extend(pair.heard());
        pair.server.stream.room = 10_000;
        if pair.server.flush().expect("the stream is there") {
            taken += pair.write(&[&said[taken..]]).unwrap_or(0);
        }
    }
    pair.server.stream.room = usize::MAX;
    assert!(pair.server.flush().expect("the stream is there"));
    pair.receive_down();
    heard.extend(pair.heard());
    assert!(heard == said);
    assert_eq!(pair.server.held_bytes(), 0);
}

#[test]
fn what_is_left_of_a_record_counts_for_all_the_memory_that_it_keeps() {
    let mut pair = Pair::open(&TLS13);
    for said in [&[7; 16 << 10][..], b"and more"] {
        pair.client.writer().write_all(said).expect("memory");
    }
    let mut records = Vec::new();
    while pair.client.wants_write() {
        pair.client.write_tls(&mut records).expect("memory");
    }
    // RFC 8446 §5.2: a header, what is said, its type and the tag.
    let first_record = 5 + (16 << 10) + 1 + 16;
    // Nearly all of a record, and then its end with the beginning of the next.
    let (nearly, end) = records.split_at(first_record - 1);
    pair.server.stream.up.extend(nearly);
    assert_eq!(pair.read_all(1 << 18).0, b"");
    assert_eq!(pair.server.held_bytes(), nearly.len());
    pair.server.stream.up.extend(&end[..2]);
    assert_eq!(pair.read_all(1 << 18).0.len(), 16 << 10);
    assert_eq!((pair.server.undigested.len(), pair.server.undigested.capacity()), (1, 1));
    assert_eq!(pair.server.held_bytes(), 1);
}

#[test]
fn ciphertext_of_which_a_part_is_gone_counts_until_its_memory_is_free() {
    let mut pair = Pair::open(&TLS13);
    pair.server.stream.room = 0;
    assert_eq!(pair.write(&[&noise(60_000)]).expect("it is taken"), 60_000);
    let held_bytes = pair.server.held_bytes();
    assert!(held_bytes > 60_000);
    pair.server.stream.room = 59_000;
    assert!(!pair.server.flush().expect("the stream is there"));
    assert_eq!(pair.server.held_bytes(), held_bytes);
    pair.server.stream.room = usize::MAX;
    assert!(pair.server.flush().expect("the stream is there"));
    assert_eq!(pair.server.held_bytes(), 0);
}

#[test]
fn one_write_ends_at_its_bound_even_if_the_stream_takes_everything() {
    let said = vec![0; limits::TLS_WRITE_BYTES_MAX + 1];
    let mut pair = Pair::open(&TLS13);
    assert_eq!(pair.write(&[&said]).expect("there is room"), limits::TLS_WRITE_BYTES_MAX);
}

#[test]
fn the_close_notify_goes_behind_what_was_written_and_the_end_behind_that() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.server.stream.room = 10;
        assert_eq!(pair.write(&[b"the last words"]).expect("there is room"), 14);
        pair.server.shut_down(&mut pair.buffers);
        pair.server.shut_down(&mut pair.buffers);
        assert!(!pair.server.stream.is_shut_down, "not before everything is out");
        pair.server.stream.room = usize::MAX;
        assert!(pair.server.flush().expect("the stream is there"));
        assert!(pair.server.stream.is_shut_down);
        pair.receive_down();
        assert_eq!(pair.heard(), b"the last words");
        assert_eq!(pair.client.reader().read(&mut [0]).expect("a clean end"), 0);
        assert!(pair.write(&[b"more"]).is_err());
    }
}

#[test]
fn a_close_notify_of_the_peers_is_its_end_although_the_stream_goes_on() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.writer().write_all(b"the last words").expect("memory");
        pair.client.send_close_notify();
        pair.send_up();
        pair.server.stream.up.extend(b"nobody listens to this");
        let (heard, end) = pair.read_all(1 << 18);
        assert_eq!(heard, b"the last words");
        assert_eq!(end.expect("an end"), Received::End);
        assert_eq!(pair.write(&[b"an answer"]).expect("there is room"), 9);
        assert_eq!(pair.server.held_bytes(), 0);
    }
}

#[test]
fn the_streams_end_is_an_end_at_any_time() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.writer().write_all(b"the last words").expect("memory");
        pair.send_up();
        pair.server.stream.up_ended = true;
        let (heard, end) = pair.read_all(4);
        assert_eq!((&*heard, end.expect("an end")), (&b"the last words"[..], Received::End));
        let mut pair = Pair::new(version, usize::MAX);
        pair.send_up();
        pair.server.stream.up.truncate(20);
        pair.server.stream.up_ended = true;
        assert_eq!(pair.read_all(1 << 18).1.expect("an end"), Received::End);
        assert_eq!(pair.server.handshake(), Handshake::Pending);
    }
}

#[test]
fn plain_http_is_told_where_it_is_and_then_waited_for() {
    let mut pair = Pair::new(&TLS13, usize::MAX);
    pair.server.stream.up.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(pair.read_all(1 << 18).0, b"");
    assert_eq!(pair.server.handshake(), Handshake::Plaintext);
    let answer = String::from_utf8(pair.server.stream.down.iter().copied().collect()).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 400 ") && body.contains("https://"), "{answer}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
    assert!(pair.server.stream.is_shut_down);
    pair.server.stream.up.extend(noise(100_000));
    assert!(is_blocked(&pair.read_all(1 << 18).1) || pair.server.held_bytes() == 0);
    pair.server.stream.up_ended = true;
    assert_eq!(pair.read_all(1 << 18).1.expect("an end"), Received::End);
}

#[test]
fn a_handshake_that_is_garbage_fails_with_an_alert_and_the_end() {
    let mut pair = Pair::new(&TLS13, usize::MAX);
    pair.server.stream.up.extend([22, 3, 1, 0, 4, 99, 0, 0, 0]);
    let (heard, _) = pair.read_all(1 << 18);
    assert_eq!(heard, b"");
    assert_eq!(pair.server.handshake(), Handshake::Failed);
    assert!(pair.server.take_failure().is_some() && pair.server.take_failure().is_none());
    assert_eq!(pair.server.stream.down[0], 21, "an alert");
    assert!(pair.server.stream.is_shut_down);
}

#[test]
fn no_changed_byte_of_a_handshake_or_of_a_message_panics() {
    for version in VERSIONS {
        let mut whole = Pair::new(version, usize::MAX);
        whole.send_up();
        let hello: Vec<u8> = whole.server.stream.up.iter().copied().collect();
        for at in (0..hello.len()).step_by(7).chain(0..60) {
            let mut pair = Pair::new(version, usize::MAX);
            pair.server.stream.up.extend(&hello);
            pair.server.stream.up[at] ^= 1 << (at % 8);
            assert_eq!(pair.read_all(1 << 18).0, b"");
        }
        for at in 0..40 {
            let mut pair = Pair::open(version);
            pair.client.writer().write_all(b"hello").expect("memory");
            pair.client.writer().write_all(b"and more").expect("memory");
            pair.send_up();
            let Some(byte) = pair.server.stream.up.get_mut(at) else { continue };
            *byte ^= 0x10;
            let (heard, end) = pair.read_all(1 << 18);
            assert!(b"helloand more".starts_with(&heard), "{heard:?}");
            // A record that claims to be longer is waited for.
            let is_waited_for = matches!(end, Ok(Received::Bytes { .. })) && pair.server.held_bytes() > 0;
            // What a record says of its version changes nothing (RFC 8446 §5.1).
            let is_unharmed = heard == b"helloand more";
            let is_failed = end.is_err() && pair.write(&[b"more"]).is_err();
            assert!(is_failed || is_waited_for || is_unharmed, "{at}: {end:?}");
        }
    }
}

#[test]
fn a_handshake_message_in_a_thousand_pieces_is_bounded() {
    let mut pair = Pair::new(&TLS13, usize::MAX);
    // A ClientHello of 60,000 bytes, which come one by one.
    pair.server.stream.up.extend([22, 3, 1, 0, 4, 1, 0, 0xea, 0x60]);
    for _ in 0..60_000 {
        pair.server.stream.up.extend([22, 3, 1, 0, 1, 0]);
        let _ = pair.read_all(1 << 18);
        assert!(pair.server.held_bytes() <= limits::TLS_UNDIGESTED_BYTES_MAX);
        if pair.server.handshake() == Handshake::Failed {
            return;
        }
    }
    panic!("it goes on for ever");
}

#[test]
fn a_read_takes_no_more_from_the_stream_than_its_reader_has_room_for() {
    let mut pair = Pair::open(&TLS13);
    // Many small records: little plaintext in much ciphertext.
    for _ in 0..1_000 {
        pair.client.writer().write_all(b"x").expect("memory");
    }
    pair.send_up();
    let before = pair.server.stream.up.len();
    let mut into = [0; 1_000];
    let received = pair.server.read(&mut into, &mut pair.buffers).expect("something came");
    assert_eq!(before - pair.server.stream.up.len(), into.len());
    let Received::Bytes { bytes, cost_bytes, more } = received else { panic!("no end") };
    assert!(bytes < 100 && cost_bytes >= into.len() && more, "{received:?}");
}

#[test]
fn an_answered_flight_of_the_handshake_counts_as_work() {
    let mut pair = Pair::new(&TLS13, usize::MAX);
    pair.send_up();
    let received = pair.server.read(&mut [0; 1 << 14], &mut pair.buffers).expect("a flight came");
    let Received::Bytes { bytes: 0, cost_bytes, more: false } = received else { panic!("{received:?}") };
    assert!(cost_bytes > limits::TLS_FLIGHT_COST_BYTES);
}

#[test]
fn keys_are_changed_when_the_peer_asks_for_it_and_a_flood_of_that_is_an_error() {
    let mut pair = Pair::open(&TLS13);
    pair.client.refresh_traffic_keys().expect("TLS 1.3");
    pair.client.writer().write_all(b"under new keys").expect("memory");
    assert_eq!(pair.exchange(), b"under new keys");
    assert_eq!(pair.write(&[b"so are these"]).expect("there is room"), 12);
    pair.receive_down();
    assert_eq!(pair.heard(), b"so are these");
    for _ in 0..100 {
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
        pair.send_up();
    }
    let end = pair.read_all(1 << 18).1.expect_err("too many");
    assert_eq!(end.kind(), ErrorKind::InvalidData);
    assert!(pair.server.stream.is_shut_down);
}

/// Handshake messages in records of `cut` bytes, as the client of an open connection over TLS 1.3 would encrypt them.
fn handshake_records(client: ClientConnection, messages: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let suite = client.negotiated_cipher_suite().and_then(|suite| suite.tls13()).expect("TLS 1.3");
    let (number, secrets) = client.dangerous_extract_secrets().expect("it is allowed").tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
        panic!("our first choice is AES-256")
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    let record = |(number, piece)| {
        let payload = OutboundChunks::Single(piece);
        let (typ, version) = (ContentType::Handshake, ProtocolVersion::TLSv1_2);
        encrypter.encrypt(OutboundPlainMessage { typ, version, payload }, number).expect("a record").encode()
    };
    (number..).zip(messages.chunks(cut)).map(record).collect()
}

/// A wish for new keys on both sides (RFC 8446 §4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 1];

#[test]
fn it_writes_between_two_halves_of_a_handshake_message() {
    for cut in 1..KEY_UPDATE.len() {
        let Pair { mut server, client, mut buffers, .. } = Pair::open(&TLS13);
        for record in handshake_records(client, &KEY_UPDATE, cut) {
            server.stream.up.extend(record);
            let received = server.read(&mut [0; 1000], &mut buffers).expect("a record came");
            assert!(matches!(received, Received::Bytes { bytes: 0, more: false, .. }), "{received:?}");
            assert_eq!(server.write(&[IoSlice::new(b"hello")], &mut buffers).expect("there is room"), 5);
        }
        assert_eq!(server.held_bytes(), 0);
        server.shut_down(&mut buffers);
        assert!(server.stream.is_shut_down);
    }
}

#[test]
fn a_handshake_message_that_does_not_end_is_bounded_after_the_handshake_too() {
    let Pair { mut server, client, mut buffers, .. } = Pair::open(&TLS13);
    let message = [&[24, 0, 0xea, 0x60][..], &vec![0; 60_000]].concat();
    for record in handshake_records(client, &message, 7) {
        server.stream.up.extend(record);
        let result = server.read(&mut [0; 1000], &mut buffers);
        assert!(server.held_bytes() <= limits::TLS_UNDIGESTED_BYTES_MAX);
        if result.is_err() {
            return;
        }
        server.write(&[IoSlice::new(b"hello")], &mut buffers).expect("there is room");
    }
    panic!("it goes on for ever");
}

#[test]
fn who_is_not_told_that_there_may_be_more_has_been_given_everything() {
    let mut random = noise(4_000).into_iter().map(usize::from);
    let mut next = || random.next().unwrap_or(0);
    let said = noise(200_000);
    let mut pair = Pair::open(&TLS13);
    let (mut sent, mut heard) = (0, Vec::<u8>::new());
    while heard.len() < said.len() {
        let len = (next() * next()).min(said.len() - sent);
        pair.client.writer().write_all(&said[sent..sent + len]).expect("memory");
        sent += len;
        // The network brings a part of it.
        let mut records = Vec::new();
        while pair.client.wants_write() {
            pair.client.write_tls(&mut records).expect("memory");
        }
        let (first, second) = records.split_at(records.len() * next() / 256);
        for part in [first, second] {
            pair.server.stream.up.extend(part);
            let mut into = vec![0; 1 + next() * next()];
            loop {
                match pair.server.read(&mut into, &mut pair.buffers) {
                    Ok(Received::Bytes { bytes, more, .. }) => {
                        heard.extend(&into[..bytes]);
                        if !more {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    other => panic!("{other:?}"),
                }
            }
            assert!(pair.server.stream.up.is_empty(), "no event will tell of what is left there");
            assert!(pair.server.unread.is_empty(), "nor of what is left here");
        }
    }
    assert!(heard == said);
}

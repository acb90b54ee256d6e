//! [`Case`]: one attack and the right answer to it, and how attacks are run.

use crate::client::{PATIENCE, Response, Stream, assert_eof, connect, masked, upgrade_with};
use crate::stage::{Over, Stage};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

/// What no answer may contain: every request that tries to put something into the response or into the log says it.
pub(crate) const MARK: &str = "Evil";

/// How long an answer to a whole request, or to a whole frame, may take on a busy machine. A quadratic cost shows, and does
/// so each time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// How often an attack is answered too late before that is the server's fault.
const ATTEMPTS: usize = 3;

/// One attack.
pub(crate) struct Case {
    pub(crate) name: String,
    attack: Attack,
    right: Right,
}

/// What it does.
enum Attack {
    /// Sends these bytes on a fresh connection.
    Request(Vec<u8>),
    /// The same before TLS, if that is spoken.
    Announcement(Vec<u8>),
    /// Opens a WebSocket, with these header lines in the request, and sends these bytes.
    Frames(&'static str, Vec<u8>),
    /// What a table cannot say.
    Script(fn(&Stage)),
}

/// What is right to answer.
pub(crate) enum Right {
    /// An HTTP response with this status, whole, and the end.
    Status(u16),
    /// The 101.
    Opens,
    /// The 101, without any extension.
    OpensPlain,
    /// A Close frame with this code, and the end.
    Close(u16),
    /// These bytes; and the connection goes on.
    Goes(Vec<u8>),
    /// Not a byte, and the end.
    Silence,
    /// The script knows.
    Scripted,
}

/// A request head on a fresh connection, which is answered with `status`.
pub(crate) fn request(name: impl Into<String>, bytes: impl Into<Vec<u8>>, status: u16) -> Case {
    Case { name: name.into(), attack: Attack::Request(bytes.into()), right: Right::Status(status) }
}

/// A request head on a fresh connection, which opens a WebSocket all the same.
pub(crate) fn opens(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), attack: Attack::Request(bytes.into()), right: Right::Opens }
}

/// An offer of extensions that opens a WebSocket, but without them.
pub(crate) fn declined(name: impl Into<String>, extensions: &str) -> Case {
    let bytes = upgrade_with("/ws", &format!("Sec-WebSocket-Extensions: {extensions}\r\n")).into_bytes();
    Case { name: name.into(), attack: Attack::Request(bytes), right: Right::OpensPlain }
}

/// What comes first on a fresh connection, before TLS, and is not answered a word.
pub(crate) fn silenced(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Case {
    let bytes = bytes.as_ref().to_vec();
    Case { name: name.into(), attack: Attack::Announcement(bytes), right: Right::Silence }
}

/// Frames on an open WebSocket.
pub(crate) fn frames(name: impl Into<String>, bytes: impl Into<Vec<u8>>, right: Right) -> Case {
    Case { name: name.into(), attack: Attack::Frames("", bytes.into()), right }
}

/// Frames on an open WebSocket with compression.
pub(crate) fn deflated(name: impl Into<String>, bytes: impl Into<Vec<u8>>, right: Right) -> Case {
    let lines = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    Case { name: name.into(), attack: Attack::Frames(lines, bytes.into()), right }
}

/// What a table cannot say.
pub(crate) fn script(name: impl Into<String>, script: fn(&Stage)) -> Case {
    Case { name: name.into(), attack: Attack::Script(script), right: Right::Scripted }
}

/// Runs all on one server, one after the other; those that are tables over TCP and over TLS.
pub(crate) fn run_in_turn(arguments: &[&str], cases: Vec<Case>) {
    let stage = Stage::set(arguments);
    let failed: Vec<String> = cases
        .into_iter()
        .filter(|case| {
            let ways = match case.attack {
                Attack::Script(_) => &[Over::Tcp][..],
                _ => &[Over::Tcp, Over::Tls],
            };
            let all = || ways.iter().for_each(|over| case.run(&stage, *over));
            catch_unwind(AssertUnwindSafe(all)).is_err()
        })
        .map(|case| case.name)
        .collect();
    assert_eq!(failed, [""; 0]);
}

/// Runs each on a server of its own, all at the same time: those that wait for something.
pub(crate) fn run_apart(arguments: &[&str], cases: Vec<Case>) {
    let failed: Vec<String> = thread::scope(|scope| {
        let started = cases.into_iter().map(|case| {
            let name = case.name.clone();
            (name, scope.spawn(move || case.run(&Stage::set(arguments), Over::Tcp)))
        });
        let started: Vec<_> = started.collect();
        started.into_iter().filter_map(|(name, case)| case.join().is_err().then_some(name)).collect()
    });
    assert_eq!(failed, [""; 0]);
}

impl Case {
    /// Attacks, and looks at the server afterwards; once more where the answer took too long, as it does if the machine
    /// stands still.
    fn run(&self, stage: &Stage, over: Over) {
        let mut took = Vec::new();
        while took.len() < ATTEMPTS && took.last().is_none_or(|took| *took >= ANSWERED_WITHIN) {
            took.push(self.attack(stage, over));
            stage.assert_unharmed(&self.name);
        }
        assert!(took.last() < Some(&ANSWERED_WITHIN), "{} over {over:?}: it took {took:?}", self.name);
    }

    /// How long the answer took; no time where a script knows.
    fn attack(&self, stage: &Stage, over: Over) -> Duration {
        let name = format!("{} over {over:?}", self.name);
        let started = Instant::now();
        let mut stream = match &self.attack {
            Attack::Script(attack) => {
                attack(stage);
                return Duration::ZERO;
            }
            Attack::Request(bytes) => {
                let mut stream = stage.connect(over);
                send(&mut *stream, bytes);
                stream
            }
            Attack::Announcement(bytes) => {
                let mut stream: Box<dyn Stream> = Box::new(connect(stage.port(over), None));
                send(&mut *stream, bytes);
                stream
            }
            Attack::Frames(lines, bytes) => {
                let mut stream = open(stage, over, "/ws/attacked", lines);
                send(&mut *stream, bytes);
                stream
            }
        };
        let stream = &mut *stream;
        match &self.right {
            Right::Status(status) => {
                let answer = rest(stream, &name);
                assert!(
                    !String::from_utf8_lossy(&answer).contains(MARK),
                    "{name}: it is answered with its own bytes"
                );
                let response = Response::of(answer);
                assert_eq!(response.status, *status, "{name}: {response:?}");
                response.assert_complete();
            }
            Right::Opens | Right::OpensPlain => {
                let head = head(stream, &name);
                assert!(head.starts_with("HTTP/1.1 101 "), "{name}: {head}");
                assert!(!head.contains(MARK), "{name}: {head}");
                let is_plain = matches!(self.right, Right::OpensPlain);
                assert!(!is_plain || !head.contains("Sec-WebSocket-Extensions"), "{name}: {head}");
                assert_goes_on(stream, &[], &name);
            }
            Right::Close(code) => assert_closed(stream, *code, &name),
            Right::Goes(bytes) => assert_goes_on(stream, bytes, &name),
            Right::Silence => assert_eof(stream),
            Right::Scripted => unreachable!("{name} is no script"),
        }
        started.elapsed()
    }
}

/// Opens a WebSocket; the 101 has come.
pub(crate) fn open(stage: &Stage, over: Over, target: &str, lines: &str) -> Box<dyn Stream> {
    let mut stream = stage.connect(over);
    send(&mut *stream, upgrade_with(target, lines).as_bytes());
    let head = head(&mut *stream, target);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(head.contains("Sec-WebSocket-Extensions"), lines.contains("deflate"), "{head}");
    stream
}

/// Sends as much of it as the server takes: it may have had enough.
pub(crate) fn send(stream: &mut dyn Stream, bytes: &[u8]) {
    drop(stream.write_all(bytes).and_then(|()| stream.flush()));
}

/// A response's head, and not a byte more.
pub(crate) fn head(stream: &mut dyn Stream, name: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let read = stream.read(&mut byte).unwrap_or_else(|error| panic!("{name}: {error} after {head:?}"));
        assert_eq!(read, 1, "{name}: it ends after {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("UTF-8")
}

/// All that comes up to the end, which is no reset.
pub(crate) fn rest(stream: &mut dyn Stream, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{name}: {error} after {bytes:02x?}"));
    bytes
}

/// A Ping of the server's. To who drips one comes whenever the machine stands still for a ping interval.
const PING: [u8; 2] = [0x89, 0];

/// Reads a Close frame with `code`, and the end. What was said before may come before, in short frames, and so may a Ping.
pub(crate) fn assert_closed(stream: &mut dyn Stream, code: u16, name: &str) {
    let bytes = rest(stream, name);
    let mut left = &bytes[..];
    loop {
        left = match *left {
            [0x88, len, high, low, ref reason @ ..] if usize::from(len) == reason.len() + 2 => {
                let reason = str::from_utf8(reason).expect("UTF-8");
                assert_eq!(u16::from_be_bytes([high, low]), code, "{name}: {reason}");
                return;
            }
            [first, len, ref rest @ ..] if [first, len] == PING => rest,
            [0x81 | 0x82 | 0x8a, len @ ..=125, ref rest @ ..] if rest.len() >= usize::from(len) => {
                &rest[usize::from(len)..]
            }
            _ => panic!("{name}: a Close frame and the end was expected, and not {bytes:02x?}"),
        }
    }
}

/// Reads `bytes`, and then the answer to a Ping.
pub(crate) fn assert_goes_on(stream: &mut dyn Stream, bytes: &[u8], name: &str) {
    assert_comes(stream, bytes, name);
    send(stream, &masked(0x89, b"still there?"));
    assert_comes(stream, b"\x8a\x0cstill there?", name);
}

/// Reads `expected`; Pings may come before.
fn assert_comes(stream: &mut dyn Stream, expected: &[u8], name: &str) {
    let mut came = vec![0; expected.len()];
    stream.read_exact(&mut came).unwrap_or_else(|error| panic!("{name}: {error}"));
    while came.starts_with(&PING) {
        came.drain(..PING.len());
        let mut more = PING;
        stream.read_exact(&mut more).unwrap_or_else(|error| panic!("{name}: {error}"));
        came.extend(more);
    }
    assert!(came == expected, "{name}: {:02x?}", &came[..came.len().min(200)]);
}

/// Waits for the server's end of the connection, however it comes, and drops what comes before.
pub(crate) fn until_ended(stream: &mut dyn Stream, name: &str) {
    let started = Instant::now();
    let mut scratch = [0; 16 << 10];
    loop {
        match stream.read(&mut scratch) {
            Ok(0) => return,
            Ok(_) => assert!(started.elapsed() < PATIENCE, "{name}: it goes on and on"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("{name}: no end comes"),
            Err(_) => return,
        }
    }
}

//! Probes: whether the server answers `/healthz` at all times, and how long a message takes from one witness to another. Their
//! client is tungstenite, which nobody here wrote.

use crate::course::{Course, Stage};
use crate::metronome::Metronome;
use crate::server;
use crate::wire::Destination;
use rustls::{ClientConnection, StreamOwned};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// How long an answer may take.
const HEALTH_TIME: Duration = Duration::from_secs(2);

/// How often `/healthz` is asked for.
const HEALTH_EVERY: Duration = Duration::from_millis(500);

/// For how long the machine may keep a thread waiting that wants to sleep for some milliseconds: more is a pause.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a witness speaks.
const WITNESS_EVERY: Duration = Duration::from_millis(100);

/// How long anything may take at most on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Microseconds that something took, each time it was done.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    fn add(&mut self, latency: Duration) {
        self.0.push(latency.as_micros().try_into().unwrap_or(u32::MAX));
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds within which that many percent were done.
    pub(crate) fn percentile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let index = (self.0.len() * percent).div_ceil(100);
        self.0.get(index.saturating_sub(1)).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }
}

/// Asks for `/healthz` until the farewell. Whoever comes while memory is short is turned away, and so is this.
///
/// What a thread of the server, or this one, waited for a core is not the server's doing, and taken off; nor is it that the whole
/// machine paused, which is no wait for a core.
pub(crate) fn ask_for_health(course: &Course, destination: &Destination, server: u32) -> Latencies {
    const LAW: &str = "/healthz answers within 2 s: 200, or 503 while the server is short of memory";
    let mut latencies = Latencies::default();
    course.probes.fetch_add(1, Ordering::SeqCst);
    while course.stage() < Stage::Farewell {
        thread::sleep(HEALTH_EVERY);
        let (begun, waits, metronome) = (Instant::now(), Waits::new(server), Metronome::start());
        let answer = server::healthz(destination.plain, PATIENCE);
        course.note_pause(begun.elapsed().as_millis() as u64);
        match answer {
            _ if course.stood_still() => {}
            Ok((status, latency)) => {
                let pause =
                    Some(metronome.longest_pause()).filter(|pause| *pause > PAUSE).unwrap_or_default();
                let own = latency.saturating_sub(waits.since().max(pause));
                let is_right = status == 200 || (status == 503 && course.was_short_of_memory());
                if own > HEALTH_TIME || !is_right {
                    course.break_off(LAW, format!("{status} after {latency:?}, of which {own:?} its own"));
                }
                if latency > HEALTH_TIME {
                    course.count("/healthz: later than 2 s, for want of a core");
                }
                course.count(format!("/healthz: {status}"));
                latencies.add(latency);
            }
            Err(error) => course.break_off(LAW, error),
        }
    }
    course.probes.fetch_sub(1, Ordering::SeqCst);
    latencies
}

/// What threads had waited for a core at one time: those of the server, and of this program.
struct Waits {
    server: u32,
    before: [BTreeMap<OsString, Duration>; 2],
}

impl Waits {
    fn new(server: u32) -> Waits {
        Waits { server, before: [server::waits_for_core(server), server::waits_for_core("self")] }
    }

    /// The longest that one of them has waited since, on each side.
    fn since(&self) -> Duration {
        let after = Waits::new(self.server).before;
        let longest = |(before, after): (&BTreeMap<OsString, Duration>, &BTreeMap<OsString, Duration>)| {
            let waits = after
                .iter()
                .map(|(thread, wait)| wait.saturating_sub(before.get(thread).copied().unwrap_or_default()));
            waits.max().unwrap_or_default()
        };
        self.before.iter().zip(&after).map(longest).sum()
    }
}

/// Sends messages from one witness, in plaintext, to another, over TLS, until the farewell.
pub(crate) fn witness(course: &Course, destination: &Destination) -> Latencies {
    let mut latencies = Latencies::default();
    course.probes.fetch_add(1, Ordering::SeqCst);
    if let Err(error) = bear_witness(course, destination, &mut latencies)
        && !course.stood_still()
    {
        course.break_off("witnesses hear each other", error);
    }
    course.probes.fetch_sub(1, Ordering::SeqCst);
    latencies
}

fn bear_witness(
    course: &Course,
    destination: &Destination,
    latencies: &mut Latencies,
) -> tungstenite::Result<()> {
    let mut plain = enter(connect(destination.plain)?)?;
    let session =
        ClientConnection::new(destination.configs[0].clone(), "localhost".try_into().expect("a name"));
    let session = session.map_err(io::Error::other)?;
    let mut secure = enter(StreamOwned::new(session, connect(destination.tls)?))?;
    let mut number = 0_u64;
    while course.stage() < Stage::Farewell {
        number += 1;
        let said = format!("witness {number}");
        let begun = Instant::now();
        plain.send(Message::text(said.clone()))?;
        hear(&mut secure, &said)?;
        latencies.add(begun.elapsed());
        hear(&mut plain, &said)?;
        thread::sleep(WITNESS_EVERY);
    }
    plain.close(None)?;
    secure.close(None)
}

fn connect(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn enter<S: Read + Write>(stream: S) -> tungstenite::Result<WebSocket<S>> {
    match tungstenite::client("ws://localhost/ws/witness", stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
        Err(tungstenite::HandshakeError::Interrupted(_)) => {
            Err(io::Error::from(io::ErrorKind::TimedOut).into())
        }
    }
}

/// The next message must be this one.
fn hear<S: Read + Write>(socket: &mut WebSocket<S>, said: &str) -> tungstenite::Result<()> {
    loop {
        match socket.read()? {
            Message::Text(heard) if heard.as_str() == said => return Ok(()),
            Message::Ping(_) | Message::Pong(_) => {}
            other => return Err(io::Error::other(format!("{other:?} came instead of {said:?}")).into()),
        }
    }
}

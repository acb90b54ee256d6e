//! The Autobahn test suite's cases for a client: asks a fuzzing server for each, echoes what comes, compressed if the
//! server agrees to that, and asks for the reports.
//!
//! ```text
//! autobahn_client HOST:PORT
//! ```
//!
//! [`converse`] is all that the client role takes over a blocking socket, and meant to be copied: connect, then write,
//! read and look at the time until nothing is wanted any more. It knows no TLS and does not reconnect. It reads only
//! when all is written, so two ends that both have much to say could wait for each other; the write timeout ends that.

use fanwire::limits::Limits;
use fanwire::protocol::{
    ClientRequest, ClientWindow, Closure, Compressing, Connection, DeflateOffer, Deflater, Event, Inflater,
    Message, Time, Wants,
};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

/// What we are called in the reports.
const AGENT: &str = "fanwire";

/// Bytes of the longest message in the suite, that of case 9.1.6.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How long a server may take nothing of what we write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Milliseconds from which on a write counts as a long one. Any system takes a Ping at once, even if nobody is there to
/// read it.
const LONG_WRITE_MS: u32 = 1_000;

/// How echoes are compressed: all of them, whatever their length. The suite counts bytes and does not mind the level.
const COMPRESSING: Compressing = Compressing { level: 1, bytes_min: 0 };

/// What the suite's servers may ask of us.
const OFFER: DeflateOffer = DeflateOffer {
    client_no_context_takeover: true,
    client_max_window_bits: ClientWindow::Supported,
    ..DeflateOffer::PLAIN
};

/// Cases that run at the same time: a case that waits for the clock holds up no other.
const CASES_AT_ONCE: usize = 4;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let server = env::args().nth(1).ok_or("usage: autobahn_client HOST:PORT")?;

    let mut count = String::new();
    let closure = converse(&server, "/getCaseCount", |message, _, _| count.extend(message.as_text()))?;
    let count = count.parse().map_err(|_| format!("the number of cases did not come: {closure:?}"))?;

    let next = AtomicUsize::new(1);
    let run_cases = || -> Outcome<()> {
        loop {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case > count {
                return Ok(());
            }
            let mut deflater = Deflater::new(COMPRESSING);
            let target = format!("/runCase?case={case}&agent={AGENT}");
            let closure = converse(&server, &target, |message, connection, out| {
                connection.send_deflated(message.kind, &message.payload, &mut deflater, out);
            })?;
            println!("case {case} of {count}: {closure:?}");
        }
    };
    thread::scope(|scope| {
        let threads = [(); CASES_AT_ONCE].map(|()| scope.spawn(run_cases));
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a thread that runs cases does not panic"))
    })?;

    converse(&server, &format!("/updateReports?agent={AGENT}"), |_, _, _| {})?;
    Ok(())
}

/// Connects to `server`, asks for `target`, hands each message to `receive`, which may answer, and returns how the
/// connection ended.
///
/// # Errors
/// If there is no TCP connection to be had, or the request may not be sent. Whatever goes wrong later is a [`Closure`].
fn converse(
    server: &str,
    target: &str,
    mut receive: impl FnMut(&Message<'_>, &mut Connection, &mut Vec<u8>),
) -> Outcome<Closure> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;

    // What `Connection` does not have of its own: a clock, random bytes, and buffers for what goes out and comes in.
    let start = Instant::now();
    let now = || Time(start.elapsed().as_millis() as u32);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let mut out = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut inflater = Inflater::new();

    let limits = Arc::new(Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() });
    let request = ClientRequest::new(server, target)?.with_deflate(OFFER);
    let mut connection = Connection::client(limits, request, seed, now(), &mut out);
    let mut closure = Closure::Lost;

    while connection.wants() != Wants::Nothing {
        while !out.is_empty() {
            let begun = now();
            match stream.write_all(&out) {
                // It lasted because the server had to take something first, which is a sign of life.
                Ok(()) if now().since(begun) >= LONG_WRITE_MS => connection.heard(now()),
                Ok(()) => {}
                // The server is gone or takes nothing, and no frame may follow one that was cut short. What the server
                // said before is still to be read.
                Err(_) => _ = stream.shutdown(Shutdown::Write),
            }
            out.clear();
            // A Pong that had to wait while much was unwritten goes now.
            connection.set_congested(false, &mut out);
        }

        // When a Close frame has gone both ways, this waits for the server to end the TCP connection (§7.1.1).
        stream.set_read_timeout(connection.deadline().map(|deadline| until(deadline, now())))?;
        let ended = match stream.read(&mut buffer) {
            Ok(count @ 1..) => {
                let mut input = &mut buffer[..count];
                while let Some(event) =
                    connection.next_event_inflating(&mut input, now(), &mut inflater, &mut out)
                {
                    match event {
                        Event::Message(message) => receive(&message, &mut connection, &mut out),
                        Event::Closed(why) => closure = why,
                        // From here on messages may be sent unasked.
                        Event::Accepted(_) => {}
                        Event::Requested(_) => unreachable!("a client is not asked"),
                    }
                }
                None
            }
            Ok(0) => connection.receive_eof(now()),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => None,
                // A reset is an end like another.
                _ => connection.receive_eof(now()),
            },
        };
        // Not only when a read has timed out: a server that sends a byte now and then would never be late.
        if let Some(Event::Closed(why)) = ended.or_else(|| connection.handle_timeout(now(), &mut out)) {
            closure = why;
        }
    }
    Ok(closure)
}

/// The read timeout that ends at `deadline`. A timeout of zero would be none at all.
fn until(deadline: Time, now: Time) -> Duration {
    let ms = if now.reached(deadline) { 0 } else { deadline.since(now) };
    Duration::from_millis(ms.max(1).into())
}

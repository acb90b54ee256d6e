//! `/v1/live`: a WebSocket that is told each second how the server is, spoken by our own [`Connection`].
//!
//! The request comes by hyper; it is handed to a `Connection` as it was, whose answer is hyper's then. From there on the
//! bytes are ours. One sample a second is made for all who watch, and none while nobody does.

use super::access::TOKEN_SUBPROTOCOL;
use super::door::true_in;
use super::plane::Plane;
use super::refusal::{Problem, Refusal};
use super::sample::Sampler;
use super::seats::Seat;
use crate::limits::{self, Limits};
use crate::protocol::{Agreement, CloseCode, CloseReason, Connection, Event, Kind, Time, Wants};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{self, StatusCode, Version};
use axum::response::Response;
use hyper_util::rt::TokioIo;
use std::future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The subprotocol that is agreed to when it is offered, so that a browser that offers a token has another to get.
const SUBPROTOCOL: &str = "fanwire";

/// Headers of a 101 that are read; ours has four or five.
const ANSWER_HEADERS_MAX: usize = 16;

/// The latest sample, for all who watch.
#[derive(Debug)]
pub(super) struct Feed {
    samples: watch::Sender<Arc<str>>,
    /// Somebody has begun to watch.
    wanted: Notify,
    /// The server has ended.
    ended: watch::Sender<bool>,
}

impl Feed {
    /// A feed that nobody watches.
    pub(super) fn new() -> Feed {
        Feed {
            samples: watch::Sender::new(Arc::from("")),
            wanted: Notify::new(),
            ended: watch::Sender::new(false),
        }
    }

    /// Says goodbye to all who watch.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    fn watch(&self) -> watch::Receiver<Arc<str>> {
        let mut samples = self.samples.subscribe();
        // What was seen last may be of yesterday.
        samples.mark_unchanged();
        self.wanted.notify_one();
        samples
    }
}

/// Makes the samples, as long as the server runs.
pub(super) async fn run(plane: Arc<Plane>) {
    let (feed, period) = (&plane.feed, Duration::from_millis(limits::ADMIN_SAMPLE_MS));
    loop {
        while feed.samples.receiver_count() == 0 {
            feed.wanted.notified().await;
        }
        let mut sampler = Sampler::new(&plane);
        let mut due = Instant::now();
        while feed.samples.receiver_count() > 0 {
            due += period;
            sleep_until(due).await;
            let sample = sampler.sample(&plane).await;
            feed.samples.send_replace(sample.into());
            // What could not be had in its time is not made up for.
            due = due.max(Instant::now() - period);
        }
    }
}

/// How the server is, each second, over a WebSocket
///
/// Each message is a `Sample` in JSON. A page that cannot send `Authorization` gives the token as `?token=`, or offers
/// the subprotocols `fanwire` and `fanwire.token.` with the token in base64url behind it.
#[utoipa::path(
    get, path = "/v1/live", tag = "operations",
    responses(
        (status = 101, description = "A WebSocket of `Sample`s", body = super::sample::Sample),
        (status = 426, description = "The request opens no WebSocket", body = Problem),
    )
)]
pub(super) async fn live(State(plane): State<Arc<Plane>>, mut request: Request) -> Result<Response, Refusal> {
    let clock = Clock(plane.served.started);
    let watching_limits = Limits { message_bytes_max: limits::ADMIN_WATCHER_BYTES_MAX, ..Limits::default() };
    let mut connection = Connection::server(Arc::new(watching_limits), clock.now());
    let mut head = head(&request);
    let mut answer = Vec::new();
    let Some(Event::Requested(asked)) =
        connection.next_event(&mut head.as_mut_slice(), clock.now(), &mut answer)
    else {
        return Err(Refusal::bad_request("the request opens no WebSocket"));
    };
    if let Err(error) = asked.upgrade {
        let status = StatusCode::from_u16(error.status().number()).unwrap_or(StatusCode::BAD_REQUEST);
        let refusal = Refusal::new(status, format!("this is a WebSocket: {error}"));
        return Err(if status == StatusCode::UPGRADE_REQUIRED {
            refusal.header(http::header::UPGRADE, "websocket")
        } else {
            refusal
        });
    }
    // A browser gives up unless one of those that it offers is agreed to.
    let offered = |name: &str| asked.subprotocols.iter().find(|offered| offered.starts_with(name));
    let subprotocol = asked.subprotocols.iter().find(|offered| &***offered == SUBPROTOCOL);
    let subprotocol = subprotocol.or_else(|| offered(TOKEN_SUBPROTOCOL)).cloned();
    connection.accept(Agreement { subprotocol, deflate: None }, clock.now(), &mut answer);
    let response = response(&answer)
        .ok_or_else(|| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made"))?;
    let seat = request.extensions_mut().remove::<Seat>();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // It is one connection still.
        let _seat = seat;
        if let Ok(upgraded) = upgrade.await {
            let (io, patience) = (TokioIo::new(upgraded), plane.patience.write);
            Watcher { io, connection, clock, patience }.serve(&plane.feed).await;
        }
    });
    Ok(response)
}

/// How the server is, over one second
///
/// It is answered when that second is over.
#[utoipa::path(
    get, path = "/v1/stats", tag = "operations",
    responses(
        (status = 200, description = "What `/v1/live` says, once", body = super::sample::Sample),
        (status = 503, description = "The workers do not answer in time", body = Problem),
    )
)]
pub(super) async fn once(State(plane): State<Arc<Plane>>) -> Result<Response, Refusal> {
    let mut samples = plane.feed.watch();
    let patience = Duration::from_millis(limits::ADMIN_SAMPLE_MS) + plane.patience.answer;
    match timeout(patience, samples.changed()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(Refusal::unavailable("the workers do not answer in time")),
    }
    let mut response = Response::new(Body::from(samples.borrow().to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Milliseconds since the start.
#[derive(Clone, Copy, Debug)]
struct Clock(std::time::Instant);

impl Clock {
    fn now(self) -> Time {
        Time(self.0.elapsed().as_millis() as u32)
    }
}

/// The head of a request as it came, as far as that matters.
fn head(request: &Request) -> Vec<u8> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let version = if request.version() == Version::HTTP_11 { "1.1" } else { "1.0" };
    let mut head = format!("{} {target} HTTP/{version}\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The answer that these bytes are.
fn response(answer: &[u8]) -> Option<Response> {
    let mut headers = [httparse::EMPTY_HEADER; ANSWER_HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    if !parsed.parse(answer).ok()?.is_complete() {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(parsed.code?).ok()?;
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        response.headers_mut().append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(response)
}

/// Somebody who watches.
struct Watcher<S> {
    io: S,
    connection: Connection,
    clock: Clock,
    /// For how long what is written may not be taken.
    patience: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watcher<S> {
    /// Hands on what the feed has, until either side has enough.
    async fn serve(mut self, feed: &Feed) {
        let (mut samples, mut ended) = (feed.watch(), feed.ended.subscribe());
        let (mut buffer, mut out) = (vec![0; limits::ADMIN_WATCHER_BYTES_MAX], Vec::new());
        while self.connection.wants() == Wants::Input {
            let deadline = self.until_deadline();
            let is_open = self.connection.is_open();
            tokio::select! {
                read = self.io.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => drop(self.connection.receive_eof(self.clock.now())),
                    Ok(count) => {
                        let mut input = &mut buffer[..count];
                        // What they say does not matter.
                        while self.connection.next_event(&mut input, self.clock.now(), &mut out).is_some() {}
                    }
                },
                Ok(()) = samples.changed(), if is_open => {
                    let sample = samples.borrow_and_update().clone();
                    self.connection.send(Kind::Text, sample.as_bytes(), &mut out);
                }
                () = true_in(&mut ended), if is_open => {
                    let reason = CloseReason::new("the server ends");
                    self.connection.close(CloseCode::GOING_AWAY, &reason, self.clock.now(), &mut out);
                }
                () = deadline => {
                    self.connection.handle_timeout(self.clock.now(), &mut out);
                }
            }
            if !self.write(&mut out).await {
                return;
            }
        }
        if self.connection.wants() == Wants::FlushThenShutdown && self.io.shutdown().await.is_ok() {
            // The peer's end is awaited, so that no reset overtakes the last bytes.
            let patience = Duration::from_millis(limits::REFUSAL_LINGER_MS.into());
            let end = async { while self.io.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
            drop(timeout(patience, end).await);
        }
    }

    /// Writes what there is; whether it was taken. Who takes nothing for too long is no loss.
    async fn write(&mut self, out: &mut Vec<u8>) -> bool {
        let written = timeout(self.patience, self.io.write_all(out)).await;
        out.clear();
        matches!(written, Ok(Ok(())))
    }

    /// Ends when the connection's deadline has come.
    fn until_deadline(&self) -> impl Future<Output = ()> + use<S> {
        let (deadline, now) = (self.connection.deadline(), self.clock.now());
        async move {
            match deadline {
                Some(deadline) => {
                    let left_ms = if now.reached(deadline) { 0 } else { deadline.0.wrapping_sub(now.0) };
                    sleep(Duration::from_millis(left_ms.into())).await;
                }
                None => future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_connection_is_the_answer_of_http() {
        let response = response(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .expect("it is one");
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(super::response(b"HTTP/1.1 101 Swit").is_none());
    }

    #[test]
    fn who_watches_and_does_not_take_what_it_is_sent_is_let_go() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (_peer, io) = tokio::io::duplex(4);
        let clock = Clock(std::time::Instant::now());
        let connection = Connection::server(Arc::new(Limits::default()), clock.now());
        let mut watcher = Watcher { io, connection, clock, patience: Duration::from_millis(20) };
        let is_taken = runtime.block_on(async {
            [watcher.write(&mut b"four".to_vec()).await, watcher.write(&mut b"more".to_vec()).await]
        });
        assert_eq!(is_taken, [true, false]);
    }
}

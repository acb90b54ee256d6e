//! The admin API's listener and its connections, bounded in number, size and time.

use super::admin;
use super::live;
use super::plane::{Patience, Plane};
use super::seats::{Seat, Seats};
use crate::limits;
use axum::Router;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};

/// What there is no place for is told so.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 59\r\n\
    Connection: close\r\nRetry-After: 1\r\n\r\n{\"error\":\"the admin API has as many connections as it may\"}";

/// Answers until it is told to stop.
pub(super) async fn serve(listener: TcpListener, plane: Arc<Plane>, stopped: oneshot::Receiver<()>) {
    let seats = Seats::new(limits::ADMIN_CONNECTIONS_MAX);
    let standing = Arc::new(Semaphore::new(limits::ADMIN_REFUSALS_MAX));
    let (ending, ended) = watch::channel(false);
    let routes = admin::routes(plane.clone());
    tokio::spawn(live::run(plane.clone()));
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match seats.take().await {
                    Some(seat) => {
                        tokio::spawn(converse(stream, routes.clone(), seat, ended.clone(), plane.patience));
                    }
                    None => {
                        if let Ok(permit) = standing.clone().try_acquire_owned() {
                            tokio::spawn(turn_away(stream, permit));
                        }
                    }
                },
                // Out of descriptors, or the peer has gone already.
                Err(_) => sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS.into())).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        // A server that is dropped without being waited for goes on, and so does this.
        () = async { if stopped.await.is_err() { std::future::pending::<()>().await; } } => {}
    }
    drop(listener);
    ending.send_replace(true);
    plane.feed.end();
    let farewell = Duration::from_millis(limits::ADMIN_FAREWELL_MS);
    // Who is not done by then is cut off.
    drop(timeout(farewell, seats.all_free()).await);
}

/// Serves one connection.
async fn converse(
    stream: TcpStream,
    routes: Router,
    seat: Seat,
    mut ended: watch::Receiver<bool>,
    patience: Patience,
) {
    let Patience { head, write, .. } = patience;
    bound_writes(&stream, write);
    let routes = TowerToHyperService::new(routes);
    let of_requests = seat.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let seat = of_requests.clone();
        seat.is_asked();
        request.extensions_mut().insert(seat.clone());
        let answering = routes.call(request);
        async move {
            let answer = answering.await;
            // Behind a 101 nothing is asked, and yet nobody waits.
            if answer.as_ref().is_ok_and(|answer| answer.status() != StatusCode::SWITCHING_PROTOCOLS) {
                seat.waits();
            }
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_headers(limits::REQUEST_HEADERS_MAX)
        .max_header_size(limits::REQUEST_HEAD_BYTES_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        // Whoever breaks off or breaks HTTP has been answered as far as that goes.
        _ = connection.as_mut() => {}
        () = seat.needed() => {}
        () = true_in(&mut ended) => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// Ends when it is true.
pub(super) async fn true_in(flag: &mut watch::Receiver<bool>) {
    // Whoever sets it lives as long as this does.
    drop(flag.wait_for(|is_true| *is_true).await);
}

/// A peer that does not take what it is sent is cut off by the kernel, whoever writes.
fn bound_writes(stream: &TcpStream, patience: Duration) {
    let socket = socket2::SockRef::from(stream);
    // Without it only a place is lost.
    drop(socket.set_tcp_nodelay(true));
    #[cfg(target_os = "linux")]
    drop(socket.set_tcp_user_timeout(Some(patience)));
}

/// Says that there is no place, as long as there is one for being told so.
async fn turn_away(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let patience = Duration::from_millis(limits::REFUSAL_LINGER_MS.into());
    let told = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        // Its request is read, so that no reset overtakes the answer.
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await? > 0 {}
        std::io::Result::Ok(())
    };
    drop(timeout(patience, told).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpSocket;
    use tokio::task::JoinHandle;

    const SOON: Duration = Duration::from_millis(50);

    /// More than a slow machine takes for what is to come soon, and less than anybody is waited for by default.
    const LONG: Duration = Duration::from_secs(8);

    async fn ends(task: JoinHandle<()>) -> bool {
        timeout(LONG, task).await.is_ok()
    }

    /// What `future` comes to with a connection that has sent `request`, and the task that serves it with so much patience.
    fn with_connection<F: Future>(
        patience: Patience,
        request: &str,
        future: impl FnOnce(TcpStream, JoinHandle<()>) -> F,
    ) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4_096).expect("a buffer");
            let connecting = socket.connect(listener.local_addr().expect("it listens"));
            let (client, served) = tokio::join!(connecting, listener.accept());
            let (mut client, (stream, _)) = (client.expect("it listens"), served.expect("it is there"));
            let seat = Seats::new(1).take().await.expect("a place is free");
            let routes = admin::routes(Plane::deaf(patience));
            let (_ending, ended) = watch::channel(false);
            let task = tokio::spawn(converse(stream, routes, seat, ended, patience));
            client.write_all(request.as_bytes()).await.expect("it is taken");
            future(client, task).await
        })
    }

    #[test]
    fn who_does_not_end_its_head_or_asks_nothing_more_is_let_go() {
        let patience = Patience { head: SOON, ..Patience::default() };
        for request in ["", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let is_over = with_connection(patience, request, |client, task| async move {
                let is_over = ends(task).await;
                drop(client);
                is_over
            });
            assert!(is_over, "{request:?}");
        }
    }

    #[test]
    fn who_does_not_send_its_body_gets_408() {
        let patience = Patience { request: SOON, ..Patience::default() };
        let request = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
            Content-Length: 15\r\n\r\n{";
        let answer = with_connection(patience, request, |mut client, task| async move {
            let mut answer = String::new();
            let reading = timeout(LONG, client.read_to_string(&mut answer)).await;
            reading.expect("it does not wait for ever").expect("UTF-8");
            assert!(ends(task).await);
            answer
        });
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_does_not_take_its_answers_is_let_go() {
        let patience = Patience { write: SOON, ..Patience::default() };
        // More than any kernel keeps for one connection.
        let requests = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(400);
        let is_over = with_connection(patience, &requests, |client, task| async move {
            let is_over = ends(task).await;
            drop(client);
            is_over
        });
        assert!(is_over);
    }
}

//! The admin API's listener and its connections, bounded in number, size and time.

use super::admin;
use super::live;
use super::plane::Plane;
use crate::limits;
use axum::Router;
use axum::http::Request;
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

/// A place among the connections, held as long as any part of one lives.
#[derive(Clone, Debug)]
pub(super) struct Seat(#[expect(dead_code, reason = "it is held")] Arc<OwnedSemaphorePermit>);

/// What there is no place for is told so.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 59\r\n\
    Connection: close\r\nRetry-After: 1\r\n\r\n{\"error\":\"the admin API has as many connections as it may\"}";

/// Answers until it is told to stop.
pub(super) async fn serve(listener: TcpListener, plane: Arc<Plane>, stopped: oneshot::Receiver<()>) {
    let seats = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS_MAX));
    let standing = Arc::new(Semaphore::new(limits::ADMIN_REFUSALS_MAX));
    let (ending, ended) = watch::channel(false);
    let routes = admin::routes(plane.clone());
    tokio::spawn(live::run(plane.clone()));
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match seats.clone().try_acquire_owned() {
                    Ok(permit) => {
                        let seat = Seat(Arc::new(permit));
                        tokio::spawn(converse(stream, routes.clone(), seat, ended.clone()));
                    }
                    Err(_) => {
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
    let all = u32::try_from(limits::ADMIN_CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let farewell = Duration::from_millis(limits::ADMIN_FAREWELL_MS);
    // Who is not done by then is cut off.
    drop(timeout(farewell, seats.acquire_many(all)).await);
}

/// Serves one connection.
async fn converse(stream: TcpStream, routes: Router, seat: Seat, mut ended: watch::Receiver<bool>) {
    bound_writes(&stream);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(seat.clone());
        routes.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::ADMIN_HEAD_TIMEOUT_MS))
        .max_headers(limits::REQUEST_HEADERS_MAX)
        .max_header_size(limits::REQUEST_HEAD_BYTES_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        // Whoever breaks off or breaks HTTP has been answered as far as that goes.
        _ = connection.as_mut() => {}
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
fn bound_writes(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // Without it only a place is lost.
    drop(socket.set_tcp_nodelay(true));
    #[cfg(target_os = "linux")]
    drop(socket.set_tcp_user_timeout(Some(Duration::from_millis(limits::ADMIN_WRITE_TIMEOUT_MS))));
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

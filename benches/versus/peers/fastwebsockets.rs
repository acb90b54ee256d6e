//! fastwebsockets on one thread, its handshake by hyper as in its examples. `/ws`: everything to everybody, the sender
//! included, by `tokio::sync::broadcast`; `/echo`: everything back to its sender, as its example for benchmarks has it.
//!
//! What is pending for a client goes through a `BufWriter` that is flushed once.

use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io::Cursor;
use tokio::io::{AsyncReadExt, BufWriter};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};

/// Messages that a client may lag behind before it misses some.
const LAG_MESSAGES_MAX: usize = 8192;

/// What is pending and longer than this takes several writes.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// A message, and whether it is binary.
type Message = (bool, Bytes);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: peer-fastwebsockets ADDRESS:PORT")?;
    let listener = TcpListener::bind(address).await?;
    let (all, _) = broadcast::channel(LAG_MESSAGES_MAX);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let all = all.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(request, all.clone()));
            // A client that ends in an error has ended.
            let _ =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

#[expect(clippy::unused_async, reason = "hyper wants a future")]
async fn serve(
    mut request: Request<Incoming>,
    all: broadcast::Sender<Message>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let is_echo = request.uri().path().starts_with("/echo");
    let (response, upgraded) = upgrade(&mut request)?;
    tokio::spawn(async move {
        let _ = if is_echo {
            tokio::task::unconstrained(echo(upgraded)).await
        } else {
            relay(upgraded, all).await
        };
    });
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut client = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = client.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => client.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn relay(upgraded: UpgradeFut, all: broadcast::Sender<Message>) -> Result<(), WebSocketError> {
    let (read, write) = upgraded.await?.split(|upgraded| {
        let parts =
            upgraded.into_inner().downcast::<TokioIo<TcpStream>>().expect("the stream that hyper was given");
        let (read, write) = parts.io.into_inner().into_split();
        // Behind the request there may be frames already.
        (Cursor::new(parts.read_buf).chain(read), BufWriter::with_capacity(WRITE_BUFFER_BYTES, write))
    });
    let writer = tokio::spawn(write_all(write, all.subscribe()));

    let mut read = FragmentCollectorRead::new(read);
    // Pongs would go here; the load sends no pings.
    let mut answer = async |_: Frame<'_>| Ok::<(), WebSocketError>(());
    while let Ok(frame) = read.read_frame(&mut answer).await {
        match frame.opcode {
            OpCode::Close => break,
            OpCode::Text | OpCode::Binary => {
                let message = (frame.opcode == OpCode::Binary, Bytes::copy_from_slice(&frame.payload));
                // There is at least one who hears it: this client.
                let _ = all.send(message);
            }
            _ => {}
        }
    }
    writer.abort();
    Ok(())
}

async fn write_all(
    mut write: WebSocketWrite<BufWriter<OwnedWriteHalf>>,
    mut heard: broadcast::Receiver<Message>,
) -> Result<(), WebSocketError> {
    loop {
        let mut pending = match heard.recv().await {
            Ok(message) => Some(message),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return Ok(()),
        };
        while let Some((is_binary, payload)) = pending {
            let payload = Payload::Borrowed(&payload);
            write.write_frame(if is_binary { Frame::binary(payload) } else { Frame::text(payload) }).await?;
            pending = heard.try_recv().ok();
        }
        write.flush().await?;
    }
}

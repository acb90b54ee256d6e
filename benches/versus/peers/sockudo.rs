//! sockudo-ws on one thread. `/ws`: everything to everybody, the sender included, by its own `PubSub`; `/echo`:
//! everything back to its sender.
//!
//! All that is pending for a client is fed, then flushed once, as its documentation recommends.

use bytes::{Buf, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use sockudo_ws::error::Result;
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::pubsub::PubSub;
use sockudo_ws::{Config, Message, Role, WebSocketStream};
use std::error::Error;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const TOPIC: &str = "all";

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: peer-sockudo ADDRESS:PORT")?;
    let listener = TcpListener::bind(address).await?;
    let topics = Arc::new(PubSub::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let topics = Arc::clone(&topics);
        tokio::spawn(async move {
            // A client that ends in an error has ended.
            let _ = serve(stream, &topics).await;
        });
    }
}

async fn serve(mut stream: TcpStream, topics: &PubSub) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::with_capacity(2048);
    let is_echo = loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        if let Some((request, request_bytes)) = parse_request(&received)? {
            let is_echo = request.path.starts_with("/echo");
            let response = build_response(&generate_accept_key(request.key), None, None);
            stream.write_all(&response).await?;
            received.advance(request_bytes);
            break is_echo;
        }
    };
    // Behind the request there may be frames already.
    let received = Some(received.freeze());
    let client = WebSocketStream::from_raw_with_leftover(stream, Role::Server, Config::default(), received);
    if is_echo {
        return echo(client).await;
    }
    let (sender, heard) = mpsc::unbounded_channel();
    let subscriber = topics.create_subscriber(sender);
    topics.subscribe(subscriber, TOPIC);
    let ended = relay(client, heard, topics).await;
    topics.remove_subscriber(subscriber);
    ended
}

async fn echo(mut client: WebSocketStream<TcpStream>) -> Result<()> {
    while let Some(message) = client.next().await {
        let mut pending = Some(message);
        while let Some(message) = pending {
            let message = message?;
            if message.is_close() {
                return client.flush().await;
            }
            if !message.is_control() {
                client.feed(message).await?;
            }
            pending = client.next().now_or_never().flatten();
        }
        client.flush().await?;
    }
    Ok(())
}

async fn relay(
    mut client: WebSocketStream<TcpStream>,
    mut heard: mpsc::UnboundedReceiver<Message>,
    topics: &PubSub,
) -> Result<()> {
    loop {
        tokio::select! {
            message = heard.recv() => {
                let Some(message) = message else { return Ok(()) };
                client.feed(message).await?;
                while let Ok(message) = heard.try_recv() {
                    client.feed(message).await?;
                }
                client.flush().await?;
            }
            message = client.next() => {
                let Some(message) = message else { return Ok(()) };
                let message = message?;
                if message.is_close() {
                    return client.flush().await;
                }
                if !message.is_control() {
                    topics.publish(TOPIC, message);
                }
            }
        }
    }
}

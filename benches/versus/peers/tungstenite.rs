//! tokio-tungstenite on one thread. `/ws`: everything to everybody, the sender included, by `tokio::sync::broadcast`;
//! `/echo`: everything back to its sender.
//!
//! This is the strong version: all that is pending for a client goes into its write buffer, which is then flushed once.
//! The usual example sends, and so flushes, each message for itself.

use futures_util::{FutureExt, SinkExt, StreamExt};
use std::error::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Messages that a client may lag behind before it misses some.
const LAG_MESSAGES_MAX: usize = 8192;

/// The default of 128 KiB for each client is too much for thousands of them.
const READ_BUFFER_BYTES: usize = 16 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: peer-tungstenite ADDRESS:PORT")?;
    let listener = TcpListener::bind(address).await?;
    let (all, _) = broadcast::channel(LAG_MESSAGES_MAX);
    loop {
        let (stream, _) = listener.accept().await?;
        let all = all.clone();
        tokio::spawn(async move {
            // A client that ends in an error has ended.
            let _ = serve(stream, all).await;
        });
    }
}

async fn serve(stream: TcpStream, all: broadcast::Sender<Message>) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let mut is_echo = false;
    #[expect(clippy::result_large_err, reason = "tungstenite says what its callback returns")]
    let look_at_path = |request: &Request, response: Response| {
        is_echo = request.uri().path().starts_with("/echo");
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let client = accept_hdr_async_with_config(stream, look_at_path, Some(config)).await?;
    if is_echo { echo(client).await } else { relay(client, all).await }
}

async fn echo(mut client: WebSocketStream<TcpStream>) -> Result<(), tungstenite::Error> {
    while let Some(message) = client.next().await {
        let mut pending = Some(message);
        while let Some(message) = pending {
            let message = message?;
            if is_data(&message) {
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
    all: broadcast::Sender<Message>,
) -> Result<(), tungstenite::Error> {
    let mut heard = all.subscribe();
    loop {
        tokio::select! {
            message = heard.recv() => match message {
                Ok(message) => {
                    client.feed(message).await?;
                    while let Ok(message) = heard.try_recv() {
                        client.feed(message).await?;
                    }
                    client.flush().await?;
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            message = client.next() => {
                let Some(message) = message else { return Ok(()) };
                let message = message?;
                if is_data(&message) {
                    // There is at least one who hears it: this client.
                    let _ = all.send(message);
                }
            }
        }
    }
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

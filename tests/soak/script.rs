//! [`Script`]: what one bad client does, step by step, and the pieces that scripts are made of.

use crate::random::Random;
use fanwire::protocol::MaskingKey;
use fanwire::protocol::mask;
use std::collections::VecDeque;

/// What a bad client does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes, encrypted if it speaks TLS.
    Say(Vec<u8>),
    /// Writes past TLS.
    SayRaw(Vec<u8>),
    /// Writes a byte each so many milliseconds.
    Drip(VecDeque<u8>, u64),
    /// Writes the same again and again, so many times, as fast as it is taken.
    Flood(Vec<u8>, u32),
    /// Waits for the answer to its request.
    AwaitAnswer,
    /// Waits, in milliseconds.
    Wait(u64),
    /// Stops reading.
    StopReading,
    /// Ends its direction.
    EndOwn,
    /// Resets the connection.
    Reset,
}

/// What one bad client does.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    /// Which port it goes to, and whether it speaks TLS there.
    pub(crate) tls: Tls,
    /// Its receive buffer is as small as can be.
    pub(crate) has_small_buffer: bool,
    /// When all is done it stays until the server ends the connection, but no longer than that.
    pub(crate) life_ms: u64,
    /// What answers it is not for an ear: it is TLS to who speaks none, or says nothing of this client.
    pub(crate) is_deaf: bool,
}

/// How a bad client comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tls {
    /// To one port or the other, as it falls.
    #[default]
    Either,
    /// To the port for plaintext.
    None,
    /// To the port for TLS, and speaks it.
    Spoken,
    /// To the port for TLS, and speaks none.
    Ignored,
}

impl Script {
    pub(crate) fn then(&mut self, step: Step) -> &mut Script {
        self.steps.push_back(step);
        self
    }

    pub(crate) fn say(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Script {
        self.then(Step::Say(bytes.into()))
    }

    /// Asks for a WebSocket, and waits for it.
    pub(crate) fn enter(&mut self, target: &str) -> &mut Script {
        self.say(upgrade(target, "")).then(Step::AwaitAnswer)
    }

    /// The same with permessage-deflate.
    pub(crate) fn enter_deflated(&mut self, target: &str) -> &mut Script {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        self.say(upgrade(target, offer)).then(Step::AwaitAnswer)
    }
}

/// A request for a WebSocket, with more header lines.
pub(crate) fn upgrade(target: &str, lines: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
    .into_bytes()
}

/// The header of a masked frame that begins with `first` and declares a length, with its key.
pub(crate) fn header(first: u8, len: u64, MaskingKey(key): MaskingKey) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        0..=125 => header.push(0x80 | len as u8),
        126..=0xffff => {
            header.push(0xfe);
            header.extend((len as u16).to_be_bytes());
        }
        _ => {
            header.push(0xff);
            header.extend(len.to_be_bytes());
        }
    }
    header.extend(key);
    header
}

/// A masked frame that begins with `first`.
pub(crate) fn frame(first: u8, payload: &[u8], random: &mut Random) -> Vec<u8> {
    let key = MaskingKey((random.next() as u32).to_be_bytes());
    let mut frame = header(first, payload.len() as u64, key);
    let start = frame.len();
    frame.extend_from_slice(payload);
    mask::apply(key, &mut frame[start..], 0);
    frame
}

//! One WebSocket connection, without its transport: RFC 6455, sans-IO.

mod close;
mod connection;
mod encoder;
mod error;
mod frame;
mod handshake;
pub mod mask;
mod message;
mod response;
mod time;

pub use close::{CloseCode, CloseReason, parse_close};
pub use connection::{Closure, Connection, Event, Timeout, Wants};
pub use encoder::{append_close, append_control, append_frame, append_message, unmasked_frame_len};
pub use error::{HandshakeError, ProtocolError};
pub use frame::{Expected, FrameHeader, Opcode, Parse, Rsv};
pub use handshake::{Agreement, ClientRequest, InvalidRequest, Method, Origin, Request};
pub use mask::MaskingKey;
pub use message::{Kind, Message, Payload};
pub use response::{Response, Status};
pub use time::Time;

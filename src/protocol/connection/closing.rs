//! [`Closing`]: our Close frame is out, and the peer's is awaited (RFC 6455 §7.1.2).

use super::role::Role;
use crate::protocol::close::{self, CloseCode, CloseReason};
use crate::protocol::decoder::{Decoded, FrameDecoder, Piece};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::Opcode;
use crate::protocol::time::Time;

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) since: Time,
    pub(super) decoder: FrameDecoder,
    /// Messages may be compressed.
    pub(super) deflate: bool,
    /// A fragmented message is unfinished; it is discarded, but the rules of §5.4 hold.
    pub(super) continuation: bool,
    /// The payload of a control frame of which a part has come.
    pub(super) control: Vec<u8>,
    /// Input that is to be consumed before any other: the frames that follow begin within it.
    pub(super) held: Vec<u8>,
}

impl Closing {
    /// Reads frames until the peer's Close frame came; returns its code and reason.
    pub(super) fn read_frames(
        &mut self,
        input: &mut &mut [u8],
        role: &Role,
    ) -> Result<Option<(Option<CloseCode>, CloseReason)>, ProtocolError> {
        while let Some(decoded) = self.decoder.next(input)? {
            match decoded {
                Decoded::Header(header) => header.check(role.expected(self.continuation, self.deflate))?,
                Decoded::Payload(Piece { opcode: Opcode::Close, last, bytes, .. }) => {
                    self.control.extend_from_slice(bytes);
                    if last {
                        return close::parse_close(&self.control).map(Some);
                    }
                }
                Decoded::Payload(Piece { opcode: Opcode::Ping | Opcode::Pong, .. }) => self.control.clear(),
                Decoded::Payload(Piece { fin, last, .. }) => {
                    if last {
                        self.continuation = !fin;
                    }
                }
            }
        }
        Ok(None)
    }
}

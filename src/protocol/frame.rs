//! One frame's header (RFC 6455 §5.2): [`FrameHeader`] is parsed, checked and encoded here.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
//! |I|S|S|S|  (4)  |A|     (7)     |             (16/64)           |
//! |N|V|V|V|       |S|             |   (if payload len==126/127)   |
//! | |1|2|3|       |K|             |                               |
//! +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
//! |     Extended payload length continued, if payload len == 127  |
//! + - - - - - - - - - - - - - - - +-------------------------------+
//! |                               |Masking-key, if MASK set to 1  |
//! +-------------------------------+-------------------------------+
//! | Masking-key (continued)       |          Payload Data         |
//! +-------------------------------- - - - - - - - - - - - - - - - +
//! :                     Payload Data continued ...                :
//! + - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - +
//! |                     Payload Data continued ...                |
//! +---------------------------------------------------------------+
//! ```
//!
//! What depends on the frame alone and decides where it ends is an error of [`FrameHeader::parse`]; what depends on
//! who sent it and when is found by [`FrameHeader::check`]. Nothing here looks at payload.

use super::error::ProtocolError;
use super::mask::MaskingKey;
use super::message::Kind;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASK: u8 = 0x80;
const LEN_7: u8 = 0x7f;
/// In the 7-bit length: the length follows in 16 bits.
const LEN_IN_16_BITS: u8 = 126;
/// In the 7-bit length: the length follows in 64 bits.
const LEN_IN_64_BITS: u8 = 127;

/// What a frame is (§5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Opcode {
    /// `0x0`: the message goes on.
    Continuation,
    /// `0x1`: a text message begins.
    Text,
    /// `0x2`: a binary message begins.
    Binary,
    /// `0x8`: the closing handshake.
    Close,
    /// `0x9`: asks for a Pong.
    Ping,
    /// `0xA`: answers a Ping, or stands alone as a heartbeat.
    Pong,
}

impl Opcode {
    /// The opcode with these four bits; 3 to 7 and 11 to 15 are reserved.
    fn from_bits(bits: u8) -> Result<Opcode, ProtocolError> {
        match bits {
            0x0 => Ok(Opcode::Continuation),
            0x1 => Ok(Opcode::Text),
            0x2 => Ok(Opcode::Binary),
            0x8 => Ok(Opcode::Close),
            0x9 => Ok(Opcode::Ping),
            0xa => Ok(Opcode::Pong),
            _ => Err(ProtocolError::ReservedOpcode),
        }
    }

    /// The opcode's four bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    /// Whether this is a control frame (§5.5): Close, Ping or Pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The opcode that begins a message of this kind.
impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Opcode {
        match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

/// The three reserved bits (§5.2), for extensions. Invariant: no other bits than `0x70`, where they stand in a frame's
/// first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Rsv(u8);

impl Rsv {
    /// None is set.
    pub const NONE: Rsv = Rsv(0);
    /// RSV1: with permessage-deflate, the message is compressed (RFC 7692 §6).
    pub const RSV1: Rsv = Rsv(0x40);
    /// RSV2.
    pub const RSV2: Rsv = Rsv(0x20);
    /// RSV3.
    pub const RSV3: Rsv = Rsv(0x10);

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Rsv) -> Rsv {
        Rsv(self.0 | other.0)
    }

    /// Whether all bits of `other` are set here.
    #[must_use]
    pub const fn contains(self, other: Rsv) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a parser makes of bytes that may be only the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parse<T> {
    /// All of it is there.
    Complete(T),
    /// So far nothing is wrong; more bytes are needed.
    Incomplete,
}

/// What the receiver of a frame expects of it, for [`FrameHeader::check`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The frame comes from a client, and must be masked (§5.1).
    pub masked: bool,
    /// A fragmented message is unfinished: the next data frame must continue it (§5.4).
    pub continuation: bool,
    /// The reserved bits that a negotiated extension gives a meaning to.
    pub rsv: Rsv,
}

/// A frame's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// The last fragment of a message, or its only one.
    pub fin: bool,
    /// The reserved bits.
    pub rsv: Rsv,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key that the payload is masked with, if it is.
    pub masking_key: Option<MaskingKey>,
    /// Bytes of payload that follow. At most 2⁶³ − 1.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Bytes of the longest header: two, a length of eight, a key of four.
    pub const LEN_MAX: usize = 14;

    /// The kind of the message, if a frame with this first byte is all of one, as it is: FIN and no reserved bit is set.
    #[inline]
    pub(super) const fn whole_message(first: u8) -> Option<Kind> {
        const TEXT: u8 = FIN | Opcode::Text.bits();
        const BINARY: u8 = FIN | Opcode::Binary.bits();
        match first {
            TEXT => Some(Kind::Text),
            BINARY => Some(Kind::Binary),
            _ => None,
        }
    }

    /// Reads the header that `bytes` begin with, and how many bytes it has.
    ///
    /// If it errs or completes on some bytes, it does the same on those bytes and any that follow.
    ///
    /// # Errors
    /// A reserved opcode, a length that is not written in the fewest bytes, and a length of more than 63 bits.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Parse<(FrameHeader, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return match bytes {
                [first] => Opcode::from_bits(first & OPCODE).map(|_| Parse::Incomplete),
                _ => Ok(Parse::Incomplete),
            };
        };
        let opcode = Opcode::from_bits(first & OPCODE)?;
        let (payload_len, rest) = match second & LEN_7 {
            LEN_IN_16_BITS => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(Parse::Incomplete) };
                let len = u16::from_be_bytes(*len);
                // §5.2: "the minimal number of bytes MUST be used to encode the length".
                if len < u16::from(LEN_IN_16_BITS) {
                    return Err(ProtocolError::LengthNotMinimal);
                }
                (u64::from(len), rest)
            }
            LEN_IN_64_BITS => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(Parse::Incomplete) };
                let len = u64::from_be_bytes(*len);
                // §5.2: "the most significant bit MUST be 0".
                if len >> 63 != 0 {
                    return Err(ProtocolError::LengthOver63Bits);
                }
                if len < 1 << 16 {
                    return Err(ProtocolError::LengthNotMinimal);
                }
                (len, rest)
            }
            len => (u64::from(len), rest),
        };
        let (masking_key, rest) = if second & MASK == 0 {
            (None, rest)
        } else {
            let Some((key, rest)) = rest.split_first_chunk() else { return Ok(Parse::Incomplete) };
            (Some(MaskingKey(*key)), rest)
        };
        let header =
            FrameHeader { fin: first & FIN != 0, rsv: Rsv(first & RSV), opcode, masking_key, payload_len };
        Ok(Parse::Complete((header, bytes.len() - rest.len())))
    }

    /// Checks the header against all of §5 that depends on who sent it and when.
    ///
    /// # Errors
    /// Reserved bits without an extension or where an extension has none, masking where there must be none or none where
    /// there must be, a fragmented or too long control frame, a continuation of nothing, and a new message inside another.
    #[inline]
    pub fn check(&self, expected: Expected) -> Result<(), ProtocolError> {
        // §5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values".
        if !expected.rsv.contains(self.rsv) {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 7692 §6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first
        // fragments of a data message."
        if self.rsv.contains(Rsv::RSV1) && !matches!(self.opcode, Opcode::Text | Opcode::Binary) {
            return Err(ProtocolError::CompressedBitMisplaced);
        }
        // §5.1: "a client MUST mask all frames", "a server MUST NOT mask any frames".
        match (expected.masked, self.masking_key) {
            (true, None) => return Err(ProtocolError::Unmasked),
            (false, Some(_)) => return Err(ProtocolError::Masked),
            (true, Some(_)) | (false, None) => {}
        }
        match self.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                // §5.5: "all control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented".
                if !self.fin {
                    return Err(ProtocolError::FragmentedControlFrame);
                }
                if self.payload_len > CONTROL_PAYLOAD_BYTES_MAX as u64 {
                    return Err(ProtocolError::ControlFrameTooLong);
                }
            }
            // §5.4: fragments of one message "MUST NOT be interleaved between the fragments of another message".
            Opcode::Continuation if !expected.continuation => {
                return Err(ProtocolError::UnexpectedContinuation);
            }
            Opcode::Text | Opcode::Binary if expected.continuation => {
                return Err(ProtocolError::ContinuationExpected);
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {}
        }
        Ok(())
    }

    /// Writes the header to the front of `out` and returns how many bytes it has. The length takes the fewest bytes.
    #[inline]
    #[must_use]
    pub fn encode(&self, out: &mut [u8; FrameHeader::LEN_MAX]) -> usize {
        debug_assert!(self.payload_len >> 63 == 0, "a length has at most 63 bits");
        let fin = if self.fin { FIN } else { 0 };
        let mask = if self.masking_key.is_some() { MASK } else { 0 };
        out[0] = fin | self.rsv.0 | self.opcode.bits();
        let mut len = match self.payload_len {
            payload_len @ 0..=125 => {
                out[1] = mask | payload_len as u8;
                2
            }
            payload_len @ 126..=0xffff => {
                out[1] = mask | LEN_IN_16_BITS;
                out[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
                4
            }
            payload_len => {
                out[1] = mask | LEN_IN_64_BITS;
                out[2..10].copy_from_slice(&payload_len.to_be_bytes());
                10
            }
        };
        if let Some(MaskingKey(key)) = self.masking_key {
            out[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_2_reserved_bits_are_a_set() {
        let both = Rsv::RSV1.union(Rsv::RSV2);
        assert!(both.contains(Rsv::RSV1) && both.contains(Rsv::RSV2) && both.contains(both));
        assert!(!both.contains(Rsv::RSV3) && !Rsv::RSV1.contains(both) && both.contains(Rsv::NONE));
        assert_eq!(both.union(Rsv::RSV1), both);
    }
}

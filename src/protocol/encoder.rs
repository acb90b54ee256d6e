//! Frames on their way out (RFC 6455 §5.2, §6.1): appended to a caller's buffer, whole, masked if a key is given.
//!
//! A server's frames do not differ from one receiver to the next, so [`append_message`] makes one for all of them.

use super::close::{self, CloseCode};
use super::frame::{FrameHeader, Opcode, Rsv};
use super::mask::{self, MaskingKey};
use super::message::Kind;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;

/// Appends a message in one unmasked frame, as a server sends it.
#[inline]
pub fn append_message(kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    append_frame(true, kind.into(), None, payload, out);
}

/// Bytes that a payload of `payload_len` bytes has as one unmasked frame.
#[must_use]
pub const fn unmasked_frame_len(payload_len: usize) -> usize {
    let header_len = match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    header_len + payload_len
}

/// Appends one frame, without reserved bits.
#[inline]
pub fn append_frame(
    fin: bool,
    opcode: Opcode,
    masking_key: Option<MaskingKey>,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    append_extended(fin, Rsv::NONE, opcode, masking_key, payload, out);
}

/// Appends one frame with the reserved bits that an extension demands.
#[inline]
pub(super) fn append_extended(
    fin: bool,
    rsv: Rsv,
    opcode: Opcode,
    masking_key: Option<MaskingKey>,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let header = FrameHeader { fin, rsv, opcode, masking_key, payload_len: payload.len() as u64 };
    let mut bytes = [0; FrameHeader::LEN_MAX];
    let header_len = header.encode(&mut bytes);
    out.reserve(FrameHeader::LEN_MAX + payload.len());
    let start = out.len() + header_len;
    // A copy of a length that the compiler knows takes no call.
    out.extend_from_slice(&bytes);
    out.truncate(start);
    out.extend_from_slice(payload);
    if let Some(key) = masking_key {
        mask_from(start, key, out);
    }
}

/// It is not inlined, so that frames without a key, which are a server's, do not pay for it.
#[inline(never)]
fn mask_from(start: usize, key: MaskingKey, out: &mut [u8]) {
    mask::apply(key, &mut out[start..], 0);
}

/// Appends a Ping or a Pong (§5.5.2, §5.5.3).
///
/// # Panics
/// If `opcode` is no control frame's, or `payload` has more than 125 bytes.
pub fn append_control(opcode: Opcode, masking_key: Option<MaskingKey>, payload: &[u8], out: &mut Vec<u8>) {
    assert!(opcode.is_control(), "a control frame has a control frame's opcode");
    assert!(payload.len() <= CONTROL_PAYLOAD_BYTES_MAX, "a control frame carries at most 125 bytes");
    append_frame(true, opcode, masking_key, payload, out);
}

/// Appends a Close frame (§5.5.1): empty without a code, else the code and as much of `reason` as fits whole.
///
/// A code that [may not be sent](CloseCode::may_be_sent) is replaced by [`CloseCode::INTERNAL_ERROR`], but for
/// [`CloseCode::NO_STATUS`], which an empty frame says.
pub fn append_close(
    code: Option<CloseCode>,
    reason: &str,
    masking_key: Option<MaskingKey>,
    out: &mut Vec<u8>,
) {
    let code = match code {
        None | Some(CloseCode::NO_STATUS) => return append_frame(true, Opcode::Close, masking_key, b"", out),
        Some(code) if code.may_be_sent() => code,
        Some(_) => CloseCode::INTERNAL_ERROR,
    };
    let reason = close::truncated(reason).as_bytes();
    let mut payload = [0; CONTROL_PAYLOAD_BYTES_MAX];
    payload[..2].copy_from_slice(&code.number().to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason);
    append_frame(true, Opcode::Close, masking_key, &payload[..2 + reason.len()], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_2_a_frame_takes_its_payload_and_as_short_a_header_as_its_length_allows() {
        for (payload_len, frame_len) in [(0, 2), (125, 127), (126, 130), (65_535, 65_539), (65_536, 65_546)] {
            assert_eq!(unmasked_frame_len(payload_len), frame_len);
            let mut out = Vec::new();
            append_message(Kind::Binary, &vec![7; payload_len], &mut out);
            assert_eq!(out.len(), frame_len);
            assert!(
                out.capacity() <= payload_len + FrameHeader::LEN_MAX,
                "room is made once, for the longest header"
            );
        }
    }
}

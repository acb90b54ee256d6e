//! permessage-deflate (RFC 7692) on the clients' side: how they compress, with a context of their own or without, and
//! [`Scrutiny`], which holds the server to what it has agreed to and what its clients cannot see.

use crate::codes::furthest_reference;
use fanwire::protocol::{
    Compressing, Connection, Decoded, Deflate, DeflateOffer, Deflater, FrameDecoder, FrameHeader, Kind,
    MaskingKey, Message, Opcode, Rsv, WindowBits, append_control, mask,
};
use flate2::{Compress, Compression, FlushCompress};
use std::collections::VecDeque;

/// What a flush ends with and a message leaves out (RFC 7692 section 7.2.1).
const FLUSH_END: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// What a client does about compression.
#[derive(Clone, Copy, Debug)]
pub struct Deflates {
    pub offer: DeflateOffer,
    /// How hard it compresses.
    pub level: u8,
    /// It knows its server, and compresses what it says before it knows whether it is let in.
    pub trusts: bool,
    /// Bytes from which on the server compresses.
    pub server_bytes_min: usize,
}

/// How one client compresses.
#[derive(Debug)]
pub struct Compressor {
    level: u8,
    deflater: Deflater,
    /// With the context of all that it has compressed, if that may be.
    stream: Option<Box<Compress>>,
}

impl Compressor {
    pub fn new(level: u8) -> Compressor {
        // All that it says, so that much of it is small and comes to much.
        let deflater = Deflater::new(Compressing { level, bytes_min: 0 });
        Compressor { level, deflater, stream: None }
    }

    /// Appends a message by the product's own deflater.
    pub fn send(&mut self, connection: &mut Connection, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
        connection.send_deflated(kind, payload, &mut self.deflater, out);
    }

    /// A message's compressed form by flate2, with a context if that was agreed to.
    pub fn compress(&mut self, agreed: Deflate, payload: &[u8]) -> Vec<u8> {
        let (level, bits) = (Compression::new(self.level.into()), agreed.client_window_bits().max(9));
        let stream =
            self.stream.get_or_insert_with(|| Box::new(Compress::new_with_window_bits(level, false, bits)));
        if agreed.client_no_context_takeover {
            stream.reset();
        }
        compress(stream, payload)
    }

    /// A message's compressed form that refers to nothing before it.
    pub fn compress_alone(&self, payload: &[u8]) -> Vec<u8> {
        let level = Compression::new(self.level.into());
        compress(&mut Compress::new_with_window_bits(level, false, 9), payload)
    }
}

fn compress(stream: &mut Compress, payload: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(payload.len() + payload.len() / 8 + 64);
    stream.compress_vec(payload, &mut compressed, FlushCompress::Sync).expect("it takes any bytes");
    assert!(compressed.ends_with(&FLUSH_END), "there is room for all");
    compressed.truncate(compressed.len() - FLUSH_END.len());
    compressed
}

/// Appends a message from its compressed form, in fragments of at most so many bytes with Pings between them.
pub fn append_compressed(
    kind: Kind,
    compressed: &[u8],
    fragment_bytes: usize,
    key: MaskingKey,
    out: &mut Vec<u8>,
) {
    let mut fragments = compressed.chunks(fragment_bytes).peekable();
    let (mut opcode, mut rsv) = (kind.into(), Rsv::RSV1);
    while let Some(fragment) = fragments.next() {
        let fin = fragments.peek().is_none();
        let payload_len = fragment.len() as u64;
        let header = FrameHeader { fin, rsv, opcode, masking_key: Some(key), payload_len };
        let mut encoded = [0; FrameHeader::LEN_MAX];
        let header_len = header.encode(&mut encoded);
        out.extend_from_slice(&encoded[..header_len]);
        let start = out.len();
        out.extend_from_slice(fragment);
        mask::apply(key, &mut out[start..], 0);
        if !fin {
            append_control(Opcode::Ping, Some(key), b"more to come", out);
        }
        (opcode, rsv) = (Opcode::Continuation, Rsv::NONE);
    }
}

/// Looks at every frame of a server that has agreed to compression, with a reader of its own.
#[derive(Debug)]
pub struct Scrutiny {
    agreed: Deflate,
    bytes_min: usize,
    decoder: FrameDecoder,
    is_compressed: bool,
    payload: Vec<u8>,
    /// Of each message that has come and was not taken yet: whether it was compressed.
    messages: VecDeque<bool>,
}

impl Scrutiny {
    pub fn new(agreed: Deflate, bytes_min: usize) -> Scrutiny {
        assert!(agreed.server_no_context_takeover, "what is compressed once is right for everyone");
        Scrutiny {
            agreed,
            bytes_min,
            decoder: FrameDecoder::new(),
            is_compressed: false,
            payload: Vec::new(),
            messages: VecDeque::new(),
        }
    }

    /// These bytes came.
    pub fn look_at(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut input = bytes.as_mut_slice();
        // What breaks the protocol is the connection's to find.
        while let Ok(Some(decoded)) = self.decoder.next(&mut input) {
            match decoded {
                Decoded::Header(header) => {
                    self.is_compressed = header.rsv == Rsv::RSV1;
                    self.payload.clear();
                }
                Decoded::Payload(piece) if piece.opcode.is_control() => {}
                Decoded::Payload(piece) => {
                    self.payload.extend_from_slice(piece.bytes);
                    if piece.last {
                        self.messages.push_back(self.is_compressed);
                        if self.is_compressed {
                            self.stays_within_its_window();
                        }
                    }
                }
            }
        }
    }

    /// A message was taken from the connection. `is_notice`: the server itself says it.
    pub fn heard(&mut self, message: &Message<'_>, is_notice: bool) {
        let is_compressed = self.messages.pop_front().expect("it came in a frame");
        if is_notice {
            assert!(!is_compressed, "what is for one client alone is not compressed");
            return;
        }
        let is_long = message.payload.len() >= self.bytes_min;
        assert!(is_long || !is_compressed, "what is short is not compressed");
        assert!(is_compressed || self.bytes_min > 0, "all is compressed where all is to be");
    }

    fn stays_within_its_window(&self) {
        let bits = self.agreed.server_window_bits();
        if bits < WindowBits::MAX {
            let furthest = furthest_reference(&[&self.payload[..], &FLUSH_END].concat());
            assert!(
                furthest <= 1 << bits,
                "what is compressed for 2^{bits} bytes refers to {furthest} before"
            );
        }
    }
}

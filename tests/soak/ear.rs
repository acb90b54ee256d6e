//! [`Ear`]: what a bad client makes of the server's answers: which they are, and that the server keeps to the protocol even
//! with those who do not.

use fanwire::protocol::{FrameHeader, Opcode, Parse};

/// Bytes that the head of an answer may have.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// What a server has said to one client.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    /// The answer's head until it is whole, then the header of a frame, and of a Close frame the code behind it.
    partial: Vec<u8>,
    /// The status of the answer to the request.
    pub(crate) status: Option<u16>,
    /// The code of the Close frame.
    pub(crate) close: Option<u16>,
    /// Bytes of a payload that are still to come.
    payload_left: u64,
}

impl Ear {
    /// Bytes came.
    ///
    /// # Errors
    /// If the server may not say so.
    pub(crate) fn hear(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while self.status.is_none() {
            let Some((first, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.partial.push(*first);
            if self.partial.ends_with(b"\r\n\r\n") {
                self.status = Some(status(&self.partial)?);
                self.partial.clear();
            } else if self.partial.len() > HEAD_BYTES_MAX {
                return Err(format!("an answer has {HEAD_BYTES_MAX} bytes and no end"));
            }
        }
        // What follows another answer is its body.
        if self.status == Some(101) { self.hear_frames(bytes) } else { Ok(()) }
    }

    fn hear_frames(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let count = self.payload_left.min(bytes.len() as u64);
                self.payload_left -= count;
                bytes = &bytes[count as usize..];
                continue;
            }
            if let Some(code) = self.close {
                return Err(format!("a byte {first:#04x} follows the Close frame with {code}"));
            }
            bytes = rest;
            self.partial.push(*first);
            let parsed = FrameHeader::parse(&self.partial);
            let parsed =
                parsed.map_err(|error| format!("a server's frame: {error}: {:02x?}", self.partial))?;
            let Parse::Complete((header, len)) = parsed else { continue };
            if header.masking_key.is_some() {
                return Err("a server's frame is masked".to_owned());
            }
            self.payload_left = header.payload_len;
            if header.opcode == Opcode::Close {
                self.payload_left -= (self.partial.len() - len) as u64;
                if header.payload_len >= 2 && self.partial.len() < len + 2 {
                    self.payload_left = 0;
                    continue;
                }
                let code = self.partial.get(len..len + 2);
                self.close = Some(code.map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])));
            }
            self.partial.clear();
        }
        Ok(())
    }
}

/// The status in an answer's head.
fn status(head: &[u8]) -> Result<u16, String> {
    let text = String::from_utf8_lossy(head);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.ok_or_else(|| format!("an answer begins with {:?}", text.chars().take(40).collect::<String>()))
}

#[test]
fn status_and_code_are_heard_however_the_bytes_are_cut() {
    let said = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x03abc\x81\x00\x88\x05\x03\xeaxyz";
    for cut in 1..said.len() {
        let mut ear = Ear::default();
        said.chunks(cut).for_each(|bytes| ear.hear(bytes).expect("it is right"));
        assert_eq!((ear.status, ear.close), (Some(101), Some(1002)), "in pieces of {cut}");
        assert!(ear.hear(b"\x89\x00").is_err_and(|how| how.contains("follows")));
    }
    let mut ear = Ear::default();
    ear.hear(b"HTTP/1.1 400 Bad Request\r\n\r\nwhatever").expect("it is right");
    assert_eq!((ear.status, ear.close), (Some(400), None));
    assert!(Ear::default().hear(b"220 smtp\r\n\r\n").is_err());
    assert!(Ear::default().hear(b"HTTP/1.1 101 \r\n\r\n\x83\x00").is_err());
    assert!(Ear::default().hear(b"HTTP/1.1 101 \r\n\r\n\x81\x80\0\0\0\0").is_err());
}

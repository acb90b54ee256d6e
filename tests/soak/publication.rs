//! What good clients say: payloads that tell which publication they are, so that a tear, a mix-up or a change shows.

use crate::laws::Publication;
use fanwire::protocol::Kind;

/// Letters without a pattern, which do not shrink when they are compressed.
const NOISE: [u8; 1021] = {
    let (mut noise, mut mixed, mut index) = ([0; 1021], 1_u32, 0);
    while index < noise.len() {
        mixed = mixed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise[index] = b'0' + (mixed >> 24) as u8 % 64;
        index += 1;
    }
    noise
};

/// A pattern, which does.
const PATTERN: &[u8] = b"row, row, row your boat, gently down the stream; ";

impl Publication {
    /// Every second one is text.
    pub(crate) fn kind(self) -> Kind {
        if self.number.is_multiple_of(2) { Kind::Text } else { Kind::Binary }
    }

    /// A payload of `len` bytes, or some more if it needs them to say what it is.
    pub(crate) fn payload(self, len: usize) -> Vec<u8> {
        let mut payload = format!("{} {} {len} ", self.publisher, self.number).into_bytes();
        let pattern = self.pattern();
        payload.reserve(len.saturating_sub(payload.len()));
        let mut at = self.number as usize % pattern.len();
        while payload.len() < len {
            let part = &pattern[at..];
            payload.extend_from_slice(&part[..part.len().min(len - payload.len())]);
            at = 0;
        }
        payload
    }

    fn pattern(self) -> &'static [u8] {
        if self.number.is_multiple_of(5) { &NOISE } else { PATTERN }
    }

    /// What a message that was heard says it is.
    ///
    /// # Errors
    /// If it is not exactly what was said.
    pub(crate) fn read(kind: Kind, payload: &[u8]) -> Result<Publication, String> {
        let mut words = payload.splitn(4, |byte| *byte == b' ');
        let mut word = || -> Option<u32> { std::str::from_utf8(words.next()?).ok()?.parse().ok() };
        let (Some(publisher), Some(number), Some(len)) = (word(), word(), word()) else {
            let start = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
            return Err(format!("a message of {} bytes says {start:?}", payload.len()));
        };
        let publication = Publication { publisher, number };
        let is_as_said = payload.len() >= len as usize
            && payload.len() < len as usize + 40
            && payload == publication.payload(len as usize);
        if is_as_said && kind == publication.kind() {
            Ok(publication)
        } else {
            Err(format!("{publication} arrives otherwise than it was said: {} bytes of {len}", payload.len()))
        }
    }
}

#[test]
fn a_payload_says_what_it_is_and_a_change_is_noticed() {
    for (number, len) in [(1, 0), (2, 100), (5, 70_000), (10, 1021)] {
        let publication = Publication { publisher: 7, number };
        let mut payload = publication.payload(len);
        assert_eq!(Publication::read(publication.kind(), &payload), Ok(publication));
        if len > 0 {
            payload[len / 2] ^= 1;
            assert!(Publication::read(publication.kind(), &payload).is_err());
            payload[len / 2] ^= 1;
        }
        let other = if publication.kind() == Kind::Text { Kind::Binary } else { Kind::Text };
        assert!(Publication::read(other, &payload).is_err());
    }
}

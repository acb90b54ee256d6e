//! [`Message`]: what one peer says to the other, put together from its frames (RFC 6455 §5.6, §6.2).

use std::ops::{Deref, DerefMut};

/// What a message's payload is (§5.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// UTF-8. A received message of this kind has been checked.
    Text,
    /// Any bytes.
    Binary,
}

/// A message that was received whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'i> {
    /// Text or binary; text is valid UTF-8.
    pub kind: Kind,
    /// The bytes, unmasked.
    pub payload: Payload<'i>,
}

impl Message<'_> {
    /// The payload as text, or `None` if the message is binary.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            Kind::Text => simdutf8::basic::from_utf8(&self.payload).ok(),
            Kind::Binary => None,
        }
    }
}

/// Where a received message's bytes are.
#[derive(Debug)]
pub enum Payload<'i> {
    /// The message came in one frame, whole in one input: its bytes are lent from there, unmasked in place.
    Lent(&'i mut [u8]),
    /// The message was put together from pieces; the buffer is the receiver's to keep.
    Assembled(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes in a buffer of their own: an assembled one as it is, a lent one copied.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Payload::Lent(bytes) => bytes.to_vec(),
            Payload::Assembled(bytes) => bytes,
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Payload::Lent(bytes) => bytes,
            Payload::Assembled(bytes) => bytes,
        }
    }
}

impl DerefMut for Payload<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Payload::Lent(bytes) => bytes,
            Payload::Assembled(bytes) => bytes,
        }
    }
}

/// Two payloads are equal when their bytes are, wherever they lie.
impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_6_a_text_can_be_had_as_text_and_nothing_else_can() {
        let message = |kind, bytes: &[u8]| {
            Message { kind, payload: Payload::Assembled(bytes.to_vec()) }.as_text().map(str::to_owned)
        };
        assert_eq!(message(Kind::Text, "h\u{e9}".as_bytes()).as_deref(), Some("h\u{e9}"));
        assert_eq!(message(Kind::Binary, b"he"), None);
    }

    #[test]
    fn a_payload_is_its_bytes_wherever_they_lie() {
        let mut bytes = *b"abc";
        let mut lent = Payload::Lent(&mut bytes);
        let mut assembled = Payload::Assembled(b"abc".to_vec());
        assert_eq!((&*lent, &lent), (&b"abc"[..], &assembled));
        lent[0] = b'x';
        assert_ne!(lent, assembled);
        assembled[0] = b'x';
        assert_eq!(lent, assembled);
        assert_eq!((lent.into_vec(), assembled.into_vec()), (b"xbc".to_vec(), b"xbc".to_vec()));
    }
}

//! UTF-8 in pieces (RFC 6455 §8.1): a text message is checked while it comes in, wherever it is cut, and fails at the
//! first byte that no text could continue with.

/// The text so far is not the beginning of any UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct InvalidUtf8;

/// Below this many bytes simdutf8 leaves a text to the standard library, which looks at each byte for itself.
const VECTOR_FROM_BYTES: usize = 64;

/// Whether a text that is whole is UTF-8.
#[inline]
pub(super) fn is_utf8(text: &[u8]) -> bool {
    (text.len() < VECTOR_FROM_BYTES && text.is_ascii()) || simdutf8::basic::from_utf8(text).is_ok()
}

/// Validates text that comes in pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Utf8Validator {
    /// The bytes of a character that is not whole yet.
    pending: [u8; 4],
    /// How many of `pending` are in use. Invariant: at most 3, and those are the beginning of a character.
    pending_len: u8,
}

impl Utf8Validator {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Utf8Validator {
        Utf8Validator::default()
    }

    /// Takes the next piece of the text.
    ///
    /// # Errors
    /// As soon as a byte has come that makes the text invalid whatever may follow. The validator is of no use then.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let mut rest = piece;
        while self.pending_len > 0 {
            let Some((byte, behind)) = rest.split_first() else { return Ok(()) };
            self.pending[usize::from(self.pending_len)] = *byte;
            self.pending_len += 1;
            rest = behind;
            match std::str::from_utf8(&self.pending[..usize::from(self.pending_len)]) {
                Ok(_) => self.pending_len = 0,
                // The character is still not whole.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(InvalidUtf8),
            }
        }
        let (whole, begun) = rest.split_at(rest.len() - begun_len(rest));
        if !is_utf8(whole) {
            return Err(InvalidUtf8);
        }
        match std::str::from_utf8(begun) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(InvalidUtf8),
            Err(_) => {
                self.pending[..begun.len()].copy_from_slice(begun);
                self.pending_len = begun.len() as u8;
                Ok(())
            }
        }
    }

    /// The text ends here.
    ///
    /// # Errors
    /// If its last character is not whole.
    pub fn finish(self) -> Result<(), InvalidUtf8> {
        if self.pending_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }
}

/// How many bytes at the end of `text` are of a character whose first byte asks for more than there are.
fn begun_len(text: &[u8]) -> usize {
    for (byte, len) in text.iter().rev().zip(1..=3) {
        let needed = match byte {
            0x80..=0xbf => continue,
            0xf0.. => 4,
            0xe0.. => 3,
            0xc0.. => 2,
            _ => 1,
        };
        return if len < needed { len } else { 0 };
    }
    0
}

//! The head of an HTTP message, until httparse can have it whole: [`HeadReader`]; and the grammar that its fields
//! share (RFC 9110 §5.6).
//!
//! Every byte is looked at once, however the head is cut: its cost is linear even if it comes byte by byte. What no
//! head can contain is found at once, without waiting for the head's end.

use super::error::HandshakeError;
use crate::limits::REQUEST_HEAD_BYTES_MAX;
use std::borrow::Cow;
use std::mem;

/// Which head is read, and so how it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeadKind {
    /// `GET / HTTP/1.1`: a method comes first.
    Request,
    /// `HTTP/1.1 101 …`.
    Response,
}

/// What a response head begins with. The minor version is httparse's matter.
const RESPONSE_PREFIX: &[u8] = b"HTTP/1.";

/// Where in the head's lines the reader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    /// Before the first line. RFC 9112 §2.2: a server ignores empty lines here.
    BeforeFirst,
    /// Behind the CR of an empty line before the first.
    BeforeFirstReturn,
    /// In the first word, of which this many bytes have come: a method, or a version.
    FirstWord(usize),
    /// In a line.
    Within,
    /// Behind the CR that ends a line.
    Return,
    /// At the start of a line that is not the first.
    Start,
    /// Behind the CR of the empty line that ends the head.
    LastReturn,
}

/// Finds the end of a head in bytes that may be cut anywhere.
#[derive(Debug)]
pub(super) struct HeadReader {
    kind: HeadKind,
    line: Line,
    /// The head so far. Invariant: shorter than [`REQUEST_HEAD_BYTES_MAX`].
    begun: Vec<u8>,
}

impl HeadReader {
    pub(super) fn new(kind: HeadKind) -> HeadReader {
        HeadReader { kind, line: Line::BeforeFirst, begun: Vec::new() }
    }

    /// Consumes from the front of `input` up to the head's end and returns the head, lent from the input if it came
    /// whole in it; `None` when all of the input is consumed and the head goes on.
    ///
    /// # Errors
    /// If the head cannot be HTTP, or is too large.
    pub(super) fn read<'i>(
        &mut self,
        input: &mut &'i mut [u8],
    ) -> Result<Option<Cow<'i, [u8]>>, HandshakeError> {
        let room = REQUEST_HEAD_BYTES_MAX - self.begun.len();
        let window = &input[..input.len().min(room)];
        match self.scan(window)? {
            Some(len) => {
                let (front, rest) = mem::take(input).split_at_mut(len);
                *input = rest;
                if self.begun.is_empty() {
                    return Ok(Some(Cow::Borrowed(front)));
                }
                self.begun.extend_from_slice(front);
                Ok(Some(Cow::Owned(mem::take(&mut self.begun))))
            }
            None if window.len() == room => Err(HandshakeError::HeadTooLarge),
            None => {
                let rest = mem::take(input);
                self.begun.extend_from_slice(rest);
                Ok(None)
            }
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.begun.capacity()
    }

    /// How many of `bytes` belong to the head, if it ends in them.
    fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
        for (index, byte) in bytes.iter().enumerate() {
            self.line = match (self.line, byte) {
                (Line::BeforeFirst, b'\r') => Line::BeforeFirstReturn,
                (Line::BeforeFirstReturn, b'\n') => Line::BeforeFirst,
                (Line::BeforeFirst, byte) => self.first_word(0, *byte)?,
                (Line::FirstWord(len), byte) => self.first_word(len, *byte)?,
                (Line::Within, b'\r') => Line::Return,
                (Line::Return, b'\n') => Line::Start,
                (Line::Start, b'\r') => Line::LastReturn,
                (Line::LastReturn, b'\n') => return Ok(Some(index + 1)),
                // RFC 9112 §2.2: a CR alone is invalid; so are, by our choice, an LF alone (it MAY be taken for a line's
                // end, and those who differ about it get smuggled requests) and NUL (RFC 9110 §5.5).
                (_, b'\r' | b'\n' | 0) | (Line::BeforeFirstReturn | Line::Return | Line::LastReturn, _) => {
                    return Err(HandshakeError::BareLineBreak);
                }
                (Line::Within | Line::Start, _) => Line::Within,
            };
        }
        Ok(None)
    }

    /// The first word ends a TLS hello, an SSH banner and the like at their first impossible byte.
    fn first_word(&self, len: usize, byte: u8) -> Result<Line, HandshakeError> {
        match self.kind {
            HeadKind::Request if is_tchar(byte) => Ok(Line::FirstWord(len + 1)),
            HeadKind::Request if byte == b' ' && len > 0 => Ok(Line::Within),
            HeadKind::Request => Err(HandshakeError::RequestLineInvalid),
            HeadKind::Response if RESPONSE_PREFIX.get(len) != Some(&byte) => {
                Err(HandshakeError::ResponseInvalid)
            }
            HeadKind::Response if len + 1 == RESPONSE_PREFIX.len() => Ok(Line::Within),
            HeadKind::Response => Ok(Line::FirstWord(len + 1)),
        }
    }
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `bytes` are a token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_tchar)
}

/// `bytes` without the blanks around them (OWS, RFC 9110 §5.6.3).
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list. Empty ones are legal and left out (RFC 9110 §5.6.1.2).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trimmed).filter(|element| !element.is_empty())
}

/// Whether a list of tokens has this one, in whatever case.
pub(super) fn has_token(value: &[u8], token: &str) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether `bytes` are a host with an optional port (RFC 9110 §7.2), the host not empty.
pub(super) fn is_host(bytes: &[u8]) -> bool {
    let (is_name, port) = if let Some(rest) = bytes.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        (end > 0 && rest[..end].iter().all(is_address), &rest[end + 1..])
    } else {
        let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        (is_reg_name(&bytes[..end]), &bytes[end..])
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && (digits.is_empty() || str::from_utf8(digits).is_ok_and(|port| port.parse::<u16>().is_ok()))
        }
        _ => false,
    };
    is_name && is_port
}

/// RFC 3986 §3.2.2, and not empty.
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return !name.is_empty(),
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) => rest,
            _ => return false,
        };
    }
}

/// Whether `bytes` can be sent as a request's target: visible ASCII without a fragment.
pub(super) fn is_target(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

/// A list of extensions with parameters (RFC 6455 §9.1) that is none. The parts before it may have looked right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MalformedExtensions;

/// A part of a list of extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ExtensionPart<'h> {
    /// The name with which an extension begins.
    Name(&'h [u8]),
    /// One of its parameters.
    Parameter(&'h [u8], Option<ParameterValue<'h>>),
}

/// The value of a parameter: a token, or what stands in the quotes of a quoted string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ParameterValue<'h>(&'h [u8]);

impl ParameterValue<'_> {
    /// The value's bytes, unescaped. It is a token, and a token has no backslash: all there are escape what follows.
    pub(super) fn bytes(self) -> impl Iterator<Item = u8> {
        self.0.iter().copied().filter(|byte| *byte != b'\\')
    }
}

/// Goes through a list of extensions (RFC 6455 §9.1), part by part. What they are does not matter here.
#[derive(Clone, Debug)]
pub(super) struct ExtensionParts<'h> {
    /// Invariant: begins with no blank. Empty behind the end and behind an error.
    rest: &'h [u8],
    /// Whether what follows begins an extension, or is behind a name or a parameter.
    begins: bool,
}

impl<'h> ExtensionParts<'h> {
    pub(super) fn new(value: &'h [u8]) -> ExtensionParts<'h> {
        ExtensionParts { rest: trimmed(value), begins: true }
    }

    /// The next part, if there is one: `Ok(None)` at the end.
    fn part(&mut self) -> Result<Option<ExtensionPart<'h>>, MalformedExtensions> {
        // Empty elements are legal.
        while let [b',', behind @ ..] = self.rest {
            self.rest = trimmed(behind);
            self.begins = true;
        }
        match self.rest {
            [] => Ok(None),
            name if self.begins => {
                self.begins = false;
                Ok(Some(ExtensionPart::Name(self.token(name)?)))
            }
            [b';', behind @ ..] => {
                let name = self.token(trimmed(behind))?;
                let value = match self.rest {
                    [b'=', behind @ ..] => Some(self.value(trimmed(behind))?),
                    _ => None,
                };
                Ok(Some(ExtensionPart::Parameter(name, value)))
            }
            _ => Err(MalformedExtensions),
        }
    }

    /// The token that `bytes` begin with. The rest is what stands behind it, and behind the blanks after it.
    fn token(&mut self, bytes: &'h [u8]) -> Result<&'h [u8], MalformedExtensions> {
        let len = bytes.iter().position(|byte| !is_tchar(*byte)).unwrap_or(bytes.len());
        let (token, behind) = bytes.split_at(len);
        self.rest = trimmed(behind);
        if token.is_empty() { Err(MalformedExtensions) } else { Ok(token) }
    }

    /// The same for a value, which may be quoted. §9.1: "the value after quoted-string unescaping MUST conform to the
    /// 'token' ABNF".
    fn value(&mut self, bytes: &'h [u8]) -> Result<ParameterValue<'h>, MalformedExtensions> {
        let Some(quoted) = bytes.strip_prefix(b"\"") else { return self.token(bytes).map(ParameterValue) };
        let mut rest = quoted;
        loop {
            rest = match rest {
                [b'"', behind @ ..] if rest.len() < quoted.len() => {
                    self.rest = trimmed(behind);
                    return Ok(ParameterValue(&quoted[..quoted.len() - rest.len()]));
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_tchar(*byte) => rest,
                _ => return Err(MalformedExtensions),
            };
        }
    }
}

impl<'h> Iterator for ExtensionParts<'h> {
    type Item = Result<ExtensionPart<'h>, MalformedExtensions>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.part();
        if part.is_err() {
            self.rest = &[];
        }
        part.transpose()
    }
}

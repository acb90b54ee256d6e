//! What both ends agree on (RFC 7692 §5, §7.1): a client's [`DeflateOffer`]s, and the [`Deflate`] that a server makes of
//! one of them.
//!
//! Names are compared byte by byte. RFC 6455 §9.1 does not say that case does not matter, and most others (Chromium, ws,
//! websockets) compare so too: who offers `Permessage-Deflate` might not know its own name in our answer.

use super::super::error::HandshakeError;
use super::super::head::{ExtensionPart, ExtensionParts, MalformedExtensions, ParameterValue};
use crate::limits::DEFLATE_OFFERS_MAX;
use std::fmt;
use std::num::NonZeroU8;

/// The extension's registered name (§7).
const NAME: &str = "permessage-deflate";

/// What both ends agreed on: the parameters of the server's answer (§7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Deflate {
    /// The server begins each message with an empty window (§7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client begins each message with an empty window (§7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The window with which the server compresses, if it is told to the client (§7.1.2.1).
    pub server_max_window_bits: Option<WindowBits>,
    /// The window with which the client compresses, if one is agreed on (§7.1.2.2).
    pub client_max_window_bits: Option<WindowBits>,
}

const _: () = assert!(size_of::<Option<Deflate>>() == 4, "every connection may keep one");

impl Deflate {
    /// The base-2 logarithm of the window with which the server compresses, 8 to 15.
    #[must_use]
    pub fn server_window_bits(&self) -> u8 {
        self.server_max_window_bits.map_or(WindowBits::MAX, WindowBits::get)
    }

    /// The base-2 logarithm of the window with which the client compresses, 8 to 15. A server can still inflate with 15.
    #[must_use]
    pub fn client_window_bits(&self) -> u8 {
        self.client_max_window_bits.map_or(WindowBits::MAX, WindowBits::get)
    }
}

/// The base-2 logarithm of the size of an LZ77 window: 8 to 15 (§7.1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct WindowBits(NonZeroU8);

impl WindowBits {
    /// A window of 256 bytes.
    pub const MIN: u8 = 8;
    /// A window of 32 KiB, which all can inflate.
    pub const MAX: u8 = 15;

    /// `None` unless `bits` are 8 to 15.
    #[must_use]
    pub const fn new(bits: u8) -> Option<WindowBits> {
        match NonZeroU8::new(bits) {
            Some(bits) if WindowBits::MIN <= bits.get() && bits.get() <= WindowBits::MAX => {
                Some(WindowBits(bits))
            }
            _ => None,
        }
    }

    /// The bits as a number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
    fn parse(value: ParameterValue<'_>) -> Option<WindowBits> {
        let mut bytes = value.bytes();
        let bits = match (bytes.next(), bytes.next(), bytes.next()) {
            (Some(digit @ b'8'..=b'9'), None, None) => digit - b'0',
            (Some(b'1'), Some(digit @ b'0'..=b'5'), None) => 10 + digit - b'0',
            _ => return None,
        };
        WindowBits::new(bits)
    }
}

/// One valid offer of a client (§7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct DeflateOffer {
    /// The server shall begin each message with an empty window (§7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client will do so, whatever the answer (§7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The server shall compress with at most this window (§7.1.2.1).
    pub server_max_window_bits: Option<WindowBits>,
    /// Whether the client can be told to compress with a smaller window (§7.1.2.2).
    pub client_max_window_bits: ClientWindow,
}

/// What a client says of the window with which it compresses (§7.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ClientWindow {
    /// Nothing: it takes no orders.
    Absent,
    /// It can be told one.
    Supported,
    /// It can be told one, and has this one if it is not.
    AtMost(WindowBits),
}

/// What a server wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct DeflatePolicy {
    /// Whether clients may refer to their earlier messages. It costs a window of 32 KiB for each client here.
    pub client_context_takeover: bool,
}

impl DeflateOffer {
    /// An offer without parameters.
    pub const PLAIN: DeflateOffer = DeflateOffer {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: None,
        client_max_window_bits: ClientWindow::Absent,
    };

    /// What this server makes of the offer; `None` if it declines.
    #[must_use]
    pub fn accept(&self, policy: &DeflatePolicy) -> Option<Deflate> {
        // A window class is one more compression of every publication, so there are two: 15 bits, and 9. §7.1.2.1: the
        // answer is "the same or smaller value", and there is one exactly if there was one in the offer.
        let server_max_window_bits = match self.server_max_window_bits.map(WindowBits::get) {
            None => None,
            Some(WindowBits::MAX) => WindowBits::new(WindowBits::MAX),
            Some(9..) => WindowBits::new(9),
            // zlib has no raw deflate in so small a window.
            Some(_) => return None,
        };
        // §7.1.2.2: the client keeps to its own bound whatever the answer. It is said again so that both ends read the
        // agreement in one place. A client that could be told a bound is told none: here any window is inflated.
        let client_max_window_bits = match self.client_max_window_bits {
            ClientWindow::AtMost(bits) => Some(bits),
            ClientWindow::Absent | ClientWindow::Supported => None,
        };
        Some(Deflate {
            // §7.1.1.1: a server may include it whatever the offer. So what is compressed once is right for all.
            server_no_context_takeover: true,
            client_no_context_takeover: self.client_no_context_takeover || !policy.client_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
        })
    }

    /// Takes in a parameter. `None`, and the offer is invalid (§7.1), if it is unknown, a duplicate or has a wrong value.
    fn add(&mut self, name: &[u8], value: Option<ParameterValue<'_>>) -> Option<()> {
        match (name, value) {
            (b"server_no_context_takeover", None) if !self.server_no_context_takeover => {
                self.server_no_context_takeover = true;
            }
            (b"client_no_context_takeover", None) if !self.client_no_context_takeover => {
                self.client_no_context_takeover = true;
            }
            (b"server_max_window_bits", Some(value)) if self.server_max_window_bits.is_none() => {
                self.server_max_window_bits = Some(WindowBits::parse(value)?);
            }
            (b"client_max_window_bits", value) if self.client_max_window_bits == ClientWindow::Absent => {
                self.client_max_window_bits = match value {
                    None => ClientWindow::Supported,
                    Some(value) => ClientWindow::AtMost(WindowBits::parse(value)?),
                };
            }
            _ => return None,
        }
        Some(())
    }

    /// What is agreed on if a server answers this offer with the parameters of `answer`; `None` if it may not (§7.1).
    fn answered_by(self, answer: DeflateOffer) -> Option<Deflate> {
        // §7.1.1.1: a server accepts an offer with it by including it.
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return None;
        }
        // §7.1.2.1: and so here, "with the same or smaller value". It may come without having been offered.
        if let Some(offered) = self.server_max_window_bits
            && answer.server_max_window_bits.is_none_or(|answered| answered > offered)
        {
            return None;
        }
        // §7.1.2.2: it comes with a value, and only to an offer with it.
        let client_max_window_bits = match (self.client_max_window_bits, answer.client_max_window_bits) {
            (ClientWindow::Absent | ClientWindow::Supported, ClientWindow::Absent) => None,
            (ClientWindow::AtMost(offered), ClientWindow::Absent) => Some(offered),
            (ClientWindow::Supported, ClientWindow::AtMost(answered)) => Some(answered),
            (ClientWindow::AtMost(offered), ClientWindow::AtMost(answered)) if answered <= offered => {
                Some(answered)
            }
            _ => return None,
        };
        Some(Deflate {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || answer.client_no_context_takeover,
            server_max_window_bits: answer.server_max_window_bits,
            client_max_window_bits,
        })
    }
}

/// What a server makes of the first offer that it can accept (§5.1).
#[must_use]
pub fn first_acceptable(offers: &[DeflateOffer], policy: &DeflatePolicy) -> Option<Deflate> {
    offers.iter().find_map(|offer| offer.accept(policy))
}

/// The offer as it stands in a client's Sec-WebSocket-Extensions header.
impl fmt::Display for DeflateOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={}", bits.get())?;
        }
        match self.client_max_window_bits {
            ClientWindow::Absent => Ok(()),
            ClientWindow::Supported => f.write_str("; client_max_window_bits"),
            ClientWindow::AtMost(bits) => write!(f, "; client_max_window_bits={}", bits.get()),
        }
    }
}

/// The answer as it stands in a server's Sec-WebSocket-Extensions header: its parameters are written as an offer's are,
/// and each of them has a value if an offer's may have one (§7.1).
impl fmt::Display for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = DeflateOffer {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: self
                .client_max_window_bits
                .map_or(ClientWindow::Absent, ClientWindow::AtMost),
        };
        written.fmt(f)
    }
}

/// An element of a Sec-WebSocket-Extensions header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Element {
    /// permessage-deflate; `None` if its parameters are invalid.
    Deflate(Option<DeflateOffer>),
    /// Another extension.
    Other,
}

/// Hands on the elements of one header, in order.
fn read(value: &[u8], mut hand_on: impl FnMut(Element)) -> Result<(), MalformedExtensions> {
    let mut current = None;
    for part in ExtensionParts::new(value) {
        match part? {
            ExtensionPart::Name(name) => {
                let element = if name == NAME.as_bytes() {
                    Element::Deflate(Some(DeflateOffer::PLAIN))
                } else {
                    Element::Other
                };
                current.replace(element).into_iter().for_each(&mut hand_on);
            }
            ExtensionPart::Parameter(name, value) => {
                if let Some(Element::Deflate(offer)) = &mut current {
                    let is_valid = offer.as_mut().and_then(|offer| offer.add(name, value)).is_some();
                    *offer = offer.filter(|_| is_valid);
                }
            }
        }
    }
    current.into_iter().for_each(hand_on);
    Ok(())
}

/// Appends the valid offers in one header of a request, as long as there is room for them.
///
/// # Errors
/// If the header is malformed.
pub(in super::super) fn read_offers(
    value: &[u8],
    offers: &mut Vec<DeflateOffer>,
) -> Result<(), HandshakeError> {
    let hand_on = |element| match element {
        // §5.1: an offer that is invalid, or for an extension that is not known, is declined.
        Element::Deflate(None) | Element::Other => {}
        Element::Deflate(Some(offer)) => {
            if offers.len() < DEFLATE_OFFERS_MAX {
                offers.push(offer);
            }
        }
    };
    read(value, hand_on).map_err(|MalformedExtensions| HandshakeError::ExtensionsInvalid)
}

/// What the header of a response agrees on, if that was `offered`.
///
/// # Errors
/// If the header is malformed, has an extension that was not offered, or no valid answer to what was.
pub(in super::super) fn check_answer(
    value: &[u8],
    offered: Option<DeflateOffer>,
) -> Result<Option<Deflate>, HandshakeError> {
    let mut agreed = Ok(None);
    let hand_on = |element| {
        agreed = match (agreed, element, offered) {
            (Err(error), _, _) => Err(error),
            (Ok(_), Element::Other, _) | (Ok(_), Element::Deflate(_), None) => {
                Err(HandshakeError::ExtensionNotOffered)
            }
            (Ok(None), Element::Deflate(Some(answer)), Some(offer)) => {
                offer.answered_by(answer).map(Some).ok_or(HandshakeError::DeflateAnswerInvalid)
            }
            (Ok(_), Element::Deflate(_), Some(_)) => Err(HandshakeError::DeflateAnswerInvalid),
        };
    };
    read(value, hand_on).map_err(|MalformedExtensions| HandshakeError::AnsweredExtensionsInvalid)?;
    agreed
}

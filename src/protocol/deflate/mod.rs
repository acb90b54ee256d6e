//! permessage-deflate (RFC 7692): messages whose payload is compressed.
//!
//! What both ends agree on stands in [`negotiation`]. A compressed message has RSV1 set in its first frame (§6).

mod negotiation;

pub use negotiation::{ClientWindow, Deflate, DeflateOffer, DeflatePolicy, WindowBits, first_acceptable};
pub(super) use negotiation::{check_answer, read_offers};

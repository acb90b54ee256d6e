//! permessage-deflate (RFC 7692): messages whose payload is compressed.
//!
//! What both ends agree on stands in `negotiation.rs`, with whom not to agree in `safari.rs`. A compressed message has
//! RSV1 set in its first frame (§6); a [`Deflater`] makes one and an [`Inflater`] undoes it. Neither keeps anything of a
//! connection: one of each serves all connections of a thread.

mod deflater;
mod inflater;
mod negotiation;
mod safari;

pub use deflater::{Compressing, Deflater, Window};
pub(super) use inflater::Context;
pub use inflater::Inflater;
pub use negotiation::{ClientWindow, Deflate, DeflateOffer, DeflatePolicy, WindowBits, first_acceptable};
pub(super) use negotiation::{check_answer, read_offers};
pub(super) use safari::keeps_context;

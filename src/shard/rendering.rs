//! Wire forms: which one a client gets, and how a publication is written in each.

use crate::config::DeflateConfig;
use crate::hub::Rendering;
use crate::metrics::Counters;
use crate::protocol::{
    Compressing, Deflate, DeflateOffer, DeflatePolicy, Deflater, Kind, Window, append_message,
    first_acceptable,
};

/// What is agreed to of what a client offers.
pub(super) fn agree(offers: &[DeflateOffer], config: &DeflateConfig) -> Option<Deflate> {
    let policy = DeflatePolicy { client_context_takeover: config.client_context_takeover };
    if config.enabled { first_acceptable(offers, &policy) } else { None }
}

/// The wire form that a client gets publications in.
pub(super) fn rendering_for(deflate: Option<Deflate>) -> Rendering {
    match deflate.and_then(|deflate| Window::within(deflate.server_window_bits())) {
        None => Rendering::Relay,
        Some(Window::Large) => Rendering::Deflated,
        Some(Window::Small) => Rendering::DeflatedSmall,
    }
}

/// A deflater as the operator wants it.
pub(super) fn deflater(config: &DeflateConfig) -> Deflater {
    Deflater::new(Compressing { level: config.level, bytes_min: config.bytes_min })
}

/// Appends a publication's frame.
pub(super) fn render(
    rendering: Rendering,
    kind: Kind,
    payload: &[u8],
    deflater: &mut Deflater,
    counters: &Counters,
    frames: &mut Vec<u8>,
) {
    let window = match rendering {
        Rendering::Relay => return append_message(kind, payload, frames),
        Rendering::Deflated => Window::Large,
        Rendering::DeflatedSmall => Window::Small,
    };
    let compressed = deflater.append_message(window, kind, payload, frames);
    counters.publications_deflated.add(u64::from(compressed));
}

//! [`Role`]: who masks, and what the peer's frames must be like.

use crate::protocol::deflate::{Deflate, Window};
use crate::protocol::frame::{Expected, Rsv};
use crate::protocol::mask::MaskingKey;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng;

/// Who masks (§5.1).
#[derive(Debug)]
pub(super) enum Role {
    Server,
    Client(Box<KeySource>),
}

/// Where a client's masking keys come from: a cipher's stream, which nobody can predict who does not know its seed
/// (§5.3, §10.3).
#[derive(Debug)]
pub(super) struct KeySource(pub(super) ChaCha20Rng);

impl Role {
    /// The key of the next frame to send.
    #[inline]
    pub(super) fn next_masking_key(&mut self) -> Option<MaskingKey> {
        match self {
            Role::Server => None,
            Role::Client(keys) => Some(MaskingKey(keys.0.next_u32().to_ne_bytes())),
        }
    }

    /// What the peer's frames must be like.
    #[inline]
    pub(super) fn expected(&self, continuation: bool, deflate: bool) -> Expected {
        let rsv = if deflate { Rsv::RSV1 } else { Rsv::NONE };
        Expected { masked: matches!(self, Role::Server), continuation, rsv }
    }

    /// The bytes of the window that the peer keeps from message to message when it compresses, if it does.
    pub(super) fn window_of_peer(&self, deflate: Deflate) -> Option<usize> {
        let (no_context_takeover, bits) = match self {
            Role::Server => (deflate.client_no_context_takeover, deflate.client_window_bits()),
            Role::Client(_) => (deflate.server_no_context_takeover, deflate.server_window_bits()),
        };
        (!no_context_takeover).then_some(1 << bits)
    }

    /// The window with which our own messages are compressed.
    pub(super) fn own_window(&self, deflate: Deflate) -> Option<Window> {
        Window::within(match self {
            Role::Server => deflate.server_window_bits(),
            Role::Client(_) => deflate.client_window_bits(),
        })
    }
}

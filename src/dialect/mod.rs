//! What messages mean: a dialect reads a client's message as a [`Command`].
//!
//! Dialects are pure: they see a message and answer what is to be done with it, and touch neither clients nor
//! channels. Which one a client speaks is chosen at its opening handshake, by the path. None of them is a
//! subprotocol of its own: `fanwire`, which a client may offer, stands for whichever the path names (RFC 6455 §4.2.2).

mod echo;
mod relay;

use crate::config::PayloadPolicy;
use crate::protocol::Kind;

/// The dialect of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Every message is a publication in the channel that the path named.
    Relay,
    /// Every message goes back to its sender.
    Echo,
}

impl Dialect {
    /// Reads one message of `user`, if a token says who that is, on these `terms` if it is to be published. `scratch` is
    /// where an answer is written that is not the message itself; what was in it is gone.
    #[inline]
    pub(crate) fn read<'m>(
        self,
        terms: Terms,
        user: Option<&str>,
        kind: Kind,
        payload: &'m [u8],
        scratch: &'m mut Vec<u8>,
    ) -> Command<'m> {
        match self {
            Dialect::Relay => match terms {
                Terms::Publish(policy) => relay::read(policy, user, kind, payload, scratch),
                Terms::Refuse(reason) => relay::reject(reason, scratch),
            },
            Dialect::Echo => echo::read(kind, payload),
        }
    }
}

/// What is taken of a client's publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    /// What this policy allows.
    Publish(PayloadPolicy),
    /// Nothing, for this reason.
    Refuse(&'static str),
}

/// What a client's message asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'m> {
    /// Everyone in the client's channel is to hear this.
    Publish {
        /// Text or binary.
        kind: Kind,
        /// The message as subscribers get it.
        payload: &'m [u8],
    },
    /// The sender alone is to hear this: its own message again.
    Reply {
        /// Text or binary.
        kind: Kind,
        /// The message as the sender gets it.
        payload: &'m [u8],
    },
    /// The message is not accepted; the sender alone is told why, in JSON text.
    Reject {
        /// `{"error": …}`.
        error: &'m [u8],
    },
}

//! The echo dialect: back to the sender only. For diagnostics and for conformance suites.

use super::Command;
use crate::protocol::Kind;

/// Every message is its own answer.
pub(crate) fn read(kind: Kind, payload: &[u8]) -> Command<'_> {
    Command::Reply { kind, payload }
}

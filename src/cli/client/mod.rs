//! What `fanwire chat`, `pub` and `sub` share: connections to one server, one at a time, what they say and hear, and what
//! the user sees of it.
//!
//! It speaks WebSocket by `fanwire::protocol::Connection` in the client role. What comes from the server is untrusted:
//! no control character in it reaches a terminal.

mod backoff;
mod caller;
mod channel;
mod departure;
mod lines;
mod link;
pub(super) mod payload;
mod screen;
mod security;
mod token;
mod transport;
mod trust;
mod unconfirmed;

pub(super) use backoff::Backoff;
pub(super) use caller::{Caller, Dialing};
pub(super) use channel::{Called, ChannelArguments, refused};
pub(super) use departure::Departure;
pub(super) use lines::{LINE_BYTES_MAX, Lines, Next};
pub(super) use link::{Ending, Link, Sequel};
pub(super) use screen::{Printer, Screen};
pub(super) use security::{SecurityArguments, TLS_NOTES};
pub(super) use token::{TOKEN_NOTES, TokenArguments};
pub(super) use unconfirmed::Unconfirmed;

//! RFC 7692, section by section, on `protocol::Connection`: both sides of each rule, the bytes in sight.

#[path = "../rfc6455/peer.rs"]
#[allow(dead_code, reason = "the tests of RFC 6455 need more of it")]
mod peer;

mod agreed;

mod limits;
mod s6_framing;
mod s7_1_1_context;
mod s7_1_negotiation;
mod s7_2_compression;
mod safari;

//! What is a request is none with a byte less, and the same byte by byte (RFC 6455 §4.2.1).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::a_strict_prefix_of_a_handshake_is_incomplete(bytes));

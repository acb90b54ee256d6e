//! However its input is cut, a connection does the same, in both roles, from handshake to close (RFC 6455).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::a_connection_ignores_how_its_input_is_cut(bytes));

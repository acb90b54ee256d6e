//! A header has one encoding, and no beginning of it is another (RFC 6455 §5.2).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::a_header_has_one_encoding(bytes));

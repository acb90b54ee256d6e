//! However a stream is cut, the decoder finds the same frames and the same error in it (RFC 6455 §5.2).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::decoding_ignores_how_bytes_are_cut(bytes));

//! Decoding undoes encoding, for any frames in a row, however they are cut (RFC 6455 §5.2, §5.3).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::decoding_undoes_encoding_of_scripted_frames(bytes));

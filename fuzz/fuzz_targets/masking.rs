//! Masking does what the RFC's loop over bytes does, wherever the payload lies; twice restores it (RFC 6455 §5.3).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::masking_a_script_agrees_with_the_naive_loop(bytes));

//! The validator says what std says, at the same byte, however the text is cut (RFC 6455 §8.1).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::utf8_validation_agrees_with_std(bytes));

//! Of any bytes for a compressed payload we make what flate2 makes of them when it is used directly (RFC 7692 §7.2.2).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::inflating_agrees_with_flate2(bytes));

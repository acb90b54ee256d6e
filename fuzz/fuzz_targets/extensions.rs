//! Extensions that are offered and answered mean the same however they are written (RFC 6455 §9.1, RFC 7692 §7.1).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::extensions_mean_one_thing_however_written(bytes));

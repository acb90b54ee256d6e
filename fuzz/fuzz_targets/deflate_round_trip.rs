//! What one end sends compressed, the other hears as it was said, however it is cut (RFC 7692 §7.2).
#![no_main]

use fanwire::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::compressed_messages_arrive_as_they_were_said(bytes));

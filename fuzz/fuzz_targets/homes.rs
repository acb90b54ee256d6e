//! Listeners are handed exactly what was sequenced while their interest stood, in order.
#![no_main]

use fanwire::hub::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::homes_hand_out_what_a_map_of_lists_would(bytes));

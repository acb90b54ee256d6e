//! A lap misses nobody, and slots mirror memberships.
#![no_main]

use fanwire::hub::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::a_lap_misses_nobody(bytes));

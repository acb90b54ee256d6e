//! A log agrees with one big vector in which every cursor is a number.
#![no_main]

use fanwire::hub::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::a_log_agrees_with_one_big_vector(bytes));

//! After the opening handshake, a connection does what tungstenite does (RFC 6455 §5 to §8), but for named exceptions.
#![no_main]

#[path = "../laws/against_tungstenite.rs"]
mod against_tungstenite;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    against_tungstenite::we_agree_with_tungstenite(bytes);
});

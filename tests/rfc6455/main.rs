//! RFC 6455, section by section, on `protocol::Connection`: both sides of each rule, the bytes in sight.
//!
//! Client frames are shown with the masking key `00 00 00 00`, under which the payload reads as it is; `s5_3_masking`
//! has keys that change something.

mod peer;

mod memory;
mod s10_limits;
mod s4_1_client_handshake;
mod s4_2_opening_handshake;
mod s5_1_masking_required;
mod s5_2_base_framing;
mod s5_3_masking;
mod s5_4_fragmentation;
mod s5_5_control_frames;
mod s5_6_data_frames;
mod s7_closing;
mod s8_1_utf8;
mod timeouts;

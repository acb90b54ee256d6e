//! §10.4: how large a message may be.

use crate::peer::{Peer, Seen, masked};
use fanwire::limits::Limits;
use fanwire::protocol::{Opcode, ProtocolError};

fn server() -> Peer {
    Peer::server_with(Limits { message_bytes_max: 10, ..Limits::default() })
}

#[test]
fn s10_4_a_message_of_the_largest_size_is_read() {
    let whole = masked(true, Opcode::Binary, &[1; 10]);
    assert_eq!(server().receive(&whole), [Seen::Binary(vec![1; 10])]);
    let fragments = [masked(false, Opcode::Binary, &[1; 4]), masked(true, Opcode::Continuation, &[1; 6])];
    assert_eq!(server().receive(&fragments.concat()), [Seen::Binary(vec![1; 10])]);
}

#[test]
fn s10_4_a_larger_one_fails_with_1009_by_its_header_alone() {
    assert_eq!(server().fail_by(b"\x82\x8b\0\0\0\0"), ProtocolError::MessageTooBig);
    assert_eq!(server().fail_by(b"\x02\x8b\0\0\0\0"), ProtocolError::MessageTooBig);
}

#[test]
fn s10_4_the_sum_over_fragments_counts_and_cannot_overflow() {
    let begun = masked(false, Opcode::Binary, &[1; 5]);
    assert_eq!(
        server().fail_by(&[&begun, b"\x80\x86\0\0\0\0".as_slice()].concat()),
        ProtocolError::MessageTooBig
    );
    let largest = b"\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".as_slice();
    assert_eq!(server().fail_by(&[&begun, largest].concat()), ProtocolError::MessageTooBig);
}

#[test]
fn s10_4_the_next_message_starts_from_nothing() {
    let message =
        [masked(false, Opcode::Binary, &[1; 6]), masked(true, Opcode::Continuation, &[1; 4])].concat();
    assert_eq!(server().receive(&message.repeat(3)), vec![Seen::Binary(vec![1; 10]); 3]);
}

#[test]
fn s10_4_control_frames_do_not_count() {
    let bytes = [masked(true, Opcode::Ping, &[1; 100]), masked(true, Opcode::Binary, &[1; 10])].concat();
    assert_eq!(server().receive(&bytes), [Seen::Binary(vec![1; 10])]);
}

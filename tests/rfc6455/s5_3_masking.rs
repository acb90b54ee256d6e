//! §5.3: how the key is applied.

use crate::peer::{Peer, Seen, text};
use fanwire::protocol::{Kind, MaskingKey, mask};

#[test]
fn s5_7_the_rfc_s_masked_hello_is_read() {
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(Peer::server().receive(&frame), [text("Hello")]);
}

#[test]
fn s5_3_octet_i_is_combined_with_octet_i_mod_4_of_the_key() {
    let mut payload = [0, 0, 0, 0, 0, 0xff];
    mask::apply(MaskingKey([1, 2, 3, 4]), &mut payload, 0);
    assert_eq!(payload, [1, 2, 3, 4, 1, 0xff ^ 2]);
    let mut payload = [0; 5];
    mask::apply(MaskingKey([1, 2, 3, 4]), &mut payload, 3);
    assert_eq!(payload, [4, 1, 2, 3, 4]);
}

#[test]
fn s5_3_the_key_goes_on_where_an_input_is_cut() {
    let frame = [0x82, 0x86, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2];
    for cut in 0..frame.len() {
        let mut server = Peer::server();
        let mut seen = server.receive(&frame[..cut]);
        seen.extend(server.receive(&frame[cut..]));
        assert_eq!(seen, [Seen::Binary(vec![0; 6])], "cut at {cut}");
    }
}

#[test]
fn s5_3_a_client_takes_a_fresh_key_for_every_frame() {
    let mut client = Peer::client();
    for _ in 0..8 {
        client.connection.send(Kind::Text, b"", &mut client.out);
    }
    let mut keys = client.out.chunks(6).map(|frame| &frame[2..]).collect::<Vec<_>>();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 8);
}

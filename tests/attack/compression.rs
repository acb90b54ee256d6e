//! Attacks by permessage-deflate (RFC 7692): offers, bombs, and streams that are none.

use crate::case::Right::{Close, Goes};
use crate::case::{Case, declined, deflated, frames, opens, request};
use crate::client::{masked, upgrade_with};
use crate::stage::MESSAGE_BYTES_MAX;
use flate2::{Compress, Compression, FlushCompress};

/// RFC 7692 §7.2.3.1: "Hello".
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// The end of a stored block that has nothing in it, and is not the last.
const EMPTY_BLOCK: &[u8] = b"\x00\x00\x00\xff\xff";
/// The same, as the last block of a stream.
const LAST_EMPTY_BLOCK: &[u8] = b"\x01\x00\x00\xff\xff";

pub(crate) fn cases() -> Vec<Case> {
    [offers(), bombs(), streams()].into_iter().flatten().collect()
}

fn offers() -> Vec<Case> {
    let wrong = [
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=0",
        "server_max_window_bits=-9",
        "server_max_window_bits=4294967305",
        "server_max_window_bits=99999999999999999999",
        "server_max_window_bits",
        "server_max_window_bits=\"7\"",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=1e1",
        "client_max_window_bits; client_max_window_bits",
        "server_no_context_takeover=1",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=9; server_max_window_bits=10",
        "level=99",
    ];
    let wrong = wrong.map(|parameters| {
        declined(format!("an offer with {parameters}"), &format!("permessage-deflate; {parameters}"))
    });
    let malformed = [
        "permessage-deflate; =9",
        "permessage-deflate;",
        "; server_max_window_bits=9",
        "permessage-deflate; a=\"",
        "permessage-deflate\u{e9}",
        "permessage-deflate; a=\"b c\"",
    ];
    let malformed = malformed.map(|offer| {
        let head = upgrade_with("/ws", &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        request(format!("a list of extensions that is {offer:?}"), head, 400)
    });
    let others = [
        declined("Hixie's compression", "x-webkit-deflate-frame"),
        declined("an extension of another's", "permessage-bzip2, mux; quota=1"),
        opens(
            "an offer in each of twenty lines",
            upgrade_with("/ws", &"Sec-WebSocket-Extensions: permessage-deflate; x\r\n".repeat(20)),
        ),
    ];
    wrong.into_iter().chain(malformed).chain(others).collect()
}

/// `payload` as one message's DEFLATE, as §7.2.1 has it.
fn compress(payload: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(payload.len() / 500 + 1_000);
    compress.compress_vec(payload, &mut out, FlushCompress::Sync).expect("valid");
    assert_eq!(compress.total_in(), payload.len() as u64, "there is room");
    out.truncate(out.len() - 4);
    out
}

/// A message in fragments of so many bytes.
fn cut(bytes: &[u8], size: usize) -> Vec<u8> {
    let count = bytes.len().div_ceil(size);
    let fragments = bytes.chunks(size).enumerate().map(|(number, piece)| {
        let first = if number == 0 { 0x42 } else { 0 } | if number + 1 == count { 0x80 } else { 0 };
        masked(first, piece)
    });
    fragments.collect::<Vec<_>>().concat()
}

/// Small on the wire, and large.
fn bombs() -> Vec<Case> {
    let large = compress(&vec![0; 20 << 20]);
    let just_too_large = compress(&vec![b'x'; MESSAGE_BYTES_MAX + 1]);
    let text = compress(&vec![b'x'; 1 << 20]);
    let noise: Vec<u8> = (0..60_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let slow_start = compress(&[noise, vec![0; 1 << 20]].concat());
    let of_blocks = EMPTY_BLOCK.repeat(12_000);
    vec![
        deflated("20 MiB of zeros", masked(0xc2, &large), Close(1009)),
        deflated("20 MiB of zeros, in fragments of a byte", cut(&large, 1), Close(1009)),
        deflated("20 MiB of zeros, in fragments of a hundred bytes", cut(&large, 100), Close(1009)),
        deflated("a byte more than the limit", masked(0xc2, &just_too_large), Close(1009)),
        deflated("a bomb of text", masked(0xc1, &text), Close(1009)),
        deflated("a bomb behind what does not compress", masked(0xc2, &slow_start), Close(1009)),
        deflated("ten bombs, one behind the other", masked(0xc2, &large).repeat(10), Close(1009)),
        deflated(
            "blocks with nothing in them",
            masked(0xc2, &[of_blocks, vec![0]].concat()),
            Goes(b"\x82\0".to_vec()),
        ),
        deflated("last blocks without end", masked(0xc2, &LAST_EMPTY_BLOCK.repeat(12_000)), Close(1007)),
        deflated(
            "last blocks without end, in fragments",
            cut(&LAST_EMPTY_BLOCK.repeat(12_000), 5),
            Close(1007),
        ),
        deflated(
            "compressed, and longer than the limit on the wire",
            masked(
                0xc2,
                &[
                    &[0, 0xff, 0xff, 0, 0][..],
                    &vec![7; 65_535],
                    &[0, 0xff, 0xff, 0, 0],
                    &vec![7; 65_535],
                    &[0],
                ]
                .concat(),
            ),
            Close(1009),
        ),
    ]
}

fn streams() -> Vec<Case> {
    let hello = b"\x81\x05Hello".to_vec();
    vec![
        deflated("a block of the reserved type", masked(0xc1, b"\x06"), Close(1007)),
        deflated(
            "a stored block whose lengths differ",
            masked(0xc1, b"\x00\x05\x00\x05\x00Hello"),
            Close(1007),
        ),
        deflated("a stored block that breaks off", masked(0xc1, b"\x00\x05\x00\xfa\xffHe"), Close(1007)),
        deflated("a reference before the beginning", masked(0xc1, b"\xf2\x00\x11\x00\x00"), Close(1007)),
        deflated(
            "a reference into the message before",
            [masked(0xc1, HELLO), masked(0xc1, b"\xf2\x00\x11\x00\x00")].concat(),
            Close(1007),
        ),
        deflated("a code of a thousand ones", masked(0xc1, &[0xff; 125]), Close(1007)),
        deflated(
            "random bytes",
            masked(
                0xc2,
                &(0..125_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 9) as u8).collect::<Vec<_>>(),
            ),
            Close(1007),
        ),
        deflated(
            "a Huffman tree with too many codes",
            masked(0xc2, b"\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            Close(1007),
        ),
        deflated("an empty payload", masked(0xc1, b""), Goes(b"\x81\0".to_vec())),
        deflated("what inflates to no UTF-8", masked(0xc1, &compress(b"ok \xff")), Close(1007)),
        deflated("what inflates to half a letter", masked(0xc1, &compress(b"\xe2\x82")), Close(1007)),
        deflated(
            "half a letter in each of two fragments",
            cut_text(&compress("\u{20ac}".as_bytes())),
            Goes(b"\x81\x03\xe2\x82\xac".to_vec()),
        ),
        deflated(
            "RSV1 on a continuation, where RSV1 means something",
            [masked(0x41, &HELLO[..3]), masked(0xc0, &HELLO[3..])].concat(),
            Close(1002),
        ),
        deflated(
            "RSV1 only on a continuation",
            [masked(0x01, b"He"), masked(0xc0, HELLO)].concat(),
            Close(1002),
        ),
        deflated("RSV1 on a Ping, where RSV1 means something", masked(0xc9, HELLO), Close(1002)),
        deflated("RSV1 on a Close, where RSV1 means something", masked(0xc8, b"\x03\xe8"), Close(1002)),
        deflated("RSV2 next to RSV1, where RSV1 means something", masked(0xe1, HELLO), Close(1002)),
        deflated(
            "a compressed frame and a plain one",
            [masked(0xc1, HELLO), masked(0x81, b"Hello")].concat(),
            Goes(hello.repeat(2)),
        ),
        frames("a compressed frame that nobody agreed to", masked(0xc1, HELLO), Close(1002)),
    ]
}

/// A compressed text in two fragments.
fn cut_text(bytes: &[u8]) -> Vec<u8> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [masked(0x41, first), masked(0x80, second)].concat()
}

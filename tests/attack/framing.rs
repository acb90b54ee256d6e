//! Attacks by frames: everything that RFC 6455 §5, §7 and §8.1 forbid.

use crate::case::Right::{Close, Goes};
use crate::case::{Case, frames};
use crate::client::{header, masked};
use crate::stage::MESSAGE_BYTES_MAX;

pub(crate) fn cases() -> Vec<Case> {
    [headers(), lengths(), fragments(), closes(), texts()].into_iter().flatten().collect()
}

/// Several frames.
fn all(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}

/// Reserved bits, reserved opcodes, and no mask.
fn headers() -> Vec<Case> {
    let bits = [(0x40, "RSV1"), (0x20, "RSV2"), (0x10, "RSV3"), (0x70, "all reserved bits")];
    let kinds = [
        (0x80, "a continuation"),
        (0x81, "a text"),
        (0x82, "a binary message"),
        (0x88, "a Close"),
        (0x89, "a Ping"),
        (0x8a, "a Pong"),
    ];
    let reserved = bits.into_iter().flat_map(|(bit, bits)| {
        kinds.map(|(first, kind)| {
            frames(format!("{bits} on {kind}"), masked(first | bit, b"\x03\xe8"), Close(1002))
        })
    });
    let opcodes = (3..=7)
        .chain(0xb..=0xf)
        .map(|opcode: u8| frames(format!("opcode {opcode:#x}"), masked(0x80 | opcode, b"x"), Close(1002)));
    let unmasked = [
        (0x81, "a text"),
        (0x82, "a binary message"),
        (0x88, "a Close"),
        (0x89, "a Ping"),
        (0x01, "a fragment"),
    ];
    let unmasked = unmasked
        .map(|(first, kind)| frames(format!("{kind} without a mask"), [first, 2, 3, 0xe8], Close(1002)));
    let others = [
        frames("an empty text without a mask", *b"\x81\0", Close(1002)),
        frames("HTTP behind the request", *b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", Close(1002)),
        frames(
            "a mask of zeros",
            [&[0x81, 0x82, 0, 0, 0, 0][..], b"ok"].concat(),
            Goes(b"\x81\x02ok".to_vec()),
        ),
    ];
    reserved.chain(opcodes).chain(unmasked).chain(others).collect()
}

/// A header's length in the form of 16 or of 64 bits, whatever it is.
fn long(first: u8, form: u8, len: u64) -> Vec<u8> {
    let len = len.to_be_bytes();
    let len = if form == 126 { &len[6..] } else { &len[..] };
    [&[first, 0x80 | form], len, &[1, 2, 3, 4]].concat()
}

fn lengths() -> Vec<Case> {
    let shortest = [(126, 0), (126, 1), (126, 125), (127, 0), (127, 125), (127, 126), (127, 65_535)];
    let shortest = shortest.map(|(form, len)| {
        frames(format!("a length of {len} in form {form}"), long(0x82, form, len), Close(1002))
    });
    let limit = MESSAGE_BYTES_MAX as u64;
    let too_long = [limit + 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 5, 1 << 53, (1 << 63) - 1];
    let too_long =
        too_long.map(|len| frames(format!("a length of {len}"), long(0x82, 127, len), Close(1009)));
    // §5.2: "the most significant bit MUST be 0".
    let impossible = [1 << 63, (1 << 63) + 5, u64::MAX - 1, u64::MAX];
    let impossible =
        impossible.map(|len| frames(format!("a length of {len}"), long(0x82, 127, len), Close(1002)));
    let control = [
        frames("a Ping of 126 bytes", masked(0x89, &[b'x'; 126]), Close(1002)),
        frames("a Pong of 126 bytes", masked(0x8a, &[b'x'; 126]), Close(1002)),
        frames("a Close of 126 bytes", masked(0x88, &[b'x'; 126]), Close(1002)),
        frames("a Ping of 2^63-1 bytes", long(0x89, 127, (1 << 63) - 1), Close(1002)),
        frames("a Ping of 5 bytes in form 126", long(0x89, 126, 5), Close(1002)),
        frames("a Close of 64 KiB", masked(0x88, &vec![0; 1 << 16]), Close(1002)),
    ];
    let one = masked(0x02, b"x");
    let rest = |len: u64| [one.clone(), long(0x80, 127, len)].concat();
    let sums = [
        frames("a continuation of 2^63-1 bytes", rest((1 << 63) - 1), Close(1009)),
        frames("a continuation of 2^63 bytes", rest(1 << 63), Close(1002)),
        frames("a continuation of 2^64-1 bytes", rest(u64::MAX), Close(1002)),
        frames("a continuation that is one byte too long", rest(limit), Close(1009)),
        frames("a continuation that wraps 32 bits", rest((1 << 32) - 1), Close(1009)),
        frames(
            "fragments whose sum is too long",
            [masked(0x02, &vec![0; 40_000]), header(0x00, 25_537), vec![0; 4]].concat(),
            Close(1009),
        ),
    ];
    shortest.into_iter().chain(too_long).chain(impossible).chain(control).chain(sums).collect()
}

fn fragments() -> Vec<Case> {
    let (begun, ended) = (masked(0x01, b"a"), masked(0x80, b"z"));
    let ok = b"\x81\x02az".to_vec();
    vec![
        frames("a continuation of nothing", ended.clone(), Close(1002)),
        frames("an unfinished continuation of nothing", masked(0x00, b"x"), Close(1002)),
        frames("a continuation of a whole message", all(&[masked(0x82, b"x"), ended.clone()]), Close(1002)),
        frames("a text within a text", all(&[begun.clone(), masked(0x81, b"x")]), Close(1002)),
        frames("a binary message within a text", all(&[begun.clone(), masked(0x82, b"x")]), Close(1002)),
        frames("a beginning within a text", all(&[begun.clone(), masked(0x01, b"x")]), Close(1002)),
        frames(
            "a continuation after the end",
            all(&[begun.clone(), ended.clone(), ended.clone()]),
            Close(1002),
        ),
        frames("a Ping in fragments", masked(0x09, b"x"), Close(1002)),
        frames("a Pong in fragments", masked(0x0a, b"x"), Close(1002)),
        frames("a Close in fragments", masked(0x08, b"\x03\xe8"), Close(1002)),
        frames(
            "a Ping between fragments",
            all(&[begun.clone(), masked(0x89, b"p"), ended.clone()]),
            Goes([b"\x8a\x01p", &ok[..]].concat()),
        ),
        frames("a Close between fragments", all(&[begun.clone(), masked(0x88, b"\x03\xe8")]), Close(1000)),
        frames("a fragmented Ping between fragments", all(&[begun.clone(), masked(0x09, b"p")]), Close(1002)),
        frames(
            "empty fragments",
            all(&[masked(0x01, b""), masked(0x00, b""), masked(0x80, b"")]),
            Goes(b"\x81\0".to_vec()),
        ),
    ]
}

fn closes() -> Vec<Case> {
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 10_000, 65_535];
    let codes = codes.map(|code: u16| {
        frames(format!("a Close with code {code}"), masked(0x88, &code.to_be_bytes()), Close(1002))
    });
    let others = [
        frames("a Close of one byte", masked(0x88, b"\x03"), Close(1002)),
        frames("a Close with a reason that is not UTF-8", masked(0x88, b"\x03\xe8\xff"), Close(1007)),
        frames("a Close with a reason that is cut", masked(0x88, b"\x03\xe8\xe2\x82"), Close(1007)),
        frames(
            "a Close with a reason of 123 bytes",
            masked(0x88, &[&b"\x03\xe8"[..], &[b'x'; 123]].concat()),
            Close(1000),
        ),
        frames("a Close with a surrogate", masked(0x88, b"\x03\xe8\xed\xa0\x80"), Close(1007)),
        frames(
            "a text behind a Close",
            all(&[masked(0x88, b"\x03\xe8"), masked(0x81, b"Evil")]),
            Close(1000),
        ),
        frames("two Closes", all(&[masked(0x88, b"\x03\xe8"), masked(0x88, b"\x03\xe9")]), Close(1000)),
        frames(
            "a Ping behind a Close",
            all(&[masked(0x88, b"\x03\xe8"), masked(0x89, b"Evil")]),
            Close(1000),
        ),
        frames("garbage behind a Close", all(&[masked(0x88, b"\x03\xe8"), vec![0xff; 100_000]]), Close(1000)),
        frames("a megabyte behind a violation", all(&[masked(0xf1, b""), vec![0xff; 1 << 20]]), Close(1002)),
    ];
    codes.into_iter().chain(others).collect()
}

/// Texts that are not UTF-8 (§8.1): every class of it, whole and cut.
fn texts() -> Vec<Case> {
    let classes: [(&str, &[u8]); 14] = [
        ("a continuation byte alone", b"\x80"),
        ("two of them", b"a\xbf\xbf"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong NUL", b"\xc1\x80"),
        ("an overlong form of three bytes", b"\xe0\x80\xaf"),
        ("an overlong form of four bytes", b"\xf0\x80\x80\xaf"),
        ("a high surrogate", b"\xed\xa0\x80"),
        ("a low surrogate", b"\xed\xbf\xbf"),
        ("a letter beyond U+10FFFF", b"\xf4\x90\x80\x80"),
        ("F5", b"\xf5\x80\x80\x80"),
        ("FE and FF", b"\xfe\xff"),
        ("a sequence that breaks off", b"\xe2\x28\xa1"),
        ("a sequence without its end", b"\xe2\x82"),
        ("half a sequence of four bytes at the end", b"ok \xf0\x9f\x98"),
    ];
    let whole =
        classes.map(|(name, text)| frames(format!("a text with {name}"), masked(0x81, text), Close(1007)));
    let cut = classes.map(|(name, text)| {
        let bytes = text.iter().map(|byte| masked(0x00, &[*byte]));
        let frames_of = [masked(0x01, b"")].into_iter().chain(bytes).chain([masked(0x80, b"")]);
        frames(format!("a text of fragments with {name}"), all(&frames_of.collect::<Vec<_>>()), Close(1007))
    });
    let far = [vec![b'x'; 60_000], b"\xff".to_vec()].concat();
    let others = [
        frames("a long text whose last byte is wrong", masked(0x81, &far), Close(1007)),
        frames(
            "a sequence with a Ping in it",
            all(&[masked(0x01, b"\xe2\x82"), masked(0x89, b""), masked(0x80, b"\xac")]),
            Goes(b"\x8a\0\x81\x03\xe2\x82\xac".to_vec()),
        ),
    ];
    whole.into_iter().chain(cut).chain(others).collect()
}

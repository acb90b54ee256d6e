//! Masking and UTF-8 alone.
//!
//! A payload is masked where it lies behind its header, at an odd half of a word or worse. The figure to reach is that of
//! a copy of as many bytes, `memcpy`. tungstenite's masking is not public.
//!
//! fanwire checks a text with its [`Utf8Validator`], which takes it in pieces; whole messages it gives to simdutf8, as
//! fastwebsockets and sockudo-ws do. tungstenite takes the standard library's check.

use super::case::Case;
use bytes::Bytes;
use fanwire::protocol::{MaskingKey, Utf8Validator, mask};
use fastwebsockets::{Frame, Payload};
use sockudo_ws::utf8::{Utf8Stream, validate_utf8};
use std::hint::black_box;
use tungstenite::Utf8Bytes;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Payloads that a batch masks or checks, so that the clock is not what is measured.
const BATCH: u64 = 64;

pub(crate) fn add_cases(cases: &mut Vec<Case>) {
    for (size, len, header_len) in
        [("16 B", 16, 6), ("128 B", 128, 8), ("1 KiB", 1 << 10, 8), ("64 KiB", 64 << 10, 14)]
    {
        cases.push(mask_case(size, len, header_len));
    }
    let ascii = "fanwire ".repeat(8 << 10);
    let mixed = "κόσμε €1 😀 ".repeat(3 << 10);
    for (name, text, len) in [
        ("128 B of ASCII", &ascii, 128),
        ("64 KiB of ASCII", &ascii, ascii.len()),
        ("60 KiB of mixed text", &mixed, mixed.len()),
    ] {
        cases.push(text_case(name, &text[..len]));
    }
    cases.push(pieces_case("60 KiB of mixed text in pieces of 100 B", mixed));
}

fn mask_case(size: &str, len: usize, header_len: usize) -> Case {
    let masks = |mask: fn(&mut [u8])| {
        let mut frame = vec![0; header_len + len];
        mask(&mut frame[header_len..]);
        assert!(frame[header_len..].iter().enumerate().all(|(at, byte)| *byte == KEY[at % 4]));
        move || (0..BATCH).for_each(|_| mask(black_box(&mut frame[header_len..])))
    };
    let copies = |copy: fn(&[u8], &mut [u8])| {
        let (from, mut to) = (vec![1; header_len + len], vec![0; header_len + len]);
        move || {
            for _ in 0..BATCH {
                copy(black_box(&from[header_len..]), black_box(&mut to[header_len..]));
            }
        }
    };
    Case::new("mask", size.to_owned(), BATCH, len as u64)
        .with("fanwire", masks(|payload| mask::apply(MaskingKey(black_box(KEY)), payload, 0)))
        .with("fastwebsockets", masks(|payload| fastwebsockets::unmask(payload, black_box(KEY))))
        .with("sockudo-ws", masks(|payload| sockudo_ws::simd::apply_mask(payload, black_box(KEY))))
        .with("memcpy", copies(|from, to| to.copy_from_slice(from)))
        .with("memcpy of 1 KiB", copies(copy_in_pieces))
}

/// As the C library copies what is short, for on some machines it copies what is long at half of the speed.
fn copy_in_pieces(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(1 << 10).zip(to.chunks_mut(1 << 10)) {
        to.copy_from_slice(from);
    }
}

fn text_case(name: &str, text: &str) -> Case {
    let checks = |is_text: fn(&'static [u8]) -> bool| {
        let text: &'static [u8] = text.as_bytes().to_vec().leak();
        let cut: &'static [u8] = [text, b"\xe2"].concat().leak();
        assert!(is_text(text) && !is_text(cut));
        move || (0..BATCH).for_each(|_| assert!(is_text(black_box(text))))
    };
    Case::new("UTF-8", name.to_owned(), BATCH, text.len() as u64)
        .with("fanwire", checks(|bytes| in_pieces([bytes])))
        .with("tungstenite", checks(|bytes| Utf8Bytes::try_from(Bytes::from_static(bytes)).is_ok()))
        .with("fastwebsockets", checks(|bytes| Frame::text(Payload::Borrowed(bytes)).is_utf8()))
        .with("sockudo-ws", checks(validate_utf8))
}

fn pieces_case(name: &str, text: String) -> Case {
    let text: &'static str = text.leak();
    let pieces = || black_box(text.as_bytes()).chunks(100);
    Case::new("UTF-8", name.to_owned(), 1, text.len() as u64)
        .with("fanwire", move || assert!(in_pieces(pieces())))
        .with("sockudo-ws", move || {
            let mut validator = Utf8Stream::new();
            assert!(pieces().all(|piece| validator.push(piece)) && validator.finish());
        })
}

fn in_pieces<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> bool {
    let mut validator = Utf8Validator::new();
    pieces.into_iter().all(|piece| validator.push(piece).is_ok()) && validator.finish().is_ok()
}

//! [`Template`]: the frames that a sender sends, encoded ahead of time; and what is read from their payloads when they come
//! back.
//!
//! What is broadcast is a chat line, so that a server which takes nothing else takes it too, and one that writes the line
//! anew is understood:
//!
//! ```text
//! {"username":"u00007","text":"0000000000000042 0000001234567890 xxxx"}
//!               publisher       number           intended time in ns
//! ```
//!
//! Echoed is the number alone, as many of its digits as there is room for, and filler.

use fanwire::protocol::mask;
use fanwire::protocol::{Kind, MaskingKey, append_frame};
use std::ops::Range;

/// Bytes of the shortest chat line: all its fields, and no filler.
pub(super) const LINE_BYTES_MIN: usize = 64;

/// Publishers that a chat line has names for.
pub(super) const PUBLISHERS_MAX: usize = 100_000;

const PUBLISHER: Range<usize> = 14..19;
const NUMBER: Range<usize> = 29..45;
const TIME: Range<usize> = 46..62;

/// Digits of a number or a time.
const DIGITS: usize = 16;

/// The shortest chat line, with its fields at 0.
const LINE: &[u8; LINE_BYTES_MIN] = br#"{"username":"u00000","text":"0000000000000000 0000000000000000"}"#;

/// How far above that each byte of a chat line may be: a digit by 9, and what follows the fields by anything.
const LINE_SPANS: [u8; LINE_BYTES_MIN] = {
    let mut spans = [0; LINE_BYTES_MIN];
    let mut index = 0;
    while index < LINE_BYTES_MIN {
        spans[index] = match LINE[index] {
            b'0' => 9,
            _ if index >= TIME.end => u8::MAX,
            _ => 0,
        };
        index += 1;
    }
    spans
};

/// The filler of a payload.
const FILLER: u8 = b'x';

/// Frames that differ in a few digits.
///
/// They are masked with one key, all of them. Keys that nobody can predict protect intermediaries from whoever may choose
/// the bytes that a browser sends (RFC 6455 §10.3): here nobody but the user does. A server unmasks by any key that is
/// not 0 in the same time.
#[derive(Debug)]
pub(super) struct Template {
    /// As many frames as have been sent at once, one behind the other. Invariant: not empty.
    frames: Vec<u8>,
    frame_bytes: usize,
    /// Where in a frame the payload begins.
    payload_start: usize,
    key: MaskingKey,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Line,
    /// So many digits of the number stand in front.
    Numbered(usize),
}

impl Template {
    /// Chat lines of `bytes` bytes, at least [`LINE_BYTES_MIN`].
    pub(super) fn lines(bytes: usize, key: MaskingKey) -> Template {
        let (fields, end) = LINE.split_at(TIME.end);
        let mut line = fields.to_vec();
        if bytes > LINE_BYTES_MIN {
            line.push(b' ');
        }
        line.resize(bytes - end.len(), FILLER);
        line.extend_from_slice(end);
        Template::new(Kind::Text, &line, key, Shape::Line)
    }

    /// Numbered messages of `bytes` bytes, to be echoed.
    pub(super) fn numbered(kind: Kind, bytes: usize, key: MaskingKey) -> Template {
        Template::new(kind, &vec![FILLER; bytes], key, Shape::Numbered(bytes.min(DIGITS)))
    }

    fn new(kind: Kind, payload: &[u8], key: MaskingKey, shape: Shape) -> Template {
        let mut frames = Vec::new();
        append_frame(true, kind.into(), Some(key), payload, &mut frames);
        let frame_bytes = frames.len();
        Template { frames, frame_bytes, payload_start: frame_bytes - payload.len(), key, shape }
    }

    /// Bytes of a frame.
    pub(super) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Bytes of a payload.
    pub(super) fn payload_bytes(&self) -> usize {
        self.frame_bytes - self.payload_start
    }

    /// Makes the frame at this place of those that are to be written at once the frame of this message. The places are
    /// filled in their order.
    #[inline]
    pub(super) fn fill(&mut self, place: usize, publisher: usize, number: u64, intended_ns: u64) {
        let start = place * self.frame_bytes;
        if start == self.frames.len() {
            self.frames.extend_from_within(..self.frame_bytes);
        }
        let start = start + self.payload_start;
        match self.shape {
            Shape::Line => {
                self.put(start, PUBLISHER, &digits(publisher as u64)[DIGITS - PUBLISHER.len()..]);
                self.put_16(start, NUMBER.start, digits(number));
                self.put_16(start, TIME.start, digits(intended_ns));
            }
            Shape::Numbered(DIGITS) => self.put_16(start, 0, digits(number)),
            Shape::Numbered(count) => self.put(start, 0..count, &digits(number)[DIGITS - count..]),
        }
    }

    /// The frames at the first so many places.
    #[inline]
    pub(super) fn frames(&self, count: usize) -> &[u8] {
        &self.frames[..count * self.frame_bytes]
    }

    /// Puts digits into the payload that starts there.
    #[inline]
    fn put(&mut self, payload_start: usize, place: Range<usize>, digits: &[u8]) {
        let offset = place.start;
        let place = &mut self.frames[payload_start + place.start..payload_start + place.end];
        place.copy_from_slice(digits);
        mask::apply(self.key, place, offset);
    }

    /// The same for so many that they are masked in one step.
    #[inline]
    fn put_16(&mut self, payload_start: usize, offset: usize, digits: [u8; DIGITS]) {
        let key = u32::from_le_bytes(self.key.0).rotate_right(offset as u32 % 4 * u8::BITS);
        let keys = u128::from(key) * 0x1_0000_0001_0000_0001_0000_0001;
        let masked = u128::from_le_bytes(digits) ^ keys;
        self.frames[payload_start + offset..][..DIGITS].copy_from_slice(&masked.to_le_bytes());
    }

    /// The number in an echoed payload, of which only the last digits may stand there: the one nearest to `near`. `None`
    /// if this is nothing that was sent.
    #[inline]
    pub(super) fn number(&self, payload: &[u8], near: u64) -> Option<u64> {
        let Shape::Numbered(count) = self.shape else { return None };
        if payload.len() != self.payload_bytes() {
            return None;
        }
        if count == DIGITS {
            return read_16(payload.first_chunk()?);
        }
        let mut digits = [b'0'; DIGITS];
        digits[DIGITS - count..].copy_from_slice(payload);
        Some(nearest(read_16(&digits)?, 10_u64.pow(count as u32), near))
    }
}

/// The number nearest to `near` that is `rest` modulo `modulus`.
fn nearest(rest: u64, modulus: u64, near: u64) -> u64 {
    let base = near / modulus * modulus + rest;
    if base > near + modulus / 2 && base >= modulus {
        base - modulus
    } else if base + modulus / 2 < near {
        base + modulus
    } else {
        base
    }
}

/// What a chat line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) publisher: usize,
    pub(super) number: u64,
    pub(super) intended_ns: u64,
}

impl Line {
    /// Reads a chat line, in the form in which it was sent or as another writer of JSON has it. `None` if it is none of
    /// ours.
    #[inline]
    pub(super) fn read(payload: &[u8]) -> Option<Line> {
        Line::verbatim(payload).or_else(|| Line::rewritten(payload))
    }

    #[inline]
    fn verbatim(payload: &[u8]) -> Option<Line> {
        let line: &[u8; LINE_BYTES_MIN] = payload.first_chunk()?;
        let is_within = |index: usize| line[index].wrapping_sub(LINE[index]) <= LINE_SPANS[index];
        let is_ours = (0..LINE_BYTES_MIN).fold(true, |is_ours, index| is_ours & is_within(index));
        if !is_ours {
            return None;
        }
        // The eight bytes that end with the publisher; the first three of them are no digits.
        let mut publisher: [u8; 8] = *line[PUBLISHER.end - 8..].first_chunk()?;
        publisher[..3].fill(b'0');
        Some(Line {
            publisher: value_8(publisher) as usize,
            number: value_16(line[NUMBER.start..].first_chunk()?),
            intended_ns: value_16(line[TIME.start..].first_chunk()?),
        })
    }

    #[cold]
    fn rewritten(payload: &[u8]) -> Option<Line> {
        let line: serde_json::Value = serde_json::from_slice(payload).ok()?;
        let publisher = line.get("username")?.as_str()?.strip_prefix('u')?.parse().ok()?;
        let mut words = line.get("text")?.as_str()?.split(' ');
        let number = words.next()?.parse().ok()?;
        let intended_ns = words.next()?.parse().ok()?;
        Some(Line { publisher, number, intended_ns })
    }
}

// ---- Digits, eight at a time ----------------------------------------------------------------------------------------

const EIGHT_DIGITS: u64 = 100_000_000;

/// A number's last 16 decimal digits.
#[inline]
fn digits(number: u64) -> [u8; DIGITS] {
    let mut digits = [0; DIGITS];
    digits[..8].copy_from_slice(&digits_8(number / EIGHT_DIGITS % EIGHT_DIGITS));
    digits[8..].copy_from_slice(&digits_8(number % EIGHT_DIGITS));
    digits
}

/// Halves the number again and again, all parts in one word: twice four digits, four times two, eight times one. The
/// products by 10,486 / 2^20 and 103 / 2^10 are the quotients by 100 and 10 of all numbers of so many digits.
#[inline]
fn digits_8(number: u64) -> [u8; 8] {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | ((twos - tens * 10) << 8);
    (ones + 0x3030_3030_3030_3030).to_le_bytes()
}

/// 16 decimal digits; `None` if one is none.
#[inline]
fn read_16(digits: &[u8; DIGITS]) -> Option<u64> {
    let are_digits = digits.iter().fold(true, |are, byte| are & byte.is_ascii_digit());
    are_digits.then(|| value_16(digits))
}

/// The value of 16 bytes that are decimal digits.
#[inline]
fn value_16(digits: &[u8; DIGITS]) -> u64 {
    let (halves, _) = digits.as_chunks::<8>();
    value_8(halves[0]) * EIGHT_DIGITS + value_8(halves[1])
}

/// The reverse of [`digits_8`]: neighbours are put together, three times.
#[inline]
fn value_8(digits: [u8; 8]) -> u64 {
    let ones = u64::from_le_bytes(digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let twos = (ones.wrapping_mul((10 << 8) | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul((100 << 16) | 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul((10_000 << 32) | 1) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: MaskingKey = MaskingKey([0x3d, 0x21, 0xfa, 0x37]);

    /// The payload of a frame, unmasked.
    fn payload(template: &mut Template, publisher: usize, number: u64, intended_ns: u64) -> Vec<u8> {
        template.fill(0, publisher, number, intended_ns);
        let mut payload = template.frames(1)[template.payload_start..].to_vec();
        mask::apply(KEY, &mut payload, 0);
        payload
    }

    #[test]
    fn a_line_has_as_many_bytes_as_are_asked_for_and_is_chat_json() {
        for bytes in [64, 65, 66, 67, 125, 126, 128, 512, 65_535, 65_536, 70_001] {
            let mut template = Template::lines(bytes, KEY);
            let payload = payload(&mut template, 7, 42, 1_234_567_890);
            assert_eq!(payload.len(), bytes);
            let line: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
            assert_eq!(line["username"], "u00007");
            assert!(
                line["text"].as_str().unwrap().starts_with("0000000000000042 0000001234567890"),
                "{line}"
            );
        }
    }

    #[test]
    fn s5_3_a_frame_is_a_masked_text_in_one_piece_with_a_key_that_is_not_0() {
        let mut template = Template::lines(64, KEY);
        template.fill(0, 0, 0, 0);
        let frame = template.frames(1);
        assert_eq!(frame[..6], [0x81, 0x80 | 64, 0x3d, 0x21, 0xfa, 0x37]);
        assert_eq!(frame.len(), 6 + 64);
    }

    #[test]
    fn frames_that_are_written_at_once_are_those_that_would_be_written_one_by_one() {
        for mut template in [Template::lines(100, KEY), Template::numbered(Kind::Text, 3, KEY)] {
            // Each batch has remains of that before it.
            for (batch, count) in [(1, 2), (2, 5), (3, 3)] {
                let message = |place: u64| (7 * place as usize, 10 * batch + place, batch);
                let mut single = Vec::new();
                for (publisher, number, intended_ns) in (0..count).map(message) {
                    template.fill(0, publisher, number, intended_ns);
                    single.extend_from_slice(template.frames(1));
                }
                for (place, (publisher, number, intended_ns)) in (0..count).map(message).enumerate() {
                    template.fill(place, publisher, number, intended_ns);
                }
                assert_eq!(template.frames(count as usize), single);
            }
        }
    }

    #[test]
    fn a_line_that_comes_back_is_read() {
        let mut template = Template::lines(128, KEY);
        for line in [
            Line { publisher: 0, number: 0, intended_ns: 0 },
            Line { publisher: 99_999, number: 9_999_999_999_999_999, intended_ns: 1_234_567_887_654_321 },
        ] {
            let payload = payload(&mut template, line.publisher, line.number, line.intended_ns);
            assert_eq!(Line::verbatim(&payload), Some(line));
            assert_eq!(Line::rewritten(&payload), Some(line));
        }
    }

    #[test]
    fn a_line_that_a_server_has_written_anew_is_read() {
        let rewritten =
            br#"{ "at": 5, "text": "0000000000000042 0000000000000007 xx", "username": "u00003" }"#;
        assert_eq!(Line::read(rewritten), Some(Line { publisher: 3, number: 42, intended_ns: 7 }));
    }

    #[test]
    fn what_is_no_line_of_ours_is_not_read() {
        for foreign in [
            &b""[..],
            b"welcome",
            br#"{"username":"ann","text":"0000000000000042 0000000000000007"}"#,
            br#"{"username":"u00003","text":"hello there, how are you today, my dear?"}"#,
            br#"{"username":"u00003","text":"00000000000000:2 0000000000000007 xxxxxxx"}"#,
        ] {
            assert_eq!(Line::read(foreign), None, "{}", String::from_utf8_lossy(foreign));
        }
    }

    #[test]
    fn a_line_with_any_byte_changed_is_another_or_none() {
        for place in 0..LINE_BYTES_MIN {
            for byte in 0..=u8::MAX {
                let mut line = *LINE;
                line[place] = byte;
                let is_digit = LINE[place] == b'0' && byte.is_ascii_digit();
                let is_filler = place >= TIME.end;
                let is_read = is_digit || is_filler || byte == LINE[place];
                assert_eq!(Line::verbatim(&line).is_some(), is_read, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn an_echoed_number_is_read_from_as_many_digits_as_there_are() {
        for bytes in [1, 2, 15, 16, 17, 1000] {
            let mut template = Template::numbered(Kind::Binary, bytes, KEY);
            for number in [0, 9, 10, 11, 99, 12_345] {
                let payload = payload(&mut template, 0, number, 0);
                assert_eq!(payload.len(), bytes);
                for near in [number, number + 3, number.saturating_sub(3)] {
                    assert_eq!(template.number(&payload, near), Some(number), "{bytes} bytes");
                }
            }
        }
    }

    #[test]
    fn an_empty_message_is_taken_for_the_next() {
        let template = Template::numbered(Kind::Text, 0, KEY);
        assert_eq!(template.number(b"", 77), Some(77));
        assert_eq!(template.number(b"x", 77), None);
    }

    #[test]
    fn an_echo_of_another_length_or_without_digits_is_none() {
        let template = Template::numbered(Kind::Text, 20, KEY);
        assert_eq!(template.number(b"0000000000000001xxxx", 0), Some(1));
        assert_eq!(template.number(b"0000000000000001xxx", 0), None);
        assert_eq!(template.number(b"000000000000000axxxx", 0), None);
    }

    #[test]
    fn digits_and_numbers_are_the_same_both_ways() {
        let mut number = 1_u64;
        while number < 10_000_000_000_000_000 {
            for near in [number - 1, number, number + 1, number / 9 * 7] {
                assert_eq!(digits(near), *format!("{near:016}").as_bytes().first_chunk().unwrap());
                assert_eq!(read_16(&digits(near)), Some(near));
            }
            number = number * 3 + 1;
        }
        for four in 0..10_000 {
            assert_eq!(digits_8(four), *format!("{four:08}").as_bytes().first_chunk().unwrap());
        }
        for byte in 0..=255 {
            let is_digit = u8::is_ascii_digit(&byte);
            for index in 0..DIGITS {
                let mut digits = digits(1_234_567_890);
                digits[index] = byte;
                assert_eq!(read_16(&digits).is_some(), is_digit);
            }
        }
    }
}

//! How far back compressed data refers (RFC 1951): a reader of codes that makes no output, because an inflater with a
//! large window follows any reference and says nothing of it.

/// The order in which a block says how long the codes for code lengths are (RFC 1951 section 3.2.7).
const LENGTHS_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The longest distance in whole blocks of compressed data; 0 if there is none.
pub fn furthest_reference(blocks: &[u8]) -> usize {
    let mut codes = Codes { bytes: blocks, at: 0 };
    let mut furthest = 0;
    while codes.at.div_ceil(8) < blocks.len() {
        let _is_last = codes.bits(1);
        match codes.bits(2) {
            0 => {
                codes.at = codes.at.next_multiple_of(8);
                let len = codes.bits(16);
                codes.at += 16 + 8 * len;
            }
            1 => {
                let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
                furthest = furthest.max(codes.block(&lengths, &[5; 30]));
            }
            2 => {
                let (literals, distances) = codes.dynamic_lengths();
                furthest = furthest.max(codes.block(&literals, &distances));
            }
            _ => panic!("a block has one of three types"),
        }
    }
    furthest
}

/// Canonical codes (RFC 1951 section 3.2.2).
struct Alphabet {
    /// How many codes have so many bits.
    counts: [usize; 16],
    /// In the order of their codes.
    symbols: Vec<usize>,
}

impl Alphabet {
    fn new(lengths: &[usize]) -> Alphabet {
        let mut counts = [0; 16];
        for &len in lengths {
            counts[len] += 1;
        }
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        Alphabet { counts, symbols }
    }
}

struct Codes<'c> {
    bytes: &'c [u8],
    /// In bits.
    at: usize,
}

impl Codes<'_> {
    fn bits(&mut self, count: usize) -> usize {
        (0..count).fold(0, |bits, place| {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            bits | usize::from(bit) << place
        })
    }

    /// The symbol of the next code.
    fn symbol(&mut self, alphabet: &Alphabet) -> usize {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for &count in &alphabet.counts[1..] {
            code |= self.bits(1);
            if code < first + count {
                return alphabet.symbols[index + code - first];
            }
            (code, first, index) = (code << 1, (first + count) << 1, index + count);
        }
        panic!("a code has at most 15 bits");
    }

    /// The lengths of a block's codes, for literals and lengths and for distances.
    fn dynamic_lengths(&mut self) -> (Vec<usize>, Vec<usize>) {
        let (literals, distances, count) = (257 + self.bits(5), 1 + self.bits(5), 4 + self.bits(4));
        let mut length_lengths = [0; 19];
        for &place in &LENGTHS_ORDER[..count] {
            length_lengths[place] = self.bits(3);
        }
        let length_codes = Alphabet::new(&length_lengths);
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (length, times) = match self.symbol(&length_codes) {
                16 => (lengths[lengths.len() - 1], 3 + self.bits(2)),
                17 => (0, 3 + self.bits(3)),
                18 => (0, 11 + self.bits(7)),
                length => (length, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        let distances = lengths.split_off(literals);
        (lengths, distances)
    }

    /// The longest distance in a block (RFC 1951 section 3.2.5).
    fn block(&mut self, literals: &[usize], distances: &[usize]) -> usize {
        let (literals, distances) = (Alphabet::new(literals), Alphabet::new(distances));
        let mut furthest = 0;
        loop {
            let symbol = self.symbol(&literals);
            match symbol {
                0..=255 => continue,
                256 => return furthest,
                257..=264 | 285 => {}
                _ => _ = self.bits((symbol - 261) / 4),
            }
            let distance = match self.symbol(&distances) {
                short @ 0..=3 => 1 + short,
                long => {
                    let extra = long / 2 - 1;
                    1 + ((2 + long % 2) << extra) + self.bits(extra)
                }
            };
            furthest = furthest.max(distance);
        }
    }
}

#[test]
fn the_furthest_reference_is_the_longest_distance_to_an_equal_part() {
    use flate2::{Compress, Compression, FlushCompress};
    let noise = |period: u32| move |index: u32| ((index % period + 1).wrapping_mul(0x9e37_79b9) >> 13) as u8;
    for (period, level) in [(1_000, 6), (3, 6), (20_000, 9), (300, 1)] {
        let payload: Vec<u8> = (0..100.max(2 * period)).map(noise(period)).collect();
        let mut compressed = Vec::with_capacity(2 * payload.len() + 64);
        let mut stream = Compress::new_with_window_bits(Compression::new(level), false, 15);
        stream.compress_vec(&payload, &mut compressed, FlushCompress::Sync).expect("it takes any bytes");
        assert_eq!(furthest_reference(&compressed), period as usize);
    }
}

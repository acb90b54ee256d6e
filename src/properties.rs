//! The laws: what holds for every input, each written once. Those of the hub stand beside what they are about, in
//! `hub/properties.rs`; all others here, in a file for each part of the protocol.
//!
//! A law is a plain function that takes bytes or values and asserts. It is driven three ways: by proptest, in the module
//! `tests` at the end of its file; by the targets under `fuzz/`, five lines each; and by their kept corpus, here. To add
//! one, write the function in the file of what it is about, drive it in that file's tests, and hand it on from here.
//!
//! A law over one slice takes it to begin with a [`Script`], so that a fuzzer decides how input is cut as well.
//! "It did not crash" is no law.
#![allow(clippy::missing_panics_doc, reason = "that is what a law does when it does not hold")]

mod connection;
mod deflate;
mod extensions;
mod frames;
#[cfg(test)]
mod strategies;

pub use connection::{
    a_connection_ignores_how_its_input_is_cut, a_strict_prefix_of_a_handshake_is_incomplete,
};
pub use deflate::{compressed_messages_arrive_as_they_were_said, inflating_agrees_with_flate2};
pub use extensions::{
    an_answer_agrees_within_the_offer, extensions_mean_one_thing_however_written,
    offers_are_what_a_naive_reader_finds, offers_survive_being_written_again,
    our_client_takes_our_server_s_answer,
};
pub use frames::{
    Frame, a_header_has_one_encoding, decoding_ignores_how_bytes_are_cut, decoding_undoes_encoding,
    decoding_undoes_encoding_of_scripted_frames, masking_a_script_agrees_with_the_naive_loop,
    masking_agrees_with_the_naive_loop, parsing_a_header_undoes_encoding, utf8_validation_agrees_with_std,
};

#[cfg(test)]
#[path = "../tests/kept/mod.rs"]
mod kept;

/// How a law is to treat the bytes that follow: a byte of switches, how many cuts there are, and the lengths between
/// them, which are used over and over. A length of 0 is an empty input.
#[derive(Clone, Copy, Debug)]
pub struct Script<'b> {
    switches: u8,
    lengths: &'b [u8],
    /// What is left of the bytes.
    pub rest: &'b [u8],
}

impl<'b> Script<'b> {
    /// Takes the script off the front of `bytes`; what is missing counts as 0.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Script<'b> {
        let (switches, rest) = bytes.split_first().map_or((0, bytes), |(switches, rest)| (*switches, rest));
        let (count, rest) =
            rest.split_first().map_or((0, rest), |(count, rest)| (usize::from(count % 16), rest));
        let (lengths, rest) = rest.split_at(count.min(rest.len()));
        Script { switches, lengths, rest }
    }

    fn switch(&self, bit: u8) -> bool {
        self.switches >> bit & 1 == 1
    }

    /// `bytes` in pieces.
    fn cut<'c>(&self, bytes: &'c [u8]) -> Vec<&'c [u8]> {
        // Cuts that are all empty would never end.
        if self.lengths.iter().all(|len| *len == 0) {
            return vec![bytes];
        }
        let mut pieces = Vec::new();
        let mut rest = bytes;
        for len in self.lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(usize::from(*len).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}

/// The corpus under `fuzz/`, without a fuzzer.
#[cfg(test)]
mod kept_corpus {
    use super::*;
    use crate::hub::properties as hub;
    use std::fs;
    use std::path::Path;

    type Law = fn(&[u8]);

    /// Each fuzz target with its law.
    const TARGETS: [(&str, Law); 13] = [
        ("connection", a_connection_ignores_how_its_input_is_cut),
        ("deflate_round_trip", compressed_messages_arrive_as_they_were_said),
        ("extensions", extensions_mean_one_thing_however_written),
        ("frame_decoder", decoding_ignores_how_bytes_are_cut),
        ("frame_header", a_header_has_one_encoding),
        ("frame_round_trip", decoding_undoes_encoding_of_scripted_frames),
        ("handshake", a_strict_prefix_of_a_handshake_is_incomplete),
        ("homes", hub::homes_hand_out_what_a_map_of_lists_would),
        ("inflate", inflating_agrees_with_flate2),
        ("log", hub::a_log_agrees_with_one_big_vector),
        ("masking", masking_a_script_agrees_with_the_naive_loop),
        ("subscriptions", hub::a_lap_misses_nobody),
        ("utf8", utf8_validation_agrees_with_std),
    ];

    /// Targets whose laws are not the crate's: they need a world, which `tests/simulation` has.
    const DRIVEN_BY_THE_SIMULATION: [&str; 1] = ["shard.rs"];

    #[test]
    fn every_kept_input_obeys_its_targets_law() {
        for (target, law) in TARGETS {
            kept::replay(target, law);
        }
    }

    #[test]
    fn every_target_drives_the_law_that_its_corpus_is_kept_for() {
        let targets: Vec<_> = TARGETS.iter().map(|(target, _)| format!("{target}.rs")).collect();
        let mut others = kept::files("fuzz/fuzz_targets");
        // A law that needs a crate which the library does not stands there, and has its own test.
        others.retain(|target| !kept::files("fuzz/laws").contains(target));
        others.retain(|target| !DRIVEN_BY_THE_SIMULATION.contains(&&**target));
        assert_eq!(others, targets);
        let this_file = include_str!("properties.rs");
        let targets_directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        for target in targets {
            let source = fs::read_to_string(targets_directory.join(&target)).unwrap();
            let (_, call) = source.split_once("properties::").expect("a target calls a law");
            let law = call.rsplit("::").next().and_then(|call| call.split('(').next()).unwrap();
            let (name, _) = target.split_once('.').unwrap();
            let row = this_file.lines().find(|line| line.trim().starts_with(&format!("(\"{name}\", ")));
            assert!(row.is_some_and(|row| row.ends_with(&format!("{law}),"))), "{name} drives {law}");
        }
    }
}

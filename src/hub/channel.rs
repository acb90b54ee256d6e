//! A channel's name, and which shard is its home.
//!
//! Names are what peers say, so they are checked once, on entry, and hashed with a secret key.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::limits::CHANNEL_NAME_BYTES_MAX;

/// The name of a channel: 1 to [`CHANNEL_NAME_BYTES_MAX`] of `A-Za-z0-9-_=@,.;:/`, taken as they are.
///
/// Nothing is decoded or normalised: two names are the same channel if they are the same bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Checks `name` and keeps a copy of it.
    ///
    /// # Errors
    /// If it is empty, too long, or has a character that no channel has.
    pub fn new(name: &str) -> Result<ChannelName, ChannelNameError> {
        if name.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if name.len() > CHANNEL_NAME_BYTES_MAX {
            return Err(ChannelNameError::TooLong);
        }
        match name.chars().find(|&character| !may_stand_in_a_name(character)) {
            Some(character) => Err(ChannelNameError::Character(character)),
            None => Ok(ChannelName(Arc::from(name))),
        }
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn may_stand_in_a_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_=@,.;:/".contains(character)
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why something is not the name of a channel. Displayed, it is a sentence for the peer that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelNameError {
    /// It has no bytes.
    Empty,
    /// It has more than [`CHANNEL_NAME_BYTES_MAX`] bytes.
    TooLong,
    /// This is its first character that no channel's name may have.
    Character(char),
}

impl fmt::Display for ChannelNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelNameError::Empty => f.write_str("a channel's name cannot be empty"),
            ChannelNameError::TooLong => {
                write!(f, "a channel's name has at most {CHANNEL_NAME_BYTES_MAX} bytes")
            }
            // Escaped: what a peer sent is never handed back as it came.
            ChannelNameError::Character(character) => write!(
                f,
                "a channel's name has only characters of A-Z a-z 0-9 - _ = @ , . ; : / (nothing is \
                 percent-decoded), and not '{}'",
                character.escape_default()
            ),
        }
    }
}

impl std::error::Error for ChannelNameError {}

/// The key with which names are hashed (SipHash-1-3): the same on every shard, and secret, so that nobody can choose
/// names that collide.
#[derive(Clone, Copy)]
pub struct HashSeed(pub u64, pub u64);

impl BuildHasher for HashSeed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

impl fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashSeed(secret)")
    }
}

/// The shard, below `shards`, at which `name` is at home: the same for everybody with the same seed.
///
/// # Panics
/// If there are no shards.
#[must_use]
pub fn home_of(name: &ChannelName, shards: usize, seed: HashSeed) -> usize {
    let mut hasher = seed.build_hasher();
    // Hashed under a word of its own: all names at home on one shard would else share bits of their hash, and
    // crowd in that shard's hash tables.
    hasher.write(b"home");
    hasher.write(name.as_str().as_bytes());
    let shards = u64::try_from(shards).expect("a count of shards fits 64 bits");
    usize::try_from(hasher.finish() % shards).expect("it is below a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_digits_and_nine_other_characters() {
        for name in ["lobby", "A-Za-z0-9-_=@,.;:/", "/", "..", "presence-room@1;2=3,4:5/6", "0"] {
            assert_eq!(ChannelName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_has_no_other_characters_and_nothing_is_percent_decoded() {
        for (name, character) in
            [("a b", ' '), ("a%20b", '%'), ("caf\u{e9}", '\u{e9}'), ("a\0", '\0'), ("a?b", '?'), ("a+b", '+')]
        {
            assert_eq!(ChannelName::new(name), Err(ChannelNameError::Character(character)));
        }
    }

    #[test]
    fn a_name_has_1_to_200_bytes() {
        assert_eq!(ChannelName::new(""), Err(ChannelNameError::Empty));
        assert!(ChannelName::new("x").is_ok());
        assert!(ChannelName::new(&"x".repeat(200)).is_ok());
        assert_eq!(ChannelName::new(&"x".repeat(201)), Err(ChannelNameError::TooLong));
    }

    #[test]
    fn names_are_the_same_channel_if_they_are_the_same_bytes() {
        assert_eq!(ChannelName::new("a/b"), ChannelName::new("a/b"));
        assert_ne!(ChannelName::new("a/b"), ChannelName::new("a//b"));
        assert_ne!(ChannelName::new("lobby"), ChannelName::new("Lobby"));
    }

    #[test]
    fn a_refusal_says_why_and_hands_nothing_back_as_it_came() {
        assert_eq!(ChannelNameError::Empty.to_string(), "a channel's name cannot be empty");
        assert_eq!(ChannelNameError::TooLong.to_string(), "a channel's name has at most 200 bytes");
        assert_eq!(
            ChannelNameError::Character('\u{1b}').to_string(),
            "a channel's name has only characters of A-Z a-z 0-9 - _ = @ , . ; : / (nothing is percent-decoded), \
             and not '\\u{1b}'"
        );
    }

    #[test]
    fn homes_are_spread_over_all_shards() {
        let mut at_home = [0; 4];
        for number in 0..4000 {
            at_home[home_of(&ChannelName::new(&format!("room-{number}")).unwrap(), 4, HashSeed(1, 2))] += 1;
        }
        assert!(at_home.iter().all(|channels| (900..1100).contains(channels)), "{at_home:?}");
    }

    #[test]
    fn another_seed_has_other_homes() {
        let homes = |seed| {
            let names = (0..64).map(|number| ChannelName::new(&number.to_string()).unwrap());
            names.map(|name| home_of(&name, 4, seed)).collect::<Vec<_>>()
        };
        assert_ne!(homes(HashSeed(1, 2)), homes(HashSeed(1, 3)));
    }

    #[test]
    fn a_seed_does_not_show_in_logs() {
        assert_eq!(format!("{:?}", HashSeed(4711, 4712)), "HashSeed(secret)");
    }
}

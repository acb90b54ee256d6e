//! [`Talk`]: what becomes of the words that are said and heard, whichever connection carries them.

use crate::cli::client::payload::{self, Heard};
use crate::cli::client::{Link, Screen, Unconfirmed};
use fanwire::protocol::Kind;
use std::time::Instant;

/// What is said and heard, over however many connections.
pub(super) struct Talk {
    /// In whose name lines are said.
    pub(super) username: String,
    /// The server knows by a token who we are, and says it in our place.
    pub(super) is_renamed: bool,
    /// Lines and payloads go as they are.
    pub(super) is_raw: bool,
    /// Where it is shown.
    pub(super) screen: Screen,
    /// What we said and have not heard.
    pub(super) unconfirmed: Unconfirmed,
    /// When one of our lines was last sent, or came back.
    pub(super) last_progress: Instant,
    /// Errors that came while lines of ours were unconfirmed.
    pub(super) errors: usize,
}

impl Talk {
    /// Says a line.
    pub(super) fn say(&mut self, words: &[u8], link: &mut Link) {
        self.last_progress = Instant::now();
        if self.is_raw {
            let kind = if str::from_utf8(words).is_ok() { Kind::Text } else { Kind::Binary };
            self.unconfirmed.say(words);
            link.send(kind, words);
        } else {
            let text = String::from_utf8_lossy(words.strip_suffix(b"\r").unwrap_or(words));
            self.unconfirmed.say(text.as_bytes());
            link.send(Kind::Text, payload::chat(&self.username, &text).as_bytes());
        }
    }

    /// Shows a message, unless it is our own and stands on the screen already.
    pub(super) fn hear(&mut self, kind: Kind, payload: &[u8]) {
        let heard = payload::read(kind, payload);
        let is_own = match &heard {
            _ if self.is_raw => self.unconfirmed.confirm(payload),
            Heard::Chat { username, text } if self.is_renamed || *username == self.username => {
                self.unconfirmed.confirm(text.as_bytes())
            }
            _ => false,
        };
        if is_own {
            self.last_progress = Instant::now();
            // The line stands where it was typed.
            if self.screen.has_editor() && !self.is_raw {
                return;
            }
        }
        // An error is for us alone, and only if we said something. Otherwise somebody published what looks like one.
        let heard = match heard {
            Heard::Error(error) if self.unconfirmed.len() > 0 => {
                self.errors += 1;
                Heard::Error(error)
            }
            Heard::Error(_) => Heard::Other,
            heard => heard,
        };
        self.screen.show(kind, payload, &heard);
    }

    /// Whether all that we said has come back, or was not accepted.
    pub(super) fn is_answered(&self) -> bool {
        self.unconfirmed.len() <= self.errors
    }
}

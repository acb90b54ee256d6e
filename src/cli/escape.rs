//! What strangers say, for a terminal: what [`escape`] lets through moves no cursor, rings no bell and changes no colour.

use std::fmt::Write;

/// What stands before the second and later lines of a text, so that they do not look like messages of their own.
const INDENT: &str = "    ";

/// Appends a text of which a terminal shows every character and obeys none, but for tabs and line ends.
pub(crate) fn append_escaped(text: &str, out: &mut String) {
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\t' => out.push('\t'),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' => {
                out.push('\n');
                out.push_str(INDENT);
            }
            char if is_active(char) => out.extend(char.escape_default()),
            char => out.push(char),
        }
    }
}

/// A text in one line of which a terminal shows every character and obeys none.
pub(crate) fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, char| {
        if is_active(char) {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
        escaped
    })
}

/// JSON of the same value of which a terminal shows every character and obeys none. JSON itself escapes only the first 32.
pub(crate) fn escape_json(json: &str) -> String {
    json.chars().fold(String::new(), |mut escaped, char| {
        if is_active(char) {
            // All of them are below 65,536, so that four digits are enough. Writing to a String does not fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(char));
        } else {
            escaped.push(char);
        }
        escaped
    })
}

/// Whether a terminal would do something at this character instead of showing it: the control characters of ASCII and
/// Latin-1, what changes the direction of writing (a name could then show as another), and Unicode's own line ends.
fn is_active(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut out = String::new();
        append_escaped(text, &mut out);
        out
    }

    #[test]
    fn control_characters_are_seen_and_not_obeyed() {
        assert_eq!(shown("\x1b[2J\x07\x7f\u{9b}31m"), r"\u{1b}[2J\u{7}\u{7f}\u{9b}31m");
        assert_eq!(shown("a\rb"), r"a\rb", "nothing overwrites the name before it");
        assert_eq!(shown("\u{202e}evil\u{2069}\u{2028}"), r"\u{202e}evil\u{2069}\u{2028}");
        for code in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
            assert!(!escape(&code.to_string()).contains(char::is_control), "{code:?}");
        }
    }

    #[test]
    fn tabs_and_all_that_can_be_seen_stay() {
        let text = "\ta \\ é 👩‍👩‍👧 ا ✓";
        assert_eq!(shown(text), text);
    }

    #[test]
    fn a_further_line_is_indented_so_that_it_forges_no_message() {
        assert_eq!(shown("one\nann: two\r\nthree"), "one\n    ann: two\n    three");
        assert_eq!(escape("one\nann: two"), r"one\nann: two");
    }
}

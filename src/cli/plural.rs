//! Numbers with their nouns, as people write them.

/// `1 byte`, `2 bytes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_s() {
        assert_eq!([count(0, "line"), count(1, "line"), count(2, "line")], ["0 lines", "1 line", "2 lines"]);
    }
}

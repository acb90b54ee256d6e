//! [`Closes`]: with which codes WebSocket connections have ended.

use super::Cell;

/// Codes that are counted on their own; all else is "other".
const CODES: [u16; 14] = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000];

/// How many WebSocket connections have ended with which code (RFC 6455 §7.4), each once: the one of the client's Close frame
/// if that came first or in answer to ours (1005 if it had none), else the one with which we failed the connection; 1006 if
/// it was lost, or cut off, before either.
#[derive(Debug, Default)]
pub struct Closes([Cell; CODES.len() + 1]);

impl Closes {
    /// Counts one. Only the owning shard calls this.
    pub fn add(&self, code: u16) {
        let place = CODES.iter().position(|one| *one == code).unwrap_or(CODES.len());
        self.0[place].add(1);
    }

    /// Each code with its count, and what is left as `other`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = [
            "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
            "1013", "3000", "other",
        ];
        names.into_iter().zip(self.0.iter().map(Cell::get))
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(Cell::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_counted_by_its_name_and_the_rest_together() {
        let closes = Closes::default();
        for code in CODES.into_iter().chain([1004, 4000, 4999]) {
            closes.add(code);
        }
        let mut rows: Vec<(&str, u64)> = closes.iter().collect();
        assert_eq!(rows.pop(), Some(("other", 3)));
        assert!(rows.iter().zip(CODES).all(|((name, count), code)| *name == code.to_string() && *count == 1));
        assert_eq!((rows.len(), closes.total()), (CODES.len(), 17));
    }
}

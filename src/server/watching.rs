//! [`Watched`]: files that are to be read again when they have changed.

use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Some files, and what they looked like. Somebody looks at them from time to time.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    /// What they looked like when they were read the last time, for better or worse.
    read: Vec<Option<Stamp>>,
    /// What they looked like at the latest look.
    seen: Vec<Option<Stamp>>,
}

/// By what a file that was changed or replaced is recognised. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Watched {
    /// These, which are to be read in this moment.
    pub(super) fn new(files: Vec<PathBuf>) -> Watched {
        let mut watched = Watched { files, read: Vec::new(), seen: Vec::new() };
        watched.reading();
        watched
    }

    /// They are to be read in this moment.
    pub(super) fn reading(&mut self) {
        self.seen = self.look();
        self.read.clone_from(&self.seen);
    }

    /// Whether they have changed since they were read, and then stayed the same for one look more: whoever is still
    /// writing is waited for.
    pub(super) fn have_changed(&mut self) -> bool {
        let seen = self.look();
        let former = mem::replace(&mut self.seen, seen);
        self.seen != self.read && self.seen == former
    }

    /// Other files from now on. What both have is as it was.
    pub(super) fn replace(&mut self, files: Vec<PathBuf>) {
        if files != self.files {
            *self = Watched::new(files);
        }
    }

    fn look(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(|file| Stamp::of(file)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_changed_when_it_looks_different_from_when_it_was_read_twice_in_the_same_way() {
        let path = std::env::temp_dir().join(format!("fanwire-watched-{}", std::process::id()));
        fs::write(&path, "a").expect("a file");
        let mut watched = Watched::new(vec![path.clone(), "/nowhere/at/all".into()]);
        assert!(!watched.have_changed() && !watched.have_changed(), "it stays as it is");
        fs::write(&path, "ab").expect("a file");
        assert!(!watched.have_changed(), "it may be in the middle of it");
        fs::write(&path, "abc").expect("a file");
        assert!(!watched.have_changed(), "and it is");
        assert!(watched.have_changed() && watched.have_changed(), "until it is read");
        watched.reading();
        assert!(!watched.have_changed() && !watched.have_changed());
        fs::remove_file(&path).expect("it was there");
        assert!(!watched.have_changed() && watched.have_changed(), "it has gone");
    }
}

//! [`Watched`]: files that are to be read again when they have changed.

use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Some files, and what they looked like. Somebody looks at them from time to time.
#[derive(Debug)]
pub(super) struct Watched(Vec<WatchedFile>);

#[derive(Clone, Debug)]
struct WatchedFile {
    path: PathBuf,
    /// What it looked like just before it was read the last time, for better or worse.
    read: Option<Stamp>,
    /// What it looked like at the latest look.
    seen: Option<Stamp>,
}

impl WatchedFile {
    fn new(path: PathBuf) -> WatchedFile {
        let seen = Stamp::of(&path);
        WatchedFile { path, read: seen, seen }
    }
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
        Watched(files.into_iter().map(WatchedFile::new).collect())
    }

    /// They are to be read in this moment.
    pub(super) fn reading(&mut self) {
        for file in &mut self.0 {
            file.seen = Stamp::of(&file.path);
            file.read = file.seen;
        }
    }

    /// Whether they have changed since they were read, and then stayed the same for one look more: whoever is still
    /// writing is waited for.
    pub(super) fn have_changed(&mut self) -> bool {
        let (mut have_changed, mut are_still) = (false, true);
        for file in &mut self.0 {
            let former = mem::replace(&mut file.seen, Stamp::of(&file.path));
            have_changed |= file.seen != file.read;
            are_still &= file.seen == former;
        }
        have_changed && are_still
    }

    /// Other files from now on, which are to be read in this moment. What was watched already is as it was.
    pub(super) fn replace(&mut self, files: Vec<PathBuf>) {
        let watched = |path| match self.0.iter().find(|file| file.path == path) {
            Some(file) => file.clone(),
            None => WatchedFile::new(path),
        };
        self.0 = files.into_iter().map(watched).collect();
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

    #[test]
    fn a_file_that_changed_before_others_were_named_beside_it_has_changed_still() {
        let path =
            |kind: &str| std::env::temp_dir().join(format!("fanwire-watched-{}-{kind}", std::process::id()));
        let (kept, named) = (path("kept"), path("named"));
        fs::write(&kept, "a").expect("a file");
        let mut watched = Watched::new(vec![kept.clone()]);
        fs::write(&kept, "ab").expect("a file");
        fs::write(&named, "a").expect("a file");
        watched.replace(vec![named.clone(), kept.clone()]);
        assert!(!watched.have_changed() && watched.have_changed());
        watched.replace(vec![named.clone()]);
        assert!(!watched.have_changed(), "it is not looked at any more");
        for file in [kept, named] {
            fs::remove_file(file).expect("it was there");
        }
    }
}

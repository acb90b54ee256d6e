//! Files that options name: read at the start, and many of them again with each reload.

use super::ConfigError;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// What is in a file that is read more than once, of at most `bytes_max` bytes. `option` is who is to blame if it cannot be.
///
/// # Errors
/// If it is no file: what a pipe has said once it does not say again, and one with a name is waited for until somebody writes.
/// Else as for [`read_bounded`].
pub fn read_again(option: &'static str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, ConfigError> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let problem = format!("{} is no file", path.display());
            Err(ConfigError::new(option, problem, "give a file: it is read more than once"))
        }
        // If there is none, reading says why.
        _ => read_bounded(option, path, bytes_max),
    }
}

/// What is in a file of at most `bytes_max` bytes, of which no more is read. It may be a pipe.
///
/// # Errors
/// If it cannot be read, or is longer.
pub fn read_bounded(option: &'static str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    let (problem, fix) = match read {
        Ok(len) if len as u64 <= bytes_max => return Ok(bytes),
        Ok(_) => {
            let fix = "give a file that holds what it is for, and nothing else";
            (format!("has more than {bytes_max} bytes"), fix)
        }
        Err(error) => (format!("cannot be read ({error})"), "give a file that this user can read"),
    };
    Err(ConfigError::new(option, format!("{} {problem}", path.display()), fix))
}

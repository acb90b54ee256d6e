//! Secrets that the user gives: in a file, or in a variable, but never as an argument, which everybody can read in `ps`. Each is
//! one word of visible ASCII, so that it may stand in a header; no error repeats it.

use fanwire::config::{ConfigError, read_again, read_bounded};
use fanwire::limits;
use std::env;
use std::ffi::OsString;
use std::path::Path;

/// Where the admin API's token comes from, in the server.
pub(crate) const ADMIN_OPTION: &str = "--admin-token-file";

/// The same, in the server and its clients.
pub(crate) const ADMIN_VARIABLE: &str = "FANWIRE_ADMIN_TOKEN";

/// Where a client's token comes from, if not from a variable.
const CLIENT_OPTION: &str = "--token-file";

/// The secret in the file that `--token-file` names, else that in the variable; `None` if there is neither.
///
/// # Errors
/// Why it cannot be used, and what to do.
pub(crate) fn read(file: Option<&Path>, variable: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(file) = file else { return in_variable(variable, env::var_os(variable)) };
    let bytes = read_bounded(CLIENT_OPTION, file, limits::KEY_FILE_BYTES_MAX)?;
    word(&bytes, CLIENT_OPTION, &format!("{} ", file.display())).map(Some)
}

/// The admin API's token in a file, which is read again with each reload.
///
/// # Errors
/// As for [`read`].
pub(crate) fn in_admin_file(file: &Path) -> Result<String, ConfigError> {
    let bytes = read_again(ADMIN_OPTION, file, limits::KEY_FILE_BYTES_MAX)?;
    word(&bytes, ADMIN_OPTION, &format!("{} ", file.display()))
}

/// The secret that a variable holds; `None` if it holds nothing.
///
/// # Errors
/// As for [`read`].
pub(crate) fn in_variable(
    variable: &'static str,
    value: Option<OsString>,
) -> Result<Option<String>, ConfigError> {
    let value = value.filter(|value| !value.is_empty());
    value.map(|value| word(value.as_encoded_bytes(), variable, "")).transpose()
}

fn word(bytes: &[u8], option: &'static str, file: &str) -> Result<String, ConfigError> {
    match str::from_utf8(bytes.trim_ascii()) {
        Ok(word) if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(word.to_owned())
        }
        _ => {
            let fix = "give one word of visible ASCII, as openssl rand -hex 32 makes it";
            Err(ConfigError::new(option, format!("{file}holds no token"), fix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_the_line_end_behind_it_does_not_count() {
        assert_eq!(word(b"abc.def-_~+/=\r\n", "X", ""), Ok("abc.def-_~+/=".to_owned()));
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        for wrong in ["", " \n", "secret word", "secret\r\nX: y", "sécret", "se\0cret"] {
            let error = word(wrong.as_bytes(), "--token-file", "t ").unwrap_err().to_string();
            assert!(error.starts_with("--token-file t holds no token: give"), "{error}");
            assert!(!error.contains("cret"), "{error}");
        }
    }
}

//! Secrets that the user gives: in a file, or in a variable, but never as an argument, which everybody can read in `ps`.

use std::env;
use std::fs;
use std::path::Path;

/// The secret in the file that `--token-file` names, else that in the variable; `None` if there is neither. It is visible
/// ASCII, so that it may stand in a header.
///
/// # Errors
/// Why it cannot be used, and what to do; the secret itself is not in the sentence.
pub(crate) fn read(file: Option<&Path>, variable: &str) -> Result<Option<String>, String> {
    let Some(file) = file else {
        return match env::var_os(variable).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => check(value.to_str().unwrap_or_default(), variable).map(Some),
        };
    };
    let name = format!("--token-file {}", file.display());
    let text = fs::read_to_string(file)
        .map_err(|error| format!("{name}: {error}: give a file that holds the token"))?;
    check(&text, &name).map(Some)
}

fn check(text: &str, name: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{name}: that is no token: it must be one word of visible ASCII"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_the_line_end_behind_it_does_not_count() {
        assert_eq!(check("abc.def-_~+/=\r\n", "x"), Ok("abc.def-_~+/=".to_owned()));
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        for wrong in ["", " \n", "secret word", "secret\r\nX: y", "sécret"] {
            let error = check(wrong, "--token-file t").unwrap_err();
            assert!(error.starts_with("--token-file t: ") && !error.contains("cret"), "{error}");
        }
    }
}

//! The admin API: `--admin`, and where its token comes from.

use crate::cli::secret;
use fanwire::config::{AdminConfig, ConfigError, Secret};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The admin API and its token, which is of no use without it.
pub(super) fn admin(
    address: Option<SocketAddr>,
    token_file: Option<PathBuf>,
    token: Option<OsString>,
) -> Result<Option<AdminConfig>, ConfigError> {
    let is_in_file = token_file.is_some();
    let token = match (token_file, secret::in_variable(secret::ADMIN_VARIABLE, token)?) {
        (None, token) => token,
        (Some(_), Some(_)) => {
            let problem = format!("and {} are both given", secret::ADMIN_VARIABLE);
            return Err(ConfigError::new(secret::ADMIN_OPTION, problem, "leave one of them out"));
        }
        (Some(file), None) => Some(secret::in_admin_file(&file)?),
    };
    match (address, token) {
        (Some(address), token) => Ok(Some(AdminConfig { address, token: token.map(Secret::new) })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ConfigError::new(
            if is_in_file { secret::ADMIN_OPTION } else { secret::ADMIN_VARIABLE },
            "is given without --admin",
            "say where the admin API is to be, as --admin 127.0.0.1:8081",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_admin_token_comes_from_a_file_or_the_environment_and_never_without_an_address() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 8081)));
        let file = std::env::temp_dir().join(format!("fanwire-admin-token-{}", std::process::id()));
        fs::write(&file, "0123456789abcdef\n").expect("a temporary file");
        let token = |result: Result<Option<AdminConfig>, ConfigError>| {
            result.map(|admin| admin.and_then(|admin| admin.token)).map_err(|error| error.option)
        };
        let secret = || Some(Secret::new("0123456789abcdef"));
        assert_eq!(
            token(admin(address, Some(file.clone()), None)),
            Ok(secret()),
            "its line end is not part of it"
        );
        assert_eq!(token(admin(address, None, Some("0123456789abcdef".into()))), Ok(secret()));
        assert_eq!(token(admin(address, None, None)), Ok(None));
        assert_eq!(admin(None, None, None), Ok(None));
        assert_eq!(token(admin(address, Some(file.clone()), Some("x".into()))), Err("--admin-token-file"));
        assert_eq!(token(admin(None, Some(file.clone()), None)), Err("--admin-token-file"));
        assert_eq!(token(admin(None, None, Some("x".into()))), Err("FANWIRE_ADMIN_TOKEN"));
        assert_eq!(admin(None, None, Some("".into())), Ok(None), "an empty one is none");
        assert_eq!(token(admin(address, Some(file.clone()), Some("".into()))), Ok(secret()));
        fs::remove_file(&file).expect("it was written");
        assert_eq!(token(admin(address, Some(file), None)), Err("--admin-token-file"));
    }
}

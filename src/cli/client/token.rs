//! [`TokenArguments`]: the token by which a server knows who we are.

use crate::cli::address::Address;
use crate::cli::secret;
use clap::Args;
use std::path::PathBuf;

/// The token by which a server knows who we are. A flag with the token itself would be seen by everybody in `ps`.
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    // clap does not read the variable: it holds no file's name.
    #[arg(long, value_name = "FILE", help = TOKEN_FILE_HELP)]
    token_file: Option<PathBuf>,
}

const TOKEN_FILE_HELP: &str = "File with the token that says who you are and what you may, for servers that ask [env: FANWIRE_TOKEN=, the token itself]";

/// The variable that holds the token itself.
const VARIABLE: &str = "FANWIRE_TOKEN";

/// What `--help` says about it at its end.
pub(crate) const TOKEN_NOTES: &str = "The token goes to the server as `Authorization: Bearer`, and over ws:// whoever is on the way can read it.";

impl TokenArguments {
    /// Whether a file is named that has it.
    pub(crate) fn has_file(&self) -> bool {
        self.token_file.is_some()
    }

    /// Gives the requests to this address the token, if there is one. Whether there is.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do.
    pub(crate) fn authorize(&self, address: &mut Address) -> Result<bool, String> {
        let token = secret::read(self.token_file.as_deref(), VARIABLE).map_err(|error| error.to_string())?;
        let Some(token) = token else { return Ok(false) };
        let request = address.request.clone().with_header("Authorization", format!("Bearer {token}"));
        // A secret is visible ASCII, and that may stand in a header.
        address.request = request.map_err(|error| error.to_string())?;
        Ok(true)
    }
}

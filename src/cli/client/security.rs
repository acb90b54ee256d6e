//! [`SecurityArguments`]: how a server must prove who it is, as the user says it.

use super::transport::Security;
use super::trust::Trust;
use crate::cli::address::Address;
use clap::Args;
use std::env;
use std::path::PathBuf;

/// How a server must prove who it is.
#[derive(Debug, Args)]
pub(crate) struct SecurityArguments {
    // clap does not read the variable: that may stand for all servers, those without TLS too.
    #[arg(long, value_name = "FILE", help = TLS_CA_HELP, conflicts_with = "insecure")]
    tls_ca: Option<PathBuf>,
    /// With wss://: take any certificate, even that of somebody in the middle who reads along and changes things
    #[arg(long)]
    insecure: bool,
}

const TLS_CA_HELP: &str = "With wss://: the server's certificate, or that of who signed it, in PEM; trusted instead of this system's authorities [env: FANWIRE_TLS_CA=]";

/// What `--help` says about it at its end.
pub(crate) const TLS_NOTES: &str = "Without --tls-ca, SSL_CERT_FILE and SSL_CERT_DIR say where this system's authorities are, if not in the usual place.";

impl SecurityArguments {
    /// How the server at this address must prove who it is, if it must.
    ///
    /// # Errors
    /// Why the options cannot be used, and what to do.
    pub(crate) fn security(self, url: &Address) -> Result<Option<Security>, String> {
        let SecurityArguments { tls_ca, insecure } = self;
        let Some(server_name) = url.server_name.clone() else {
            let option = match tls_ca {
                _ if insecure => "--insecure",
                Some(_) => "--tls-ca",
                None => return Ok(None),
            };
            return Err(format!("{option} is about TLS, and {url} is without: use wss://, or leave it out"));
        };
        let variable = || env::var_os("FANWIRE_TLS_CA").filter(|file| !file.is_empty()).map(PathBuf::from);
        let trust = if insecure {
            eprintln!(
                "warning: --insecure: whoever answers is taken for the server, and may read along and change things"
            );
            Trust::Anybody
        } else {
            tls_ca.or_else(variable).map_or(Trust::System, Trust::These)
        };
        Ok(Some(Security { config: trust.config()?, server_name }))
    }
}

//! [`Prepared`]: a configuration that can be used, with all that stands in the files that it names.

use super::ServerError;
use super::renewal::Watch;
use super::watching::Watched;
use crate::auth::Keys;
use crate::config::{ConfigError, Described};
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;

/// What a server is started with. Making it may take as long as a disk does, and nothing that comes after waits for one.
pub(super) struct Prepared {
    pub(super) described: Described,
    /// The files that it came from, as they looked before those that it names were read.
    pub(super) watched: Watched,
    /// With what tokens are checked, if they are.
    pub(super) keys: Option<Arc<Keys>>,
    /// What is shown to those who speak TLS, if anybody is to.
    pub(super) certificates: Option<Watch>,
    /// How it is spoken with them.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

impl Prepared {
    /// Checks a configuration, and reads what it names.
    ///
    /// # Errors
    /// If a server could not start with it, as far as that can be known without listening.
    pub(super) fn read(described: Described) -> Result<Prepared, ServerError> {
        let Described { config, settings, .. } = &described;
        let locate = |error: ConfigError| error.located(settings);
        config.check().map_err(locate)?;
        let watched = Watched::new(described.files.clone());
        let certificates = config.tls.clone().map(Watch::read).transpose().map_err(locate)?;
        let tls = certificates.as_ref().map(|watch| watch.certificates().server_config());
        let tls = tls.transpose().map_err(io::Error::other)?;
        let keys = config.auth.as_ref().map(Keys::read).transpose().map_err(locate)?.map(Arc::new);
        Ok(Prepared { described, watched, keys, certificates, tls })
    }
}

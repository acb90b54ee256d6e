//! [`ServerError`]: why a server did not start, or did not end as it should.

use crate::config::ConfigError;
use crate::hub::ShardId;
use std::fmt;
use std::io;

/// Why a server did not start, or ended otherwise than by a drain.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// An option cannot be used.
    Config(ConfigError),
    /// The system refused something that the server cannot be without.
    System(io::Error),
    /// A worker failed; its clients are gone with it.
    Worker(ShardId, String),
    /// This signal came a second time, and the drain was not waited for.
    Interrupted(i32),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Config(error) => error.fmt(f),
            ServerError::System(error) => write!(f, "the system refused what a server needs: {error}"),
            ServerError::Worker(shard, reason) => write!(f, "worker {} failed: {reason}", shard.0),
            ServerError::Interrupted(signal) => {
                write!(f, "ended by signal {signal} before the drain was over")
            }
        }
    }
}

impl std::error::Error for ServerError {}

impl From<ConfigError> for ServerError {
    fn from(error: ConfigError) -> Self {
        ServerError::Config(error)
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        ServerError::System(error)
    }
}

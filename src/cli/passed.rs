//! Listening sockets that the process was started with: `LISTEN_FDS`, as `sd_listen_fds(3)` describes.

use fanwire::config::{ConfigError, PassedListener, PassedSocket};
use listenfd::ListenFd;
use std::env;
use std::io;

/// The name of a socket on which TLS is to be spoken: `FileDescriptorName=tls`.
const TLS_NAME: &str = "tls";

/// The first descriptor that is passed.
const FIRST: usize = 3;

/// Takes what was passed. To be called once, before there are other threads: the variables are taken too.
///
/// # Errors
/// If a descriptor is no socket of TCP and no Unix socket.
pub(super) fn take() -> Result<Vec<PassedListener>, ConfigError> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for place in 0..passed.len() {
        let tls = names.next() == Some(TLS_NAME);
        match socket(&mut passed, place) {
            Ok(socket) => listeners.extend(socket.map(|socket| PassedListener { socket, tls })),
            Err(error) => {
                let problem = format!("passes descriptor {}, which cannot be used: {error}", FIRST + place);
                let fix = "pass listening sockets of TCP or Unix only: ListenStream= in the .socket unit";
                return Err(ConfigError::new("LISTEN_FDS", problem, fix));
            }
        }
    }
    Ok(listeners)
}

/// The socket at a place, of whichever kind it is.
fn socket(passed: &mut ListenFd, place: usize) -> io::Result<Option<PassedSocket>> {
    match passed.take_tcp_listener(place) {
        Ok(socket) => Ok(socket.map(PassedSocket::from)),
        Err(_) => passed.take_unix_listener(place).map(|socket| socket.map(PassedSocket::from)),
    }
}

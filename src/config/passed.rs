//! [`PassedListener`]: a socket that listens already.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

/// A socket that listens already: the service manager's, or one that the program has made itself.
///
/// Its queue is whoever's has the socket too. At the end of the server what is in it is left to them.
#[derive(Clone, Debug)]
pub struct PassedListener {
    /// The socket.
    pub socket: PassedSocket,
    /// Whether TLS is spoken on it.
    pub tls: bool,
}

/// A socket that listens already, by its kind.
#[derive(Clone, Debug)]
pub enum PassedSocket {
    /// Of TCP.
    Tcp(Arc<TcpListener>),
    /// A Unix socket. Whoever made its file removes it.
    Unix(Arc<UnixListener>),
}

impl From<TcpListener> for PassedSocket {
    fn from(socket: TcpListener) -> Self {
        PassedSocket::Tcp(Arc::new(socket))
    }
}

impl From<UnixListener> for PassedSocket {
    fn from(socket: UnixListener) -> Self {
        PassedSocket::Unix(Arc::new(socket))
    }
}

//! Listening sockets: of TCP one per address and worker, which share the port (`SO_REUSEPORT`). Of a socket that was passed to
//! us, and of a Unix socket, there is but one queue, from which all workers take.

#[cfg(test)]
mod tests;

use super::stream::SocketStream;
use super::unix_file::{Making, UnixFile, UnixFileError};
use crate::config::{Config, ConfigError, ListenAddress, PassedListener, PassedSocket};
use crate::limits;
use mio::event::Source;
use mio::{Interest, Registry, Token, net};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The socket.
    pub(crate) socket: ListeningSocket,
    /// TLS is spoken on it.
    pub(crate) tls: bool,
    /// It was passed to us, and others may have it too.
    pub(crate) is_shared: bool,
}

/// A socket that listens, by its kind.
#[derive(Debug)]
pub(crate) enum ListeningSocket {
    /// Of TCP.
    Tcp(TcpListener),
    /// A Unix socket, and its file if we have made it.
    Unix(UnixListener, Option<Arc<UnixFile>>),
}

impl ListeningSocket {
    /// Where it listens: of TCP with its real port. None if it is a Unix socket without a file.
    ///
    /// # Errors
    /// If the system does not know.
    pub(crate) fn address(&self) -> io::Result<Option<ListenAddress>> {
        match self {
            ListeningSocket::Tcp(socket) => socket.local_addr().map(|address| Some(address.into())),
            ListeningSocket::Unix(_, Some(file)) => Ok(Some(file.path().to_owned().into())),
            ListeningSocket::Unix(socket, None) => {
                let address = socket.local_addr()?;
                Ok(address.as_pathname().map(|path| path.to_owned().into()))
            }
        }
    }
}

/// Listens on each of the configured addresses, or on the sockets that were passed. The answer has a set for each worker, in
/// the order of the addresses: first those in plaintext, then those for TLS.
///
/// # Errors
/// If an address is taken, by a second fanwire too, or is not this machine's; or if what was passed does not listen.
pub(crate) fn listen(config: &Config) -> Result<Vec<Vec<Listening>>, ConfigError> {
    let mut workers: Vec<Vec<Listening>> = (0..config.workers).map(|_| Vec::new()).collect();
    // What is ours and listens already, with its option.
    let mut listened: Vec<(&'static str, ListenAddress)> = Vec::new();
    listened.extend(config.admin.iter().map(|admin| ("--admin", admin.address.into())));
    let mut hand_out = |sockets: Vec<ListeningSocket>, tls, is_shared| {
        for (worker, socket) in workers.iter_mut().zip(sockets) {
            worker.push(Listening { socket, tls, is_shared });
        }
    };
    let (tls, plain): (Vec<_>, Vec<_>) = config.passed.iter().partition(|passed| passed.tls);
    for passed in plain.into_iter().chain(tls) {
        hand_out(clones(passed, config)?, passed.tls, true);
    }
    if config.passed.is_empty() {
        let plain = config.listen.iter().map(|address| ("--listen", address, false));
        let tls = config.listen_tls.iter().map(|address| ("--listen-tls", address, true));
        for (option, address, tls) in plain.chain(tls) {
            let rival = listened.iter().find(|(_, other)| overlap(other, address));
            let sockets = match (address, rival) {
                (ListenAddress::Tcp(address), rival) => {
                    let sockets =
                        share(*address, config).map_err(|error| explain(option, *address, rival, &error))?;
                    sockets.into_iter().map(ListeningSocket::Tcp).collect()
                }
                // It would be taken over from ourselves.
                (ListenAddress::Unix(_), Some(rival)) => return Err(taken_by_ours(option, address, rival)),
                (ListenAddress::Unix(path), None) => share_file(option, path, config)?,
            };
            listened.push((option, address.clone()));
            hand_out(sockets, tls, false);
        }
    }
    Ok(workers)
}

/// Files of ours that are to take the places of other servers', who are found no more from then on.
#[derive(Debug)]
pub(crate) struct Places(Vec<(&'static str, Arc<UnixFile>)>);

impl Places {
    /// Those of the sockets of a worker; others have the same.
    pub(crate) fn of(sockets: &[Listening]) -> Places {
        let place = |one: &Listening| match &one.socket {
            ListeningSocket::Unix(_, Some(file)) => {
                Some((if one.tls { "--listen-tls" } else { "--listen" }, file.clone()))
            }
            ListeningSocket::Unix(_, None) | ListeningSocket::Tcp(_) => None,
        };
        Places(sockets.iter().filter_map(place).collect())
    }

    /// Takes them. To be called when nothing else can keep this server from starting.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn take(self) -> Result<(), ConfigError> {
        self.0.iter().try_for_each(|(option, file)| {
            file.take_place().map_err(|error| explain_file(option, file.path(), &error.into()))
        })
    }
}

/// A socket that was passed, once for each worker.
fn clones(passed: &PassedListener, config: &Config) -> Result<Vec<ListeningSocket>, ConfigError> {
    let fix = "pass sockets that listen, of TCP or Unix: ListenStream= in the .socket unit";
    let wrong = |problem: String| ConfigError::new("LISTEN_FDS", problem, fix);
    let (socket, address) = match &passed.socket {
        PassedSocket::Tcp(socket) => {
            (SockRef::from(&**socket), socket.local_addr().map(|address| address.to_string()))
        }
        PassedSocket::Unix(socket) => {
            (SockRef::from(&**socket), socket.local_addr().map(|address| format!("{address:?}")))
        }
    };
    let address = address.map_err(|error| wrong(format!("passes a socket of another kind: {error}")))?;
    // Elsewhere it shows when nobody can be accepted.
    #[cfg(target_os = "linux")]
    if !matches!(socket.is_listener(), Ok(true)) {
        return Err(wrong(format!("passes a socket that does not listen, at {address}")));
    }
    tracing::debug!(%address, "passed");
    let clones = || -> io::Result<Vec<ListeningSocket>> {
        socket.set_nonblocking(true)?;
        let one = || match &passed.socket {
            PassedSocket::Tcp(socket) => socket.try_clone().map(ListeningSocket::Tcp),
            PassedSocket::Unix(socket) => {
                socket.try_clone().map(|socket| ListeningSocket::Unix(socket, None))
            }
        };
        if matches!(passed.socket, PassedSocket::Tcp(_)) {
            set_inherited(&socket, config)?;
        }
        (0..config.workers).map(|_| one()).collect()
    };
    clones().map_err(|error| wrong(format!("passes a socket that cannot be used: {error}")))
}

/// A Unix socket that listens on a file, once for each worker.
fn share_file(
    option: &'static str,
    path: &Path,
    config: &Config,
) -> Result<Vec<ListeningSocket>, ConfigError> {
    let making = Making { mode: config.unix_mode, takes_over: config.reuse_port };
    let (socket, file) =
        UnixFile::listen(path, making).map_err(|error| explain_file(option, path, &error))?;
    let file = Arc::new(file);
    let one = |_| Ok(ListeningSocket::Unix(socket.try_clone()?, Some(file.clone())));
    let clones: io::Result<Vec<ListeningSocket>> = (0..config.workers).map(one).collect();
    clones.map_err(|error| explain_file(option, path, &error.into()))
}

/// Sockets that listen on one address, one per worker.
fn share(address: SocketAddr, config: &Config) -> io::Result<Vec<TcpListener>> {
    // The first is bound before it shares its port, so that someone else's port is an error even if it is shared:
    // with SO_REUSEPORT from the beginning, a second server by accident would take half of the clients.
    let first = socket(address, config)?;
    if config.reuse_port {
        first.set_reuse_port(true)?;
    }
    first.bind(&address.into())?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    if config.workers > 1 {
        sockets[0].set_reuse_port(true)?;
        for _ in 1..config.workers {
            let next = socket(address, config)?;
            next.set_reuse_port(true)?;
            next.bind(&bound)?;
            sockets.push(next);
        }
    }
    for socket in &sockets {
        socket.listen(limits::LISTEN_BACKLOG)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

/// A socket to listen with.
fn socket(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Connections of a former server that linger in TIME_WAIT do not keep the port.
    socket.set_reuse_address(true)?;
    set_inherited(&socket, config)?;
    Ok(socket)
}

/// Sets the options that connections inherit from their listener.
fn set_inherited(socket: &Socket, config: &Config) -> io::Result<()> {
    // A turn's frames leave in one write: nothing is gained by waiting for more.
    socket.set_tcp_nodelay(true)?;
    config.send_buffer_bytes.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes))
}

/// Whether who listens on one of them takes the other, or a part of it.
fn overlap(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) = (one, other) else { return one == other };
    let within = |inner: SocketAddr, outer: SocketAddr| match outer.ip() {
        outer if outer == inner.ip() => true,
        IpAddr::V4(outer) => outer.is_unspecified() && inner.is_ipv4(),
        // Of IPv4 too, unless the system is told otherwise.
        IpAddr::V6(outer) => outer.is_unspecified(),
    };
    one.port() == other.port() && (within(*one, *other) || within(*other, *one))
}

/// Why there is no socket for `address`, which a `rival` of ours may have taken.
fn explain(
    option: &'static str,
    address: SocketAddr,
    rival: Option<&(&'static str, ListenAddress)>,
    error: &io::Error,
) -> ConfigError {
    if let (ErrorKind::AddrInUse, Some(rival)) = (error.kind(), rival) {
        return taken_by_ours(option, &address.into(), rival);
    }
    let (problem, fix) = match error.kind() {
        ErrorKind::AddrInUse => (
            format!("{address} is taken"),
            "stop the server that listens there (another fanwire?), or choose another port; for a server that is to \
             take over, start both with --reuse-port"
                .to_owned(),
        ),
        ErrorKind::AddrNotAvailable => (
            format!("{address} is not an address of this machine"),
            "use 127.0.0.1 for this machine alone, 0.0.0.0 or [::] for all of its addresses".to_owned(),
        ),
        ErrorKind::PermissionDenied => (
            format!("{address} may not be used"),
            "ports below 1024 need privileges (CAP_NET_BIND_SERVICE): choose a higher one".to_owned(),
        ),
        _ => (format!("{address} cannot be listened on: {error}"), "choose another address".to_owned()),
    };
    ConfigError::new(option, problem, fix)
}

/// Why there is no socket for `address`, where this server listens already.
fn taken_by_ours(
    option: &'static str,
    address: &ListenAddress,
    (other, rival): &(&'static str, ListenAddress),
) -> ConfigError {
    let problem = format!("{address} is taken by {rival}, where this server listens too");
    let fix = match (*other, rival) {
        ("--admin", _) => "give --admin a port of its own",
        (_, ListenAddress::Unix(_)) => "leave one of them out, or give each a file of its own",
        (_, ListenAddress::Tcp(_)) => {
            "leave one of them out: 0.0.0.0 is every address of IPv4, and [::] is every one of IPv4 and IPv6"
        }
    };
    ConfigError::new(option, problem, fix)
}

fn explain_file(option: &'static str, path: &Path, error: &UnixFileError) -> ConfigError {
    let path = path.display();
    let (problem, fix) = match error {
        UnixFileError::Taken => (
            format!("unix:{path} is taken: somebody answers on it"),
            "stop the server that listens there (another fanwire?), or choose another file; for a server that is to take \
             over, start it with --reuse-port",
        ),
        UnixFileError::NoSocket => (
            format!("unix:{path} is a file that is no socket"),
            "remove it if nobody needs it, or choose another file",
        ),
        UnixFileError::System(error) => (
            format!("unix:{path} cannot be listened on: {error}"),
            "choose a file of at most 107 bytes, in a directory that is there and that the server's user may write to",
        ),
    };
    ConfigError::new(option, problem, fix)
}

/// A [`ListeningSocket`] in a worker's hands.
pub(crate) enum Door {
    /// Of TCP.
    Tcp(net::TcpListener),
    /// A Unix socket, and its file if we have made it.
    Unix(net::UnixListener, Option<Arc<UnixFile>>),
}

impl From<ListeningSocket> for Door {
    fn from(socket: ListeningSocket) -> Self {
        match socket {
            ListeningSocket::Tcp(socket) => Door::Tcp(net::TcpListener::from_std(socket)),
            ListeningSocket::Unix(socket, file) => Door::Unix(net::UnixListener::from_std(socket), file),
        }
    }
}

impl Door {
    /// Takes a connection, and its peer's address if it has one.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; else what the system says of one connection or of its resources.
    pub(crate) fn accept(&self) -> io::Result<(SocketStream, Option<SocketAddr>)> {
        match self {
            Door::Tcp(socket) => {
                socket.accept().map(|(stream, peer)| (SocketStream::Tcp(stream), Some(peer)))
            }
            Door::Unix(socket, _) => socket.accept().map(|(stream, _)| (SocketStream::Unix(stream), None)),
        }
    }

    /// Has `registry` say under `token` when there may be connections.
    ///
    /// # Errors
    /// If the system has no room for another registration.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Door::Tcp(socket) => socket.register(registry, token, Interest::READABLE),
            Door::Unix(socket, _) => socket.register(registry, token, Interest::READABLE),
        }
    }

    /// Ends that.
    ///
    /// # Errors
    /// If the system has no such registration.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Door::Tcp(socket) => socket.deregister(registry),
            Door::Unix(socket, _) => socket.deregister(registry),
        }
    }

    /// Has nobody new find it, if it is found by a file of ours.
    pub(crate) fn remove_file(&self) {
        if let Door::Unix(_, Some(file)) = self {
            file.remove();
        }
    }
}

//! Listening sockets: of TCP one per address and worker, which share the port (`SO_REUSEPORT`). Of a socket that was passed to
//! us, and of a Unix socket, there is but one queue, from which all workers take. (The file is long because the tests of
//! who may share what stand in it.)

use super::stream::SocketStream;
use super::unix_file::{Making, UnixFile, UnixFileError};
use crate::config::{Config, ConfigError, ListenAddress, PassedListener, PassedSocket};
use crate::limits;
use mio::event::Source;
use mio::{Interest, Registry, Token, net};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
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
            let sockets = match address {
                ListenAddress::Tcp(address) => share(*address, config)
                    .map(|sockets| sockets.into_iter().map(ListeningSocket::Tcp).collect())
                    .map_err(|error| explain(option, *address, &error))?,
                ListenAddress::Unix(path) => share_file(option, path, config)?,
            };
            hand_out(sockets, tls, false);
        }
    }
    Ok(workers)
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

fn explain(option: &'static str, address: SocketAddr, error: &io::Error) -> ConfigError {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::{env, process};

    impl ListeningSocket {
        /// Of TCP.
        fn tcp(&self) -> &TcpListener {
            match self {
                ListeningSocket::Tcp(socket) => socket,
                ListeningSocket::Unix(..) => panic!("it is a Unix socket"),
            }
        }
    }

    fn config(workers: usize, port: u16) -> Config {
        Config { workers, listen: vec![([127, 0, 0, 1], port).into()], ..Config::default() }
    }

    #[test]
    fn workers_share_one_port() {
        let workers = listen(&config(3, 0)).expect("a free port");
        let ports: Vec<u16> = workers
            .iter()
            .map(|sockets| sockets[0].socket.tcp().local_addr().expect("bound").port())
            .collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_although_both_servers_share_theirs_among_workers() {
        for (first, second) in [(2, 2), (1, 2), (2, 1), (1, 1)] {
            let workers = listen(&config(first, 0)).expect("a free port");
            let port = workers[0][0].socket.tcp().local_addr().expect("bound").port();
            let error = listen(&config(second, port)).expect_err("the port is taken");
            assert_eq!(error.option, "--listen");
            assert!(error.to_string().contains("is taken"), "{error}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_an_error_that_says_so() {
        let elsewhere = Config { listen: vec!["192.0.2.1:0".parse().expect("an address")], ..config(1, 0) };
        let error = listen(&elsewhere).expect_err("TEST-NET-1 is nobody's");
        assert!(error.to_string().contains("not an address of this machine"), "{error}");
    }

    #[test]
    fn connections_inherit_nodelay_from_their_listener() {
        let workers = listen(&config(1, 0)).expect("a free port");
        let listener = workers[0][0].socket.tcp();
        listener.set_nonblocking(false).expect("a socket");
        let _peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (accepted, _) = listener.accept().expect("it was connected to");
        assert!(accepted.nodelay().expect("a socket"));
    }

    fn port(sets: &[Vec<Listening>]) -> u16 {
        sets[0][0].socket.tcp().local_addr().expect("bound").port()
    }

    #[test]
    fn two_servers_share_a_port_if_both_say_so() {
        let sharing = |workers, port| Config { reuse_port: true, ..config(workers, port) };
        for (first, second) in [(1, 1), (2, 3)] {
            let workers = listen(&sharing(first, 0)).expect("a free port");
            let others = listen(&sharing(second, port(&workers))).expect("it may be shared");
            assert_eq!(port(&others), port(&workers));
            let error = listen(&config(second, port(&workers))).expect_err("this one does not say so");
            assert!(error.to_string().contains("--reuse-port"), "{error}");
        }
        let workers = listen(&config(1, 0)).expect("a free port");
        listen(&sharing(1, port(&workers))).expect_err("that one did not say so");
    }

    fn passing(socket: TcpListener, workers: usize) -> Config {
        let passed = vec![PassedListener { socket: socket.into(), tls: false }];
        Config { passed, ..config(workers, 0) }
    }

    #[test]
    fn a_socket_that_was_passed_is_every_workers_and_no_address_is_listened_on() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound");
        let workers = listen(&passing(socket, 3)).expect("it listens");
        assert_eq!(workers.len(), 3);
        for sockets in &workers {
            let [only] = &sockets[..] else { panic!("{sockets:?}") };
            assert_eq!(only.socket.tcp().local_addr().expect("bound"), address);
            assert!(only.is_shared && !only.tls);
        }
        let _peer = TcpStream::connect(address).expect("it listens");
        let accept = |worker: usize| workers[worker].first().expect("one").socket.tcp().accept();
        let (accepted, _) = accept(1).expect("any worker takes it");
        assert!(accepted.nodelay().expect("a socket"));
        assert_eq!(accept(0).expect_err("it is taken").kind(), ErrorKind::WouldBlock);
    }

    /// A path of this test's own.
    fn path(name: &str) -> PathBuf {
        env::temp_dir().join(format!("fanwire-listener-{name}-{}.sock", process::id()))
    }

    #[test]
    fn workers_take_from_the_one_queue_of_a_unix_socket_whose_file_goes_with_the_last() {
        let path = path("queue");
        let config = Config { listen: vec![path.clone().into()], ..config(3, 0) };
        let mut workers = listen(&config).expect("a directory");
        assert!(workers.iter().all(|sockets| !sockets[0].is_shared), "it is ours alone");
        let accept = |sockets: &[Listening]| match &sockets[0].socket {
            ListeningSocket::Unix(socket, _) => socket.accept().map(drop),
            ListeningSocket::Tcp(_) => panic!("it is of TCP"),
        };
        let _peer = UnixStream::connect(&path).expect("it listens");
        accept(&workers[1]).expect("any worker takes it");
        assert_eq!(accept(&workers[0]).expect_err("it is taken").kind(), ErrorKind::WouldBlock);
        workers.truncate(1);
        assert!(path.exists());
        drop(workers);
        assert!(!path.exists());
    }

    #[test]
    fn a_unix_socket_that_cannot_be_is_an_error_that_names_the_fix() {
        let path = path("taken");
        let on = |path: &Path, reuse_port| {
            let listen_tls = vec![path.to_owned().into()];
            listen(&Config { listen: Vec::new(), listen_tls, reuse_port, ..config(1, 0) })
        };
        let _first = on(&path, false).expect("a directory");
        let error = on(&path, false).expect_err("it is taken");
        assert_eq!(error.option, "--listen-tls");
        assert!(error.problem.contains("is taken") && error.fix.contains("--reuse-port"), "{error}");
        on(&path, true).expect("it takes over");
        let nowhere = path.with_file_name("no-such-directory").join("a.sock");
        assert!(on(&nowhere, false).expect_err("no directory").fix.contains("directory"));
        let long = path.with_file_name("x".repeat(200));
        assert!(on(&long, false).expect_err("too long a name").fix.contains("107 bytes"));
    }

    #[test]
    fn a_unix_socket_that_was_passed_is_every_workers_and_its_file_stays() {
        let path = path("passed");
        drop(std::fs::remove_file(&path));
        let socket = UnixListener::bind(&path).expect("a directory");
        let passed = vec![PassedListener { socket: socket.into(), tls: false }];
        let workers = listen(&Config { passed, ..config(2, 0) }).expect("it listens");
        assert!(workers.iter().all(|sockets| sockets.len() == 1 && sockets[0].is_shared));
        UnixStream::connect(&path).expect("it listens");
        drop(workers);
        assert!(path.exists(), "who has made it removes it");
        std::fs::remove_file(&path).expect("it is there");
    }

    #[test]
    fn a_socket_that_does_not_listen_is_an_error_that_names_the_fix() {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let error = listen(&passing(bound.into(), 1)).expect_err("nobody called listen");
        assert_eq!(error.option, "LISTEN_FDS");
        assert!(
            error.to_string().contains("does not listen") && error.fix.contains("ListenStream="),
            "{error}"
        );
    }
}

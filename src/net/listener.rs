//! Listening sockets: one per address and worker, which share the port (`SO_REUSEPORT`).

use crate::config::{Config, ConfigError};
use crate::limits;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

/// Listens on each of the configured addresses with as many sockets as there are workers. The answer has a set for
/// each worker, in the order of the addresses: first those in plaintext, then those for TLS.
///
/// # Errors
/// If an address is taken, by a second fanwire too, or is not this machine's.
pub(crate) fn listen(config: &Config) -> Result<Vec<Vec<TcpListener>>, ConfigError> {
    let mut workers: Vec<Vec<TcpListener>> = (0..config.workers).map(|_| Vec::new()).collect();
    let plain = config.listen.iter().map(|address| ("--listen", *address));
    let tls = config.listen_tls.iter().map(|address| ("--listen-tls", *address));
    for (option, address) in plain.chain(tls) {
        let sockets = share(address, config).map_err(|error| explain(option, address, &error))?;
        for (worker, socket) in workers.iter_mut().zip(sockets) {
            worker.push(socket);
        }
    }
    Ok(workers)
}

/// Sockets that listen on one address, one per worker.
fn share(address: SocketAddr, config: &Config) -> io::Result<Vec<TcpListener>> {
    // The first is bound before it shares its port, so that someone else's port is an error even if it is shared:
    // with SO_REUSEPORT from the beginning, a second server by accident would take half of the clients.
    let first = socket(address, config)?;
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

/// A socket with the options that connections inherit from their listener.
fn socket(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Connections of a former server that linger in TIME_WAIT do not keep the port.
    socket.set_reuse_address(true)?;
    // A turn's frames leave in one write: nothing is gained by waiting for more.
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = config.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(socket)
}

fn explain(option: &'static str, address: SocketAddr, error: &io::Error) -> ConfigError {
    let (problem, fix) = match error.kind() {
        ErrorKind::AddrInUse => (
            format!("{address} is taken"),
            "stop the server that listens there (another fanwire?), or choose another port".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn config(workers: usize, port: u16) -> Config {
        Config { workers, listen: vec![SocketAddr::from(([127, 0, 0, 1], port))], ..Config::default() }
    }

    #[test]
    fn workers_share_one_port() {
        let workers = listen(&config(3, 0)).expect("a free port");
        let ports: Vec<u16> =
            workers.iter().map(|sockets| sockets[0].local_addr().expect("bound").port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_although_both_servers_share_theirs_among_workers() {
        for (first, second) in [(2, 2), (1, 2), (2, 1), (1, 1)] {
            let workers = listen(&config(first, 0)).expect("a free port");
            let port = workers[0][0].local_addr().expect("bound").port();
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
        let listener = &workers[0][0];
        listener.set_nonblocking(false).expect("a socket");
        let _peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (accepted, _) = listener.accept().expect("it was connected to");
        assert!(accepted.nodelay().expect("a socket"));
    }
}

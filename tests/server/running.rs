//! [`Running`]: a server in this process, which is checked for leaks when it ends.

use crate::client::{Client, PATIENCE, Raw, Response, http};
use fanwire::config::Config;
use fanwire::metrics::Totals;
use fanwire::protocol::DeflateOffer;
use fanwire::server::Server;
use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// An address that nobody else uses, not even to connect from it: its port is free, and stays so. Another one each time.
pub(crate) fn lone_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(1_024);
    let [.., high, low] = process::id().to_be_bytes();
    SocketAddr::from(([127, 91, high, low], PORT.fetch_add(1, Ordering::Relaxed)))
}

/// A server on a port of its own. When it goes out of scope it is drained, and nothing may be left of its clients.
pub(crate) struct Running {
    server: Option<Server>,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// A server with `workers` workers and the default configuration, but for what `configure` changes.
    pub(crate) fn start(workers: usize, configure: impl FnOnce(&mut Config)) -> Running {
        let mut config = Config { listen: vec![([127, 0, 0, 1], 0).into()], workers, ..Config::default() };
        // The end of a test does not wait long for clients that stay, and tells them all at once.
        config.limits.close_timeout_ms = 1_000;
        config.drain.spread_ms_max = 0;
        configure(&mut config);
        let server = Server::start(config).expect("a free port");
        let address = server.addresses().first().or(server.tls_addresses().first()).copied();
        let address = address.expect("it listens");
        Running { server: Some(server), address }
    }

    /// All its addresses, in the order of the configuration.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.server.as_ref().expect("it runs").addresses().to_vec()
    }

    /// Its first address for TLS.
    pub(crate) fn tls_address(&self) -> SocketAddr {
        self.server.as_ref().expect("it runs").tls_addresses()[0]
    }

    /// Twenty times, a page and what there is none of are asked for, each when the one before has left. Both are answered,
    /// though there may be one place only.
    pub(crate) fn assert_pages_leave(&self) {
        for _ in 0..20 {
            for (target, status) in [("/healthz", 200), ("/nope", 404)] {
                assert_eq!(self.http(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).status, status);
                self.until("it has left", |totals| totals.connections_open == 0);
            }
        }
    }

    /// What it knows of itself.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub(crate) fn client(&self, target: &str) -> Client {
        Client::connect(self.address, target)
    }

    /// A client that offers compression.
    pub(crate) fn offering(&self, target: &str, offer: DeflateOffer) -> Client {
        Client::offering(self.address, target, offer)
    }

    pub(crate) fn raw(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// A WebSocket with its bytes in sight.
    pub(crate) fn upgraded(&self, target: &str) -> Raw {
        Raw::upgraded(self.address, target)
    }

    pub(crate) fn http(&self, request: impl AsRef<[u8]>) -> Response {
        http(self.address, request)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.server.as_ref().expect("it runs").totals()
    }

    /// Waits until the totals are as they should be. Counters have no event to wait for.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Totals) -> bool) -> Totals {
        let started = Instant::now();
        loop {
            let totals = self.totals();
            if condition(&totals) {
                return totals;
            }
            assert!(started.elapsed() < PATIENCE, "not in time: {what}: {totals:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn drain(&self) {
        self.server.as_ref().expect("it runs").drain();
    }

    /// Waits for the end of a drain.
    pub(crate) fn wait(mut self) -> Totals {
        self.ended()
    }

    fn ended(&mut self) -> Totals {
        let server = self.server.take().expect("it runs");
        let (sender, end) = mpsc::channel();
        thread::spawn(move || drop(sender.send(server.wait())));
        let totals = end.recv_timeout(PATIENCE).expect("the drain ends").expect("no worker fails");
        assert_eq!(totals.connections_open, 0, "{totals:?}");
        assert_eq!(totals.bytes_retained, 0, "{totals:?}");
        assert_eq!(totals.publications_homeless, 0, "{totals:?}");
        totals
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.drain();
            if !thread::panicking() {
                self.ended();
            }
        }
    }
}

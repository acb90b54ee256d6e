//! [`Stage`]: a server with an admin API, and a client of that which shows every byte.

use crate::client::{Client, PATIENCE};
use fanwire::config::{AdminConfig, Config, Secret};
use fanwire::server::Server;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The token of a server that has one.
pub(crate) const TOKEN: &str = "0123456789abcdef";

/// A server on ports of its own. When it goes out of scope it is drained.
pub(crate) struct Stage {
    server: Option<Server>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Stage {
    /// A server with `workers` workers and no token.
    pub(crate) fn start(workers: usize) -> Stage {
        Stage::with(workers, |_| ())
    }

    /// The same, but for what `configure` changes.
    pub(crate) fn with(workers: usize, configure: impl FnOnce(&mut Config)) -> Stage {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config { listen: vec![loopback.into()], workers, ..Config::default() };
        config.limits.close_timeout_ms = 1_000;
        config.drain.spread_ms_max = 0;
        config.admin = Some(AdminConfig { address: loopback, token: None });
        configure(&mut config);
        Stage::of(Server::start(config).expect("free ports"))
    }

    /// A server that runs.
    pub(crate) fn of(server: Server) -> Stage {
        let (address, admin) = (server.addresses()[0], server.admin_address().expect("it is asked for"));
        Stage { server: Some(server), address, admin }
    }

    /// One that asks for [`TOKEN`].
    pub(crate) fn guarded() -> Stage {
        Stage::with(1, |config| {
            if let Some(admin) = &mut config.admin {
                admin.token = Some(Secret::new(TOKEN));
            }
        })
    }

    /// Has it run with another configuration.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        let server = self.server.as_ref().expect("it runs");
        let mut config = (*server.config()).clone();
        change(&mut config);
        server.reconfigure(config).expect("it can be used");
    }

    pub(crate) fn client(&self, target: &str) -> Client {
        Client::connect(self.address, target)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    pub(crate) fn post(&self, target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        self.request("POST", target, &[("Content-Type", content_type)], body)
    }

    /// Sends a request and reads the answer.
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            write!(head, "Host: {}\r\n", self.admin).expect("a String takes all");
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("a String takes all");
        }
        let body = body.as_ref();
        write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())
            .expect("a String takes all");
        let mut stream = self.connect();
        // Who refuses a request may do so before all of its body has come.
        drop(stream.write_all(&[head.as_bytes(), body].concat()));
        Answer::read(&mut stream)
    }

    /// A connection to the admin API.
    pub(crate) fn connect(&self) -> TcpStream {
        crate::client::connect(self.admin, None)
    }

    /// Asks until the answer is as it should be.
    pub(crate) fn until(&self, target: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.get(target).json();
            if condition(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "not in time: {answer}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the server's end, which somebody has begun.
    pub(crate) fn wait(mut self) {
        let server = self.server.take().expect("it runs");
        server.wait().expect("no worker fails");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.drain();
            if !thread::panicking() {
                server.wait().expect("no worker fails");
            }
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer that ends with the connection.
    pub(crate) fn read(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        // A reset behind an answer takes nothing of it away.
        drop(stream.read_to_end(&mut bytes));
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(&bytes)));
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).expect("UTF-8");
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The body of an answer that is JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("Content-Type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of one that has succeeded.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The reason of a refusal with this status.
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let error = self.json()["error"].as_str().map(str::to_owned);
        error.unwrap_or_else(|| panic!("no error: {}", self.text()))
    }
}

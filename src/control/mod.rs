//! The control plane: the admin API for those who run the server, on a listener and a thread of its own.
//!
//! ```text
//!  HTTP ─▶ guard (who may) ─▶ route ─▶ desk ──Order::Ask──▶ shards
//!                                        ▲                    │
//!                                        └───── Answered ─────┘   (a channel that never waits)
//! ```
//!
//! It asks, and the data plane answers between two turns: no worker ever waits for it, and what it counts it reads from
//! cells that anybody may read. All of it runs on one thread. What only the server can do (end itself, read its
//! configuration again) is handed in as [`Handles`]. There is no TLS here: put a proxy in front, or a tunnel.

mod access;
mod admin;
mod channels;
mod clients;
mod desk;
mod door;
mod exposition;
mod live;
mod operations;
mod page;
mod plane;
mod publish;
mod refusal;
mod requests;
mod sample;
mod seats;

pub(crate) use plane::{Handles, Phase, Reload, Served};

use crate::config::{AdminConfig, ConfigError};
use crate::limits;
use crate::shard::mail::Answered;
use access::Access;
use desk::Desk;
use live::Feed;
use plane::{Patience, Plane};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// A control plane that listens and does not answer yet: what it is to serve does not exist before it does.
#[derive(Debug)]
pub(crate) struct Opening {
    listener: TcpListener,
    address: SocketAddr,
    config: AdminConfig,
    answers: (UnboundedSender<Answered>, UnboundedReceiver<Answered>),
}

/// The control plane of a server. Dropping it does not end it: [`stop`](Self::stop) it.
#[derive(Debug)]
pub(crate) struct Control {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Opening {
    /// Listens.
    ///
    /// # Errors
    /// If it cannot be listened there.
    pub(crate) fn listen(config: AdminConfig) -> Result<Opening, ConfigError> {
        let listening = TcpListener::bind(config.address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) = listening.map_err(|error| {
            let problem = format!("{} cannot be listened on: {error}", config.address);
            let fix = "choose another address or port; who is to take over from another has one of its own";
            ConfigError::new("--admin", problem, fix)
        })?;
        Ok(Opening { listener, address, config, answers: unbounded_channel() })
    }

    /// Where shards' answers are to go.
    pub(crate) fn answers(&self) -> Box<dyn Fn(Answered) + Send + Sync> {
        let answers = self.answers.0.clone();
        // Nobody reads them once the control plane has ended.
        Box::new(move |answered| drop(answers.send(answered)))
    }

    /// Answers from now on.
    ///
    /// # Errors
    /// If the system has no room for a thread or another poll.
    pub(crate) fn start(self, served: Served) -> io::Result<Control> {
        let Opening { listener, address, config, answers } = self;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("control".into());
        let thread = thread.spawn(move || {
            let served = runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let patience = Patience::default();
                let desk = Arc::new(Desk::new(served.mesh.clone(), patience.answer));
                tokio::spawn(desk.clone().hand_out(answers.1));
                let access = Access::new(config.token);
                let plane = Plane { access, desk, feed: Feed::new(), served, patience };
                door::serve(listener, Arc::new(plane), stopped).await;
                io::Result::Ok(())
            });
            if let Err(error) = served {
                tracing::error!(%error, "the admin API cannot be served");
            }
            // What is read for a reload is not waited for.
            runtime.shutdown_timeout(Duration::from_millis(limits::ADMIN_FAREWELL_MS));
        })?;
        Ok(Control { address, stop, thread })
    }
}

impl Control {
    /// Where it listens, with its real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: what is under way has a moment to be answered.
    pub(crate) fn stop(self) {
        // It fails only if the thread has ended.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the control plane had panicked");
        }
    }
}

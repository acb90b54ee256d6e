//! [`Wire`]: one TCP connection in memory, with the client's end of it. The server's end is in `network.rs`.

use crate::timers::Watch;
use fanwire::hub::ClientKey;
use fanwire::turn::Ready;
use std::collections::VecDeque;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};

/// One TCP connection, from its client's connect on.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a kernel knows as many independent facts of a socket")]
pub struct Wire {
    /// Where the client is.
    pub address: IpAddr,
    /// Who shares its address has the same number.
    pub site: usize,
    /// Bytes that a direction holds.
    pub capacity: usize,
    /// From the client, not yet read.
    pub up: VecDeque<u8>,
    /// Nothing will follow in `up`.
    pub up_ended: bool,
    /// From the server, not yet read.
    pub down: VecDeque<u8>,
    /// Nothing will follow in `down`.
    pub down_ended: bool,
    /// A reset came.
    pub is_broken: bool,
    /// Where the network is going to lose it.
    pub cut: Option<Cut>,
    /// The network has lost it, by this side's bytes.
    pub was_cut: Option<Side>,
    /// The server has closed its socket.
    pub is_closed: bool,
    /// The server's name for it, from accept to close.
    pub key: Option<ClientKey>,
    /// Something has changed since the latest event.
    pub edge: bool,
    /// The latest fetch of events passed this one's over.
    pub is_late: bool,
    /// The latest write was short.
    pub no_space: bool,
    /// No write is short unless it has to be.
    pub is_smooth: bool,
    /// A write was short at some time.
    pub was_full: bool,
    /// Turns in a row in which there was something to be written, and room for it, and nothing was.
    pub turns_waiting: usize,
    /// Bytes that the server has read.
    pub bytes_read: u64,
    /// When the server did what.
    pub watch: Watch,
}

/// The connection is lost behind so many bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// From the client.
    Up(usize),
    /// From the server.
    Down(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Up,
    Down,
}

impl Wire {
    pub fn new(capacity: usize) -> Wire {
        Wire {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            site: 0,
            capacity,
            up: VecDeque::new(),
            up_ended: false,
            down: VecDeque::new(),
            down_ended: false,
            is_broken: false,
            cut: None,
            was_cut: None,
            is_closed: false,
            key: None,
            edge: false,
            is_late: false,
            no_space: false,
            is_smooth: false,
            was_full: false,
            turns_waiting: 0,
            bytes_read: 0,
            watch: Watch::new(),
        }
    }

    /// Takes at most `max` bytes that the server wrote.
    pub fn receive(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; max.min(self.down.len())];
        self.down.read_exact(&mut bytes).expect("it holds that many");
        if self.no_space && !bytes.is_empty() && self.has_room() {
            self.no_space = false;
            self.edge = true;
        }
        bytes
    }

    /// Sends as much as there is room for; how much that was.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        if self.is_closed && !bytes.is_empty() {
            self.is_broken = true;
        }
        if self.is_broken || self.up_ended {
            return 0;
        }
        let mut sent = bytes.len().min(self.capacity - self.up.len());
        if let Some(Cut::Up(left)) = &mut self.cut {
            sent = sent.min(*left);
            *left -= sent;
        }
        self.up.extend(&bytes[..sent]);
        self.edge |= sent > 0;
        if matches!(self.cut, Some(Cut::Up(0))) {
            self.lose(Side::Up);
        }
        sent
    }

    /// Carries what the server wrote; how much of it arrives. The server does not know of the rest that is lost.
    pub fn carry(&mut self, bytes: &[u8]) -> usize {
        let mut carried = if self.is_broken { 0 } else { bytes.len() };
        if let Some(Cut::Down(left)) = &mut self.cut {
            carried = carried.min(*left);
            *left -= carried;
        }
        self.down.extend(&bytes[..carried]);
        if matches!(self.cut, Some(Cut::Down(0))) {
            self.lose(Side::Down);
        }
        carried
    }

    /// The network loses it, by this side's bytes.
    pub fn lose(&mut self, side: Side) {
        self.was_cut = Some(side);
        self.cut = None;
        self.reset();
    }

    /// Whether nothing more can be received.
    pub fn is_at_end(&self) -> bool {
        self.down.is_empty() && (self.down_ended || self.is_broken)
    }

    /// Nothing more will be sent.
    pub fn finish(&mut self) {
        if !self.up_ended {
            self.up_ended = true;
            self.edge = true;
        }
    }

    /// The connection is lost.
    pub fn reset(&mut self) {
        self.is_broken = true;
        self.edge = true;
    }

    /// The server has not noticed that the client's end came, though it could have.
    pub fn hides_its_end(&self) -> bool {
        self.key.is_some() && (self.up_ended || self.is_broken) && !self.was_full
    }

    /// Whether the server is told that it can write: not for every byte of room.
    fn has_room(&self) -> bool {
        3 * (self.capacity - self.down.len()) >= self.capacity
    }

    /// What an event would say of it.
    pub fn ready(&self, key: ClientKey) -> Ready {
        let ending = self.up_ended || self.is_broken;
        Ready::Client {
            key,
            readable: ending || !self.up.is_empty(),
            writable: self.is_broken || (!self.no_space && self.has_room()),
            ending,
        }
    }
}

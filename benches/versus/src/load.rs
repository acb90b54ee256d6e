//! [`Load`]: what a generator does to a server, whichever generator it is.

/// What is asked of the load generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Each connection has `window` messages on their way to `/echo` and back.
    Echo { connections: u32, window: u32, payload_bytes: u32, is_binary: bool },
    /// All subscribe to `/ws`, spread over so many channels, and some of them publish.
    Broadcast { subscribers: u32, publishers: u32, channels: u32, pace: Pace, payload_bytes: u32 },
    /// So many at a time connect, shake hands, close, and begin again.
    Connect { connections: u32 },
    /// Connections that are open and say nothing.
    Idle { connections: u32 },
}

/// When a publisher publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When fewer than so many of its messages have not come back to it.
    Window(u32),
    /// So many times a second, all publishers together, whatever comes back.
    Rate(u32),
}

/// Which figure says who is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merit {
    /// What comes through in a second: more is better.
    Speed,
    /// The server's CPU time, because what comes through is given: less is better.
    Cpu,
    /// The server's memory: less is better.
    Memory,
}

impl Load {
    pub(crate) fn merit(self) -> Merit {
        match self {
            Self::Broadcast { pace: Pace::Rate(_), .. } => Merit::Cpu,
            Self::Echo { .. } | Self::Broadcast { .. } | Self::Connect { .. } => Merit::Speed,
            Self::Idle { .. } => Merit::Memory,
        }
    }

    /// What is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Echo { .. } => "messages",
            Self::Broadcast { .. } => "deliveries",
            Self::Connect { .. } => "handshakes",
            Self::Idle { .. } => "connections",
        }
    }

    /// Deliveries a second that are offered, if their number is given.
    pub(crate) fn offered_per_s(self) -> Option<f64> {
        match self {
            Self::Broadcast { subscribers, channels, pace: Pace::Rate(rate), .. } => {
                Some(f64::from(rate) * f64::from(subscribers) / f64::from(channels))
            }
            _ => None,
        }
    }
}

//! [`Case`]: one question to all servers, and what fanwire must answer.

use crate::bar::{Bar, Test};
use crate::load::{Load, Pace};
use crate::server::Server;

/// A load, who stands it, and how fanwire must compare.
#[derive(Debug)]
pub(crate) struct Case {
    /// For arguments and kept results.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    /// In the order in which they are measured.
    pub(crate) servers: &'static [Server],
    /// Whether one run is enough, because the figure does not vary.
    pub(crate) is_steady: bool,
    pub(crate) bars: &'static [Bar],
}

const ALL: &[Server] = &[
    Server::Fanwire,
    Server::Bun,
    Server::Tungstenite,
    Server::Fastwebsockets,
    Server::Sockudo,
    Server::Ws,
    Server::Gorilla,
];

/// Fanwire against these figures of uWebSockets itself, which is not here to run (it has no package of its own): the
/// medians on a virtual machine with two cores of an AMD EPYC (Zen 3) under Linux 6.18, one worker on one core.
const UWEBSOCKETS_TEN_PUBLISHERS_PER_S: f64 = 349_275.0;
const UWEBSOCKETS_ECHO_512_PER_S: f64 = 1_367_094.0;

const fn fanwire(test: Test) -> Bar {
    Bar { of: Server::Fanwire, test }
}

const fn two_workers(test: Test) -> Bar {
    Bar { of: Server::FanwireTwo, test }
}

/// All of them, in the order in which they are measured and shown.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "broadcast-100",
        title: "100 subscribers, 1 publisher, window 1, 128 B",
        load: broadcast(100, 1, Pace::Window(1), 128),
        servers: ALL,
        is_steady: false,
        bars: &[fanwire(Test::Speed { times: 1.0, than: Server::Bun })],
    },
    Case {
        name: "broadcast-1000",
        title: "1,000 subscribers, 1 publisher, window 16, 128 B",
        load: broadcast(1000, 1, Pace::Window(16), 128),
        servers: ALL,
        is_steady: false,
        bars: &[
            fanwire(Test::Speed { times: 3.0, than: Server::Bun }),
            fanwire(Test::P50NoWorse { than: Server::Bun }),
            fanwire(Test::Speed { times: 20.0, than: Server::Gorilla }),
        ],
    },
    Case {
        name: "broadcast-1000-ten",
        title: "1,000 subscribers, 10 publishers, window 8, 512 B",
        load: broadcast(1000, 10, Pace::Window(8), 512),
        servers: &[
            Server::Fanwire,
            Server::FanwireTwo,
            Server::Bun,
            Server::Tungstenite,
            Server::Fastwebsockets,
            Server::Sockudo,
            Server::Ws,
            Server::Gorilla,
        ],
        is_steady: false,
        bars: &[
            fanwire(Test::Speed { times: 2.0, than: Server::Tungstenite }),
            fanwire(Test::SpeedOfUWebSockets { times: 20.0, per_s: UWEBSOCKETS_TEN_PUBLISHERS_PER_S }),
            fanwire(Test::Speed { times: 20.0, than: Server::Gorilla }),
            two_workers(Test::Cpu { times: 1.15, than: Server::Fanwire }),
        ],
    },
    Case {
        name: "broadcast-5000",
        title: "5,000 subscribers, 1 publisher, window 4, 128 B",
        load: broadcast(5000, 1, Pace::Window(4), 128),
        servers: ALL,
        is_steady: false,
        bars: &[
            fanwire(Test::Speed { times: 10.0, than: Server::Bun }),
            fanwire(Test::P50NoWorse { than: Server::Bun }),
            fanwire(Test::Speed { times: 20.0, than: Server::Gorilla }),
        ],
    },
    // The slower ones carry less than half of this and fall behind by seconds.
    Case {
        name: "rate-4000",
        title: "1,000 subscribers, 10 publishers, fixed 4,000 messages/s, 128 B",
        load: broadcast(1000, 10, Pace::Rate(4000), 128),
        servers: &[Server::Fanwire, Server::Bun, Server::Tungstenite],
        is_steady: false,
        bars: &[fanwire(Test::CarriesAll), fanwire(Test::P99Ms { at_most: 30.0 })],
    },
    Case {
        name: "rate-50",
        title: "1,000 subscribers, 10 publishers, fixed 50 messages/s, 128 B",
        load: broadcast(1000, 10, Pace::Rate(50), 128),
        servers: ALL,
        is_steady: false,
        bars: &[
            fanwire(Test::CarriesAll),
            fanwire(Test::Cpu { times: 1.0, than: Server::Bun }),
            fanwire(Test::P99NoWorse { than: Server::Bun }),
        ],
    },
    Case {
        name: "echo-32",
        title: "echo, 100 connections, 32 B, 1 in flight",
        load: Load::Echo { connections: 100, window: 1, payload_bytes: 32, is_binary: false },
        servers: ALL,
        is_steady: false,
        bars: &[fanwire(Test::Speed { times: 1.0, than: Server::Bun })],
    },
    Case {
        name: "echo-512",
        title: "echo, 100 connections, 512 B, 16 in flight",
        load: Load::Echo { connections: 100, window: 16, payload_bytes: 512, is_binary: false },
        servers: ALL,
        is_steady: false,
        bars: &[
            fanwire(Test::Speed { times: 2.2, than: Server::Bun }),
            fanwire(Test::SpeedOfUWebSockets { times: 1.0, per_s: UWEBSOCKETS_ECHO_512_PER_S }),
        ],
    },
    Case {
        name: "echo-64k",
        title: "echo, 16 connections, 64 KiB, 1 in flight",
        load: Load::Echo { connections: 16, window: 1, payload_bytes: 65536, is_binary: true },
        servers: ALL,
        is_steady: false,
        bars: &[fanwire(Test::Speed { times: 1.05, than: Server::Fastwebsockets })],
    },
    Case {
        name: "connect",
        title: "opening and closing handshakes, 64 at a time",
        load: Load::Connect { connections: 64 },
        servers: ALL,
        is_steady: false,
        bars: &[fanwire(Test::SpeedOfTheBest)],
    },
    Case {
        name: "idle",
        title: "19,000 idle connections",
        load: Load::Idle { connections: 19_000 },
        servers: ALL,
        is_steady: true,
        bars: &[fanwire(Test::BytesPerConnection { at_most: 300.0 })],
    },
    Case {
        name: "channels-100",
        title: "100 channels of 10 subscribers and 1 publisher each, window 8, 512 B",
        load: Load::Broadcast {
            subscribers: 1000,
            publishers: 100,
            channels: 100,
            pace: Pace::Window(8),
            payload_bytes: 512,
        },
        servers: &[Server::Fanwire, Server::FanwireTwo],
        is_steady: false,
        bars: &[two_workers(Test::Cpu { times: 1.15, than: Server::Fanwire })],
    },
];

const fn broadcast(subscribers: u32, publishers: u32, pace: Pace, payload_bytes: u32) -> Load {
    Load::Broadcast { subscribers, publishers, channels: 1, pace, payload_bytes }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The case of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Case> {
        CASES.iter().find(|case| case.name == name)
    }

    #[test]
    fn a_bar_compares_only_who_is_measured() {
        for case in CASES {
            for bar in case.bars {
                let named = [Some(bar.of), bar.test.than()];
                assert!(named.iter().flatten().all(|server| case.servers.contains(server)), "{}", case.name);
            }
        }
    }

    #[test]
    fn no_two_cases_have_the_same_name() {
        for case in CASES {
            assert!(std::ptr::eq(find(case.name).unwrap(), case));
        }
        assert!(find("broadcast").is_none());
    }
}

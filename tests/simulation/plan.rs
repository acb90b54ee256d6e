//! What kind of world a run is in, and what kind of clients come: [`Plan`].

use crate::clients::{Attack, Habits, Reads};
use crate::deflate::Deflates;
use crate::laws::Room;
use crate::random::Random;
use crate::wire::Cut;
use fanwire::config::{
    ChannelRules, Config, DeflateConfig, DrainConfig, Goodbye, Rate, Rates, SlowConsumerPolicy,
};
use fanwire::limits::{self, Limits};
use fanwire::protocol::{ClientWindow, DeflateOffer, DeflatePolicy, WindowBits};

/// When 32 bits of milliseconds wrap, and when the first of them changes.
const WRAP_MS: u64 = 1 << 32;
const SIGN_CHANGES_MS: u64 = 1 << 31;

/// What kind of world it is.
#[derive(Clone, Debug)]
pub struct Plan {
    pub shards: usize,
    pub channels: usize,
    /// Places where clients are, each with an address.
    pub sites: usize,
    /// Clients that are there at the start.
    pub crowd: usize,
    /// Clients that ever come.
    pub clients_max: usize,
    pub steps: usize,
    /// The longest that time passes in one step.
    pub pause_ms_max: usize,
    /// The longest that a shard which could run is kept from it.
    pub stall_ms_max: u64,
    /// How many of the clients behave badly.
    pub bad_percent: usize,
    /// How many of the clients offer to compress.
    pub deflate_percent: usize,
    /// How many of the connections the network loses, somewhere.
    pub cut_percent: usize,
    pub has_faults: bool,
    /// When the server is told to drain, if that is before the end.
    pub drains_at: Option<usize>,
    /// Over how long it then tells its clients; 0 is at once.
    pub spread_ms: u32,
    pub payload_bytes_max: usize,
    /// How often one client speaks.
    pub publications_max: u32,
    pub capacities: &'static [usize],
    pub mailbox_bytes_mark: usize,
    pub clock_ms: u64,
    /// What becomes of slow consumers in each channel; in all others they are disconnected.
    pub policies: Vec<SlowConsumerPolicy>,
    pub config: Config,
}

/// Milliseconds for which a shard that could run may be kept from it while time passes, as a rule.
const STALL_MS: u64 = 300;

impl Plan {
    /// A calm world with this many shards and one channel, for scenarios.
    pub fn calm(shards: usize) -> Plan {
        let limits = Limits {
            message_bytes_max: 1024,
            outbox_bytes_max: 16 << 10,
            handshake_timeout_ms: 2_000,
            ping_interval_ms: 800,
            idle_timeout_ms: 3_000,
            close_timeout_ms: 600,
        };
        Plan {
            shards,
            channels: 1,
            sites: 1,
            crowd: 0,
            clients_max: usize::MAX,
            steps: 0,
            pause_ms_max: 1,
            stall_ms_max: STALL_MS,
            bad_percent: 0,
            deflate_percent: 0,
            cut_percent: 0,
            has_faults: false,
            drains_at: None,
            spread_ms: 0,
            payload_bytes_max: 1024,
            publications_max: 60,
            capacities: &[1 << 16],
            mailbox_bytes_mark: limits::MAILBOX_BYTES_MARK,
            clock_ms: 0,
            policies: Vec::new(),
            config: Config { limits, echo: true, ..Config::default() },
        }
    }

    /// With these policies for slow consumers in its channels, by their numbers.
    #[must_use]
    pub fn with_policies(mut self, policies: Vec<SlowConsumerPolicy>) -> Plan {
        self.config.channels = ChannelRules::default();
        for (channel, policy) in policies.iter().enumerate() {
            let rule = format!("room-{channel}-*={}", policy.name());
            self.config.channels.parse_slow_consumer(&rule).expect("a good rule");
        }
        self.policies = policies;
        self
    }

    /// The channels in which messages are dropped.
    pub fn dropping(&self) -> impl Iterator<Item = usize> {
        let policies = self.policies.iter().enumerate();
        policies.filter(|(_, policy)| **policy != SlowConsumerPolicy::Disconnect).map(|(channel, _)| channel)
    }

    /// Chance decides about everything.
    pub fn of(random: &mut Random) -> Plan {
        let plan = Plan::of_policies(random);
        let witnesses = plan.dropping().count();
        if witnesses == 0 {
            return plan;
        }
        // There is a client more in each such channel, who listens to all of it, and is not to be called idle.
        let mut config = plan.config;
        config.connections_max += witnesses;
        config.limits.ping_interval_ms = 800;
        Plan {
            clients_max: plan.clients_max + witnesses,
            stall_ms_max: longest_stall_ms(&config.limits, plan.pause_ms_max),
            config,
            ..plan
        }
    }

    fn of_policies(random: &mut Random) -> Plan {
        let plan = Plan::of_sizes(random);
        // Where memory is short anyone may be let go, and then nobody knows of all that was said.
        if plan.config.memory_bytes_max > 0 || random.chance(50) {
            return plan;
        }
        let policies = (0..plan.channels).map(|_| random.pick(&SlowConsumerPolicy::ALL)).collect();
        plan.with_policies(policies)
    }

    fn of_sizes(random: &mut Random) -> Plan {
        let plan = Plan::of_small_messages(random);
        if random.chance(90) {
            return plan;
        }
        // Messages that fill a log's chunk, or are large enough to be shared between shards.
        let bytes = 30_000;
        let outbox_bytes_max = random.pick(&[bytes + 10, 100_000, 300_000]);
        let limits = Limits { message_bytes_max: bytes, outbox_bytes_max, ..plan.config.limits };
        Plan {
            payload_bytes_max: bytes,
            publications_max: 12,
            capacities: &[4_096, 1 << 16],
            mailbox_bytes_mark: random.pick(&[limits::MAILBOX_BYTES_MARK, 100_000]),
            config: Config { limits, ..plan.config },
            ..plan
        }
    }

    fn of_small_messages(random: &mut Random) -> Plan {
        let steps = random.within(50..=900);
        let clients_max = random.within(1..=25);
        // Where nobody is called idle soon, time may pass in larger steps, and workers may stall for longer.
        let (idle_timeout_ms, pause_ms_max) =
            random.pick(&[(3_000, 5), (3_000, 40), (3_000, 400), (20_000, 3_000)]);
        let limits = Limits {
            message_bytes_max: 1024,
            outbox_bytes_max: random.pick(&[1034, 2048, 4096, 16 << 10, 64 << 10]),
            handshake_timeout_ms: 2_000,
            ping_interval_ms: random.pick(&[0, 800, 800]),
            idle_timeout_ms,
            close_timeout_ms: 600,
        };
        let deflate = DeflateConfig {
            enabled: random.chance(90),
            bytes_min: random.pick(&[0, 30, 128]),
            level: random.pick(&[1, 3, 6]),
            client_context_takeover: random.chance(50),
        };
        let connections_per_address_max = if random.chance(20) { random.within(1..=clients_max) } else { 0 };
        let rates = rates(random);
        let goodbye = random.pick(&[Goodbye::GoingAway, Goodbye::ServiceRestart]);
        let drain = DrainConfig { goodbye, ..DrainConfig::default() };
        let connections_max = if random.chance(20) { random.within(1..=clients_max) } else { 1_000 };
        let memory_bytes_max = if random.chance(10) { random.pick(&[8_000, 20_000, 60_000]) } else { 0 };
        Plan {
            shards: random.within(1..=4),
            channels: random.within(1..=3),
            sites: random.within(1..=4),
            crowd: 0,
            clients_max,
            steps,
            pause_ms_max,
            stall_ms_max: longest_stall_ms(&limits, pause_ms_max),
            bad_percent: random.pick(&[0, 10, 40, 80]),
            deflate_percent: random.pick(&[0, 0, 40, 90]),
            cut_percent: random.pick(&[0, 0, 10, 30]),
            has_faults: random.chance(60),
            drains_at: random.chance(40).then(|| random.below(steps)),
            spread_ms: random.pick(&[0, 1, 100, 700, 5_000]),
            payload_bytes_max: random.pick(&[30, 300, 1024]),
            publications_max: 60,
            capacities: random.pick(&[&[64, 500, 4_096, 1 << 16], &[1 << 16], &[40, 100]]),
            mailbox_bytes_mark: random.pick(&[limits::MAILBOX_BYTES_MARK, 10_000, 1_000]),
            clock_ms: random.pick(&[0, 1_000, SIGN_CHANGES_MS - 2_000, WRAP_MS - 2_000, WRAP_MS - 100]),
            policies: Vec::new(),
            config: Config {
                limits,
                memory_bytes_max,
                rates,
                connections_max,
                connections_per_address_max,
                deflate,
                drain,
                echo: true,
                ..Config::default()
            },
        }
    }

    /// A small world, so that a fuzzer tries many. It lasts as long as its script.
    pub fn scripted(random: &mut Random) -> Plan {
        let plan = Plan::of(random);
        let clients_max = 8 + plan.dropping().count();
        let places = random.pick(&[2, 1_000]) + plan.dropping().count();
        let connections_max = plan.config.connections_max.min(places);
        Plan {
            clients_max,
            steps: 1_000,
            drains_at: random.chance(40).then(|| random.below(200)),
            config: Config { connections_max, ..plan.config },
            ..plan
        }
    }

    /// More subscribers than one turn writes.
    pub fn crowd(random: &mut Random) -> Plan {
        let crowd = random.within(260..=400);
        let plan = Plan::of(random);
        Plan {
            shards: random.pick(&[1, 2, 2, 3]),
            channels: 1,
            crowd,
            clients_max: crowd + 30,
            steps: crowd,
            pause_ms_max: 5,
            bad_percent: random.pick(&[0, 10]),
            drains_at: random.chance(50).then(|| random.below(crowd)),
            capacities: &[4_096],
            config: Config { connections_max: 1_000, connections_per_address_max: 0, ..plan.config },
            ..plan
        }
    }

    /// Whether all clients are trusted to say for whom they speak, so that it is their requests that take the places of
    /// their addresses.
    pub fn are_proxies(&self) -> bool {
        self.sites == 3
    }

    /// The longest that a client's allowance may take to come to all that it has ever said.
    pub fn rates_patience_ms(&self) -> u64 {
        let publications = 16 * u64::from(self.publications_max);
        let bytes = publications * (self.payload_bytes_max as u64 + 20) + (1 << 17);
        let Rates { messages: message_rate, bytes: byte_rate } = self.config.rates;
        let ms =
            |rate: Option<Rate>, count: u64| rate.map_or(0, |rate| 2_000 + 2_000 * count / rate.per_second);
        ms(message_rate, publications) + ms(byte_rate, bytes)
    }

    /// How the next client behaves.
    pub fn habits(&self, random: &mut Random) -> Habits {
        let good = Habits {
            room: Room::Channel(random.below(self.channels)),
            without_own: random.chance(25),
            wants_gaps: self.dropping().next().is_some() && random.chance(60),
            reads: Reads::All,
            talks_percent: random.pick(&[0, 10, 50]),
            publications_max: self.publications_max,
            payload_bytes_max: self.payload_bytes_max,
            is_hasty: random.chance(20),
            leaves_after: random.chance(25).then(|| random.within(3..=60) as u32),
            breaks_after: None,
            dies_after: None,
            deflates: random.chance(self.deflate_percent).then(|| self.deflates(random)),
            attack: None,
        };
        if !random.chance(self.bad_percent) {
            let is_echo = random.chance(10);
            return if is_echo { Habits { room: Room::Echo(0), without_own: false, ..good } } else { good };
        }
        let acts = random.within(0..=60) as u32;
        match random.below(9) {
            0 => Habits { reads: Reads::Little, ..good },
            1 => Habits { reads: Reads::LittleUntil(acts), ..good },
            2 => Habits { reads: Reads::LittleUntil(0), leaves_after: None, ..good },
            3 => Habits { breaks_after: Some(acts), ..good },
            4 => Habits { dies_after: Some(acts), ..good },
            5 => Habits {
                room: Room::Echo(0),
                without_own: false,
                reads: Reads::LittleUntil(acts),
                talks_percent: 90,
                publications_max: 16 * self.publications_max,
                ..good
            },
            6 => Habits {
                attack: Some(Attack::PingFlood),
                reads: Reads::LittleUntil(acts),
                leaves_after: None,
                ..good
            },
            // What a stranger says may be a message, and is nothing that the others could make sense of.
            7 => Habits {
                room: Room::Strangers,
                attack: Some(random.pick(&[Attack::AnyFrames, Attack::AnyRequest])),
                leaves_after: None,
                ..good
            },
            _ => Habits { attack: Some(random.pick(&Attack::IN_CHANNELS)), leaves_after: None, ..good },
        }
    }

    /// How a client compresses, if it is let.
    pub fn deflates(&self, random: &mut Random) -> Deflates {
        let DeflateConfig { enabled, bytes_min, client_context_takeover, .. } = self.config.deflate;
        let offer = DeflateOffer {
            server_no_context_takeover: random.chance(50),
            client_no_context_takeover: random.chance(30),
            server_max_window_bits: WindowBits::new(random.pick(&[0, 0, 15, 9, 12, 8])),
            client_max_window_bits: match WindowBits::new(random.pick(&[0, 0, 15, 9])) {
                Some(bits) => ClientWindow::AtMost(bits),
                None if random.chance(50) => ClientWindow::Supported,
                None => ClientWindow::Absent,
            },
        };
        let is_agreed = enabled && offer.accept(&DeflatePolicy { client_context_takeover }).is_some();
        Deflates {
            offer,
            level: random.pick(&[1, 6, 9]),
            trusts: is_agreed && random.chance(50),
            server_bytes_min: bytes_min,
        }
    }

    /// Where the network loses the next connection, if it does: often in its first bytes, which are its handshake.
    pub fn cut(&self, random: &mut Random) -> Option<Cut> {
        if !random.chance(self.cut_percent) {
            return None;
        }
        let at = 1 + random.pick(&[300, 3_000]);
        let at = 1 + random.below(at);
        Some(if random.chance(50) { Cut::Up(at) } else { Cut::Down(at) })
    }
}

/// None as a rule, else small ones, so that clients come upon them.
fn rates(random: &mut Random) -> Rates {
    let rate = |per_second, burst| Some(Rate { per_second, burst });
    if random.chance(75) {
        return Rates::default();
    }
    Rates {
        messages: random.pick(&[
            None,
            None,
            None,
            rate(20, 1),
            rate(30, 12),
            rate(300, 15),
            rate(3_000, 200),
        ]),
        bytes: random.pick(&[None, None, None, None, rate(2_000, 16_384), rate(40_000, 20_000)]),
    }
}

/// How long a shard may stall with nobody who is good becoming idle by it: it was pinged in time or is so at once, and
/// then the shard may stall again, but what has come by then is read first.
fn longest_stall_ms(limits: &Limits, pause_ms_max: usize) -> u64 {
    let busy_ms = u64::from(limits.ping_interval_ms) + 3 * pause_ms_max as u64;
    u64::from(limits.idle_timeout_ms).saturating_sub(busy_ms).max(STALL_MS)
}

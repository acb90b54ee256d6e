//! The world of the simulation: shards, clients, a clock, and a scheduler that lets them act in an order of chance.
//! (The file is long because all that may happen in that world stands in one place, next to what it is done to.)
//!
//! The shards run the server's own code: [`EventLoop`] with [`Mesh`]. A shard whose loop sleeps is let run only when
//! an event, a wake or its timeout would end that sleep, so that a lost wake-up stays lost.

use crate::bounds::{self, Bounds};
use crate::clients::{Attack, Client, Habits, Pace};
use crate::laws::{AtRest, Laws, Room};
use crate::network::{Flag, Net, SHORTAGES};
use crate::operator::{self, Operator};
use crate::plan::Plan;
use crate::random::Random;
use crate::rates::Meters;
use crate::timers::{Deeds, count};
use fanwire::config::{Config, Goodbye};
use fanwire::hub::{ChannelName, HashSeed, ShardId, home_of};
use fanwire::limits::{self, Limits};
use fanwire::mesh::Mesh;
use fanwire::metrics::{Cell, Counters, Totals};
use fanwire::protocol::{CloseCode, Closure, Status, Time};
use fanwire::shard::mail::Order;
use fanwire::shard::{Place, Shard};
use fanwire::turn::{EventLoop, Progress};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

/// A stall that is counted as a long one: longer than the server takes to send a Ping.
const LONG_STALL_MS: u64 = 1_000;

/// Clients that talk to a crowd from another shard.
const GUESTS: usize = 12;

/// Turns in a row that do not wait and get nothing done, before we call it a spin.
const IDLE_TURNS_MAX: u32 = 16;

/// Rounds in which everyone acts until nobody has anything to do.
const ROUNDS_MAX: usize = 50_000;

/// Shards, clients and a clock.
pub struct World {
    random: Random,
    pub plan: Plan,
    config: Arc<Config>,
    clock_ms: u64,
    mesh: Arc<Mesh<Flag>>,
    operator: Operator,
    seed: HashSeed,
    shards: Vec<Sim>,
    pub clients: Vec<Client>,
    pub laws: Laws,
    /// What was taken from each client.
    meters: Vec<Meters>,
    drain: Option<Drain>,
    /// What has happened that a run of chance might miss.
    seen: Deeds,
}

/// What is known of a drain that has begun.
#[derive(Clone, Debug)]
struct Drain {
    since_ms: u64,
    /// What had been accepted of each client when its shard had heard of it.
    accepted: BTreeMap<usize, u32>,
    /// How many clients had come.
    clients: usize,
    /// Wires of those who were subscribed when their shard stopped telling one after the other, or never began to.
    last: BTreeSet<(usize, usize)>,
    /// What of an operator's publications had got its place, by its number as a publisher.
    placed: Vec<(usize, u32)>,
}

/// One shard, its loop, and how the scheduler treats it.
struct Sim {
    event_loop: EventLoop<Net, Flag>,
    counters: Arc<Counters>,
    /// Steps for which it is not let run.
    starved_steps: usize,
    ran_ms: u64,
    is_drained: bool,
}

impl World {
    pub fn new(plan: Plan, mut random: Random) -> World {
        let flags: Vec<Flag> = (0..plan.shards).map(|_| Flag::default()).collect();
        let mesh = Mesh::new(flags.clone(), plan.config.connections_max, plan.config.memory_bytes_max);
        let mesh = mesh.with_connections_per_address_max(plan.config.connections_per_address_max);
        let operator = Operator::default();
        let mesh = mesh.with_answers(operator.answers());
        let mesh = Arc::new(mesh.with_mailbox_bytes_mark(plan.mailbox_bytes_mark));
        let config = Arc::new(plan.config.clone());
        let seed = HashSeed(random.next(), random.next());
        let shards = (0..plan.shards)
            .map(|number| {
                let place =
                    Place { id: ShardId(number as u16), shards: plan.shards, seed, config: config.clone() };
                let counters = Arc::new(Counters::default());
                let shard = Shard::new(place, counters.clone(), Time(plan.clock_ms as u32));
                let listeners = random.within(1..=2);
                let flag = flags[number].clone();
                let limits = plan.config.limits.clone();
                let mut net = Net::new(listeners, flag, random.fork(), plan.clock_ms, limits);
                net.is_rough = plan.has_faults;
                net.are_proxies = plan.are_proxies();
                net.prompt_clients_max = limits::writes_per_lap_turn(plan.shards) / 2;
                let event_loop = EventLoop::new(shard, net, mesh.clone());
                Sim { event_loop, counters, starved_steps: 0, ran_ms: plan.clock_ms, is_drained: false }
            })
            .collect();
        World {
            random,
            clock_ms: plan.clock_ms,
            config,
            mesh,
            operator,
            seed,
            shards,
            clients: Vec::new(),
            laws: Laws::default(),
            meters: Vec::new(),
            drain: None,
            seen: Deeds::new(),
            plan,
        }
    }

    // ---- The course of things ---------------------------------------------------------------------------------------

    /// From the first client to the last shard's end.
    pub fn run(&mut self) {
        let dropping: Vec<usize> = self.plan.dropping().collect();
        for channel in dropping {
            self.send_witness(channel);
        }
        for _ in 0..self.plan.crowd {
            // All on one shard, so that it has more to write than a turn writes.
            let habits = self.plan.habits(&mut self.random);
            self.join_at(0, habits);
        }
        for _ in 0..self.plan.crowd.min(GUESTS) {
            // Elsewhere, so that somebody sleeps and is to be told when reading goes on.
            let habits = self.plan.habits(&mut self.random);
            self.join_at(self.shards.len() - 1, Habits { talks_percent: 50, ..habits });
        }
        for step in 0..self.plan.steps {
            if self.plan.drains_at == Some(step) {
                self.order_drain();
            }
            if self.random.is_used_up() {
                break;
            }
            self.step();
        }
        self.calm();
        self.settle();
        if self.drain.is_none() {
            self.await_allowances();
            self.check_rest();
            self.clients.iter_mut().for_each(Client::hurry);
            self.settle();
            self.await_allowances();
            self.check_rest();
            self.everyone_leaves();
            self.order_drain();
        }
        self.finish_drain();
    }

    /// One thing happens.
    pub fn step(&mut self) {
        for sim in &mut self.shards {
            sim.starved_steps = sim.starved_steps.saturating_sub(1);
        }
        match self.random.below(100) {
            0..45 => {
                let shard = self.random.below(self.shards.len());
                if self.shards[shard].starved_steps == 0 {
                    self.turn(shard);
                }
            }
            45..90 if !self.clients.is_empty() => {
                let client = self.random.below(self.clients.len());
                self.act(client, Pace::Chance);
            }
            94 => self.operate(),
            45..95 if self.clients.len() < self.plan.clients_max => {
                let habits = self.plan.habits(&mut self.random);
                self.join(habits);
            }
            95..98 => {
                let ms = self.random.within(1..=self.plan.pause_ms_max);
                self.pass_time(ms as u64);
            }
            _ if self.plan.has_faults => self.fault(),
            _ => {}
        }
    }

    /// An operator asks for something.
    fn operate(&mut self) {
        let channel = self.random.below(self.plan.channels);
        let name = self.name_of(channel);
        let home = ShardId(self.home_of(channel) as u16);
        let client = (!self.clients.is_empty()).then(|| self.random.below(self.clients.len()));
        let shard = client.map_or(0, |client| self.clients[client].shard);
        let key = client.and_then(|client| {
            let wire = self.clients[client].wire;
            self.shards[shard].event_loop.sockets().wire(wire).key
        });
        match (self.random.below(4), client.zip(key)) {
            (0, Some((client, key))) if !self.laws.is_witness(client) => {
                self.clients[client].sent_away_ms.get_or_insert(self.clock_ms);
                self.operator.close(ShardId(shard as u16), key, &self.mesh);
            }
            (0 | 1, _) => {
                let payload_bytes = self.random.below(self.plan.payload_bytes_max + 1);
                let channel = (channel, name, home);
                self.operator.publish(channel, payload_bytes, &self.mesh, &mut self.laws);
            }
            _ => self.operator.look(ShardId(shard as u16), name, key, &self.mesh, &mut self.random),
        }
    }

    fn fault(&mut self) {
        let shard = self.random.below(self.shards.len());
        let steps = self.random.within(1..=200);
        let sim = &mut self.shards[shard];
        match self.random.below(3) {
            0 => sim.starved_steps = steps,
            1 => sim.event_loop.sockets().rouse(),
            _ => {
                let shortage = self.random.pick(&SHORTAGES);
                let net = sim.event_loop.sockets();
                net.accept_error = if net.accept_error.is_none() { Some(shortage) } else { None };
            }
        }
    }

    /// No more faults from here on.
    fn calm(&mut self) {
        for sim in &mut self.shards {
            sim.starved_steps = 0;
            sim.event_loop.sockets().accept_error = None;
        }
    }

    /// A client connects to a shard of chance.
    pub fn join(&mut self, habits: Habits) -> usize {
        let shard = self.random.below(self.shards.len());
        self.join_at(shard, habits)
    }

    /// A client connects.
    pub fn join_at(&mut self, shard: usize, habits: Habits) -> usize {
        let capacity = self.random.pick(self.plan.capacities);
        let cut = self.plan.cut(&mut self.random);
        let site = self.random.below(self.plan.sites);
        let wire = self.shards[shard].event_loop.sockets().connect(capacity, cut, site);
        self.introduce(shard, wire, habits)
    }

    /// A client comes into a channel in which messages are dropped, before all others, and hears every one of them:
    /// nothing ever keeps it waiting.
    pub fn send_witness(&mut self, channel: usize) {
        let shard = self.random.below(self.shards.len());
        let net = self.shards[shard].event_loop.sockets();
        // From an address of its own, so that it takes nobody's place.
        let wire = net.connect(1 << 30, None, self.plan.sites + channel);
        net.wire(wire).is_smooth = true;
        let room = Room::Channel(channel);
        let witness = self.introduce(shard, wire, Habits { room, ..Habits::quiet() });
        self.settle();
        assert!(self.clients[witness].is_open());
        self.laws.testify(room, witness);
    }

    fn introduce(&mut self, shard: usize, wire: usize, habits: Habits) -> usize {
        self.meters.push(Meters::new(self.config.rates));
        if self.shards[shard].is_drained {
            self.shards[shard].event_loop.sockets().wire(wire).reset();
        }
        let target = Client::target(&habits, self.seed.0);
        let place = (shard, wire);
        let client = Client::new(habits, target, place, self.clock_ms, &mut self.laws, &mut self.random);
        self.clients.push(client);
        self.clients.len() - 1
    }

    /// Lets everyone act until nobody has anything to do. No time passes.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_moving = false;
            for shard in 0..self.shards.len() {
                is_moving |= self.turn(shard);
            }
            for client in 0..self.clients.len() {
                is_moving |= self.act(client, Pace::Catching);
            }
            if !is_moving {
                return;
            }
        }
        panic!("it comes to rest");
    }

    /// Time passes. Those who are good, and shards that could run, are not kept from acting for too long.
    pub fn pass_time(&mut self, ms: u64) {
        for client in 0..self.clients.len() {
            if self.clients[client].is_good() {
                self.act(client, Pace::Catching);
            }
        }
        for shard in 0..self.shards.len() {
            let sim = &self.shards[shard];
            if sim.starved_steps == 0 || self.clock_ms + ms > sim.ran_ms + self.plan.stall_ms_max {
                self.turn(shard);
            }
        }
        self.advance_clock(ms);
    }

    /// Lets time pass up to when the next sleeper wakes. Returns whether there is one.
    fn pass_to_next_deadline(&mut self) -> bool {
        let shards = self.shards.iter_mut().filter(|sim| !sim.is_drained);
        let next = shards.filter_map(|sim| sim.event_loop.sockets().sleeps_until()).min();
        if let Some(next) = next {
            self.pass_time(next.saturating_sub(self.clock_ms));
            self.settle();
        }
        next.is_some()
    }

    /// Lets time pass until nobody waits for its allowance.
    pub fn await_allowances(&mut self) {
        let until_ms = self.clock_ms + self.plan.rates_patience_ms();
        while self.shards.iter().any(|sim| sim.event_loop.shard().paused_by_rate() > 0) {
            assert!(self.pass_to_next_deadline(), "who is paused goes on");
            assert!(self.clock_ms <= until_ms, "nobody is paused for longer than it takes");
        }
    }

    /// Everyone leaves, or is seen off by a deadline; then the server holds nothing.
    pub fn everyone_leaves(&mut self) {
        let Limits { handshake_timeout_ms, idle_timeout_ms, close_timeout_ms, .. } = self.config.limits;
        // A deadline may lead to something that is answered, and so to another one.
        let patience_ms =
            limits::ACCEPT_RETRY_MS + 2 * (handshake_timeout_ms + idle_timeout_ms + close_timeout_ms);
        let until_ms = self.clock_ms + u64::from(patience_ms) + self.plan.rates_patience_ms();
        self.clients.iter_mut().for_each(Client::hurry);
        loop {
            for client in &mut self.clients {
                client.leave(self.clock_ms);
            }
            self.settle();
            if self.shards.iter_mut().all(|sim| sim.event_loop.sockets().is_unused()) {
                break;
            }
            assert!(self.pass_to_next_deadline(), "a client is left, and nobody will ever look at it");
            assert!(self.clock_ms <= until_ms, "every client ends in time");
        }
        assert_eq!((self.mesh.connections(), self.mesh.addresses()), (0, 0), "every place was given back");
        for sim in &self.shards {
            assert_eq!(sim.event_loop.shard().bytes_retained(), 0, "nothing is held for nobody");
        }
        let until_ms = self.clock_ms + u64::from(limits::INTEREST_LINGER_MS + patience_ms);
        while self.pass_to_next_deadline() {
            assert!(self.clock_ms <= until_ms, "a server without clients comes to sleep");
        }
        let totals = self.totals();
        assert_eq!(totals.channels_open, 0, "a channel goes after its last subscriber");
        assert_eq!(totals.publications_homeless, 0, "every publication finds its home");
    }

    /// What a shard has accepted of its clients, which is what it has looked at.
    fn accepted(&mut self, shard: usize) -> Vec<(usize, u32)> {
        let mut accepted = Vec::new();
        for client in self.clients.iter().filter(|client| client.shard == shard) {
            let event_loop = &mut self.shards[shard].event_loop;
            let wire = event_loop.sockets().wire(client.wire);
            let (key, bytes_read) = (wire.key, wire.bytes_read);
            // What is held for another turn was not looked at, like what is still in the socket.
            let held = event_loop.shard().held_input().find(|(holding, _)| Some(*holding) == key);
            let bytes_taken = bytes_read - held.map_or(0, |(_, bytes)| bytes as u64);
            if held.is_some() {
                count(&mut self.seen, "drains_that_find_input_held");
            }
            if client.habits.attack.is_none() {
                accepted.push((client.number, self.laws.said_within(client.number, bytes_taken)));
            }
        }
        accepted
    }

    /// The server is told to drain.
    pub fn order_drain(&mut self) {
        for sim in &mut self.shards {
            sim.event_loop.sockets().is_draining = true;
        }
        self.drain = Some(Drain {
            since_ms: self.clock_ms,
            accepted: BTreeMap::new(),
            clients: self.clients.len(),
            last: BTreeSet::new(),
            placed: self.laws.placed_for_operators().collect(),
        });
        let spread_ms = self.plan.spread_ms;
        for shard in 0..self.shards.len() {
            self.mesh.order(ShardId(shard as u16), Order::Drain { spread_ms });
            if self.random.chance(30) {
                self.turn(shard);
            }
        }
    }

    /// Lets the drain come to its end.
    pub fn finish_drain(&mut self) {
        self.calm();
        self.settle();
        let Drain { since_ms, accepted, .. } = self.drain.clone().expect("the server drains");
        let began_late_ms = self.clock_ms - since_ms;
        let goes_on_ms = self.plan.spread_ms + self.config.limits.close_timeout_ms;
        let until_ms = self.clock_ms + began_late_ms + u64::from(goes_on_ms);
        while self.shards.iter().any(|sim| !sim.is_drained) {
            assert!(self.pass_to_next_deadline(), "a shard never ends");
            assert!(self.clock_ms <= until_ms, "the drain ends in time");
        }
        for client in 0..self.clients.len() {
            self.act(client, Pace::Catching);
        }
        assert!(self.mesh.may_read(), "nobody is kept from reading by a shard that is gone");
        assert_eq!((self.mesh.connections(), self.mesh.addresses()), (0, 0), "every place was given back");
        let told = |number: usize, code: CloseCode| {
            self.clients[number].was_told().is_some_and(|(told, _)| told == code)
        };
        let left = |number: usize| self.clients[number].left_ms.is_some();
        let goodbye = self.goodbye();
        let drained = |number: &usize| !left(*number) && told(*number, goodbye);
        // Of whoever was closed for another reason what was read may have been discarded.
        let heard_out =
            |number: &usize| drained(number) || (left(*number) && told(*number, CloseCode::NORMAL));
        let accepted = accepted.into_iter().filter(|(number, _)| heard_out(number));
        let listeners: Vec<usize> = (0..self.clients.len()).filter(drained).collect();
        let Drain { last, placed, .. } = self.drain.as_ref().expect("the server drains");
        let accepted = accepted.chain(placed.iter().copied()).collect();
        let is_last = |number: &usize| {
            let client = &self.clients[*number];
            last.contains(&(client.shard, client.wire))
        };
        let (to_the_end, early): (Vec<usize>, Vec<usize>) = listeners.iter().copied().partition(is_last);
        for _ in early {
            count(&mut self.seen, "goodbyes_before_the_last");
        }
        self.laws.after_drain(&listeners, &to_the_end, &accepted);
    }

    /// The code that clients are told at the end.
    fn goodbye(&self) -> CloseCode {
        match self.config.drain.goodbye {
            Goodbye::GoingAway => CloseCode::GOING_AWAY,
            Goodbye::ServiceRestart => CloseCode::SERVICE_RESTART,
        }
    }

    // ---- One turn, one act ------------------------------------------------------------------------------------------

    /// Lets a shard turn, unless it sleeps. Returns whether it did.
    pub fn turn(&mut self, shard: usize) -> bool {
        let is_full = self.is_a_mailbox_full();
        let may_read = self.mesh.may_read();
        let sim = &mut self.shards[shard];
        if sim.is_drained || !sim.event_loop.sockets().is_roused() {
            sim.ran_ms = self.clock_ms;
            return false;
        }
        let before = sim.counters.message_bytes_received.get();
        let was_draining = sim.event_loop.shard().is_draining();
        let was_pacing = sim.event_loop.shard().is_pacing();
        let subscribed =
            if self.drain.is_some() { sim.event_loop.shard().subscribed().collect() } else { vec![] };
        let wires = sim.event_loop.sockets().wires_of(&subscribed);
        match sim.event_loop.turn() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sim.event_loop.sockets().check_sleep();
                return false;
            }
            Err(error) => panic!("sockets here fail only by falling asleep: {error}"),
            Ok(progress) => sim.is_drained = progress == Progress::Drained,
        }
        for channel in self.operator.hear(&mut self.laws) {
            assert!(!self.has_listening_witness(channel), "a witness listens, so there is a channel");
        }
        let sim = &mut self.shards[shard];
        if self.clock_ms > sim.ran_ms + LONG_STALL_MS {
            count(&mut self.seen, "long_stalls");
        }
        sim.ran_ms = self.clock_ms;
        let inside = sim.event_loop.shard();
        inside.check_invariants();
        let gauges = [&sim.counters.connections_open, &sim.counters.bytes_retained].map(Cell::get);
        assert_eq!(gauges, [inside.clients() as u64, inside.bytes_retained()], "gauges say what is there");
        if inside.is_ahead() {
            count(&mut self.seen, "fan_outs_behind");
        }
        let holding = inside.held_input().map(|(key, _)| key).collect();
        let held: usize = inside.held_input().map(|(_, bytes)| bytes).sum();
        assert!(inside.bytes_retained() >= held as u64, "what is held is counted");
        let waiting = inside.waiting().collect();
        let may_leave_unread = !may_read || inside.listed_to_read() > 0 || self.config.rates.are_limited();
        let net = sim.event_loop.sockets();
        net.turned(may_read, may_leave_unread, &holding, &waiting);
        if !holding.is_empty() {
            count(&mut self.seen, "turns_that_hold_input");
        }
        assert!(net.idle_turns < IDLE_TURNS_MAX, "a loop that has nothing to do waits");
        if is_full {
            count(&mut self.seen, "turns_with_a_full_mailbox");
            assert_eq!(net.bytes_read_in_turn, 0, "nobody reads sockets while a mailbox is over the mark");
        }
        if let Some(drain) = &mut self.drain {
            let is_pacing = sim.event_loop.shard().is_pacing();
            if (was_pacing && !is_pacing) || self.plan.spread_ms == 0 {
                drain.last.extend(wires.into_iter().map(|wire| (shard, wire)));
            }
        }
        if sim.is_drained {
            assert!(self.drain.is_some(), "only a drain ends a loop");
            assert_eq!(sim.event_loop.shard().bytes_retained(), 0, "nothing is held at the end");
        }
        if !was_draining && self.shards[shard].event_loop.shard().is_draining() {
            let accepted = self.accepted(shard);
            self.drain.as_mut().expect("only an order begins it").accepted.extend(accepted);
        }
        let clients: usize = self.shards.iter().map(|sim| sim.event_loop.shard().clients()).sum();
        assert!(self.mesh.connections() <= clients.min(self.config.connections_max), "places are counted");
        self.check_bounds(shard, before);
        self.check_rates(shard);
        self.check_sites();
        true
    }

    /// After a turn, no more was taken from any client than its rates allow.
    fn check_rates(&mut self, shard: usize) {
        if !self.config.rates.are_limited() {
            return;
        }
        let event_loop = &mut self.shards[shard].event_loop;
        let held: BTreeMap<_, _> = event_loop.shard().held_input().collect();
        for (client, meters) in self.clients.iter().zip(&mut self.meters) {
            if client.shard != shard {
                continue;
            }
            let wire = event_loop.sockets().wire(client.wire);
            let held = wire.key.and_then(|key| held.get(&key)).copied().unwrap_or(0) as u64;
            let messages = u64::from(self.laws.said_within(client.number, wire.bytes_read - held));
            let is_within = meters.read(messages, wire.bytes_read, self.clock_ms);
            // What comes behind a Close frame, or with a full socket may be about to, is discarded at any rate.
            let is_over = wire.is_closed || wire.watch.has_ended() || wire.was_full;
            let is_rated = client.is_good() && client.is_open() && !is_over && self.drain.is_none();
            assert!(
                is_within || !is_rated,
                "nobody is taken more from than its rates allow: {meters:?}, {wire:?}, {client:?}"
            );
        }
    }

    /// No site has more connections than its address may have; where it says for whom it speaks, none that are in.
    fn check_sites(&mut self) {
        let max = self.config.connections_per_address_max;
        for site in (0..self.plan.sites).filter(|_| max > 0) {
            let mut places = 0;
            for sim in &mut self.shards {
                let keys: Vec<_> = sim.event_loop.sockets().of_site(site).collect();
                let shard = sim.event_loop.shard();
                places += if self.plan.are_proxies() {
                    shard.subscribed().filter(|key| keys.contains(key)).count()
                } else {
                    keys.into_iter().filter(|key| !shard.is_turned_away(*key)).count()
                };
            }
            assert!(places <= max, "site {site} has {places} places of {max}");
        }
    }

    /// Whether a channel's witness, if it has one, is there to hear what gets its place. In a drain that is as long as any
    /// shard is pacing: no home comes past its last barrier before all have done with that.
    fn has_listening_witness(&mut self, channel: usize) -> bool {
        let is_heard =
            self.drain.is_none() || self.shards.iter().any(|sim| sim.event_loop.shard().is_pacing());
        let Some(witness) = self.laws.witness(Room::Channel(channel)).filter(|_| is_heard) else {
            return false;
        };
        let (shard, wire) = (self.clients[witness].shard, self.clients[witness].wire);
        let event_loop = &mut self.shards[shard].event_loop;
        let key = event_loop.sockets().wire(wire).key;
        event_loop.shard().subscribed().any(|subscribed| Some(subscribed) == key)
    }

    fn is_a_mailbox_full(&self) -> bool {
        let mut mailboxes =
            (0..self.shards.len()).map(|shard| self.mesh.mailbox_bytes(ShardId(shard as u16)));
        mailboxes.any(|bytes| bytes >= self.plan.mailbox_bytes_mark)
    }

    /// After a turn, nothing is larger than the limits allow. Before it, so many bytes of messages had been received.
    fn check_bounds(&mut self, shard: usize, received: u64) {
        let bounds = Bounds::new(&self.plan, self.clients.len());
        let counters = &self.shards[shard].counters;
        let received = counters.message_bytes_received.get() - received;
        assert!(
            received <= bounds.message_bytes as u64,
            "a turn looks at only so much: {received} bytes, {bounds:?}"
        );
        for number in 0..self.shards.len() {
            let bytes = self.mesh.mailbox_bytes(ShardId(number as u16));
            assert!(bytes <= bounds.mailbox_bytes, "a mailbox is bounded: {bytes} bytes, {bounds:?}");
        }
        let event_loop = &mut self.shards[shard].event_loop;
        let (logs, all) = (event_loop.shard().log_bytes(), event_loop.shard().bytes_retained());
        if logs > 2 * limits::CHUNK_BYTES_MAX as u64 {
            count(&mut self.seen, "logs_of_several_chunks");
        }
        assert!(logs <= bounds.log_bytes as u64, "logs are bounded: {logs} bytes, {bounds:?}");
        assert!(all <= bounds.shard_bytes as u64, "what a shard holds is bounded: {all} bytes, {bounds:?}");
        let (own, unfinished) = event_loop.shard().most_of_a_client();
        assert!(own <= bounds.own_bytes, "an outbox is bounded: {own} bytes, {bounds:?}");
        assert!(
            unfinished <= bounds.unfinished_bytes,
            "what is not whole is bounded: {unfinished} bytes, {bounds:?}"
        );
        let net = event_loop.sockets();
        assert!(net.bytes_read_in_turn <= bounds.read_bytes, "a turn reads only so much: {bounds:?}");
        assert!(net.writes_in_turn <= limits::WRITES_PER_TURN_MAX, "a turn writes only so often");
    }

    /// Lets a client act. Returns whether anything came of it.
    pub fn act(&mut self, client: usize, pace: Pace) -> bool {
        let client = &mut self.clients[client];
        let was_over = client.closure.is_some();
        let wire = self.shards[client.shard].event_loop.sockets().wire(client.wire);
        let acted = client.act(pace, wire, self.clock_ms, &mut self.laws, &mut self.random);
        if client.closure.is_some() && !was_over {
            let number = client.number;
            self.judge(number);
        }
        acted
    }

    /// The clock goes on, and nobody does anything.
    pub fn advance_clock(&mut self, ms: u64) {
        self.clock_ms += ms;
        for sim in &mut self.shards {
            sim.event_loop.sockets().clock_ms = self.clock_ms;
        }
    }

    /// Lets a client catch up with what there is for it.
    pub fn act_fully(&mut self, client: usize) {
        self.act(client, Pace::Catching);
    }

    /// A client says something of about so many bytes; it is sent when the client acts.
    pub fn say(&mut self, client: usize, payload_bytes: usize) {
        self.clients[client].say_next(payload_bytes, &mut self.laws, &mut self.random);
    }

    // ---- Laws that need the whole world -----------------------------------------------------------------------------

    /// How a client's connection ended must have had a reason.
    fn judge(&mut self, client: usize) {
        let goodbye = self.goodbye();
        let client = &self.clients[client];
        let sim = &mut self.shards[client.shard];
        let has_shed = sim.counters.clients_shed.get() > 0;
        let wire = sim.event_loop.sockets().wire(client.wire);
        let Limits { handshake_timeout_ms, ping_interval_ms, idle_timeout_ms, close_timeout_ms, .. } =
            self.config.limits;
        let is_over = |since_ms: Option<u64>, timeout_ms: u32| {
            since_ms.is_some_and(|since_ms| since_ms + u64::from(timeout_ms) <= self.clock_ms)
        };
        let drain_ms = self.drain.as_ref().map(|drain| drain.since_ms);
        let came_late = self.drain.as_ref().is_some_and(|drain| client.number >= drain.clients);
        let is_short_of_memory = self.config.memory_bytes_max > 0;
        let is_full = is_short_of_memory || self.config.connections_max < self.clients.len();
        let is_crowded = self.config.connections_per_address_max > 0;
        let is_late = !client.is_in && is_over(Some(client.came_ms), handshake_timeout_ms);
        let closure = client.closure.as_ref().expect("it ended");
        let is_strange = client.habits.attack == Some(Attack::AnyRequest);
        assert!(
            is_strange || !matches!(closure, Closure::Failed(_) | Closure::Refused(_)),
            "the server keeps to the protocol: {closure:?} {client:?}"
        );
        let is_dropping = self.laws.is_dropping(client.habits.room);
        let is_called_slow = client.was_told().is_some_and(|(_, reason)| reason.starts_with("slow consumer"));
        assert!(!is_dropping || !is_called_slow, "who may lose messages is not disconnected for being slow");
        if !client.is_good() {
            return;
        }
        let has_reason = match closure {
            Closure::Agreed(..) if client.left_ms.is_some() => true,
            Closure::Agreed(Some(code), _) if *code == goodbye => drain_ms.is_some(),
            Closure::Agreed(Some(CloseCode::POLICY_VIOLATION), reason) => {
                // Without Pings, or with one stuck behind bytes that a narrow pipe takes slowly, silence is all there
                // is to tell who is alive.
                wire.was_full || (reason.as_str().starts_with("idle") && ping_interval_ms == 0)
            }
            Closure::Agreed(Some(CloseCode::TRY_AGAIN_LATER), _) => is_short_of_memory,
            Closure::Agreed(Some(operator::CODE), _) => client.sent_away_ms.is_some(),
            Closure::Responded(Status::SERVICE_UNAVAILABLE) => is_full || drain_ms.is_some() || is_late,
            Closure::Responded(Status::TOO_MANY_REQUESTS) => is_crowded,
            Closure::Responded(Status::REQUEST_TIMEOUT) => is_late,
            Closure::Lost => {
                wire.was_full
                    || is_late
                    || (is_full && !client.is_in)
                    || (drain_ms.is_some() && !client.is_in && (self.plan.has_faults || is_full || came_late))
                    || is_over(drain_ms, close_timeout_ms)
                    || is_over(client.left_ms, close_timeout_ms)
                    // Told to go, and too slow to take it or to answer.
                    || is_over(client.sent_away_ms, close_timeout_ms)
                    || (has_shed && is_over(Some(client.came_ms), close_timeout_ms))
                    // Closed as idle; the reset for what it had just sent overtook its Close frame.
                    || (ping_interval_ms == 0 && is_over(Some(client.came_ms), idle_timeout_ms))
            }
            _ => false,
        };
        assert!(has_reason, "a good client ends for a reason: {closure:?} {client:?}");
    }

    /// Nothing is under way, and no time has to pass: all that was said was heard by all who listen.
    pub fn check_rest(&mut self) {
        let mut at_rest = Vec::new();
        let mut is_all_taken = true;
        for client in &self.clients {
            let wire = self.shards[client.shard].event_loop.sockets().wire(client.wire);
            let is_served = client.is_good() && client.is_open();
            is_all_taken &= wire.is_closed || wire.key.is_none() || is_served;
            assert!(!wire.hides_its_end(), "an end is noticed at once: {client:?}");
            let is_short_of_memory = self.config.memory_bytes_max > 0;
            let is_full = is_short_of_memory || self.config.connections_max < self.clients.len();
            let may_wait = self.plan.has_faults || is_full;
            let is_settled = client.is_in || client.closure.is_some() || !client.is_good();
            assert!(is_settled || may_wait, "who came is in: {client:?}");
            assert!(!self.laws.is_witness(client.number) || is_served, "a witness stays: {client:?}");
            let said_all = client.has_said_all() && wire.bytes_read >= self.laws.bytes_sent(client.number);
            assert!(!is_served || said_all, "who may speak is heard: {client:?}");
            let agreed = client.left_ms.is_some()
                && client.was_told().is_some_and(|(code, _)| code == CloseCode::NORMAL);
            at_rest.push(AtRest {
                client: client.number,
                listens: is_served,
                has_caught_up: client.has_caught_up(),
                was_heard: said_all && client.is_in && (is_served || (client.is_good() && agreed)),
            });
        }
        self.laws.at_rest(&at_rest);
        self.laws.operators_at_rest(&at_rest);
        self.operator.check_rest();
        assert!(self.mesh.may_read(), "nobody is kept from reading when all have caught up");
        let is_remembered = |shard: usize| {
            self.clients.iter().filter(move |client| client.shard == shard && client.is_remembered())
        };
        for (number, sim) in self.shards.iter().enumerate() {
            let shard = sim.event_loop.shard();
            // Who does not take what it is answered is not looked at for a while.
            let is_holding = shard.held_input().next().is_some();
            assert!(!is_all_taken || !is_holding, "nothing is left for another turn");
            let bytes = shard.bytes_retained();
            let contexts = is_remembered(number).count() * bounds::CONTEXT_BYTES;
            assert!(
                !is_all_taken || bytes <= contexts as u64,
                "what everyone has is kept no longer, but for contexts: {bytes} of {contexts} bytes"
            );
        }
    }

    /// Bytes of input that a shard holds for another turn.
    pub fn held_input_bytes(&self, shard: usize) -> usize {
        self.shards[shard].event_loop.shard().held_input().map(|(_, bytes)| bytes).sum()
    }

    /// Bytes that the shards say they hold.
    pub fn bytes_retained(&self) -> u64 {
        self.shards.iter().map(|sim| sim.event_loop.shard().bytes_retained()).sum()
    }

    /// Another process has the same listening sockets.
    pub fn has_successor(&mut self) {
        self.shards.iter_mut().for_each(|sim| sim.event_loop.sockets().has_successor = true);
    }

    /// Whether any shard reads.
    pub fn may_read(&self) -> bool {
        self.mesh.may_read()
    }

    /// What a channel is called.
    fn name_of(&self, channel: usize) -> ChannelName {
        let target = Client::target(&Habits { room: Room::Channel(channel), ..Habits::quiet() }, self.seed.0);
        let name = target.strip_prefix("/ws/").map(ChannelName::new);
        name.and_then(Result::ok).expect("a good name")
    }

    /// Where a channel is at home.
    pub fn home_of(&self, channel: usize) -> usize {
        home_of(&self.name_of(channel), self.shards.len(), self.seed)
    }

    /// The first channel that is at home there.
    pub fn channel_of(&self, shard: usize) -> usize {
        (0..1_000).find(|&channel| self.home_of(channel) == shard).expect("every shard has channels")
    }

    /// A shard's sockets.
    pub fn sockets(&mut self, shard: usize) -> &mut Net {
        self.shards[shard].event_loop.sockets()
    }

    /// A client's connection is lost.
    pub fn break_off(&mut self, client: usize) {
        let client = &mut self.clients[client];
        (client.has_broken, client.is_gone) = (true, true);
        self.shards[client.shard].event_loop.sockets().wire(client.wire).reset();
    }

    /// A client ends its side without a word.
    pub fn hang_up(&mut self, client: usize) {
        let client = &mut self.clients[client];
        (client.has_broken, client.is_gone) = (true, true);
        self.shards[client.shard].event_loop.sockets().wire(client.wire).finish();
    }

    /// The time.
    pub fn clock_ms(&self) -> u64 {
        self.clock_ms
    }

    /// What has happened: what the shards count, and what only the world sees.
    pub fn deeds(&mut self) -> Deeds {
        let mut deeds: Deeds = self.totals().iter().collect();
        for sim in &mut self.shards {
            for (deed, times) in &sim.event_loop.sockets().seen {
                *deeds.entry(deed).or_default() += times;
            }
        }
        deeds.extend(&self.seen);
        deeds.insert("gaps_announced", self.laws.gaps_announced);
        self.clients.iter().filter_map(|client| client.cut_within).for_each(|deed| count(&mut deeds, deed));
        let wraps = (self.plan.clock_ms as u32) > (self.clock_ms as u32);
        deeds.insert("clocks_wrapped", u64::from(wraps));
        deeds
    }

    /// What all shards have counted.
    pub fn totals(&self) -> Totals {
        Totals::of(self.shards.iter().map(|sim| &*sim.counters))
    }
}

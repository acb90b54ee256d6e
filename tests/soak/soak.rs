//! The soak test: the real server for a minute or for hours under thousands of clients, good and bad, and judges that look on.
//!
//! ```text
//! tests/soak/run [SECONDS] [--seed N] [--clients N] [--rate N]
//! ```
//!
//! Good clients ([`crowd`]) come and go, talk, stall and read in sips, over plaintext and TLS, with compression and without; the
//! [`laws`] say what each of them must hear. Bad clients ([`mob`]) do what they can to stop that ([`attacks`]). After a warm-up
//! and at the end the same *quiet* is made: the bad are gone, the good are all there and say nothing. Memory and descriptors
//! must be the same then, and whatever was said must have been heard. At last the server is told to end.
//!
//! Every choice comes from a seed, which is printed. The machine's timing does not, so that the same seed makes a run like
//! another, not the same run.

mod attacks;
mod certificate;
mod course;
mod crowd;
mod ear;
mod laws;
mod member;
#[path = "../server/metronome.rs"]
mod metronome;
mod mob;
mod probe;
mod publication;
#[path = "../simulation/random.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is the simulation's, which needs more of it")]
mod random;
mod script;
mod server;
mod summary;
mod verdict;
mod wire;

use certificate::Certificate;
use clap::Parser;
use course::{Course, Stage};
use crowd::Crowd;
use mob::{Mob, SURGE};
use random::Random;
use server::{ALLOWANCE_BYTES, BUDGET_BYTES, Server};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use summary::{Rest, Summary};
use wire::Destination;

/// The soak test of fanwire.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long to run, in seconds: 30 at least
    #[arg(value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(30..))]
    seconds: u64,
    /// From which all choices come [default: from the system]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Clients at a time, three fifths of them good; in a surge there are more
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(100..))]
    clients: u64,
    /// Messages a second that good clients publish, all together
    #[arg(long, value_name = "N", default_value_t = 60)]
    rate: u32,
    /// The server
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
}

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long coming to rest may take.
const REST: Duration = Duration::from_secs(60);

/// For how long a quiet is looked at: longer than the interest in a channel outlives its last subscriber, and than what the
/// server keeps for later.
const QUIET: Duration = Duration::from_secs(8);

/// How long the end may take.
const FAREWELL: Duration = Duration::from_secs(60);

/// How much more memory may be taken at the end than after the warm-up: a share, as 1 / this, and bytes. Of the 15 to 35 MiB
/// that such a server takes, glibc's arenas keep up to 4 more or less from one rest to the next, while what is in use stays
/// the same.
const GROWTH_SHARE: u64 = 20;
const GROWTH_BYTES: u64 = 4 << 20;

/// Descriptors that this program needs besides those of its clients.
const DESCRIPTORS_RESERVED: u64 = 100;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().expect("the system has random numbers"),
    };
    println!("seed {seed}, {} s, {} clients", arguments.seconds, arguments.clients);
    match run(&arguments, seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("it could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it and prints what came of it; whether all laws held.
fn run(arguments: &Arguments, seed: u64) -> io::Result<bool> {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    let clients = arguments.clients.min(descriptors.saturating_sub(DESCRIPTORS_RESERVED + SURGE as u64));
    if clients < arguments.clients {
        println!("{descriptors} open files are enough for {clients} clients");
    }
    let (good, bad) = ((clients * 3 / 5) as usize, (clients * 2 / 5) as usize);
    let mut random = Random::new(seed);
    let certificate = Certificate::new()?;
    let mut server = Server::start(&arguments.binary, &certificate)?;
    let destination = Destination { plain: server.plain, tls: server.tls, configs: certificate.trusted() };
    let pid = server.pid();
    let course = Course::new();
    let crowd = Crowd::new(&course, destination.clone(), good, arguments.rate, random.fork())?;
    let mob = Mob::new(&course, destination.clone(), bad, crowd.rooms(), random.fork())?;
    let mut summary = Summary::new();
    thread::scope(|scope| -> io::Result<()> {
        let crowd = scope.spawn(|| crowd.run());
        let mob = scope.spawn(|| mob.run());
        let health = scope.spawn(|| probe::ask_for_health(&course, &destination, pid));
        let witness = scope.spawn(|| probe::witness(&course, &destination));
        Conductor { course: &course, server: &mut server, summary: &mut summary }.conduct(arguments.seconds);
        course.enter(Stage::Over);
        crowd.join().expect("the crowd does not panic")?;
        mob.join().expect("the mob does not panic")?;
        summary.health = health.join().expect("the probe does not panic");
        summary.witness = witness.join().expect("the witness does not panic");
        Ok(())
    })?;
    summary.print(&course);
    let Some(broken) = course.broken() else {
        println!("1 passed, 0 failed");
        return Ok(true);
    };
    println!("\nBROKEN with seed {seed}: {broken}\n\nThe server's last lines:\n{}", server.last_lines());
    println!("0 passed, 1 failed");
    Ok(false)
}

/// Leads through a run, and watches the process.
struct Conductor<'r> {
    course: &'r Course,
    server: &'r mut Server,
    summary: &'r mut Summary,
}

impl Conductor<'_> {
    fn conduct(&mut self, seconds: u64) {
        let warm_up = Duration::from_secs((seconds / 10).max(10));
        if self.watch_until(warm_up)
            && let Some(rest) = self.come_to_rest()
        {
            self.summary.after_warm_up = Some(rest);
            self.course.enter(Stage::Chaos);
            if self.watch_until(Duration::from_secs(seconds).saturating_sub(QUIET))
                && let Some(end) = self.come_to_rest()
            {
                self.summary.end = Some(end);
                self.compare(rest, end);
                self.say_farewell();
            }
        }
        self.summary.elapsed = self.course.elapsed();
    }

    /// Looks at the process until so much time has passed since the beginning; whether the run goes on.
    fn watch_until(&mut self, end: Duration) -> bool {
        while self.course.elapsed() < end && self.course.stage() != Stage::Over {
            thread::sleep(LOOK);
            self.look();
        }
        self.course.stage() != Stage::Over
    }

    fn look(&mut self) {
        let Some(resident_bytes) = self.server.resident_bytes() else {
            self.course.break_off("the server runs", "it has ended");
            return;
        };
        let summary = &mut *self.summary;
        summary.peak_bytes = summary.peak_bytes.max(resident_bytes);
        summary.cpu_seconds = self.server.cpu_seconds().unwrap_or(summary.cpu_seconds);
        if resident_bytes > BUDGET_BYTES + ALLOWANCE_BYTES {
            let mebibytes = resident_bytes >> 20;
            self.course.break_off("memory stays within the budget", format!("{mebibytes} MiB are resident"));
        }
        if resident_bytes > BUDGET_BYTES / 2 {
            self.course.note_shortness();
        }
        if self.server.sheds() != summary.sheds {
            summary.sheds = self.server.sheds();
            self.course.note_shedding();
        }
        self.course.looks.fetch_add(1, Ordering::SeqCst);
        summary.progress(self.course, resident_bytes);
    }

    /// Makes it quiet, and looks at what the server takes then.
    fn come_to_rest(&mut self) -> Option<Rest> {
        self.course.enter(Stage::Quiet);
        let limit = self.course.elapsed() + REST;
        loop {
            let is_calm = self.course.crowd_is_settled.load(Ordering::SeqCst)
                && self.course.bad.load(Ordering::SeqCst) == 0;
            if is_calm {
                break;
            }
            if self.course.elapsed() > limit {
                self.course.break_off("it comes to rest", "clients do not get in, or do not go");
            }
            if !self.watch_until(self.course.elapsed() + LOOK) {
                return None;
            }
        }
        let mut rest = Rest { resident_bytes: u64::MAX, descriptors: usize::MAX };
        let end = self.course.elapsed() + QUIET;
        while self.course.elapsed() < end {
            if !self.watch_until(self.course.elapsed() + LOOK) {
                return None;
            }
            // A probe that is there just now is no leak: the least counts.
            rest.resident_bytes = rest.resident_bytes.min(self.server.resident_bytes()?);
            rest.descriptors = rest.descriptors.min(self.server.descriptors()?);
        }
        Some(rest)
    }

    fn compare(&self, before: Rest, after: Rest) {
        let most = before.resident_bytes + before.resident_bytes / GROWTH_SHARE + GROWTH_BYTES;
        if after.resident_bytes > most {
            self.course.break_off(
                "memory at the end is what it was after the warm-up",
                format!("{} KiB after {} KiB", after.resident_bytes >> 10, before.resident_bytes >> 10),
            );
        }
        if after.descriptors > before.descriptors {
            self.course.break_off(
                "descriptors at the end are as many as after the warm-up",
                format!("{} after {}", after.descriptors, before.descriptors),
            );
        }
    }

    /// Ends the server: everybody is told, and it exits with 0.
    fn say_farewell(&mut self) {
        self.course.enter(Stage::Farewell);
        // The witnesses leave by themselves.
        while self.course.probes.load(Ordering::SeqCst) > 0 && self.course.stage() != Stage::Over {
            thread::sleep(LOOK / 10);
        }
        let begun = Instant::now();
        if !self.server.terminate() {
            self.course.break_off("the server ends on SIGTERM", "the signal could not be sent");
        }
        let mut exit_status = None;
        let are_all_told = || self.course.crowd_is_settled.load(Ordering::SeqCst);
        while self.course.stage() != Stage::Over && !(exit_status.is_some() && are_all_told()) {
            thread::sleep(LOOK / 10);
            exit_status = exit_status.or_else(|| self.server.exit_status());
            if begun.elapsed() > FAREWELL {
                let good = self.course.good.load(Ordering::SeqCst);
                let how = format!("{exit_status:?}, {good} good clients were not told");
                self.course.break_off("the server ends on SIGTERM, and tells everybody", how);
            }
        }
        self.summary.farewell = begun.elapsed();
        self.summary.exit_code = exit_status.and_then(|status| status.code());
        if let Some(status) = exit_status
            && !status.success()
        {
            self.course.break_off("exit code 0", status);
        }
    }
}

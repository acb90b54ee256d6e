//! [`Rig`]: starts a server, has it loaded, and reads what came of it.

use crate::generator::{Generator, Order};
use crate::load::Load;
use crate::machine::Busy;
use crate::measurement::Measurement;
use crate::server::Program;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Below those that the kernel gives to outgoing connections.
const FIRST_PORT: u16 = 18_000;
const LAST_PORT: u16 = 31_999;

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);

/// A server has its scripts read and its threads started by then.
const SETTLING: Duration = Duration::from_millis(200);

/// What a generator may take longer than it was told to measure: to connect, and to wait for what is late.
const GENERATOR_EXTRA_MAX: Duration = Duration::from_mins(2);

const POLL: Duration = Duration::from_millis(20);

/// How trials are made.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) generator: Generator,
    /// The cores that they are pinned to.
    pub(crate) server_cpu: u32,
    pub(crate) generator_cpu: u32,
    pub(crate) warmup_s: f64,
    pub(crate) window_s: f64,
    /// Where a server's messages go.
    pub(crate) server_log: PathBuf,
    /// Of the last server.
    port: u16,
}

impl Rig {
    pub(crate) fn new(
        generator: Generator,
        cpus: (u32, u32),
        seconds: (f64, f64),
        server_log: PathBuf,
    ) -> Self {
        let ((server_cpu, generator_cpu), (warmup_s, window_s)) = (cpus, seconds);
        Self { generator, server_cpu, generator_cpu, warmup_s, window_s, server_log, port: LAST_PORT }
    }

    /// Loads a fresh server once. Returns what was measured and how many cores others kept busy meanwhile.
    ///
    /// # Errors
    ///
    /// A sentence, if the server or the generator failed.
    pub(crate) fn measure(&mut self, program: &Program, load: Load) -> Result<(Measurement, f64), String> {
        let mut server = self.start(program)?;
        let order = Order {
            load,
            port: self.port,
            pid: server.0.id(),
            warmup_s: self.warmup_s,
            window_s: self.window_s,
        };
        let mut generator = pinned(self.generator_cpu, self.generator.executable());
        generator.args(self.generator.arguments(order)).stdout(Stdio::piped()).stderr(Stdio::piped());

        let (began, before) = (Instant::now(), Busy::read(order.pid));
        let child = generator.spawn().map_err(|error| format!("the generator does not start: {error}"))?;
        let longest = Duration::from_secs_f64(self.warmup_s + self.window_s) + GENERATOR_EXTRA_MAX;
        let ended = wait(Running(child), longest);
        let after = Busy::read(order.pid);
        let other_cores = after.others_since(before) / began.elapsed().as_secs_f64();

        if let Ok(Some(status)) = server.0.try_wait() {
            return Err(format!("the server ended with {status}: {}", complaint_of(&self.log())));
        }
        let (status, printed, complaint) = ended?;
        // What is wrong with the server is in the result, and the exit code may say so too.
        let result = self.generator.measurement(&printed);
        let said = || format!("the generator ended with {status}: {}", complaint_of(&complaint));
        let measurement = result.map_err(|error| if status.success() { error } else { said() })?;
        Ok((measurement, other_cores))
    }

    /// Starts a server and waits until it listens.
    fn start(&mut self, program: &Program) -> Result<Running, String> {
        self.port = free_port(self.port)?;
        let line = program.command_line(self.port);
        let log = File::create(&self.server_log)
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(|error| format!("{}: {error}", self.server_log.display()))?;
        let mut command = pinned(self.server_cpu, &line[0]);
        command.args(&line[1..]).stdout(log.0).stderr(log.1);
        let child = command.spawn().map_err(|error| format!("the server does not start: {error}"))?;
        let mut server = Running(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Ok(Some(status)) = server.0.try_wait() {
                return Err(format!("the server does not start: {status}, {}", complaint_of(&self.log())));
            }
            if begun.elapsed() > START_MAX {
                return Err(format!("the server does not listen: {}", complaint_of(&self.log())));
            }
            thread::sleep(POLL);
        }
        thread::sleep(SETTLING);
        Ok(server)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.server_log).unwrap_or_default()
    }
}

/// A process that does not outlive its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or it does now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command on one core, without the settings that fanwire would take from the environment.
fn pinned(cpu: u32, executable: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cpu.to_string()).arg(executable).stdin(Stdio::null());
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FANWIRE_")) {
        command.env_remove(name);
    }
    command
}

/// The first port behind `last` that nobody listens on.
fn free_port(last: u16) -> Result<u16, String> {
    let behind = (last + 1..=LAST_PORT).chain(FIRST_PORT..=last);
    let mut free = behind.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().ok_or_else(|| "all ports are in use".to_owned())
}

/// Waits for a process to end. Returns how it ended and what it wrote to its two pipes.
fn wait(mut process: Running, longest: Duration) -> Result<(ExitStatus, String, String), String> {
    let printed = process.0.stdout.take().map(listen);
    let complaint = process.0.stderr.take().map(listen);
    let begun = Instant::now();
    let status = loop {
        match process.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() > longest => return Err("the generator takes too long".to_owned()),
            Ok(None) => thread::sleep(POLL),
            Err(error) => return Err(format!("the generator is lost: {error}")),
        }
    };
    let text =
        |listener: Option<JoinHandle<String>>| listener.and_then(|it| it.join().ok()).unwrap_or_default();
    Ok((status, text(printed), text(complaint)))
}

/// Takes all that comes through a pipe, so that whoever writes need not wait.
fn listen(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error says what there is to say.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Of what a program that fails says, the line that calls itself an error, or else the last one.
fn complaint_of(text: &str) -> &str {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().find(|line| line.starts_with("error")).or(lines().next_back()).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_in_use_is_passed_over() {
        // Found and kept at once: a port that is let go of stays in use while another test starts a process, which has
        // copies of all descriptors until it runs its program.
        let listen = |port| Some((port, TcpListener::bind(("127.0.0.1", port)).ok()?));
        let (port, _listener) = (FIRST_PORT..=LAST_PORT).find_map(listen).unwrap();
        let free = free_port(port - 1).unwrap();
        assert_ne!(free, port);
        assert!((FIRST_PORT..=LAST_PORT).contains(&free));
    }

    #[test]
    fn a_process_is_waited_for_with_all_that_it_says() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo said; echo complained >&2; exit 3"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (status, printed, complaint) = wait(Running(child), Duration::from_secs(10)).unwrap();
        assert_eq!(
            (status.code(), printed.as_str(), complaint.as_str()),
            (Some(3), "said\n", "complained\n")
        );
    }

    #[test]
    fn a_process_that_does_not_end_is_ended() {
        let child = Command::new("sleep").arg("100").spawn().unwrap();
        let error = wait(Running(child), Duration::ZERO).unwrap_err();
        assert_eq!(error, "the generator takes too long");
    }

    #[test]
    fn of_what_a_program_says_the_error_counts_or_else_the_last_line() {
        assert_eq!(complaint_of("error: no such option\n\nFor more, try --help.\n"), "error: no such option");
        assert_eq!(complaint_of("begin\nbad port \n\n"), "bad port");
        assert_eq!(complaint_of("\n"), "it said nothing");
    }
}

//! [`Meter`]: what processes use, from the measured window's beginning to its end.
//!
//! CPU time is read from each process's CPU clock (`clock_getcpuclockid`): in nanoseconds, of all its threads, those
//! that have ended included. `/proc/PID/stat` says the same in ticks of 10 ms, and the nanoseconds in
//! `/proc/PID/task/*/schedstat` go with the thread that used them. Unless the kernel accounts for interrupts apart
//! (`CONFIG_IRQ_TIME_ACCOUNTING`), what it does in them, so much of TCP over loopback, is counted for the process that it
//! interrupted, whichever that is.
//!
//! Memory is what `/proc/PID/smaps_rollup` counts page by page, where it may be read. `VmRSS` in `/proc/PID/status` is
//! quicker, and off by some hundred kilobytes: several bytes for each of 19,000 connections.

use super::outcome::Usage;
use std::process;
use std::time::Duration;

/// Measures what some processes use.
#[derive(Debug)]
pub(super) struct Meter {
    processes: Vec<Process>,
    resident_before_bytes: u64,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    /// What it had used when the window began.
    cpu_before: Duration,
}

impl Meter {
    /// A meter of other processes, before the first connection is made: their memory is read now.
    ///
    /// # Errors
    /// If there is no such process, or the system does not tell.
    pub(super) fn new(pids: &[u32]) -> Result<Meter, String> {
        if !cfg!(target_os = "linux") {
            return Err("--pid works on Linux alone: leave it out".to_owned());
        }
        let mut pids = pids.to_vec();
        pids.sort_unstable();
        pids.dedup();
        let mut resident_before_bytes = 0;
        for &pid in &pids {
            if system::cpu(pid).is_none() {
                return Err(format!("--pid {pid}: there is no such process"));
            }
            resident_before_bytes += system::resident_bytes(pid)
                .ok_or_else(|| format!("--pid {pid}: /proc/{pid} does not say how much memory it uses"))?;
        }
        Ok(Meter::of(pids, resident_before_bytes))
    }

    /// A meter of this process. It says 0 where the system does not tell.
    pub(super) fn own() -> Meter {
        let pid = process::id();
        Meter::of(vec![pid], system::resident_bytes(pid).unwrap_or_default())
    }

    fn of(pids: Vec<u32>, resident_before_bytes: u64) -> Meter {
        let processes = pids.into_iter().map(|pid| Process { pid, cpu_before: Duration::ZERO });
        let mut meter = Meter { processes: processes.collect(), resident_before_bytes };
        meter.begin();
        meter
    }

    /// The window begins.
    pub(super) fn begin(&mut self) {
        for process in &mut self.processes {
            process.cpu_before = system::cpu(process.pid).unwrap_or_default();
        }
    }

    /// What they used since [`begin`](Self::begin), all together. A process that has ended counts for nothing.
    pub(super) fn end(&self) -> Usage {
        // All the clocks first: memory takes longer.
        let used = self.processes.iter().map(|process| {
            let cpu = system::cpu(process.pid).unwrap_or_default();
            cpu.saturating_sub(process.cpu_before)
        });
        let cpu = used.sum();
        let resident = self.processes.iter().map(|process| system::resident_bytes(process.pid));
        Usage {
            cpu,
            resident_before_bytes: self.resident_before_bytes,
            resident_bytes: resident.map(Option::unwrap_or_default).sum(),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use nix::time::ClockId;
    use nix::unistd::Pid;
    use std::fs;
    use std::time::Duration;

    /// CPU time that a process has used. None if there is no such process.
    pub(super) fn cpu(pid: u32) -> Option<Duration> {
        // 0 would be this process.
        let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).ok()?;
        Some(Duration::from(clock.now().ok()?))
    }

    /// Memory that a process has in RAM.
    pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
        let read = |file: &str, name: &str| {
            kilobytes(&fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?, name)
        };
        let kilobytes = read("smaps_rollup", "Rss:").or_else(|| read("status", "VmRSS:"))?;
        kilobytes.checked_mul(1024)
    }

    /// What stands behind `name`, as in `VmRSS:     1956 kB`.
    pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix("kB")?.trim_end().parse().ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::Duration;

    pub(super) fn cpu(_: u32) -> Option<Duration> {
        None
    }

    pub(super) fn resident_bytes(_: u32) -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::process::{Child, Command, Stdio};
    use std::thread;

    const BURNT: Duration = Duration::from_millis(20);

    /// Works until a meter has seen it.
    fn burn(meter: &Meter) {
        while meter.end().cpu < BURNT {
            black_box((0..10_000_u64).fold(0, |sum, number| black_box(sum ^ number)));
        }
    }

    #[test]
    fn a_process_that_works_uses_cpu() {
        let meter = Meter::own();
        burn(&meter);
        assert!(meter.end().cpu >= BURNT);
    }

    #[test]
    fn what_was_used_before_the_window_does_not_count() {
        let mut meter = Meter::own();
        burn(&meter);
        let before = meter.processes[0].cpu_before;
        meter.begin();
        assert!(meter.processes[0].cpu_before >= before + BURNT);
    }

    #[test]
    fn what_a_thread_used_still_counts_when_it_has_ended() {
        let meter = Meter::own();
        thread::scope(|scope| {
            scope.spawn(|| burn(&meter));
        });
        assert!(meter.end().cpu >= BURNT);
    }

    #[test]
    fn memory_that_is_touched_is_resident() {
        let meter = Meter::own();
        let touched = black_box(vec![1_u8; 64 << 20]);
        let usage = meter.end();
        assert!(usage.resident_before_bytes > 0);
        // Other tests give memory back meanwhile.
        assert!(usage.resident_bytes >= 64 << 20, "{usage:?}");
        drop(touched);
    }

    #[test]
    fn processes_are_summed_up_and_each_counts_once() {
        let mut child = sleeper();
        let one = Meter::new(&[child.id()]).expect("it runs");
        let twice = Meter::new(&[child.id(), child.id()]).expect("it runs");
        assert_eq!(twice.processes.len(), one.processes.len());
        let both = Meter::new(&[child.id(), process::id()]).expect("they run");
        assert!(both.resident_before_bytes > one.resident_before_bytes);
        end(&mut child);
    }

    #[test]
    fn a_process_that_has_ended_counts_for_nothing() {
        let mut child = sleeper();
        let mut meter = Meter::new(&[child.id()]).expect("it runs");
        meter.begin();
        end(&mut child);
        let usage = meter.end();
        assert_eq!((usage.cpu, usage.resident_bytes), (Duration::ZERO, 0));
        assert!(usage.resident_before_bytes > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let mut child = sleeper();
        let ended = child.id();
        end(&mut child);
        for pid in [0, ended, u32::MAX] {
            let error = Meter::new(&[process::id(), pid]).expect_err("no such process");
            assert_eq!(error, format!("--pid {pid}: there is no such process"));
        }
    }

    #[test]
    fn kilobytes_stand_behind_their_name() {
        let status = "Name:\tVmRSS:\nVmHWM:\t    4 kB\nVmRSS:\t    1956 kB\n";
        assert_eq!(system::kilobytes(status, "VmRSS:"), Some(1956));
        assert_eq!(system::kilobytes(status, "Rss:"), None);
        assert_eq!(system::kilobytes("VmRSS:\t1956\n", "VmRSS:"), None);
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("a process")
    }

    fn end(child: &mut Child) {
        child.kill().expect("ours");
        child.wait().expect("ended");
    }
}

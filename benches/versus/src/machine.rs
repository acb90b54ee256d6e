//! What this machine is, and how busy its cores are. It reads `/proc`, of Linux.

use std::fs;
use std::process::Command;

/// Ticks a second in `/proc`, the same on every machine (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// CPU seconds so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Busy {
    /// Of all cores, whoever used them.
    machine: f64,
    server: f64,
    /// Of all processes that this one has started and waited for.
    children: f64,
}

impl Busy {
    /// Reads the counters. A server that is gone counts as 0.
    pub(crate) fn read(server: u32) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            machine: machine_s(&read("/proc/stat")),
            server: process_s(&read(&format!("/proc/{server}/stat")), OWN),
            children: process_s(&read("/proc/self/stat"), CHILDREN),
        }
    }

    /// Seconds since an earlier reading that neither the server nor the generator used, which has been waited for.
    pub(crate) fn others_since(self, earlier: Self) -> f64 {
        let server = self.server - earlier.server;
        let children = self.children - earlier.children;
        (self.machine - earlier.machine - server - children).max(0.0)
    }
}

/// All of the first line of `/proc/stat` but the time in which nothing was done: user, nice, system, irq, softirq and steal.
fn machine_s(stat: &str) -> f64 {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    [0, 1, 2, 5, 6, 7].into_iter().filter_map(|index| ticks.get(index)).sum::<f64>() / TICKS_PER_S
}

/// Fields of `/proc/PID/stat` behind the name of the process: user and system time.
const OWN: [usize; 2] = [11, 12];
const CHILDREN: [usize; 2] = [13, 14];

fn process_s(stat: &str, fields: [usize; 2]) -> f64 {
    // The name, in parentheses, may have blanks and parentheses itself.
    let Some((_, behind_name)) = stat.rsplit_once(')') else { return 0.0 };
    let values: Vec<_> = behind_name.split_whitespace().collect();
    let ticks = fields.into_iter().filter_map(|index| values.get(index)?.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_S
}

/// Processor, cores and memory.
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    describe(&read("/proc/cpuinfo"), &read("/proc/meminfo"))
}

fn describe(cpuinfo: &str, meminfo: &str) -> String {
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let model = value(cpuinfo, "model name").unwrap_or_else(|| "an unknown processor".to_owned());
    let is_virtual =
        value(cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let kib = value(meminfo, "MemTotal").and_then(|total| total.trim_end_matches(" kB").parse::<f64>().ok());
    let memory = kib.map_or(String::new(), |kib| format!(", {:.0} GiB", kib / 1024.0 / 1024.0));
    let kind = if is_virtual { "a virtual machine: " } else { "" };
    format!("{kind}{cores} cores of {model}{memory}")
}

pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Day and time, UTC.
pub(crate) fn now() -> String {
    let printed = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"]).output();
    printed.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_cores_are_not_busy() {
        //          user nice system idle iowait irq softirq steal guest guest_nice
        let stat = "cpu  100 20 300 40000 5000 1 2 3 7 7\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
        assert_eq!(machine_s(stat), 4.26);
        assert_eq!(machine_s(""), 0.0);
    }

    #[test]
    fn a_process_may_have_any_name() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 700 300 20 0 1 0 9 9 9";
        assert_eq!(process_s(stat, OWN), 2.0);
        assert_eq!(process_s(stat, CHILDREN), 10.0);
        assert_eq!(process_s("", OWN), 0.0);
    }

    #[test]
    fn what_server_and_generator_used_is_not_other_load() {
        let earlier = Busy { machine: 100.0, server: 1.0, children: 5.0 };
        let later = Busy { machine: 110.0, server: 5.0, children: 10.0 };
        assert_eq!(later.others_since(earlier), 1.0);
    }

    #[test]
    fn a_machine_is_described_in_a_line() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor sse\nprocessor\t: 1\n";
        assert_eq!(
            describe(cpuinfo, "MemTotal:       25165824 kB\n"),
            "a virtual machine: 2 cores of AMD EPYC, 24 GiB"
        );
        assert_eq!(describe("", ""), "0 cores of an unknown processor");
    }
}

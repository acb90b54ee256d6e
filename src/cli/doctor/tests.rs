//! What the doctor says of systems that are made of files.

use super::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

/// A machine that carries 100,000 connections.
const GOOD: [(&str, &str); 16] = [
    ("proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  1048576  files\n"),
    ("proc/self/cgroup", "0::/system.slice/fanwire.service\n"),
    ("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\nSwapTotal: 0 kB\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/fs/file-nr", "1184\t0\t9223372036854775807\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "1024\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_mem", "190000\t250000\t380000\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n"),
    ("proc/sys/vm/overcommit_memory", "0\n"),
    ("sys/fs/cgroup/system.slice/fanwire.service/pids.max", "4915\n"),
    ("sys/fs/cgroup/system.slice/fanwire.service/pids.current", "5\n"),
];

/// A system's files in a directory of their own, which is gone at the end.
struct Machine(PathBuf);

impl Machine {
    /// The good machine, but for these files. One without text is not there.
    fn but(others: &[(&str, &str)]) -> Machine {
        static MACHINES: AtomicUsize = AtomicUsize::new(0);
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let name = format!("fanwire-doctor-{}-{number}", process::id());
        let machine = Machine(env::temp_dir().join(name));
        for (path, text) in GOOD.iter().chain(others) {
            let path = machine.0.join(path);
            if text.is_empty() {
                fs::remove_file(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        machine
    }

    fn report(&self, plan: &Plan) -> (String, Verdict) {
        report(&System::below(&self.0), plan)
    }

    /// The lines about this name, for 100,000 connections.
    fn says(&self, name: &str) -> String {
        let (report, _) = self.report(&PLAN);
        let lines: Vec<_> = report.lines().collect();
        let head = |line: &&str| line.get(6..).is_some_and(|line| line.starts_with(&format!("{name}: ")));
        let Some(at) = lines.iter().position(head) else { return String::new() };
        lines[at..]
            .iter()
            .enumerate()
            .take_while(|(index, line)| *index == 0 || line.starts_with("      "))
            .fold(String::new(), |said, (_, line)| said + line + "\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PLAN: Plan = Plan { connections: 100_000, tls: false, port: None, workers: 4 };

#[test]
fn a_machine_that_carries_them_is_well() {
    let (report, worst) = Machine::but(&[]).report(&PLAN);
    assert_eq!(worst, Verdict::Ok, "{report}");
    assert!(report.lines().rev().skip(1).all(|line| line.starts_with("ok    ")), "{report}");
    assert!(report.ends_with("100,000 connections: all is well\n"), "{report}");
    // What serve needs for itself: 64, and 72 for each worker.
    let said = "ok    open files: a process may have 1,048,576, and 100,352 are needed; the soft limit is 1,024, and serve \
                raises that itself";
    assert_eq!(report.lines().next(), Some(said));
}

#[test]
fn too_few_open_files_fail_with_the_line_that_sets_them() {
    let machine = Machine::but(&[("proc/self/limits", "Max open files  1024  100351  files\n")]);
    let said = machine.says("open files");
    assert!(
        said.starts_with("fail  open files: a process may have 100,351, and 100,352 are needed\n"),
        "{said}"
    );
    assert!(said.contains("set: LimitNOFILE=131072 under [Service]"), "{said}");
    let enough = Machine::but(&[("proc/self/limits", "Max open files  unlimited  unlimited  files\n")]);
    assert!(enough.says("open files").starts_with("ok    open files: a process may have any number"));
}

#[test]
fn the_kernels_own_bounds_on_files_fail_below_what_is_needed() {
    let machine = Machine::but(&[("proc/sys/fs/nr_open", "100351"), ("proc/sys/fs/file-max", "101535")]);
    assert!(machine.says("fs.nr_open").contains("set: sysctl -w fs.nr_open=131072"));
    assert!(machine.says("fs.file-max").starts_with("fail"), "1,184 are open already");
    let machine = Machine::but(&[("proc/sys/fs/nr_open", "100352"), ("proc/sys/fs/file-max", "101536")]);
    assert!(machine.says("fs.nr_open").starts_with("ok") && machine.says("fs.file-max").starts_with("ok"));
}

#[test]
fn short_queues_are_warned_about() {
    let machine = Machine::but(&[("proc/sys/net/core/somaxconn", "128")]);
    let said = machine.says("net.core.somaxconn");
    assert!(said.starts_with("warn") && said.contains("sysctl -w net.core.somaxconn=4096"), "{said}");
    let machine = Machine::but(&[("proc/sys/net/ipv4/tcp_syncookies", "0")]);
    assert!(machine.says("net.ipv4.tcp_max_syn_backlog").starts_with("warn"));
}

#[test]
fn a_firewall_that_tracks_too_few_fails_and_one_that_is_not_there_is_not_spoken_of() {
    let most = ("proc/sys/net/netfilter/nf_conntrack_max", "100010");
    let count = |count| ("proc/sys/net/netfilter/nf_conntrack_count", count);
    let says = |machine: Machine| machine.says("net.netfilter.nf_conntrack_max");
    assert_eq!(says(Machine::but(&[])), "");
    assert!(says(Machine::but(&[most, count("10")])).starts_with("ok"));
    let said = says(Machine::but(&[most, count("11")]));
    assert!(said.starts_with("fail") && said.contains("nf_conntrack_max=262144"), "{said}");
}

#[test]
fn memory_counts_what_they_cost_here_and_in_the_kernel_and_tls_if_asked() {
    let with = |available: &str| {
        let meminfo = format!("MemTotal: 16777216 kB\nMemAvailable: {available} kB\n");
        Machine::but(&[("proc/meminfo", meminfo.as_str())])
    };
    // 100,000 × (256 + 4,096) B = 425,000 KiB.
    assert!(with("424999").says("memory").starts_with("fail"));
    assert!(with("425001").says("memory").starts_with("warn"), "nothing would be left for messages");
    assert!(with("850000").says("memory").starts_with("ok"));
    let (report, worst) = with("424999").report(&Plan { connections: 90_000, ..PLAN });
    assert_eq!(worst, Verdict::Warn, "{report}");
    let (report, worst) = with("425001").report(&Plan { tls: true, ..PLAN });
    assert!(worst == Verdict::Fail && report.contains("; with TLS"), "{report}");
}

#[test]
fn a_control_group_binds_memory_and_threads() {
    let group = "sys/fs/cgroup/system.slice/fanwire.service/memory.max";
    let machine = Machine::but(&[(group, "268435456\n")]);
    let said = machine.says("memory");
    assert!(
        said.starts_with("fail  memory: 256 MiB are available") && said.contains("MemoryMax=831M"),
        "{said}"
    );
    assert!(machine.says("--memory-budget").starts_with("ok"), "24 MiB of them are the server's own");
    let machine = Machine::but(&[(group, "33554432\n")]);
    assert!(machine.says("--memory-budget").starts_with("fail"));
    let machine = Machine::but(&[("sys/fs/cgroup/system.slice/fanwire.service/pids.max", "16\n")]);
    let said = machine.says("pids.max");
    assert!(
        said.starts_with("fail  pids.max: this control group may start 11 more threads; 15 are needed"),
        "{said}"
    );
}

#[test]
fn tcp_s_memory_is_compared_with_a_message_to_all() {
    const NAME: &str = "net.ipv4.tcp_mem";
    let with = |pages| Machine::but(&[("proc/sys/net/ipv4/tcp_mem", pages)]).says(NAME);
    // 100,000 × 2 KiB are 50,000 pages.
    assert!(with("10000 50000 60000").starts_with("ok"));
    assert!(with("10000 49999 60000").starts_with("warn"));
    let said = with("10000 20000 49999");
    assert!(said.starts_with("fail") && said.contains("net.ipv4.tcp_mem='131072 196608 262144'"), "{said}");
    assert_eq!(with("nonsense"), "", "what cannot be read is not judged");
}

#[test]
fn buffers_that_could_take_more_than_half_of_the_memory_are_warned_about() {
    let machine = Machine::but(&[("proc/sys/net/ipv4/tcp_mem", "190000 2500000 3800000")]);
    let said = machine.says("socket buffers");
    assert!(said.starts_with("warn") && said.contains("--send-buffer 65536"), "{said}");
}

#[test]
fn ports_for_connections_that_begin_here_matter_to_proxies_and_load_tests() {
    let machine = Machine::but(&[("proc/sys/net/ipv4/ip_local_port_range", "32768 60999")]);
    let said = machine.says("net.ipv4.ip_local_port_range");
    assert!(
        said.starts_with("warn") && said.contains("28,232 ports") && said.contains("The server needs none")
    );
    let (report, _) = machine.report(&Plan { connections: 28_232, ..PLAN });
    assert!(report.contains("ok    net.ipv4.ip_local_port_range"), "{report}");
}

#[test]
fn a_port_is_free_or_somebodys_or_not_for_everyone() {
    const HEAD: &str = "  sl  local_address rem_address   st\n";
    let listening = format!("{HEAD}   0: 0100007F:1F90 00000000:0000 0A 0\n");
    let connected = format!("{HEAD}   0: 0100007F:1F90 0100007F:D431 01 0\n");
    let machine = |tcp: &str| {
        Machine::but(&[("proc/net/tcp", tcp), ("proc/sys/net/ipv4/ip_local_port_range", "32768 60999")])
    };
    let port = |machine: &Machine, port| machine.report(&Plan { port: Some(port), ..PLAN }).0;
    let free = machine(&connected);
    assert!(port(&free, 8080).contains("ok    port: 8080 is free\n"));
    assert!(port(&free, 80).contains("CAP_NET_BIND_SERVICE"));
    assert!(port(&free, 40_000).contains("sysctl -w net.ipv4.ip_local_reserved_ports=40000"));
    assert!(port(&machine(&listening), 8080).contains("warn  port: somebody listens on 8080 already\n"));
}

#[test]
fn what_a_system_does_not_say_is_not_checked() {
    let (report, worst) = report(&System::below("/nonexistent"), &PLAN);
    assert_eq!(worst, Verdict::Ok);
    assert_eq!(report.lines().count(), 2, "only the cores are known: {report}");
}

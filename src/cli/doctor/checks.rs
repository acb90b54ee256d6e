//! What so many connections need of a system, and what it has. Each check is a function of the [`System`]; a system that
//! says nothing of something is not checked for it.

use super::system::{OpenFiles, System};
use super::{Finding, Plan, Verdict};
use crate::cli::figures::{digits, size};
use fanwire::limits::{
    CLIENT_COST_BYTES, DESCRIPTORS_PER_WORKER, DESCRIPTORS_RESERVED, LISTEN_BACKLOG,
    MEMORY_FOR_THOSE_IN_SHARE, REFUSALS_MAX, TLS_COST_BYTES,
};

/// Bytes of kernel memory that an idle TCP connection takes: its socket with inode, directory entry, open file and the entry
/// in the poll. It is what the slabs of Linux 5 and 6 add up to.
const SOCKET_COST_BYTES: u64 = 4 << 10;

/// Bytes of kernel memory that one short message takes on its way to one client. Of a broadcast to all there is that much for
/// each until it is acknowledged.
const MESSAGE_COST_BYTES: u64 = 2 << 10;

/// Bytes of a page, in which `tcp_mem` counts. Where pages are larger there is more than this says.
const PAGE_BYTES: u64 = 4096;

/// Threads besides the workers: the first, two for the log, and those for configuration, reloads, signals, certificates, the
/// admin API, its wish for a reload, the watchdog, and the delay of a drain.
const THREADS_BESIDES: u64 = 11;

/// All that is found, in the order in which it is told.
pub(super) fn all(system: &System, plan: &Plan) -> Vec<Finding> {
    let checks = [
        open_files,
        open_files_ceiling,
        open_files_of_all,
        queue_of_connections,
        queue_of_handshakes,
        tracked_connections,
        memory,
        memory_budget,
        tcp_memory,
        socket_buffers,
        overcommit,
        threads,
        cores,
        local_ports,
        port,
    ];
    checks.iter().filter_map(|check| check(system, plan)).collect()
}

/// Descriptors that the server needs for the connections and for itself, as `serve` counts them.
fn descriptors_needed(plan: &Plan) -> u64 {
    let for_workers = plan.workers.saturating_mul((REFUSALS_MAX + DESCRIPTORS_PER_WORKER) as u64);
    plan.connections.saturating_add(for_workers).saturating_add(DESCRIPTORS_RESERVED as u64)
}

/// A round number that is enough: the next power of two.
fn round(number: u64) -> u64 {
    number.checked_next_power_of_two().unwrap_or(number)
}

/// How to set a setting, now and for good.
fn set(name: &str, value: impl std::fmt::Display) -> String {
    format!("sysctl -w {name}={value}    for good: echo '{name} = {value}' >> /etc/sysctl.d/90-fanwire.conf")
}

fn enough(is_enough: bool, otherwise: Verdict) -> Verdict {
    if is_enough { Verdict::Ok } else { otherwise }
}

fn open_files(system: &System, plan: &Plan) -> Option<Finding> {
    let OpenFiles { soft, hard } = system.open_files()?;
    let needed = descriptors_needed(plan);
    let verdict = enough(hard >= needed, Verdict::Fail);
    let (soft_shown, hard_shown) = (shown(soft), shown(hard));
    let raised = if verdict == Verdict::Ok && soft < needed {
        format!("; the soft limit is {soft_shown}, and serve raises that itself")
    } else {
        String::new()
    };
    let text = format!("a process may have {hard_shown}, and {} are needed{raised}", digits(needed));
    let wanted = round(needed);
    let fix = format!(
        "LimitNOFILE={wanted} under [Service] of the systemd unit; or `* hard nofile {wanted}` in \
         /etc/security/limits.d/fanwire.conf and a new login"
    );
    Some(Finding::new(verdict, "open files", text, fix))
}

fn open_files_ceiling(system: &System, plan: &Plan) -> Option<Finding> {
    let most = system.setting("fs.nr_open")?;
    let needed = descriptors_needed(plan);
    let verdict = enough(most >= needed, Verdict::Fail);
    let text =
        format!("no process may be given more files than {}; {} are needed", digits(most), digits(needed));
    Some(Finding::new(verdict, "fs.nr_open", text, set("fs.nr_open", round(needed))))
}

fn open_files_of_all(system: &System, plan: &Plan) -> Option<Finding> {
    let most = system.setting("fs.file-max")?;
    let used = system.number("/proc/sys/fs/file-nr").unwrap_or(0);
    let needed = used.saturating_add(descriptors_needed(plan));
    let verdict = enough(most >= needed, Verdict::Fail);
    let text = format!(
        "all processes together may have {}; {} are open, and {} come on top",
        shown(most),
        digits(used),
        digits(descriptors_needed(plan))
    );
    Some(Finding::new(verdict, "fs.file-max", text, set("fs.file-max", round(needed.saturating_mul(2)))))
}

fn queue_of_connections(system: &System, _: &Plan) -> Option<Finding> {
    let most = system.setting("net.core.somaxconn")?;
    let wanted = LISTEN_BACKLOG.unsigned_abs();
    let verdict = enough(most >= u64::from(wanted), Verdict::Warn);
    let text = format!(
        "{} connections may wait to be accepted; serve asks for {}, and who finds no place tries again after a second or \
         more",
        digits(most),
        digits(wanted.into())
    );
    Some(Finding::new(verdict, "net.core.somaxconn", text, set("net.core.somaxconn", wanted)))
}

fn queue_of_handshakes(system: &System, _: &Plan) -> Option<Finding> {
    const NAME: &str = "net.ipv4.tcp_max_syn_backlog";
    let most = system.setting(NAME)?;
    let has_cookies = system.setting("net.ipv4.tcp_syncookies").is_some_and(|cookies| cookies > 0);
    let wanted = u64::from(LISTEN_BACKLOG.unsigned_abs());
    let verdict = enough(most >= wanted || has_cookies, Verdict::Warn);
    let cookies = if has_cookies { "; beyond it SYN cookies do" } else { ", and there are no SYN cookies" };
    let text = format!("{} connections may be half made at a time{cookies}", digits(most));
    let fix = format!("sysctl -w {NAME}={wanted} net.ipv4.tcp_syncookies=1");
    Some(Finding::new(verdict, NAME, text, fix))
}

fn tracked_connections(system: &System, plan: &Plan) -> Option<Finding> {
    const NAME: &str = "net.netfilter.nf_conntrack_max";
    let most = system.setting(NAME)?;
    let used = system.setting("net.netfilter.nf_conntrack_count").unwrap_or(0);
    let verdict = enough(most.saturating_sub(used) >= plan.connections, Verdict::Fail);
    let wanted = round(used.saturating_add(plan.connections.saturating_mul(2)));
    let text = format!(
        "the firewall keeps track of {} connections, of which {} are in use; what is beyond it is dropped",
        digits(most),
        digits(used)
    );
    let fix = format!(
        "{}; or do not track them: nft add rule ip raw prerouting tcp dport PORT notrack",
        set(NAME, wanted)
    );
    Some(Finding::new(verdict, NAME, text, fix))
}

/// Bytes that the server itself holds for a connection at rest.
fn cost_of_a_client(plan: &Plan) -> u64 {
    CLIENT_COST_BYTES + if plan.tls { TLS_COST_BYTES } else { 0 }
}

fn memory(system: &System, plan: &Plan) -> Option<Finding> {
    let allowed = system.memory_allowed();
    let free = system.memory("MemAvailable").into_iter().chain(allowed).min()?;
    let each = cost_of_a_client(plan) + SOCKET_COST_BYTES;
    let needed = plan.connections.saturating_mul(each);
    let verdict = match () {
        () if needed > free => Verdict::Fail,
        () if needed > free / 2 => Verdict::Warn,
        () => Verdict::Ok,
    };
    let text = format!(
        "{} are available; {} connections at rest need {} ({} in the server, {} in the kernel{}), and messages come on top",
        size(free),
        digits(plan.connections),
        size(needed),
        size(plan.connections.saturating_mul(cost_of_a_client(plan))),
        size(plan.connections.saturating_mul(SOCKET_COST_BYTES)),
        if plan.tls { "; with TLS" } else { "; --tls counts TLS" },
    );
    let fix = format!(
        "more memory; in a control group MemoryMax={} under [Service] of the systemd unit, or fewer connections",
        mebibytes(needed.saturating_mul(2))
    );
    Some(Finding::new(verdict, "memory", text, fix))
}

fn memory_budget(system: &System, plan: &Plan) -> Option<Finding> {
    let budget = system.memory_allowed()? / 2;
    let for_new = budget - budget / MEMORY_FOR_THOSE_IN_SHARE;
    let needed = plan.connections.saturating_mul(cost_of_a_client(plan));
    let verdict = enough(needed <= for_new, Verdict::Fail);
    let text = format!(
        "without --memory-budget it is half of what there is, {}; from {} on nobody new is let in, and so many at rest \
         count for {}",
        size(budget),
        size(for_new),
        size(needed)
    );
    let wanted = needed.saturating_mul(2);
    let fix = format!("--memory-budget {wanted}, if the machine has that much to spare");
    Some(Finding::new(verdict, "--memory-budget", text, fix))
}

fn tcp_memory(system: &System, plan: &Plan) -> Option<Finding> {
    const NAME: &str = "net.ipv4.tcp_mem";
    let pages = system.settings(NAME)?;
    let (&[_, pressure, most], true) = (pages.as_slice(), pages.is_sorted()) else { return None };
    let needed = plan.connections.saturating_mul(MESSAGE_COST_BYTES);
    let bytes = |pages: u64| pages.saturating_mul(PAGE_BYTES);
    let verdict = match () {
        () if needed > bytes(most) => Verdict::Fail,
        () if needed > bytes(pressure) => Verdict::Warn,
        () => Verdict::Ok,
    };
    let text = format!(
        "what is on its way may take {} of kernel memory, and above {} buffers shrink; one short message to all is {}",
        size(bytes(most)),
        size(bytes(pressure)),
        size(needed)
    );
    let wanted = round(needed.saturating_mul(4)) / PAGE_BYTES;
    let value = format!("'{} {} {}'", wanted / 2, wanted * 3 / 4, wanted);
    let fix = format!(
        "sysctl -w {NAME}={value}    for good: a line {NAME} = {value} in /etc/sysctl.d/90-fanwire.conf"
    );
    Some(Finding::new(verdict, NAME, text, fix))
}

fn socket_buffers(system: &System, plan: &Plan) -> Option<Finding> {
    let most_sent = *system.settings("net.ipv4.tcp_wmem")?.get(2)?;
    let most_received = *system.settings("net.ipv4.tcp_rmem")?.get(2)?;
    let in_all = system.settings("net.ipv4.tcp_mem").and_then(|pages| pages.get(2)?.checked_mul(PAGE_BYTES));
    let memory = system.memory_allowed()?;
    let worst = plan.connections.saturating_mul(most_sent.saturating_add(most_received));
    let worst = in_all.map_or(worst, |in_all| worst.min(in_all));
    // The other half is what the server's own budget is by default.
    let verdict = enough(worst <= memory / 2, Verdict::Warn);
    let text = format!(
        "who does not read may hold {} of the kernel's (tcp_wmem), who sends {} (tcp_rmem), besides --outbox-limit; all \
         of them at most {} of the {} there are",
        size(most_sent),
        size(most_received),
        size(worst),
        size(memory)
    );
    let fix = "--send-buffer 65536 bounds it for each client; or lower the third number of net.ipv4.tcp_mem"
        .to_owned();
    Some(Finding::new(verdict, "socket buffers", text, fix))
}

fn overcommit(system: &System, _: &Plan) -> Option<Finding> {
    let policy = system.setting("vm.overcommit_memory")?;
    let swap = system.memory("SwapTotal").unwrap_or(0);
    let verdict = enough(policy != 2, Verdict::Warn);
    let policy = match policy {
        2 => "memory that is asked for is refused before it is used up: the server would end",
        1 => "whatever is asked for is granted",
        _ => "what is asked for is granted as far as that is sensible",
    };
    let swap = if swap == 0 { "no swap".to_owned() } else { format!("{} of swap", size(swap)) };
    let text = format!("{policy}; {swap}");
    Some(Finding::new(verdict, "vm.overcommit_memory", text, set("vm.overcommit_memory", 0)))
}

fn threads(system: &System, plan: &Plan) -> Option<Finding> {
    let left = system.threads_left()?;
    let needed = plan.workers.saturating_add(THREADS_BESIDES);
    let verdict = enough(left >= needed, Verdict::Fail);
    let text =
        format!("this control group may start {} more threads; {} are needed", digits(left), digits(needed));
    let fix = format!("TasksMax={} under [Service] of the systemd unit", round(needed.saturating_mul(4)));
    Some(Finding::new(verdict, "pids.max", text, fix))
}

#[expect(clippy::unnecessary_wraps, reason = "a check like the others, some of which find nothing")]
fn cores(_: &System, plan: &Plan) -> Option<Finding> {
    let cores = plan.workers;
    let each = plan.connections.div_ceil(cores.max(1));
    let text = format!(
        "{}, as many workers by default, {} connections each",
        if cores == 1 { "1 core".to_owned() } else { format!("{} cores", digits(cores)) },
        digits(each)
    );
    Some(Finding::new(Verdict::Ok, "cores", text, String::new()))
}

fn local_ports(system: &System, plan: &Plan) -> Option<Finding> {
    const NAME: &str = "net.ipv4.ip_local_port_range";
    const WIDEST: (u64, u64) = (1024, 65_535);
    let range = system.settings(NAME)?;
    let &[first, last] = range.as_slice() else { return None };
    let ports = (last + 1).saturating_sub(first);
    let possible = plan.connections.min(WIDEST.1 + 1 - WIDEST.0);
    let verdict = enough(ports >= possible, Verdict::Warn);
    let text = format!(
        "{} ports for connections that begin here. The server needs none; a proxy on this machine, or a load generator, \
         needs one for each connection to one address and port",
        digits(ports)
    );
    let fix = format!(
        "sysctl -w {NAME}='{} {}'; for more than those, several addresses: listen on 127.0.0.2 and so on",
        WIDEST.0, WIDEST.1
    );
    Some(Finding::new(verdict, NAME, text, fix))
}

fn port(system: &System, plan: &Plan) -> Option<Finding> {
    const NAME: &str = "port";
    let port = plan.port?;
    let first_free = system.setting("net.ipv4.ip_unprivileged_port_start").unwrap_or(1024);
    let is_outgoing = system
        .settings("net.ipv4.ip_local_port_range")
        .is_some_and(|range| range.len() == 2 && (range[0]..=range[1]).contains(&port.into()));
    let (verdict, text, fix) = if system.is_listening(port) {
        let fix =
            format!("see who it is by `ss -ltnp 'sport = :{port}'`; two fanwires share one by --reuse-port");
        (Verdict::Warn, format!("somebody listens on {port} already"), fix)
    } else if u64::from(port) < first_free {
        let fix =
            "AmbientCapabilities=CAP_NET_BIND_SERVICE under [Service] of the systemd unit, or a socket unit";
        (
            Verdict::Warn,
            format!("{port} is below {first_free}: only who may can listen there"),
            fix.to_owned(),
        )
    } else if is_outgoing {
        let fix = set("net.ipv4.ip_local_reserved_ports", port);
        (Verdict::Warn, format!("{port} may be taken by a connection that begins here"), fix)
    } else {
        (Verdict::Ok, format!("{port} is free"), String::new())
    };
    Some(Finding::new(verdict, NAME, text, fix))
}

// ---- Numbers for people ---------------------------------------------------------------------------------------------

/// A number, or that there is none.
fn shown(number: u64) -> String {
    // The kernel's own "no limit" for files is the largest number that is signed.
    if number > u64::MAX / 4 { "any number".to_owned() } else { digits(number) }
}

/// Bytes as systemd reads them.
fn mebibytes(bytes: u64) -> String {
    format!("{}M", bytes.div_ceil(1 << 20))
}

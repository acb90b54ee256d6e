//! How much memory this process may have: the `--memory-budget` of who does not say.
//!
//! What the kernel keeps for sockets is not counted in a budget, and neither is what an allocator has not given back yet,
//! so that the default is half of what there is.

use std::fs;

/// Where a process's control groups of version 2, or the memory controller of version 1, are found.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"];

/// Half of the memory that this process may have, in whole MiB: of the least that any of its control groups is allowed, or of
/// the machine's. `None` if the system says neither.
pub(crate) fn default_budget() -> Option<u64> {
    available(|path| fs::read_to_string(path).ok()).map(|bytes| (bytes / 2) >> 20 << 20)
}

/// Bytes of the memory that this process may have, according to files whose contents `read` gives.
pub(crate) fn available(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|file| {
        // "max" is no limit; version 1 says a number near the largest there is.
        read(&file)?.trim().parse().ok()
    });
    let machine = read("/proc/meminfo").and_then(|meminfo| total(&meminfo));
    limits.chain(machine).min()
}

/// The files that may hold a limit of one line of /proc/self/cgroup: `hierarchy:controllers:path`. A group's limit binds all
/// below it; in a container the path may be one that only the host sees, and its own group is the root.
fn limit_files(line: &str) -> Vec<String> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (root, file) = match controllers {
        "" => (ROOTS[0], "memory.max"),
        list if list.split(',').any(|controller| controller == "memory") => {
            (ROOTS[1], "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let path = path.trim_end_matches('/');
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.map(|end| format!("{root}{}/{file}", &path[..end])).collect()
}

/// The machine's memory in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is available where these files exist.
    fn available_with(files: &[(&str, &str)]) -> Option<u64> {
        available(|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemFree:  1 kB\nMemTotal:       2048 kB\n");

    #[test]
    fn without_a_control_group_it_is_the_machines() {
        assert_eq!(available_with(&[MACHINE]), Some(2 << 20));
        assert_eq!(available_with(&[MACHINE, ("/proc/self/cgroup", "0::/\n")]), Some(2 << 20));
        assert_eq!(available_with(&[]), None);
    }

    #[test]
    fn the_least_of_all_groups_above_the_process_counts() {
        let group = ("/proc/self/cgroup", "1:name=systemd:/x\n0::/system.slice/fanwire.service\n");
        let own = ("/sys/fs/cgroup/system.slice/fanwire.service/memory.max", "1000000\n");
        let slice = ("/sys/fs/cgroup/system.slice/memory.max", "500000\n");
        assert_eq!(available_with(&[MACHINE, group, own]), Some(1_000_000));
        assert_eq!(available_with(&[MACHINE, group, own, slice]), Some(500_000));
        let unlimited = ("/sys/fs/cgroup/system.slice/fanwire.service/memory.max", "max\n");
        assert_eq!(available_with(&[MACHINE, group, unlimited]), Some(2 << 20));
    }

    #[test]
    fn a_containers_own_group_is_the_root_of_what_it_sees() {
        let group = ("/proc/self/cgroup", "0::/docker/0123\n");
        assert_eq!(available_with(&[MACHINE, group, ("/sys/fs/cgroup/memory.max", "4096")]), Some(4096));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let group = ("/proc/self/cgroup", "4:cpu,cpuacct:/a\n3:memory:/a/b\n0::/\n");
        let limit = ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "8192\n");
        assert_eq!(available_with(&[MACHINE, group, limit]), Some(8192));
        let none = ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(available_with(&[MACHINE, group, none]), Some(2 << 20));
    }
}

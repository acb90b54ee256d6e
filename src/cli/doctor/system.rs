//! [`System`]: what Linux says of itself in `/proc` and `/sys`, read from below a directory so that a test can make one up.

use crate::cli::memory;
use std::fs;
use std::path::PathBuf;

/// A Linux system's files.
#[derive(Debug)]
pub(super) struct System {
    root: PathBuf,
}

/// How many files one process may have open. `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenFiles {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

impl System {
    /// The system whose files are below this directory: `/` is this one.
    pub(super) fn below(root: impl Into<PathBuf>) -> System {
        System { root: root.into() }
    }

    /// A file's text, by its absolute path; `None` if it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path.trim_start_matches('/'))).ok()
    }

    /// The numbers in a file of nothing but numbers.
    pub(super) fn numbers(&self, path: &str) -> Option<Vec<u64>> {
        self.text(path)?.split_whitespace().map(|number| number.parse().ok()).collect()
    }

    /// The first number in a file.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.split_whitespace().next()?.parse().ok()
    }

    /// A setting's first number, by the name that sysctl(8) gives it.
    pub(super) fn setting(&self, name: &str) -> Option<u64> {
        self.number(&setting_file(name))
    }

    /// All numbers of a setting.
    pub(super) fn settings(&self, name: &str) -> Option<Vec<u64>> {
        self.numbers(&setting_file(name))
    }

    /// The limit on open files of what is started from here.
    pub(super) fn open_files(&self) -> Option<OpenFiles> {
        let limits = self.text("/proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        let mut values = line.split_whitespace().map(|value| match value {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        });
        Some(OpenFiles { soft: values.next()??, hard: values.next()?? })
    }

    /// Bytes of the machine's memory under this heading of /proc/meminfo.
    pub(super) fn memory(&self, heading: &str) -> Option<u64> {
        let meminfo = self.text("/proc/meminfo")?;
        let line = meminfo.lines().find_map(|line| line.strip_prefix(heading)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    /// Bytes of memory that a process may have at most: the machine's, or what its control group allows.
    pub(super) fn memory_allowed(&self) -> Option<u64> {
        memory::available(|path| self.text(path))
    }

    /// Threads that may still be started in this control group; `None` if nobody limits them.
    pub(super) fn threads_left(&self) -> Option<u64> {
        let groups = self.text("/proc/self/cgroup")?;
        let directories = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            match controllers {
                "" => Some(format!("/sys/fs/cgroup{path}")),
                list if list.split(',').any(|controller| controller == "pids") => {
                    Some(format!("/sys/fs/cgroup/pids{path}"))
                }
                _ => None,
            }
        });
        // In a container the path may be one that only the host sees, and its own group is the root.
        let directories = directories.chain(["/sys/fs/cgroup".into(), "/sys/fs/cgroup/pids".into()]);
        let left = directories.filter_map(|directory| {
            // "max" is no limit.
            let most = self.number(&format!("{directory}/pids.max"))?;
            Some(most.saturating_sub(self.number(&format!("{directory}/pids.current")).unwrap_or(0)))
        });
        left.min()
    }

    /// Whether somebody listens on this TCP port.
    pub(super) fn is_listening(&self, port: u16) -> bool {
        // The state of a listening socket, as include/net/tcp_states.h has it.
        const LISTEN: &str = "0A";
        let port = format!("{port:04X}");
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|file| self.text(file)).any(|sockets| {
            sockets.lines().skip(1).any(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let local = fields.next().and_then(|address| address.rsplit_once(':'));
                local.is_some_and(|(_, its)| its == port) && fields.nth(1) == Some(LISTEN)
            })
        })
    }
}

fn setting_file(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

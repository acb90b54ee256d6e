//! How many files this process may have open: each connection is one.

use rlimit::Resource;

/// Open files that a process may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    /// As it was started.
    pub(crate) before: u64,
    /// Now.
    pub(crate) now: u64,
}

/// Lets the process have as many as its hard limit allows.
pub(crate) fn raise_limit() -> Descriptors {
    let before = rlimit::getrlimit(Resource::NOFILE).map_or(0, |(soft, _)| soft);
    Descriptors { before, now: rlimit::increase_nofile_limit(u64::MAX).unwrap_or(before) }
}

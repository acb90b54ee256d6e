//! What this process has of the machine: memory and CPU time.

use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Duration;

/// Bytes in RAM, counted page by page.
///
/// # Errors
///
/// If the system does not tell.
pub(crate) fn resident_bytes() -> Result<f64, String> {
    let path = "/proc/self/smaps_rollup";
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim_end().parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or_else(|| format!("{path} says nothing of Rss"))
}

/// CPU time that this thread has used: others on the machine do not add to it, but for the caches they empty.
pub(crate) fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has a clock").into()
}

/// Nanoseconds of CPU for each of so many.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn each_ns(since: Duration, count: usize) -> f64 {
    cpu().saturating_sub(since).as_nanos() as f64 / count as f64
}

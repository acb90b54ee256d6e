//! Measures batches and reports them by the unit: "time" is what one message, or one delivery, takes.

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use std::time::{Duration, Instant};

/// A group whose measurements take a few seconds each.
pub(crate) fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
    group
}

/// Measures `batch`, which does `units` of something with `bytes` in each.
pub(crate) fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    units: u64,
    bytes: u64,
    mut batch: impl FnMut(),
) {
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes });
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|wanted| {
            let batches = wanted.div_ceil(units);
            let start = Instant::now();
            for _ in 0..batches {
                batch();
            }
            let nanoseconds = start.elapsed().as_nanos() * u128::from(wanted) / u128::from(batches * units);
            Duration::from_nanos(nanoseconds as u64)
        });
    });
}

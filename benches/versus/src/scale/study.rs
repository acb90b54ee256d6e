//! [`Study`]: what grows, under which loads, and how far.
//!
//! The loads are such that the work for a delivery stays the same while something else grows: at a fixed rate there are
//! as many deliveries a second everywhere, or as nearly as whole messages allow. What then rises, rises for its own sake.

use crate::load::{Load, Pace};

/// Connections at most: as many as the descriptors of a process commonly allow.
const CONNECTIONS_MAX: u32 = 19_000;

const PAYLOAD_BYTES: u32 = 128;

/// Something that grows.
#[derive(Clone, Debug)]
pub(crate) struct Study {
    /// For arguments, kept results and file names: what grows.
    pub(crate) name: &'static str,
    pub(crate) series: Vec<Series>,
}

/// One kind of load, from few to many.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// For kept results.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) points: Vec<Point>,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Of what grows.
    pub(crate) number: u32,
    pub(crate) workers: u32,
    pub(crate) load: Load,
}

pub(crate) const STUDIES: [&str; 3] = ["subscribers", "channels", "workers"];

/// All of them, in the order of [`STUDIES`].
pub(crate) fn studies() -> [Study; 3] {
    [
        Study {
            name: STUDIES[0],
            series: vec![
                Series {
                    name: "fixed",
                    title: "one channel, 1 publisher, 40,000 deliveries/s",
                    // 2 messages a second, because they are whole, are 38,000 deliveries.
                    points: [(10, 4000), (100, 400), (1000, 40), (5000, 8), (CONNECTIONS_MAX, 2)]
                        .map(|(subscribers, rate)| one_channel(subscribers, 1, Pace::Rate(rate)))
                        .to_vec(),
                },
                Series {
                    name: "closed",
                    title: "one channel, 1 publisher, window 16",
                    points: [10, 100, 1000, 5000, CONNECTIONS_MAX]
                        .map(|subscribers| one_channel(subscribers, 1, Pace::Window(16)))
                        .to_vec(),
                },
            ],
        },
        Study {
            name: STUDIES[1],
            series: vec![
                Series {
                    name: "fixed",
                    title: "2 subscribers in each (in 19,000: 1), one of them publishes, 10,000 deliveries/s",
                    points: [1, 10, 100, 1000, CONNECTIONS_MAX / 2, CONNECTIONS_MAX]
                        .map(|channels| small_channels(channels, Pace::Rate(10_000 / in_each(channels))))
                        .to_vec(),
                },
                Series {
                    name: "closed",
                    title: "2 subscribers in each (in 19,000: 1), one of them publishes, window 1",
                    points: [1, 10, 100, 1000, CONNECTIONS_MAX / 2, CONNECTIONS_MAX]
                        .map(|channels| small_channels(channels, Pace::Window(1)))
                        .to_vec(),
                },
            ],
        },
        Study {
            name: STUDIES[2],
            series: vec![
                by_workers(
                    "one-fixed",
                    "one channel, 1,000 subscribers, 10 publishers, 40,000 deliveries/s",
                    one_channel(1000, 10, Pace::Rate(40)),
                ),
                by_workers(
                    "one-closed",
                    "one channel, 1,000 subscribers, 10 publishers, window 8",
                    one_channel(1000, 10, Pace::Window(8)),
                ),
                by_workers(
                    "many-fixed",
                    "500 channels, 2 subscribers in each, 10,000 deliveries/s",
                    small_channels(500, Pace::Rate(5000)),
                ),
                by_workers(
                    "many-closed",
                    "500 channels, 2 subscribers in each, window 1",
                    small_channels(500, Pace::Window(1)),
                ),
            ],
        },
    ]
}

fn one_channel(subscribers: u32, publishers: u32, pace: Pace) -> Point {
    let load = Load::Broadcast { subscribers, publishers, channels: 1, pace, payload_bytes: PAYLOAD_BYTES };
    Point { number: subscribers, workers: 1, load }
}

/// In each channel somebody publishes.
fn small_channels(channels: u32, pace: Pace) -> Point {
    let load = Load::Broadcast {
        subscribers: channels * in_each(channels),
        publishers: channels,
        channels,
        pace,
        payload_bytes: PAYLOAD_BYTES,
    };
    Point { number: channels, workers: 1, load }
}

/// Two subscribers, or one where there are too many channels for that.
fn in_each(channels: u32) -> u32 {
    if channels <= CONNECTIONS_MAX / 2 { 2 } else { 1 }
}

fn by_workers(name: &'static str, title: &'static str, point: Point) -> Series {
    let points = [1, 2, 4, 8].map(|workers| Point { number: workers, workers, ..point });
    Series { name, title, points: points.to_vec() }
}

impl Study {
    /// How a point is called in kept results.
    pub(crate) fn case(&self, series: &Series, point: &Point) -> String {
        format!("{}/{}/{}", self.name, series.name, point.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn studies_stand_under_their_names_and_so_does_every_point() {
        assert_eq!(studies().map(|study| study.name), STUDIES);
        let mut cases = Vec::new();
        for study in studies() {
            for series in &study.series {
                cases.extend(series.points.iter().map(|point| study.case(series, point)));
            }
        }
        let count = cases.len();
        cases.sort();
        cases.dedup();
        assert_eq!(cases.len(), count, "no two have the same name");
        assert!(cases.contains(&"subscribers/fixed/19000".to_owned()));
    }

    #[test]
    fn at_a_fixed_rate_as_many_deliveries_are_offered_everywhere() {
        for study in studies() {
            for series in study.series {
                let offered = series.points.iter().filter_map(|point| point.load.offered_per_s());
                let offered: Vec<_> = offered.collect();
                let all = offered.iter().copied();
                let (least, most) = (all.clone().fold(f64::MAX, f64::min), all.fold(0.0, f64::max));
                assert!(offered.is_empty() || least >= 0.95 * most, "{}: {offered:?}", series.title);
                assert_eq!(offered.is_empty(), series.name.ends_with("closed"));
            }
        }
    }
}

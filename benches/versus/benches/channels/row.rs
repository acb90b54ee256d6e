//! [`Row`]: one measurement, and how it is written.

use crate::crowd::{Crowd, DELIVERY_BYTES};
use crate::memory::{cpu, each_ns, resident_bytes};
use fanwire::hub::ClientKey;
use fanwire::limits::INTEREST_LINGER_MS;
use std::ops::Range;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Setting {
    /// Channels with so many subscribers each.
    Quiet { channels: usize, subscribers: usize },
    /// Clients that are all in one channel: what they cost without channels of their own.
    Shared { clients: usize },
    /// Channels that each had a subscriber and linger without any.
    Left { channels: usize },
}

/// What was found. What is not asked in a setting is not a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    setting: Setting,
    /// What memory has grown by.
    bytes: f64,
    /// CPU for a client to come in, its handshake included.
    join_ns: f64,
    /// CPU for a message to be published and delivered, one a turn, in another channel each time.
    publish_ns: f64,
    /// What memory has grown by when there were publications in every channel, or channels came and went again.
    bytes_later: f64,
    /// CPU for a channel to be closed that has lingered.
    close_ns: f64,
}

/// The table's first two lines.
pub(crate) const HEAD: &str = "\
| channels | memory, bytes each | later, bytes each | a join, ns | a publication, ns | a channel closed, ns |
|---|---:|---:|---:|---:|---:|";

/// Publications in a batch; of several batches the median counts. A debug build measures nothing.
const BATCH: usize = if cfg!(debug_assertions) { 200 } else { 20_000 };
const BATCHES: usize = 9;

/// Steps from channel to channel: it has no factor in common with any power of ten, so that all get their turn.
const STRIDE: usize = 61_803;

impl Setting {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Quiet { channels, subscribers: 1 } => format!("{channels}, a subscriber each"),
            Self::Quiet { channels, subscribers } => format!("{channels}, {subscribers} subscribers each"),
            Self::Shared { clients } => format!("1 for all of {clients} subscribers: each of them"),
            Self::Left { channels } => format!("{channels}, left by their subscribers"),
        }
    }

    pub(crate) fn argument(self) -> String {
        match self {
            Self::Quiet { channels, subscribers } => format!("quiet,{channels},{subscribers}"),
            Self::Shared { clients } => format!("shared,{clients}"),
            Self::Left { channels } => format!("left,{channels}"),
        }
    }

    fn parse(argument: &str) -> Option<Self> {
        let words: Vec<_> = argument.split(',').collect();
        let number = |index: usize| words.get(index)?.parse().ok();
        Some(match words[0] {
            "quiet" => Self::Quiet { channels: number(1)?, subscribers: number(2)? },
            "shared" => Self::Shared { clients: number(1)? },
            "left" => Self::Left { channels: number(1)? },
            _ => return None,
        })
    }
}

/// Measures a setting, whose argument this is, in this process.
///
/// # Errors
///
/// If there is no such setting, or the system does not say how much memory there is.
pub(crate) fn measure(argument: &str) -> Result<Row, String> {
    let setting = Setting::parse(argument).ok_or_else(|| format!("there is no setting {argument}"))?;
    match setting {
        Setting::Quiet { channels, subscribers } => quiet(setting, channels, subscribers),
        Setting::Shared { clients } => quiet(setting, 1, clients),
        Setting::Left { channels } => left(setting, channels),
    }
}

fn quiet(setting: Setting, channels: usize, subscribers: usize) -> Result<Row, String> {
    let clients = channels * subscribers;
    let mut crowd = Crowd::new(clients + 1);
    // What the first of all needs once is not counted, nor are the keys of those who publish.
    let first = crowd.join(channels);
    crowd.publish(first);
    let mut publishers = vec![first; channels];
    let before = resident_bytes()?;

    let begun = cpu();
    for (channel, publisher) in publishers.iter_mut().enumerate() {
        *publisher = crowd.join(channel);
        for _ in 1..subscribers {
            crowd.join(channel);
        }
    }
    let join_ns = each_ns(begun, clients);
    let grown = resident_bytes()? - before;
    assert_eq!(crowd.channels(), channels as u64 + 1, "all are open");

    // A turn with as many deliveries as there are clients is another question.
    let publish_ns = if matches!(setting, Setting::Quiet { .. }) {
        // Every channel, so that "later" is after traffic in all of them.
        batch(&mut crowd, &publishers, channels, subscribers);
        let mut batches: Vec<_> =
            (0..BATCHES).map(|_| batch(&mut crowd, &publishers, BATCH, subscribers)).collect();
        batches.sort_by(f64::total_cmp);
        batches[BATCHES / 2]
    } else {
        f64::NAN
    };
    let bytes_later = (resident_bytes()? - before) / counted(setting);
    Ok(Row { setting, bytes: grown / counted(setting), join_ns, publish_ns, bytes_later, close_ns: f64::NAN })
}

/// Publishes so often, each time in another channel. Returns what one takes.
fn batch(crowd: &mut Crowd, publishers: &[ClientKey], count: usize, subscribers: usize) -> f64 {
    let begun = cpu();
    let mut channel = 0;
    for _ in 0..count {
        let written = crowd.publish(publishers[channel]);
        assert_eq!(written, subscribers * DELIVERY_BYTES, "all of the channel get it, and nobody else");
        channel = (channel + STRIDE) % publishers.len();
    }
    each_ns(begun, count)
}

fn left(setting: Setting, channels: usize) -> Result<Row, String> {
    let mut crowd = Crowd::new(1);
    // What the first of all needs once is not counted.
    come_and_go(&mut crowd, 0..1);
    let before = resident_bytes()?;
    let begun = cpu();
    come_and_go(&mut crowd, 1..channels + 1);
    let join_ns = each_ns(begun, channels);
    assert_eq!(crowd.channels(), channels as u64 + 1, "they linger");
    let bytes = (resident_bytes()? - before) / counted(setting);

    let begun = cpu();
    crowd.pass(INTEREST_LINGER_MS);
    // A turn closes a bounded number of them.
    while crowd.channels() > 0 {
        crowd.pass(0);
    }
    let close_ns = each_ns(begun, channels);
    come_and_go(&mut crowd, channels..2 * channels);
    let bytes_later = (resident_bytes()? - before) / counted(setting);
    Ok(Row { setting, bytes, join_ns, publish_ns: f64::NAN, bytes_later, close_ns })
}

/// A client after the other comes into a channel of its own and leaves it. They all have the same place on the shard, so
/// that the channels alone add up.
fn come_and_go(crowd: &mut Crowd, channels: Range<usize>) {
    for channel in channels {
        let key = crowd.join(channel);
        crowd.leave(key);
    }
}

/// What "each" means.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn counted(setting: Setting) -> f64 {
    match setting {
        Setting::Quiet { channels: count, .. }
        | Setting::Shared { clients: count }
        | Setting::Left { channels: count } => count as f64,
    }
}

/// Pages are counted: with fewer channels the figure says nothing about one.
const CHANNELS_COUNTED_MIN: f64 = 1_000.0;

impl Row {
    /// The figures, for the process that asked.
    pub(crate) fn line(&self) -> String {
        let Self { bytes, join_ns, publish_ns, bytes_later, close_ns, .. } = self;
        format!("{bytes} {join_ns} {publish_ns} {bytes_later} {close_ns}")
    }

    pub(crate) fn parse(setting: Setting, line: &str) -> Option<Self> {
        let figures: Vec<f64> = line.split(' ').map_while(|figure| figure.parse().ok()).collect();
        let [bytes, join_ns, publish_ns, bytes_later, close_ns] = figures[..] else { return None };
        Some(Self { setting, bytes, join_ns, publish_ns, bytes_later, close_ns })
    }

    pub(crate) fn markdown(&self) -> String {
        let cell = |figure: f64| if figure.is_nan() { "–".to_owned() } else { format!("{figure:.0}") };
        let bytes = |figure| if counted(self.setting) < CHANNELS_COUNTED_MIN { f64::NAN } else { figure };
        let cells =
            [bytes(self.bytes), bytes(self.bytes_later), self.join_ns, self.publish_ns, self.close_ns];
        format!("| {} | {} |", self.setting.name(), cells.map(cell).join(" | "))
    }
}

//! The tables of `fanwire top`: which columns there are, what stands in them, and in what order the rows.

use super::snapshot::{Channel, Client, Snapshot, Worker};
use crate::cli::figures::{age, digits, rate, size};
use std::cmp::Ordering;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Columns of the screen that it has at least.
    pub(super) width: u16,
    /// It gets what is left, and stands to the left: names.
    pub(super) is_wide: bool,
}

const fn number(title: &'static str, width: u16) -> Column {
    Column { title, width, is_wide: false }
}

const fn name(title: &'static str, width: u16) -> Column {
    Column { title, width, is_wide: true }
}

/// Rows under columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// The column by which the rows are sorted.
    pub(super) sorted_by: Option<usize>,
    /// As many cells each as there are columns.
    pub(super) rows: Vec<Vec<String>>,
}

type Order<T> = fn(&T, &T) -> Ordering;

/// Orders of channels: by which column, the largest first, and names from A on.
const CHANNEL_ORDERS: [(usize, Order<Channel>); 5] = [
    (3, |a, b| b.bytes_per_second.total_cmp(&a.bytes_per_second)),
    (2, |a, b| b.messages_per_second.total_cmp(&a.messages_per_second)),
    (1, |a, b| b.subscribers.cmp(&a.subscribers)),
    (5, |a, b| b.behind.cmp(&a.behind)),
    (0, |a, b| a.name.cmp(&b.name)),
];

/// Orders of clients.
const CLIENT_ORDERS: [(usize, Order<Client>); 4] = [
    (4, |a, b| b.queued_bytes.cmp(&a.queued_bytes)),
    (5, |a, b| b.rtt_ms.cmp(&a.rtt_ms)),
    (6, |a, b| b.age_seconds.cmp(&a.age_seconds)),
    (2, |a, b| a.channel.cmp(&b.channel)),
];

/// The channels, in the order of this number.
pub(super) fn channels(snapshot: &Snapshot, order: usize) -> Table {
    let (column, order) = CHANNEL_ORDERS[order % CHANNEL_ORDERS.len()];
    let mut channels: Vec<&Channel> = snapshot.channels.iter().collect();
    channels.sort_by(|a, b| order(a, b));
    Table {
        columns: vec![
            name("channel", 16),
            number("subscribers", 11),
            number("messages/s", 11),
            number("bytes/s", 10),
            number("retained", 10),
            number("behind", 8),
        ],
        sorted_by: Some(column),
        rows: channels.into_iter().map(channel_row).collect(),
    }
}

fn channel_row(channel: &Channel) -> Vec<String> {
    vec![
        channel.name.clone(),
        digits(channel.subscribers),
        rate(channel.messages_per_second),
        bytes_per_second(channel.bytes_per_second),
        size(channel.retained_bytes),
        digits(channel.behind),
    ]
}

/// The clients, in the order of this number.
pub(super) fn clients(snapshot: &Snapshot, order: usize) -> Table {
    let (column, order) = CLIENT_ORDERS[order % CLIENT_ORDERS.len()];
    let mut clients: Vec<&Client> = snapshot.clients.iter().collect();
    clients.sort_by(|a, b| order(a, b));
    Table {
        columns: vec![
            name("client", 10),
            name("address", 21),
            name("channel", 12),
            name("user", 8),
            number("queued", 10),
            number("rtt", 8),
            number("age", 8),
        ],
        sorted_by: Some(column),
        rows: clients.into_iter().map(client_row).collect(),
    }
}

fn client_row(client: &Client) -> Vec<String> {
    vec![
        client.id.clone(),
        client.address.clone(),
        client.channel.clone(),
        client.user.clone(),
        size(client.queued_bytes),
        client.rtt_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms")),
        age(client.age_seconds),
    ]
}

/// The workers, by number.
pub(super) fn workers(snapshot: &Snapshot) -> Table {
    Table {
        columns: vec![
            number("worker", 6),
            number("connections", 11),
            number("deliveries/s", 12),
            number("mailbox", 10),
            number("busy", 5),
            name("", BAR_WIDTH as u16),
        ],
        sorted_by: None,
        rows: snapshot.workers.iter().map(worker_row).collect(),
    }
}

fn worker_row(worker: &Worker) -> Vec<String> {
    vec![
        worker.number.to_string(),
        digits(worker.connections),
        rate(worker.deliveries_per_second),
        size(worker.mailbox_bytes),
        format!("{:.0} %", worker.busy * 100.0),
        bar(worker.busy),
    ]
}

/// Columns of a bar that stands for all of it.
const BAR_WIDTH: usize = 20;

#[expect(clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of 0 to 1 of a few columns")]
fn bar(share: f64) -> String {
    "█".repeat((share * BAR_WIDTH as f64).round() as usize)
}

/// Bytes a second, in the unit that says most.
#[expect(clippy::cast_sign_loss, reason = "what is negative becomes 0")]
pub(super) fn bytes_per_second(bytes: f64) -> String {
    size(bytes.round() as u64)
}

impl Table {
    /// The table in lines, for a script: columns as wide as what is in them.
    pub(super) fn lines(&self, rows_max: usize) -> Vec<String> {
        let titles = self.columns.iter().map(|column| column.title.to_owned()).collect();
        let rows: Vec<&Vec<String>> =
            std::iter::once(&titles).chain(self.rows.iter().take(rows_max)).collect::<Vec<_>>();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |row: &&Vec<String>| {
            let cells = row.iter().zip(&self.columns).zip(&widths).map(|((cell, column), width)| {
                if column.is_wide { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str, subscribers: u64, bytes_per_second: f64) -> Channel {
        Channel { name: name.into(), subscribers, bytes_per_second, ..Channel::default() }
    }

    #[test]
    fn the_first_order_is_by_traffic_and_the_last_by_name() {
        let snapshot = Snapshot {
            channels: vec![channel("b", 3, 1.0), channel("a", 1, 1.0), channel("c", 2, 9.0)],
            ..Snapshot::default()
        };
        let names = |order| channels(&snapshot, order).rows.into_iter().map(|row| row[0].clone()).collect();
        let names: Vec<String> =
            [0, 2, 4, 5].into_iter().map(names).map(|names: Vec<_>| names.concat()).collect();
        assert_eq!(names, ["cba", "bca", "abc", "cba"]);
        assert_eq!(channels(&snapshot, 4).sorted_by, Some(0));
    }

    #[test]
    fn lines_are_as_wide_as_what_is_in_them() {
        let snapshot = Snapshot { channels: vec![channel("lobby", 12_345, 20_480.0)], ..Snapshot::default() };
        assert_eq!(
            channels(&snapshot, 0).lines(1),
            [
                "channel  subscribers  messages/s  bytes/s  retained  behind",
                "lobby         12,345           0   20 KiB       0 B       0",
            ]
        );
    }

    #[test]
    fn a_bar_is_as_long_as_a_worker_is_busy() {
        assert_eq!([0.0, 0.5, 1.0].map(|busy| bar(busy).chars().count()), [0, 10, 20]);
    }
}

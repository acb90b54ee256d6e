//! [`View`]: what is on the screen: the server's figures on top, the workers, and two tables of which one is looked at.

use super::snapshot::Snapshot;
use super::table::{self, Table};
use crate::cli::figures::{age, digits, latency, rate, size};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table as Grid};

/// Workers that are shown; of more, the first.
const WORKERS_MAX: usize = 16;

/// Lines from which on there is room for both tables.
const LINES_FOR_BOTH: u16 = 12;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const WARNING: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// What is on the screen.
#[derive(Debug, Default)]
pub(super) struct View {
    snapshot: Snapshot,
    /// Why there is no newer one.
    problem: Option<String>,
    is_paused: bool,
    looked_at: Tab,
    channel_order: usize,
    client_order: usize,
    /// The first row that is shown of the table that is looked at.
    first_row: usize,
}

/// The tables that can be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tab {
    #[default]
    Channels,
    Clients,
}

/// What the user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Look at the other table.
    Switch,
    /// Sort the one that is looked at by another column.
    Sort,
    /// Let what is shown stand still, or go on.
    Pause,
    /// Show rows further up.
    Up(usize),
    /// Show rows further down.
    Down(usize),
}

impl View {
    /// A view of this.
    pub(super) fn new(snapshot: Snapshot) -> View {
        View { snapshot, ..View::default() }
    }

    /// What the server has said. While it is paused nothing changes.
    pub(super) fn take(&mut self, said: Result<Snapshot, String>) {
        match said {
            _ if self.is_paused => {}
            Ok(snapshot) => {
                self.snapshot = snapshot;
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// Does what the user asks for.
    pub(super) fn grant(&mut self, wish: Wish) {
        match (wish, self.looked_at) {
            (Wish::Switch, looked_at) => {
                self.looked_at = if looked_at == Tab::Channels { Tab::Clients } else { Tab::Channels };
                self.first_row = 0;
            }
            (Wish::Sort, Tab::Channels) => self.channel_order = self.channel_order.wrapping_add(1),
            (Wish::Sort, Tab::Clients) => self.client_order = self.client_order.wrapping_add(1),
            (Wish::Pause, _) => self.is_paused = !self.is_paused,
            (Wish::Up(rows), _) => self.first_row = self.first_row.saturating_sub(rows),
            (Wish::Down(rows), looked_at) => {
                let all = match looked_at {
                    Tab::Channels => self.snapshot.channels.len(),
                    Tab::Clients => self.snapshot.clients.len(),
                };
                self.first_row = self.first_row.saturating_add(rows).min(all.saturating_sub(1));
            }
        }
    }

    /// Draws all of it.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let workers = self.snapshot.workers.len().min(WORKERS_MAX) as u16;
        let areas = Layout::vertical([
            Constraint::Length(4),
            Constraint::Length(workers + 2),
            Constraint::Min(3),
            Constraint::Length(1),
        ]);
        let [head, balance, tables, foot] = areas.areas(frame.area());
        frame.render_widget(Paragraph::new(self.head()), head);
        draw_table(frame, balance, "workers", &table::workers(&self.snapshot), 0, false);
        self.draw_tables(frame, tables);
        let keys = "q quits  Tab switches  s sorts  p pauses  ↑ ↓ scroll";
        frame.render_widget(Paragraph::new(Line::styled(keys, DIM)), foot);
    }

    fn draw_tables(&self, frame: &mut Frame<'_>, area: Rect) {
        let is_looked_at = |tab| self.looked_at == tab;
        let mut draw = |tab: Tab, area: Rect| {
            let first = if is_looked_at(tab) { self.first_row } else { 0 };
            let (title, table) = match tab {
                Tab::Channels => {
                    let in_all = self.snapshot.channels_in_all.map_or_else(|| "?".to_owned(), digits);
                    let title = format!("channels ({in_all})");
                    (title, table::channels(&self.snapshot, self.channel_order))
                }
                Tab::Clients => {
                    ("slowest clients".to_owned(), table::clients(&self.snapshot, self.client_order))
                }
            };
            draw_table(frame, area, &title, &table, first, is_looked_at(tab));
        };
        if area.height >= LINES_FOR_BOTH {
            let [upper, lower] =
                Layout::vertical([Constraint::Percentage(50), Constraint::Min(0)]).areas(area);
            draw(Tab::Channels, upper);
            draw(Tab::Clients, lower);
        } else {
            draw(self.looked_at, area);
        }
    }

    fn head(&self) -> Vec<Line<'static>> {
        let snapshot = &self.snapshot;
        let [first, rest @ ..] = head(snapshot);
        let mut first = vec![Span::styled(first, BOLD)];
        if snapshot.state != "serving" {
            first.push(Span::styled(format!("  {}", snapshot.state.to_uppercase()), WARNING));
        }
        if self.is_paused {
            first.push(Span::styled("  PAUSED", WARNING));
        }
        let mut lines = vec![Line::from(first)];
        lines.extend(rest.map(Line::from));
        if let Some(problem) = &self.problem {
            // It stands where it is seen, and what was known before stays below it.
            lines[0] = Line::styled(problem.clone(), WARNING);
        }
        lines
    }
}

/// The figures of the whole server, in lines.
pub(super) fn head(snapshot: &Snapshot) -> [String; 3] {
    let Snapshot { rates, .. } = snapshot;
    let (p50, p99) = snapshot
        .latency
        .map_or_else(|| ("–".to_owned(), "–".to_owned()), |(median, slow)| (latency(median), latency(slow)));
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let memory = match snapshot.memory_budget {
        Some(budget) => format!(
            "{} of {} ({:.0} %)",
            size(snapshot.memory_held),
            size(budget),
            snapshot.memory_held as f64 / budget as f64 * 100.0
        ),
        None => format!("{}, no budget", size(snapshot.memory_held)),
    };
    [
        format!("fanwire {}  {}  up {}", snapshot.version, snapshot.state, age(snapshot.uptime_seconds)),
        format!(
            "connections {}  messages/s {}  deliveries/s {}  latency p50 {p50} p99 {p99}",
            digits(snapshot.connections),
            rate(rates.messages_in),
            rate(rates.deliveries),
        ),
        format!(
            "in {}/s  out {}/s  connects/s {}  closes/s {}  drops/s {}  memory {memory}",
            table::bytes_per_second(rates.bytes_in),
            table::bytes_per_second(rates.bytes_out),
            rate(rates.connects),
            rate(rates.closes),
            rate(rates.drops),
        ),
    ]
}

fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    table: &Table,
    first: usize,
    is_looked_at: bool,
) {
    let style = if is_looked_at { BOLD } else { DIM };
    let widths = table.columns.iter().map(|column| {
        if column.is_wide { Constraint::Fill(column.width) } else { Constraint::Length(column.width) }
    });
    let cell = |index: usize, text: &str| {
        let alignment = if table.columns[index].is_wide { Alignment::Left } else { Alignment::Right };
        Cell::from(Line::from(text.to_owned()).alignment(alignment))
    };
    let titles = table.columns.iter().enumerate().map(|(index, column)| {
        let is_order = table.sorted_by == Some(index);
        let title = if is_order { format!("{}▾", column.title) } else { column.title.to_owned() };
        cell(index, &title).style(if is_order { BOLD } else { DIM })
    });
    let rows = table.rows.iter().skip(first);
    let rows = rows.map(|row| Row::new(row.iter().enumerate().map(|(index, text)| cell(index, text))));
    let block =
        Block::new().borders(Borders::TOP).border_style(DIM).title(Span::styled(format!(" {title} "), style));
    let grid = Grid::new(rows, widths).header(Row::new(titles)).column_spacing(1).block(block);
    frame.render_widget(grid, area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::snapshot::{Channel, Client, Rates, Worker};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn snapshot() -> Snapshot {
        let channel = |name: &str, subscribers, bytes_per_second| Channel {
            name: name.into(),
            subscribers,
            bytes_per_second,
            messages_per_second: 12.0,
            retained_bytes: 20_480,
            behind: 1,
        };
        Snapshot {
            version: "0.1.0".into(),
            state: "serving".into(),
            uptime_seconds: 90_061,
            connections: 12_345,
            channels_in_all: Some(2),
            memory_held: 10 << 20,
            memory_budget: Some(1 << 30),
            rates: Rates { messages_in: 100.0, deliveries: 1_234_567.0, bytes_in: 9.0, ..Rates::default() },
            latency: Some((0.000_4, 0.012)),
            workers: vec![
                Worker { connections: 6000, deliveries_per_second: 600.0, busy: 0.25, ..Worker::default() },
                Worker { number: 1, connections: 6345, busy: 1.0, mailbox_bytes: 7, ..Worker::default() },
            ],
            channels: vec![channel("lobby", 10, 100.0), channel("news", 3, 20_480.0)],
            clients: vec![Client {
                id: "1.17.3".into(),
                address: "192.0.2.1:4711".into(),
                channel: "news".into(),
                user: "ann".into(),
                queued_bytes: 65_536,
                rtt_ms: Some(12),
                age_seconds: 61,
            }],
        }
    }

    /// The screen's lines, without the spaces at their ends.
    fn shown(view: &View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    fn line(lines: &[String], part: &str) -> String {
        lines.iter().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {lines:#?}")).clone()
    }

    #[test]
    fn the_screen_shows_the_server_its_workers_its_channels_and_its_slowest_clients() {
        let lines = shown(&View::new(snapshot()), 100, 30);
        assert_eq!(lines[0], "fanwire 0.1.0  serving  up 1d 01h");
        assert_eq!(
            lines[1],
            "connections 12,345  messages/s 100  deliveries/s 1,234,567  latency p50 400 µs p99 12 ms"
        );
        assert!(lines[2].ends_with("memory 10 MiB of 1024 MiB (1 %)"), "{}", lines[2]);
        assert!(line(&lines, "6,345").ends_with("7 B 100 % ████████████████████"), "{lines:#?}");
        assert!(
            line(&lines, " channels (2) ").starts_with('─')
                || line(&lines, " channels (2) ").starts_with(' ')
        );
        let channels: Vec<_> = lines.iter().filter(|line| line.ends_with("20 KiB        1")).collect();
        assert!(
            channels[0].starts_with("news") && channels[1].starts_with("lobby"),
            "by traffic: {lines:#?}"
        );
        let client = line(&lines, "1.17.3");
        for part in ["192.0.2.1:4711", "news", "ann", "64 KiB", "12 ms", "1m 01s"] {
            assert!(client.contains(part), "{client}");
        }
        assert!(lines[29].starts_with("q quits  Tab switches"), "{}", lines[29]);
    }

    #[test]
    fn s_sorts_the_table_that_is_looked_at_and_says_by_what() {
        let mut view = View::new(snapshot());
        let titles = |view: &View| line(&shown(view, 100, 30), "subscribers");
        assert!(titles(&view).contains("bytes/s▾"));
        view.grant(Wish::Sort);
        assert!(titles(&view).contains("messages/s▾"));
        view.grant(Wish::Switch);
        view.grant(Wish::Sort);
        assert!(titles(&view).contains("messages/s▾"), "the other one stays");
        assert!(line(&shown(&view, 100, 30), "address").contains("rtt▾"));
    }

    #[test]
    fn on_a_small_screen_only_the_table_that_is_looked_at_is_shown() {
        let mut view = View::new(snapshot());
        let has = |view: &View, part: &str| shown(view, 80, 16).iter().any(|line| line.contains(part));
        assert!(has(&view, "channels (2)") && !has(&view, "slowest clients"));
        view.grant(Wish::Switch);
        assert!(!has(&view, "channels (2)") && has(&view, "slowest clients"));
    }

    #[test]
    fn while_it_is_paused_nothing_changes() {
        let mut view = View::new(snapshot());
        view.grant(Wish::Pause);
        view.take(Ok(Snapshot { version: "9".into(), ..snapshot() }));
        assert_eq!(shown(&view, 80, 30)[0], "fanwire 0.1.0  serving  up 1d 01h  PAUSED");
        view.grant(Wish::Pause);
        view.take(Ok(Snapshot { version: "9".into(), ..snapshot() }));
        assert_eq!(shown(&view, 80, 30)[0], "fanwire 9  serving  up 1d 01h");
    }

    #[test]
    fn what_goes_wrong_stands_above_what_was_known_before() {
        let mut view = View::new(snapshot());
        view.take(Err("nobody listens".into()));
        let lines = shown(&view, 80, 30);
        assert_eq!(lines[0], "nobody listens");
        assert!(lines[1].starts_with("connections 12,345"));
        view.take(Ok(Snapshot { state: "draining".into(), ..snapshot() }));
        assert_eq!(shown(&view, 80, 30)[0], "fanwire 0.1.0  draining  up 1d 01h  DRAINING");
    }

    #[test]
    fn rows_scroll_no_further_than_to_the_last() {
        let mut view = View::new(snapshot());
        view.grant(Wish::Down(1));
        let has = |view: &View, name: &str| shown(view, 100, 30).iter().any(|line| line.starts_with(name));
        assert!(!has(&view, "news") && has(&view, "lobby"));
        view.grant(Wish::Down(100));
        assert!(has(&view, "lobby"));
        view.grant(Wish::Up(100));
        assert!(has(&view, "news"));
    }

    #[test]
    fn no_screen_is_too_small() {
        for (width, height) in [(1, 1), (10, 3), (20, 8), (300, 100)] {
            assert_eq!(shown(&View::new(snapshot()), width, height).len(), usize::from(height));
        }
    }
}

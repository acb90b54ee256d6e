//! [`Screen`]: what the user sees: messages on stdout, and on stderr what happens to the connection.

use super::payload::{self, Heard};
use crate::cli::escape::{append_escaped, escape};
use fanwire::protocol::Kind;
use rustyline::ExternalPrinter;
use std::env;
use std::io::{self, IsTerminal, Write};

/// Puts text above the line being typed.
pub(crate) type Printer = Box<dyn ExternalPrinter + Send>;

/// Where messages and status lines go.
pub(crate) struct Screen {
    /// With a line editor all that goes to the terminal goes through it, above the line being typed, until it ends.
    printer: Option<Printer>,
    /// There is a line editor, or there was one.
    has_editor: bool,
    is_raw: bool,
    out: Face,
    err: Face,
    /// What is to be written to stdout.
    unwritten: Vec<u8>,
    failure: Option<io::Error>,
}

/// What one of our outputs is.
#[derive(Clone, Copy, Debug)]
struct Face {
    is_terminal: bool,
    has_colours: bool,
}

impl Face {
    fn of(output: &impl IsTerminal) -> Face {
        let is_terminal = output.is_terminal();
        let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        Face { is_terminal, has_colours: is_terminal && !is_plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.has_colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";

/// Who says something without a name.
const NAMELESS: &str = "anonymous";

impl Screen {
    /// A screen that shows payloads as they are if `is_raw`, else what people want to see of them.
    pub(crate) fn new(is_raw: bool) -> Screen {
        let (out, err) = (Face::of(&io::stdout()), Face::of(&io::stderr()));
        Screen { printer: None, has_editor: false, is_raw, out, err, unwritten: Vec::new(), failure: None }
    }

    /// From here on, a line is being typed.
    pub(crate) fn share_with_editor(&mut self, printer: Option<Printer>) {
        self.has_editor = printer.is_some();
        self.printer = printer;
    }

    /// Whether what is typed stays on the screen, as the user's own words among those of the others.
    pub(crate) fn has_editor(&self) -> bool {
        self.has_editor
    }

    /// Shows a message, at the next [`flush`](Self::flush).
    pub(crate) fn show(&mut self, kind: Kind, payload: &[u8], heard: &Heard) {
        if self.is_raw && !self.out.is_terminal {
            self.unwritten.extend_from_slice(payload);
        } else {
            let line = self.line(kind, payload, heard);
            self.unwritten.extend_from_slice(line.as_bytes());
        }
        self.unwritten.push(b'\n');
    }

    /// Shows a line of our own making, at the next [`flush`](Self::flush).
    pub(crate) fn show_line(&mut self, line: &str) {
        self.unwritten.extend_from_slice(line.as_bytes());
        self.unwritten.push(b'\n');
    }

    fn line(&self, kind: Kind, payload: &[u8], heard: &Heard) -> String {
        let mut line = String::new();
        match heard {
            Heard::Chat { username, text } if !self.is_raw => {
                let name = if username.trim().is_empty() { NAMELESS } else { username.trim() };
                line.push_str(&self.out.paint(BOLD, &escape(name)));
                line.push_str(": ");
                append_escaped(text, &mut line);
            }
            Heard::Error(error) if !self.is_raw => {
                let error = format!("error from the server: {}", escape(error));
                line.push_str(&self.out.paint(RED, &error));
            }
            _ => payload::append_other(kind, payload, &mut line),
        }
        line
    }

    /// Writes what has been shown.
    pub(crate) fn flush(&mut self) {
        if self.unwritten.is_empty() || self.failure.is_some() {
            return;
        }
        let text = self.printer.is_some().then(|| String::from_utf8_lossy(&self.unwritten).into_owned());
        if !text.is_some_and(|text| self.print(text)) {
            let mut stdout = io::stdout().lock();
            self.failure = stdout.write_all(&self.unwritten).and_then(|()| stdout.flush()).err();
        }
        self.unwritten.clear();
    }

    /// Puts text above the line being typed. Whether it could: a line editor that has ended leaves the terminal to us.
    fn print(&mut self, text: String) -> bool {
        let is_printed = self.printer.as_mut().is_some_and(|printer| printer.print(text).is_ok());
        if !is_printed {
            self.printer = None;
        }
        is_printed
    }

    /// Why stdout takes no more, if so: its reader has gone, or a disk is full.
    pub(crate) fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Says at once what happens, in a line of its own. It must not contain what a peer wrote, unless escaped.
    pub(crate) fn status(&mut self, text: &str) {
        // What came before it stands before it.
        self.flush();
        let text = self.err.paint(DIM, text);
        if !self.err.is_terminal || !self.print(format!("{text}\n")) {
            // If it fails, nobody can be told.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

//! What a subcommand that says one thing says it with: stdout, whose reader may go away.

use std::io::{self, Write};
use std::process::ExitCode;

/// Writes it to stdout, and returns `code` if that worked. A reader that goes away has read enough.
pub(crate) fn print(bytes: impl AsRef<[u8]>, code: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("cannot write the output: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}

//! `fanwire completions` and `fanwire man`, and that every subcommand says how it ends.

use crate::program::{exit_code, fanwire, feed};
use crate::{file, run, said, shown};
use std::fs;
use std::io;
use std::path::Path;

/// The subcommands, as the program's own help has them.
fn subcommands() -> Vec<String> {
    let help = shown(&run(&["--help"], b""));
    let (_, list) = help.split_once("Commands:\n").unwrap();
    // What a subcommand is for may go on in a second line, further to the right.
    let lines =
        list.lines().take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let names: Vec<String> = names.map(str::to_owned).collect();
    let all =
        ["serve", "check", "chat", "pub", "sub", "bench", "top", "doctor", "token", "completions", "man"];
    for expected in all {
        assert!(names.iter().any(|name| name == expected), "{expected} is in {names:?}");
    }
    names
}

#[test]
fn every_shell_gets_completions_for_every_subcommand() {
    // The words with which each shell's script offers something: a subcommand, and an option.
    for (shell, subcommand, option) in [
        ("bash", "cmd=\"fanwire__subcmd__NAME\"\n", " --NAME "),
        ("zsh", "\n'NAME:", "'--NAME="),
        ("fish", " -f -a \"NAME\" ", " -l NAME "),
        ("elvish", " cand NAME '", " cand --NAME '"),
        ("powershell", "::new('NAME', ", "::new('--NAME', "),
    ] {
        let output = run(&["completions", shell], b"");
        let script = shown(&output);
        assert_eq!(output.status.code(), Some(0));
        for name in subcommands() {
            assert!(script.contains(&subcommand.replace("NAME", &name)), "{shell} completes {name}");
        }
        // The program alone has none of these.
        for name in ["publishers", "token-file", "interval", "secret-file"] {
            assert!(script.contains(&option.replace("NAME", name)), "{shell} completes --{name}");
        }
    }
    let output = run(&["completions", "cmd"], b"");
    assert_eq!((output.status.code(), said(&output).contains("bash")), (Some(2), true));
}

#[test]
fn the_main_page_names_every_subcommand_and_the_exit_codes() {
    let output = run(&["man"], b"");
    let page = shown(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(page.contains(".TH fanwire 1"), "{page}");
    for name in subcommands() {
        assert!(page.contains(&format!("fanwire\\-{name}(1)")), "{name}");
    }
    assert!(page.contains("Exit codes"), "{page}");
}

#[test]
fn every_subcommand_has_a_page_that_says_its_exit_codes() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("terminal-man").join("man1");
    let output = run(&["man", "--dir", dir.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in subcommands() {
        let page = fs::read_to_string(dir.join(format!("fanwire-{name}.1"))).unwrap();
        assert!(page.contains("Exit codes: 0"), "{name}");
        let help = shown(&run(&[&name, "--help"], b""));
        assert!(help.contains("Exit codes: 0"), "{name}");
    }
    assert!(fs::read_to_string(dir.join("fanwire.1")).unwrap().contains("Exit codes"));
    assert!(dir.join("fanwire-bench-echo.1").exists(), "those of a subcommand too");
    let output = run(&["man", "--dir", "/dev/null/x"], b"");
    assert_eq!((output.status.code(), said(&output).contains("/dev/null/x")), (Some(1), true));
}

/// Commands that say one thing and end. One of them reads a file of this name, which is the caller's own.
fn commands_that_say_one_thing<T>(secret: &str, then: impl Fn(&[&str]) -> T) {
    let secret = file(secret, "0123456789abcdef0123456789abcdef");
    let token = ["token", "--sub", "ann", "--secret-file", secret.to_str().unwrap()];
    for arguments in [&["man"][..], &["completions", "bash"], &["check"], &token] {
        then(arguments);
    }
}

#[test]
fn a_reader_that_goes_away_has_read_enough() {
    commands_that_say_one_thing("secret-unread", |arguments| {
        // The other end is closed before anything can be written.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = fanwire(arguments);
        command.stdout(writer);
        let mut child = command.spawn().unwrap();
        assert_eq!(exit_code(&mut child), 0, "{arguments:?}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_written_is_said_and_fails() {
    commands_that_say_one_thing("secret-full", |arguments| {
        let mut command = fanwire(arguments);
        command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let output = feed(command, b"");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said(&output).starts_with("cannot write the output: "), "{arguments:?}: {}", said(&output));
    });
}

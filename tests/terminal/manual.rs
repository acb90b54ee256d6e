//! `fanwire completions` and `fanwire man`, and that every subcommand says how it ends.

use crate::program::{exit_code, fanwire};
use crate::{run, said, shown};
use std::fs;
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
    for expected in ["serve", "chat", "pub", "sub", "bench", "top", "doctor", "token", "completions", "man"] {
        assert!(names.iter().any(|name| name == expected), "{expected} is in {names:?}");
    }
    names
}

#[test]
fn every_shell_gets_completions_for_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], b"");
        let script = shown(&output);
        assert_eq!(output.status.code(), Some(0));
        for name in subcommands() {
            assert!(script.contains(&name), "{shell} completes {name}");
        }
        assert!(
            script.contains("--connections") || script.contains("connections"),
            "{shell} completes options"
        );
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

#[test]
fn a_reader_that_goes_away_has_read_enough() {
    let mut child = fanwire(&["man"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(exit_code(&mut child), 0);
}

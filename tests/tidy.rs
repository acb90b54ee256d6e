//! What a machine can check of how this repository is written: the architecture invariants of `lib.rs`, and the rules
//! that reviewers would otherwise have to remember. (The file is long because each rule stands with the proof that it can
//! fail.)
//!
//! Each rule is a function from a file's text to what is wrong with it. The tests come first: for each rule, that it
//! holds for every file, and that it can fail. It is not a compiler: it reads words and paths, and a macro could fool it.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules that are pure: no socket, clock, thread or randomness.
const PURE: [&str; 4] = ["protocol", "hub", "dialect", "shard"];

/// What a pure module must not name: a path, or any path with this segment.
const IMPURE: [&str; 21] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time",
    "mio",
    "rlimit",
    "signal_hook",
    "socket2",
    "getrandom",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::mpsc",
    // Their keys are random; ours are handed in.
    "RandomState",
    "DefaultHasher",
    "HashMap::new",
    "HashSet::new",
    "HashMap::with_capacity",
    "HashSet::with_capacity",
];

/// The modules in the order of their dependencies: a module names only those of rows above its own.
const ORDER: [&[&str]; 13] = [
    &["limits"],
    &["config", "metrics", "pages"],
    &["auth"],
    &["protocol"],
    &["hub"],
    &["dialect"],
    &["shard"],
    &["mesh"],
    &["turn"],
    &["worker"],
    &["control"],
    &["server"],
    // Nobody names these.
    &["main", "cli", "lib", "properties"],
];

/// `net` stands beside the order: all that it names, and who names it.
const NET_NAMES: [&str; 2] = ["limits", "config"];
const NET_IS_NAMED_BY: [&str; 2] = ["worker", "server"];

/// What may stand in the top directory, besides files that begin with a dot.
const TOP: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "src",
    "fuzz",
    "tests",
    "benches",
];

/// Lines from which on a file says why it is long.
const LINES_UNEXPLAINED: usize = 500;

#[test]
fn pure_modules_touch_no_socket_clock_thread_or_randomness() {
    assert_tidy(&rust_files(&["src"]), |file| match file.module().first() {
        Some(module) if PURE.contains(&module.as_str()) => impure_paths(&file.text),
        _ => Vec::new(),
    });
    assert_eq!(impure_paths("use std::{fmt, time::{Duration, Instant}};").len(), 2);
    assert_eq!(impure_paths("let map = std::collections::HashMap::new();").len(), 1);
    assert_eq!(impure_paths("use std::collections::hash_map::RandomState;").len(), 1);
    assert_eq!(impure_paths("mio::Poll::new()"), ["names mio::Poll::new"]);
    assert_eq!(impure_paths("// std::net is for others\nlet text = \"std::net\"; // mio"), [""; 0]);
    assert_eq!(impure_paths("#[cfg(test)]\nmod tests { use std::thread; }\n"), [""; 0]);
    assert_eq!(impure_paths("use std::io::IoSlice; use std::sync::Arc; let mio_like = 1;"), [""; 0]);
}

#[test]
fn imports_point_one_way() {
    assert_tidy(&rust_files(&["src"]), |file| upward_paths(&file.module(), &file.text));
    let upward = |module: &str, text| {
        let module = module.split("::").map(str::to_owned).collect::<Vec<_>>();
        upward_paths(&module, text)
    };
    assert_eq!(upward("hub::log", "use crate::shard::Shard;"), ["hub names shard"]);
    assert_eq!(upward("hub", "use crate::{limits, shard::Shard};"), ["hub names shard"]);
    assert_eq!(upward("hub::log", "use super::super::dialect;"), ["hub names dialect"]);
    assert_eq!(upward("config", "crate::metrics::Cell::default()"), ["config names metrics"]);
    assert_eq!(upward("net::listener", "use crate::protocol::Time;"), ["net names protocol"]);
    assert_eq!(upward("shard", "use crate::net::transport;"), ["shard names net"]);
    assert_eq!(upward("shard", "use crate::properties;"), ["shard names properties"]);
    assert_eq!(upward("newcomer", "").len(), 1, "a module has its place in the order");
    for (module, text) in [
        ("hub::log", "use super::{ClientKey, properties}; use crate::limits;"),
        ("shard::mail", "use crate::hub::ShardId; use crate::shard::Shard; use super::super::protocol;"),
        ("worker", "use crate::net::transport::Transport; use crate::limits;"),
        ("net::listener", "use crate::config::{Config, ConfigError}; use super::transport;"),
        ("hub", "#[cfg(test)] mod tests { use crate::server::Server; }"),
        ("properties", "use crate::protocol; use crate::hub::properties;"),
    ] {
        assert_eq!(upward(module, text), [""; 0], "{module}: {text}");
    }
}

#[test]
fn locks_of_the_data_plane_are_in_the_mesh() {
    assert_tidy(&rust_files(&["src"]), |file| match file.module().first().map(String::as_str) {
        Some("mesh" | "control" | "server" | "cli" | "main" | "lib") => Vec::new(),
        _ => locks(&file.text),
    });
    assert_eq!(locks("use std::sync::{Arc, Mutex};"), ["locks with std::sync::Mutex"]);
    assert_eq!(locks("use std::sync::atomic::AtomicU64; // Mutex"), [""; 0]);
}

#[test]
fn there_is_no_unsafe_code() {
    assert_tidy(&rust_files(&["src", "tests", "benches", "fuzz"]), |file| unsafe_words(&file.text));
    for root in ["src/lib.rs", "src/main.rs"] {
        let forbids = code(&read(&top().join(root))).contains("#![forbid(unsafe_code)]");
        assert!(forbids, "{root} forbids unsafe code");
    }
    assert_eq!(unsafe_words("fn f() { unsafe { g() } }").len(), 1);
    assert_eq!(unsafe_words("#![forbid(unsafe_code)] // unsafe\nlet text = r#\"unsafe \"{\"#;"), [""; 0]);
}

#[test]
fn nothing_is_left_to_be_done() {
    assert_tidy(&text_files(&["src", "tests", "benches", "fuzz"]), |file| unfinished(&file.text));
    let note = concat!("TO", "DO");
    assert_eq!(unfinished(&format!("fn f() {{}} // {note}: all of it")), [format!("says {note}")]);
    assert_eq!(unfinished("let x = dbg!(y);"), ["calls dbg!"]);
    assert_eq!(unfinished(concat!("fn f() { to", "do!() }")), [concat!("calls to", "do!")]);
    assert_eq!(unfinished("a todolist, a dbg, METODOS"), [""; 0]);
}

#[test]
fn every_file_opens_by_saying_what_it_is_and_a_long_one_why_it_is_long() {
    assert_tidy(&rust_files(&["src", "tests", "benches", "fuzz"]), |file| opening(&file.text));
    let long = "fn f() {}\n".repeat(LINES_UNEXPLAINED);
    assert_eq!(opening("use std::fmt;\n"), ["does not open with `//! ` and a sentence"]);
    assert_eq!(opening("//!\n//! Late.\n"), ["does not open with `//! ` and a sentence"]);
    assert_eq!(opening("//! No full stop\n"), ["does not open with `//! ` and a sentence"]);
    assert_eq!(opening(&format!("//! Frames.\n//!\n//! Long because.\n{long}")).len(), 1, "said too late");
    assert_eq!(opening(&format!("//! Frames. (The file is long because it must.)\n{long}")), [""; 0]);
    assert_eq!(opening("//! Frames,\n//! and more: [`Frame`].\n"), [""; 0]);
}

#[test]
fn files_are_named_after_what_they_are() {
    assert_tidy(&text_files(&["src", "tests", "benches", "fuzz"]), |file| vague_names(&file.path));
    assert_eq!(vague_names(Path::new("src/hub/utils.rs")).len(), 1);
    assert_eq!(vague_names(Path::new("src/helpers/mod.rs")).len(), 1);
    assert_eq!(vague_names(Path::new("src/session_manager.rs")).len(), 1);
    assert_eq!(vague_names(Path::new("src/protocol/utf8.rs")), [""; 0]);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifests = ["Cargo.toml", "fuzz/Cargo.toml", "benches/versus/Cargo.toml"]
        .map(|path| File::new(&top().join(path)));
    assert_tidy(&manifests, |file| unexplained_dependencies(&file.text));
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\" # why\nb = \"1\"\nc = { version = \"1#2\" }\n\
                    [profile.release]\nlto = true\n[target.'cfg(unix)'.dependencies]\nd = \"1\" #\n";
    assert_eq!(
        unexplained_dependencies(manifest),
        ["b", "c", "d"].map(|name| format!("{name} has no reason"))
    );
}

#[test]
fn the_top_directory_holds_only_what_belongs_there() {
    let ignored = read(&top().join(".gitignore"));
    let names = fs::read_dir(top()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(strangers(names, &ignored), [""; 0]);
    let names = ["src", ".ci", "target", "notes.txt", "rustfmt.toml"].map(str::to_owned);
    assert_eq!(strangers(names, "/target\n"), ["notes.txt", "rustfmt.toml"]);
}

#[test]
fn every_test_that_the_readme_names_is_there() {
    let readme = read(&top().join("README.md"));
    let (_, section) = readme.split_once("### What broke others\n").expect("it is there");
    let rows: Vec<&str> = section.lines().skip_while(|line| !line.starts_with('|')).collect();
    let rows: Vec<&str> = rows.into_iter().take_while(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        let cell = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        assert_eq!(missing_tests(cell, |path| read(&top().join(path))), [""; 0], "{row}");
    }
    let text = |_: &str| "fn it_holds() {} frames(\"a frame\")".to_owned();
    assert_eq!(missing_tests("`tests/a.rs`: `it_holds`, \"a frame\"", text), [""; 0]);
    assert_eq!(missing_tests("`tests/a.rs`: `it_hold`, \"frame\"", text), ["it_hold", "frame"]);
    assert_eq!(missing_tests("`it_holds`", text), ["it_holds"], "in no file");
    assert_eq!(missing_tests("nothing at all", text), ["any test"]);
}

#[test]
fn the_readme_counts_the_tests_of_each_rfc() {
    let readme = read(&top().join("README.md"));
    for rfc in ["6455", "7692"] {
        let files = rust_files(&[&*format!("tests/rfc{rfc}")]);
        let count: usize = files.iter().map(|file| code(&file.text).matches("#[test]").count()).sum();
        let row = format!("\n| RFC {rfc}, rule by rule | {count} tests, ");
        assert!(count > 50 && readme.contains(&row), "{row}");
    }
}

// ---- The rules --------------------------------------------------------------------------------------------------

fn impure_paths(text: &str) -> Vec<String> {
    let paths = paths(&without_tests(&code(text)));
    let is_impure = |path: &String| {
        let path = format!("::{path}::");
        IMPURE.iter().map(|impure| format!("::{impure}::")).any(|impure| {
            let is_from_a_root = impure[2..].starts_with(char::is_lowercase);
            if is_from_a_root { path.starts_with(&impure) } else { path.contains(&impure) }
        })
    };
    paths.into_iter().filter(is_impure).map(|path| format!("names {path}")).collect()
}

/// The tests that a cell of a table names and that are not in the file it names before them: functions between
/// backticks, cases between quotes.
fn missing_tests(cell: &str, text: impl Fn(&str) -> String) -> Vec<String> {
    let mut file = String::new();
    let mut missing = Vec::new();
    let mut names = 0;
    let mut rest = cell;
    while let Some(at) = rest.find(['`', '"']) {
        let quote = &rest[at..=at];
        let Some((name, behind)) = rest[at + 1..].split_once(quote) else { break };
        rest = behind;
        if name.contains('/') {
            file = text(name);
            continue;
        }
        names += 1;
        let is_there = match quote {
            "`" => file.contains(&format!("fn {name}(")),
            _ => file.contains(&format!("\"{name}\"")),
        };
        missing.extend((!is_there).then(|| name.to_owned()));
    }
    if names == 0 { vec!["any test".to_owned()] } else { missing }
}

fn upward_paths(module: &[String], text: &str) -> Vec<String> {
    let Some(here) = module.first().map(String::as_str) else { return Vec::new() };
    let row = |name: &str| ORDER.iter().position(|row| row.contains(&name));
    if here != "net" && row(here).is_none() {
        return vec![format!("{here} has no place in the order of modules")];
    }
    let may_name = |there: &str| match (here, there) {
        _ if here == there => true,
        ("net", _) => NET_NAMES.contains(&there),
        (_, "net") => NET_IS_NAMED_BY.contains(&here) || row(here) == Some(ORDER.len() - 1),
        _ => row(there).is_some_and(|there| row(here).is_some_and(|here| there < here)),
    };
    let is_module = |name: &str| name == "net" || row(name).is_some();
    let named = paths(&without_tests(&code(text))).into_iter().filter_map(|path| {
        let path = absolute(&path, module)?;
        let there = path.first()?;
        (is_module(there) && !may_name(there)).then(|| format!("{here} names {there}"))
    });
    named.collect()
}

/// A path from the crate's root, if it begins with `crate` or `super`.
fn absolute(path: &str, module: &[String]) -> Option<Vec<String>> {
    let mut segments: Vec<_> = path.split("::").collect();
    let mut base = module.to_vec();
    match segments[0] {
        "crate" => {
            segments.remove(0);
            base.clear();
        }
        "super" => {
            while segments.first() == Some(&"super") {
                segments.remove(0);
                base.pop()?;
            }
        }
        _ => return None,
    }
    base.extend(segments.into_iter().map(str::to_owned));
    Some(base)
}

fn locks(text: &str) -> Vec<String> {
    let is_lock =
        |path: &String| path.split("::").any(|name| ["Mutex", "RwLock", "Condvar", "mpsc"].contains(&name));
    let paths = paths(&without_tests(&code(text)));
    paths.into_iter().filter(is_lock).map(|path| format!("locks with {path}")).collect()
}

fn unsafe_words(text: &str) -> Vec<String> {
    let code = code(text);
    words(&code).filter(|word| *word == "unsafe").map(|_| "has unsafe code".to_owned()).collect()
}

fn unfinished(text: &str) -> Vec<String> {
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let said = words(text).filter(|word| notes.contains(word)).map(|word| format!("says {word}"));
    let macros = [concat!("to", "do!"), concat!("un", "implemented!"), concat!("db", "g!")];
    let code = code(text);
    let called = macros.iter().filter(|call| {
        code.match_indices(**call).any(|(at, _)| !code[..at].ends_with(|before: char| is_word(before)))
    });
    said.chain(called.map(|call| format!("calls {call}"))).collect()
}

fn opening(text: &str) -> Vec<String> {
    let paragraph: Vec<_> =
        text.lines().map_while(|line| line.strip_prefix("//! ")).map(str::trim_end).collect();
    let paragraph = paragraph.join(" ");
    let mut wrong = Vec::new();
    if !paragraph.ends_with(['.', '?', ':', ')']) {
        wrong.push("does not open with `//! ` and a sentence".to_owned());
    }
    let lines = text.lines().count();
    if lines > LINES_UNEXPLAINED && !words(&paragraph).any(|word| ["long", "longer"].contains(&word)) {
        wrong.push(format!("has {lines} lines, and its first paragraph does not say why it is long"));
    }
    wrong
}

fn vague_names(path: &Path) -> Vec<String> {
    let vague = ["util", "utils", "helper", "helpers", "manager", "managers"];
    let path = path.to_string_lossy();
    let words = path.split(['/', '_', '-', '.']);
    words.filter(|word| vague.contains(word)).map(|word| format!("is named {word}")).collect()
}

fn unexplained_dependencies(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end().trim_end_matches(']').ends_with("dependencies");
        } else if let (true, Some((name, value))) = (in_dependencies, line.split_once(" = ")) {
            // Every second piece between quotes is a string.
            let comment = value.split('"').step_by(2).find_map(|piece| piece.split_once('#'));
            if comment.is_none_or(|(_, reason)| reason.trim().is_empty()) {
                wrong.push(format!("{name} has no reason"));
            }
        }
    }
    wrong
}

fn strangers(names: impl IntoIterator<Item = String>, ignored: &str) -> Vec<String> {
    let belongs = |name: &String| {
        TOP.contains(&name.as_str())
            || name.starts_with('.')
            || ignored.lines().any(|line| line.trim_matches('/') == name)
    };
    let mut strangers: Vec<_> = names.into_iter().filter(|name| !belongs(name)).collect();
    strangers.sort();
    strangers
}

// ---- Reading Rust -----------------------------------------------------------------------------------------------

/// The text with comments and the insides of literals made blank.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(is_word);
        let len = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => string_len(rest),
            'r' if !after_word || code.ends_with('b') => raw_string_len(rest),
            '\'' => char_len(rest),
            _ => 0,
        };
        if len == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (literal, behind) = rest.split_at(len);
            code.extend(literal.chars().map(|blank| if blank == '\n' { '\n' } else { ' ' }));
            rest = behind;
        }
    }
    code
}

fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == '"' && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// 0 if no raw string begins here.
fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let open = 1 + hashes + 1;
    if text.as_bytes().get(open - 1) != Some(&b'"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    text[open..].find(&close).map_or(text.len(), |at| open + at + close.len())
}

/// 0 if a lifetime begins here.
fn char_len(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |at| at + 4),
        _ => characters.next().filter(|(_, end)| *end == '\'').map_or(0, |(at, _)| at + 1),
    }
}

/// Code without the items that stand under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let mut depth = 0_usize;
        let end = item.find(|character| {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(character, '}' | ';')
        });
        rest = &item[end.map_or(item.len(), |end| end + 1)..];
    }
    kept + rest
}

/// All paths in a piece of code, with those in braces written out: `use a::{b, c::d}` names `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    // What stands before each open brace that belongs to a path, and "" for other braces.
    let mut prefixes = vec![String::new()];
    let mut path = String::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let word_len = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        if word_len > 0 {
            if path.is_empty() {
                path.clone_from(&prefixes[prefixes.len() - 1]);
            } else if !path.ends_with("::") {
                paths.push(std::mem::replace(&mut path, prefixes[prefixes.len() - 1].clone()));
            }
            path.push_str(&rest[..word_len]);
            rest = &rest[word_len..];
        } else if let Some(behind) = rest.strip_prefix("::") {
            path.push_str("::");
            rest = behind;
        } else {
            rest = &rest[first.len_utf8()..];
            match first {
                _ if first.is_whitespace() => continue,
                '{' if path.ends_with("::") => prefixes.push(std::mem::take(&mut path)),
                '{' => prefixes.push(String::new()),
                '}' if prefixes.len() > 1 => _ = prefixes.pop(),
                _ => {}
            }
            if !path.is_empty() {
                paths.push(std::mem::take(&mut path));
            }
        }
    }
    paths.push(path);
    paths.retain(|path| !path.is_empty());
    paths
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character| !is_word(character)).filter(|word| !word.is_empty())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[test]
fn code_is_what_is_neither_comment_nor_literal() {
    assert_eq!(code("a // b\nc"), "a     \nc");
    assert_eq!(code("a /* b\nc */ d"), "a     \n     d");
    assert_eq!(code(r#"f("a\"b", 'c', '\'', b"d") + x"#), "f(      ,    ,     , b   ) + x");
    assert_eq!(code("fn f<'a>(x: &'a str, y: char)"), "fn f<'a>(x: &'a str, y: char)");
    assert_eq!(code("br##\"a\"#b\"## c, for"), "b            c, for");
}

#[test]
fn paths_are_written_out() {
    assert_eq!(
        paths("use a::{b, c::{d, e}, f}; g::h(i)"),
        ["use", "a::b", "a::c::d", "a::c::e", "a::f", "g::h", "i"]
    );
    assert_eq!(paths("mod m { use x::y; }"), ["mod", "m", "use", "x::y"]);
}

// ---- Reading files ----------------------------------------------------------------------------------------------

struct File {
    /// From the top directory.
    path: PathBuf,
    text: String,
}

impl File {
    fn new(path: &Path) -> File {
        File { path: path.strip_prefix(top()).unwrap().to_owned(), text: read(path) }
    }

    /// The module that the file is, from the crate's root: `src/hub/log.rs` is `hub`, `log`.
    fn module(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let segments = path.iter().skip(1).map(|name| name.to_string_lossy().into_owned());
        segments.filter(|name| name != "mod").collect()
    }
}

/// Panics with all that a rule finds wrong, a line each.
fn assert_tidy(files: &[File], rule: impl Fn(&File) -> Vec<String>) {
    assert!(!files.is_empty(), "there is something to check");
    let wrong: Vec<_> = files
        .iter()
        .flat_map(|file| rule(file).into_iter().map(move |wrong| format!("{}: {wrong}", file.path.display())))
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn rust_files(directories: &[&str]) -> Vec<File> {
    let mut files = text_files(directories);
    files.retain(|file| file.path.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// All files with a text that people wrote.
fn text_files(directories: &[&str]) -> Vec<File> {
    let mut paths = Vec::new();
    for directory in directories {
        collect(&top().join(directory), &mut paths);
    }
    paths.sort();
    paths.iter().map(|path| File::new(path)).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    // Before there are benches, say, there is nothing to check of them.
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_generated = name.starts_with('.')
            || ["target", "corpus", "artifacts", "coverage", "node_modules"].contains(&name.as_str());
        if path.is_dir() && !is_generated {
            collect(&path, paths);
        } else if path.extension().is_none_or(|extension| {
            ["rs", "toml", "mjs", "py", "sh", "html"].iter().any(|text| extension == *text)
        }) && path.is_file()
        {
            paths.push(path);
        }
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

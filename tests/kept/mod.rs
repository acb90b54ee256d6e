//! What fuzzers have kept of their inputs, for tests that replay it without a fuzzer.

use std::fs;
use std::path::Path;

/// Hands every kept input of a fuzz target to its law. The name of each is printed, and shown if the law does not hold.
pub(crate) fn replay(target: &str, law: impl Fn(&[u8])) {
    let corpus = format!("fuzz/corpus/{target}");
    let mut kept = files(&corpus);
    // A fuzzer that was run here leaves what it found, named by its hash.
    kept.retain(|name| name.contains('_'));
    assert!(!kept.is_empty(), "{target} has a corpus");
    for name in kept {
        println!("{target}: {name}");
        law(&fs::read(root().join(&corpus).join(name)).unwrap());
    }
}

/// The names of the files in a directory of the repository, in order.
pub(crate) fn files(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).expect(directory);
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

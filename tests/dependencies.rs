//! What we build on: every crate's licence lets anyone use fanwire under its own, each comes from the registry, none is a
//! pre-release, and none is there twice without a reason. (What is known to be vulnerable, `cargo audit` says: it needs
//! its database.)

use spdx::Expression;
use std::collections::BTreeMap;
use std::process::Command;

/// Licences that ask for nothing but that they are named.
const LICENCES: [&str; 9] =
    ["0BSD", "Apache-2.0", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

/// Crates of which there are two. Only procedural macros use `syn` and the older `thiserror`, none of which is in the
/// program; the others are a few functions in a former version: `base64` of jsonwebtoken's,
/// `signal-hook` of crossterm's, `untrusted` of aws-lc-rs's.
const TWICE: [&str; 6] = ["base64", "signal-hook", "syn", "thiserror", "thiserror-impl", "untrusted"];

/// The crates of the program, each once: name, version and licence.
fn crates() -> Vec<[String; 3]> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"]);
    let output = tree.args(["--no-dedupe", "--format", "{p}|{l}"]).output().expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let mut crates: Vec<[String; 3]> = lines
        .lines()
        .filter_map(|line| {
            let (package, licence) = line.split_once('|')?;
            let mut words = package.split(' ');
            let name = words.next()?.to_owned();
            let version = words.next()?.trim_start_matches('v').to_owned();
            Some([name, version, licence.to_owned()])
        })
        .collect();
    crates.sort();
    crates.dedup();
    assert!(crates.iter().any(|[name, ..]| name == "mio"), "the tree was read: {crates:?}");
    crates
}

#[test]
fn every_licence_asks_for_no_more_than_to_be_named() {
    let is_permissive = |licence: &str| {
        let expression = Expression::parse_mode(licence, spdx::ParseMode::LAX).expect(licence);
        expression.evaluate(|required| {
            required.license.id().is_some_and(|licence| LICENCES.contains(&licence.name))
        })
    };
    for [name, version, licence] in crates() {
        assert!(is_permissive(&licence), "{name} {version}: {licence}");
    }
    assert!(is_permissive("GPL-3.0 OR (MIT AND ISC)") && !is_permissive("MIT AND GPL-3.0"));
}

#[test]
fn no_crate_is_a_pre_release_and_none_is_there_twice_without_a_reason() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for [name, version, _] in crates() {
        // Behind a + there is metadata, no version (Semantic Versioning 2.0.0, 10).
        let is_pre_release = version.split('+').next().is_some_and(|version| version.contains('-'));
        assert!(!is_pre_release, "{name} {version} is a pre-release");
        versions.entry(name).or_default().push(version);
    }
    let twice = versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name.as_str());
    assert_eq!(twice.collect::<Vec<_>>(), TWICE);
}

#[test]
fn every_crate_comes_from_the_registry_with_a_checksum() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock", "benches/versus/Cargo.lock"] {
        let path = format!("{}/{lock}", env!("CARGO_MANIFEST_DIR"));
        let lock = std::fs::read_to_string(&path).expect(&path);
        let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
        assert!(packages.len() > 50, "{path} was read");
        for package in packages.iter().filter(|package| package.contains("\nsource = ")) {
            let is_registered =
                package.contains("\nsource = \"registry+") && package.contains("\nchecksum = ");
            assert!(is_registered, "{path}: {package}");
        }
    }
}

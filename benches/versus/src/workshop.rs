//! [`Workshop`]: builds or finds what is compared, and says what is missing.

use crate::server::{Program, Server};
use serde_json::Value;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// This package.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// The versions that the peers in Rust are built with.
const LOCK: &str = include_str!("../Cargo.lock");

/// Where programs come from.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// For what is built without cargo, for logs and for results: below cargo's target directory.
    pub(crate) directory: PathBuf,
    /// The program `fanwire`, if it is not to be built.
    pub(crate) fanwire: Option<PathBuf>,
}

impl Workshop {
    /// # Errors
    ///
    /// A sentence, if there is no place to work in.
    pub(crate) fn new(fanwire: Option<PathBuf>) -> Result<Self, String> {
        let here =
            env::current_exe().map_err(|error| format!("this program does not know where it is: {error}"))?;
        let target = here.ancestors().nth(2).ok_or("this program stands outside a target directory")?;
        let directory = target.join("versus");
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(Self { directory, fanwire })
    }

    /// The program `fanwire`, built for release.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub(crate) fn fanwire(&self) -> Result<PathBuf, String> {
        match &self.fanwire {
            Some(path) if path.is_file() => fs::canonicalize(path).map_err(|error| error.to_string()),
            Some(path) => Err(format!("there is no {}", path.display())),
            None => build(&Path::new(PACKAGE).join("../.."), "fanwire"),
        }
    }

    /// A server that can be started.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub(crate) fn program(&self, server: Server) -> Result<Program, String> {
        let (executable, script, version) = match server {
            Server::Fanwire | Server::FanwireTwo => {
                let executable = self.fanwire()?;
                let version = said_by(&executable, &["--version"])?;
                (executable, None, version)
            }
            Server::Tungstenite => peer("tungstenite", &["tokio-tungstenite", "tokio"])?,
            Server::Fastwebsockets => peer("fastwebsockets", &["fastwebsockets", "hyper", "tokio"])?,
            Server::Sockudo => peer("sockudo", &["sockudo-ws", "tokio"])?,
            Server::Gorilla => self.gorilla()?,
            Server::Bun => {
                let executable = bun(&npm()?)?;
                let version = format!("Bun {}", said_by(&executable, &["--version"])?);
                (executable, Some(peers().join("bun.mjs")), version)
            }
            Server::Ws => {
                let manifest = fs::read_to_string(npm()?.join("ws/package.json")).unwrap_or_default();
                let manifest: Value = serde_json::from_str(&manifest).unwrap_or_default();
                let version = manifest["version"].as_str().unwrap_or("?");
                let version = format!("ws {version}, Node.js {}", said_by("node", &["--version"])?);
                (PathBuf::from("node"), Some(peers().join("ws.mjs")), version)
            }
        };
        Ok(Program { server, executable, script, workers: server.workers(), version })
    }

    /// Debian's Go has no modules: its libraries stand in one place.
    fn gorilla(&self) -> Result<(PathBuf, Option<PathBuf>, String), String> {
        let executable = self.directory.join("gorilla");
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&executable).arg(peers().join("gorilla.go"));
        go.envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")]);
        output(&mut go).map_err(|error| {
            format!("{error}; apt-get install golang-go golang-github-gorilla-websocket-dev")
        })?;
        let package = ["-W", "-f", "${Version}", "golang-github-gorilla-websocket-dev"];
        let library = said_by("dpkg-query", &package).unwrap_or_else(|_| "?".to_owned());
        let go = said_by("go", &["env", "GOVERSION"])?;
        Ok((executable, None, format!("gorilla/websocket {library}, {go}")))
    }
}

fn peers() -> PathBuf {
    Path::new(PACKAGE).join("peers")
}

/// A peer that is a binary of this package, and the versions of what it is made of.
fn peer(name: &str, crates: &[&str]) -> Result<(PathBuf, Option<PathBuf>, String), String> {
    let executable = build(Path::new(PACKAGE), &format!("peer-{name}"))?;
    let versions: Vec<_> =
        crates.iter().map(|name| format!("{name} {}", locked_version(LOCK, name))).collect();
    Ok((executable, None, versions.join(", ")))
}

/// Has cargo build a binary for release, and asks it where that is.
fn build(package: &Path, binary: &str) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--locked",
        "--message-format=json-render-diagnostics",
        "--bin",
        binary,
    ]);
    command.arg("--manifest-path").arg(package.join("Cargo.toml"));
    // A build takes a while: let its progress be seen.
    let messages = output(command.stderr(Stdio::inherit()))?;
    executable(&messages, binary).ok_or_else(|| format!("cargo built no {binary}"))
}

/// Finds a binary in the messages of cargo.
fn executable(messages: &str, binary: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut paths = messages.filter(|message| message["target"]["name"] == binary);
    paths.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// The version of a crate in a `Cargo.lock`.
fn locked_version<'a>(lock: &'a str, name: &str) -> &'a str {
    let head = format!("name = \"{name}\"");
    let behind = lock.lines().skip_while(|line| *line != head).nth(1);
    behind.and_then(|line| line.strip_prefix("version = ")).map_or("?", |version| version.trim_matches('"'))
}

/// Has npm install what `package-lock.json` says, unless it is there already. Scripts of packages do not run: Bun's would
/// only copy its binary.
fn npm() -> Result<PathBuf, String> {
    let modules = peers().join("node_modules");
    let modified = |path: PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified());
    let installed = modified(modules.join(".package-lock.json")).ok();
    let locked = modified(peers().join("package-lock.json")).ok();
    if installed.is_none() || installed < locked {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(peers());
        output(&mut npm).map_err(|error| format!("{error}; apt-get install nodejs npm"))?;
    }
    Ok(modules)
}

/// Bun's binary, in the package of this platform. Where there are several, the shortest name is the one without
/// restrictions.
fn bun(modules: &Path) -> Result<PathBuf, String> {
    let platforms =
        fs::read_dir(modules.join("@oven")).map_err(|error| format!("npm installed no Bun: {error}"))?;
    let binaries = platforms.filter_map(|platform| Some(platform.ok()?.path().join("bin/bun")));
    let binary = binaries.filter(|path| path.is_file()).min_by_key(|path| path.as_os_str().len());
    binary.ok_or_else(|| "npm installed no Bun for this platform".to_owned())
}

/// The first line that a program prints.
fn said_by(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String, String> {
    let printed = output(Command::new(program).args(arguments))?;
    Ok(printed.lines().next().unwrap_or_default().to_owned())
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{name} ended with {}: {}", output.status, last.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_a_binary_is() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"fanwire"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"fanwire"},"executable":"/target/release/fanwire"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "fanwire"), Some("/target/release/fanwire".into()));
        assert_eq!(executable(messages, "serde"), None);
    }

    #[test]
    fn versions_are_those_of_the_lock() {
        let lock = "[[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n\n[[package]]\nname = \"tokio-util\"\nversion = \"0.7.20\"\n";
        assert_eq!(locked_version(lock, "tokio"), "1.54.1");
        assert_eq!(locked_version(lock, "tokio-util"), "0.7.20");
        assert_eq!(locked_version(lock, "hyper"), "?");
    }

    #[test]
    fn the_lock_of_this_package_has_all_peers() {
        for name in ["tokio-tungstenite", "fastwebsockets", "sockudo-ws", "hyper", "tokio"] {
            assert_ne!(locked_version(LOCK, name), "?", "{name}");
        }
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let error = output(Command::new("sh").args(["-c", "echo no go >&2; exit 1"])).unwrap_err();
        assert_eq!(error, "sh ended with exit status: 1: no go");
        assert!(output(&mut Command::new("no-such-program")).is_err());
    }
}

//! `fanwire bench`, the real program, against a real server, and against one that makes mistakes. Nothing here is about
//! speed: what is counted is to be exact.

mod toy_server;

use fanwire::config::{AuthConfig, Config};
use fanwire::server::Server;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use toy_server::{Mistake, ToyServer};

/// What happens at all happens by then, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server whose totals can be asked for.
fn server(configure: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config { listen: vec![([127, 0, 0, 1], 0).into()], workers: 1, ..Config::default() };
    config.echo = true;
    configure(&mut config);
    Server::start(config).expect("a free port")
}

fn url(server: &Server, path: &str) -> String {
    format!("ws://{}{path}", server.addresses()[0])
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
    command.arg("bench").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a run ended with.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    report: Value,
    errors: String,
}

impl Run {
    fn of(output: &Output) -> Run {
        Run {
            code: output.status.code(),
            report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn number(&self, pointer: &str) -> u64 {
        let value = self.report.pointer(pointer);
        value.and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} is a number: {self:?}"))
    }

    /// Missing, unexpected, out of order, other orders, connections lost, stalls.
    fn faults(&self) -> [u64; 6] {
        ["missing", "unexpected", "out_of_order", "other_orders", "connections_lost", "stalls"]
            .map(|name| self.number(&format!("/faults/{name}")))
    }

    #[track_caller]
    fn assert_good(&self) {
        assert_eq!((self.code, self.faults(), &*self.errors), (Some(0), [0; 6], ""), "{self:?}");
    }
}

/// Measures for a third of a second, without a warm-up: all that is sent is counted.
fn bench(arguments: &[&str]) -> Run {
    let short = ["--duration", "0.3", "--warmup", "0", "--drain", "20", "--json"];
    Run::of(&command(&[arguments, &short].concat()).output().unwrap())
}

/// The same for the modes that send nothing and have nothing to wait for.
fn bench_quiet(arguments: &[&str]) -> Run {
    let short = ["--duration", "0.3", "--warmup", "0", "--json"];
    Run::of(&command(&[arguments, &short].concat()).output().unwrap())
}

// ---- Good servers ---------------------------------------------------------------------------------------------------

#[test]
fn every_echo_is_counted_once() {
    let server = server(|_| {});
    let url = url(&server, "/echo");
    for options in [
        &["-c", "3"][..],
        &["-c", "7", "--window", "5", "--payload", "3", "--threads", "2"],
        &["-c", "2", "--window", "2", "--payload", "70000", "--binary"],
        &["-c", "3", "--payload", "0"],
        &["-c", "5", "--rate", "300"],
    ] {
        let run = bench(&[&["echo", &url], options].concat());
        run.assert_good();
        let publications = run.number("/publications");
        assert!(publications > 0, "{run:?}");
        assert_eq!(run.number("/latency_us/samples"), publications, "{run:?}");
    }
}

#[test]
fn every_delivery_is_counted_once() {
    let server = server(|_| {});
    let url = url(&server, "/ws");
    for options in [
        &["--window", "16"][..],
        &["--publishers", "3", "--window", "4", "--threads", "2", "--payload", "64"],
        &["--publishers", "12", "--rate", "500", "--payload", "1000"],
    ] {
        let before = server.totals().publications;
        let run = bench(&[&["broadcast", &url, "-c", "12"], options].concat());
        run.assert_good();
        let publications = run.number("/publications");
        assert!(publications > 0, "{run:?}");
        assert_eq!(server.totals().publications - before, publications, "{run:?}");
        assert_eq!(run.number("/latency_us/samples"), 12 * publications, "{run:?}");
    }
}

#[test]
fn channels_share_connections_and_publishers_and_nobody_hears_another_channel() {
    let server = server(|_| {});
    let arguments =
        ["broadcast", &url(&server, "/ws/x/"), "-c", "10", "--channels", "3", "--publishers", "4"];
    let run = bench(&[&arguments[..], &["--window", "2", "--threads", "2"]].concat());
    run.assert_good();
    // Channels b0, b1, b2 have 4, 3, 3 connections and 2, 1, 1 publishers.
    let (publications, samples) = (run.number("/publications"), run.number("/latency_us/samples"));
    assert!(3 * publications < samples && samples < 4 * publications, "{run:?}");
}

#[test]
fn handshakes_are_made_again_and_again() {
    let server = server(|_| {});
    let run = bench_quiet(&["connect", &url(&server, "/ws"), "--slots", "4", "--destinations", "127.0.0.1"]);
    run.assert_good();
    assert!(run.number("/units") > 4, "{run:?}");
}

#[test]
fn idle_connections_stay_open_and_answer_pings() {
    let server = server(|config| {
        config.limits.ping_interval_ms = 50;
        config.limits.idle_timeout_ms = 1_500;
    });
    let arguments = ["idle", &url(&server, "/ws"), "-c", "20", "--source", "127.0.0.1-3", "--duration", "4"];
    let run = Run::of(&command(&[&arguments[..], &["--json", "--threads", "2"]].concat()).output().unwrap());
    run.assert_good();
    assert_eq!((run.number("/units"), run.number("/connections")), (20, 20));
}

#[test]
fn a_server_that_asks_for_a_token_gets_that_of_the_file() {
    let file = |name: &str, text: &[u8]| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}"));
        fs::write(&path, text).unwrap();
        path
    };
    let secret = file("secret", b"0123456789abcdef0123456789abcdef");
    let server = server(|config| {
        config.auth = Some(AuthConfig { secret: Some(secret.clone()), ..AuthConfig::default() });
    });
    let mut mint = Command::new(env!("CARGO_BIN_EXE_fanwire"));
    mint.args(["token", "--sub", "ann", "--subscribe", "*", "--secret-file"]).arg(secret);
    let token = file("token", &mint.output().unwrap().stdout);
    let idle = ["idle", &url(&server, "/ws"), "--connections", "2"];
    bench_quiet(&[&idle[..], &["--token-file", token.to_str().unwrap()]].concat()).assert_good();
    let refused = bench_quiet(&idle);
    assert!(refused.code == Some(1) && refused.errors.contains("401"), "{refused:?}");
}

#[test]
fn ctrl_c_ends_the_measurement_and_reports_what_there_is() {
    let server = server(|_| {});
    let arguments = ["echo", &url(&server, "/echo"), "--duration", "600", "--warmup", "0", "--drain", "20"];
    let child = command(&[&arguments[..], &["--json"]].concat()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    // There is no event for it: counters are asked.
    while server.totals().messages_received < 100 {
        assert!(Instant::now() < end, "it sends");
        thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let run = Run::of(&child.wait_with_output().unwrap());
    run.assert_good();
    assert!(run.number("/units") > 0, "{run:?}");
}

// ---- Bad servers ----------------------------------------------------------------------------------------------------

/// A run with one publisher and three connections. The publisher's is the first; its own messages all come. The first four
/// messages are sent at once, however busy the machine is.
fn broadcast_by(mistakes: &[Mistake]) -> Run {
    let toy = ToyServer::start(mistakes);
    let url = format!("ws://{}/", toy.address);
    let arguments = ["broadcast", &url, "-c", "3", "--window", "4", "--opening", "1"];
    // What never comes is waited for so long, and what only comes late is there by then.
    let short = ["--duration", "0.5", "--warmup", "0", "--drain", "5", "--json"];
    Run::of(&command(&[&arguments[..], &short].concat()).output().unwrap())
}

#[test]
fn s5_4_fragments_pings_greetings_and_rewritten_json_are_no_faults() {
    broadcast_by(&[Mistake::Fragment(1, 1), Mistake::Fragment(0, 3), Mistake::Rewrite(2, 2)]).assert_good();
}

#[test]
fn a_dropped_message_is_missing() {
    let run = broadcast_by(&[Mistake::Drop(1, 2)]);
    assert_eq!((run.code, run.faults()), (Some(1), [1, 0, 0, 0, 0, 0]), "{run:?}");
}

#[test]
fn a_doubled_message_is_unexpected() {
    let run = broadcast_by(&[Mistake::Double(2, 2)]);
    assert_eq!((run.code, run.faults()), (Some(1), [0, 1, 0, 0, 0, 0]), "{run:?}");
}

#[test]
fn swapped_messages_are_out_of_order_and_their_order_is_another() {
    let run = broadcast_by(&[Mistake::Swap(2, 2)]);
    assert_eq!((run.code, run.faults()), (Some(1), [0, 0, 1, 1, 0, 0]), "{run:?}");
}

#[test]
fn mistakes_are_told_apart() {
    let run =
        broadcast_by(&[Mistake::Drop(1, 1), Mistake::Drop(1, 2), Mistake::Double(2, 0), Mistake::Swap(2, 2)]);
    assert_eq!((run.code, run.faults()), (Some(1), [2, 1, 1, 1, 0, 0]), "{run:?}");
}

#[test]
fn a_server_that_goes_away_ends_the_measurement() {
    let run = broadcast_by(&[Mistake::Die(2)]);
    assert_eq!((run.code, run.number("/faults/connections_lost")), (Some(1), 3), "{run:?}");
    assert!(run.errors.contains("connection 1 of 3: ") || run.errors.contains(" of 3: "), "{run:?}");
}

#[test]
fn s7_4_the_reason_with_which_a_server_closes_is_told_and_not_obeyed() {
    let run = broadcast_by(&[Mistake::Close(2)]);
    assert_eq!((run.code, run.number("/faults/connections_lost")), (Some(1), 3), "{run:?}");
    assert!(run.errors.contains(r"the server closed the connection: 1001 so\u{1b}long"), "{run:?}");
}

#[test]
fn nobody_there_is_said_at_once() {
    // An address that nobody else uses.
    let [.., high, low] = process::id().to_be_bytes();
    let address = SocketAddr::from(([127, 94, high, low], 1_024));
    for mode in ["echo", "broadcast", "connect", "idle"] {
        let run = bench_quiet(&[mode, &format!("ws://{address}/")]);
        assert_eq!((run.code, &run.report), (Some(1), &Value::Null), "{run:?}");
        assert!(run.errors.contains("Connection refused"), "{run:?}");
    }
}

#[test]
fn a_refusal_is_told_with_its_status() {
    let server = server(|_| {});
    let run = bench_quiet(&["idle", &url(&server, "/nowhere")]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.errors.contains("the server refused: 404 Not Found"), "{run:?}");
}

#[test]
fn connections_that_a_full_server_refuses_are_lost_and_the_others_are_measured() {
    let server = server(|config| config.connections_max = 3);
    let run = bench_quiet(&["idle", &url(&server, "/ws"), "-c", "5", "--opening", "1"]);
    assert_eq!((run.code, run.number("/units"), run.faults()[4]), (Some(1), 3, 2), "{run:?}");
    assert!(run.errors.contains("connection 4 of 5 cannot be opened: the server refused: 503"), "{run:?}");
}

// ---- Options --------------------------------------------------------------------------------------------------------

#[test]
fn options_that_cannot_be_used_name_themselves_and_what_to_do() {
    for (arguments, fragments) in [
        (&["echo", "ws://a:1/", "--window", "2", "--rate", "3"][..], ["--window", "--rate"]),
        (&["echo", "ws://127.0.0.1:1/", "--rate", "0"], ["--rate 0", "more than 0"]),
        (&["echo", "ws://127.0.0.1:1/", "--window", "0"], ["--window 0", "give 1"]),
        (&["echo", "ws://127.0.0.1:1/", "-s", "20000000"], ["--payload 20000000", "at most"]),
        (&["broadcast", "ws://127.0.0.1:1/", "-s", "63"], ["--payload 63", "64 bytes or more"]),
        (
            &["broadcast", "ws://127.0.0.1:1/", "-c", "2", "--publishers", "3"],
            ["--publishers 3", "--connections 3"],
        ),
        (
            &["broadcast", "ws://127.0.0.1:1/", "-c", "2", "--channels", "3"],
            ["--channels 3", "--connections 3"],
        ),
        (&["broadcast", "ws://127.0.0.1:1/?echo=off"], ["--window", "--rate"]),
        (&["idle", "wss://127.0.0.1:1/"], ["no TLS", "ws://"]),
        (&["idle", "ws://127.0.0.1:1/", "-c", "100000000"], ["--connections 100000000", "ulimit -n"]),
        (&["idle", "ws://127.0.0.1:1/", "-c", "0"], ["--connections 0", "1 or more"]),
        (&["connect", "ws://127.0.0.1:1/", "--slots", "0"], ["--slots 0", "1 or more"]),
        (&["idle", "ws://127.0.0.1:1/", "--header", "x"], ["--header", "Name: value"]),
        (&["idle", "ws://127.0.0.1:1/", "--header", "Host: x"], ["--header", "may not be sent"]),
        (&["idle", "ws://127.0.0.1:1/", "--source", "::1"], ["--source ::1", "IPv4"]),
        (&["idle", "ws://127.0.0.1:1/", "--html", "/"], ["--html /", "give a file"]),
    ] {
        let run = bench_quiet(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
        assert!(fragments.iter().all(|fragment| run.errors.contains(fragment)), "{arguments:?}: {run:?}");
    }
}

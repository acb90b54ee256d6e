//! `fanwire.toml` on the real program: what wins over what, what is wrong and where, and what changes while it runs; and
//! rules by channel, on the wire.

use crate::client::{Client, Received, assert_closed, http, upgrade};
use crate::process::{Process, fanwire, run};
use crate::running::Running;
use fanwire::config::{Access, ChannelPattern, ChannelSettings, Config, PayloadPolicy, Reconfigured};
use fanwire::protocol::CloseCode;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

const USAGE: Option<i32> = Some(2);

/// A file that goes when it goes out of scope.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> File {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = File(std::env::temp_dir().join(format!("fanwire-{}-{number}.toml", std::process::id())));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a file");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// What `fanwire check` prints.
fn checked(command: &mut Command) -> String {
    let output = command.output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The line of an option in it: its value, and where that came from.
fn value<'t>(text: &'t str, option: &str) -> (&'t str, &'t str) {
    let line = text.lines().find_map(|line| line.strip_prefix(option)?.strip_prefix(" = "));
    let (value, source) = line.expect(option).rsplit_once(" # ").expect("each line says where from");
    (value.trim_end(), source)
}

/// The values without their places.
fn values(text: &str) -> Vec<&str> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.rsplit_once(" # ").map(|(value, _)| value.trim_end()))
        .collect()
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default() {
    let file = File::new(
        "max-message-size = 1001\nidle-timeout = 1\nping-interval = 1\necho = true\nlisten = ['127.0.0.1:1', '[::1]:1']\n",
    );
    let text = checked(
        fanwire()
            .args(["check", "--config", file.path(), "--max-message-size", "3003", "--echo=false"])
            .env("FANWIRE_MAX_MESSAGE_SIZE", "2002")
            .env("FANWIRE_IDLE_TIMEOUT", "2.5"),
    );
    let line = |number: usize| format!("{}:{number}", file.path());
    assert_eq!(value(&text, "max-message-size"), ("3003", "flag"));
    assert_eq!(value(&text, "idle-timeout"), ("2.5", "environment FANWIRE_IDLE_TIMEOUT"));
    assert_eq!(value(&text, "ping-interval"), ("1", &*line(3)));
    assert_eq!(value(&text, "close-timeout"), ("5", "default"));
    assert_eq!(value(&text, "echo"), ("false", "flag"));
    assert_eq!(value(&text, "listen"), ("[\"127.0.0.1:1\", \"[::1]:1\"]", &*line(5)));
    assert_eq!(value(&text, "# outbox-limit"), ("1048576", "default, computed"));
    assert!(text.contains("# tls-cert is not set "), "{text}");
}

#[test]
fn the_file_can_be_named_by_the_environment_and_its_switches_be_undone_there() {
    let file = File::new("echo = true\nverbose = 1\n");
    let check = || {
        let mut command = fanwire();
        command.arg("check").env("FANWIRE_CONFIG", file.path());
        command
    };
    assert_eq!(value(&checked(&mut check()), "echo").0, "true");
    assert_eq!(
        value(&checked(check().env("FANWIRE_ECHO", "no")), "echo"),
        ("false", "environment FANWIRE_ECHO")
    );
    assert_eq!(value(&checked(check().arg("--echo")), "echo"), ("true", "flag"));
    assert_eq!(value(&checked(check().arg("-vv")), "verbose"), ("2", "flag"));
}

#[test]
fn what_is_checked_is_itself_a_file_that_says_the_same() {
    let file = File::new(
        "listen = '127.0.0.1:0'\nmax-message-size = 5_000\nidle-timeout = 0.5\necho = true\nallow-origin = '*'\n\
         deflate-level = 9\nmax-messages-per-second = 10\nslow-consumer = 'log-*=drop-oldest'\ndrain-code = 1012\n\
         [channel.'ticker-*']\nslow-consumer = 'latest'\npublish = 'nobody'\n\
         [channel.\"lobby\"]\npayload = 'chat'\nmax-message-size = 0x100\nsubscribe = 'anyone'\n",
    );
    let first = checked(fanwire().args(["check", "--config", file.path()]));
    let again = File::new(&first);
    let second = checked(fanwire().args(["check", "--config", again.path()]));
    assert_eq!(values(&second), values(&first));
    assert_eq!(value(&first, "# message-burst"), ("10", "default, computed"));
    let (_process, address) = serve(&again);
    let mut client = Client::connect(address, "/echo");
    client.send("hello");
    assert_eq!(client.text(), "hello");
}

#[test]
fn what_cannot_be_used_ends_check_and_serve_alike_with_2_and_the_same_words() {
    let file = |text: &str| File::new(text);
    let certificate =
        "tls-cert = '/nowhere/cert.pem'\ntls-key = '/nowhere/key.pem'\nlisten-tls = '127.0.0.1:0'\n";
    for (text, words) in [
        ("\nmax-mesage-size = 1\n", ":2: there is no option max-mesage-size: did you mean max-message-size?"),
        ("workers = 'two'\n", ":1: workers is \"two\": give a number, without quotes"),
        ("payload = 'chat'\nworkers = 0\n", ":2) is 0: give 1 to "),
        ("listen = 'here'\n", ":1: listen is \"here\": give an IP address and a port"),
        (
            "slow-consumer = 'a*=latest'\n[channel.'a*']\nslow-consumer = 'latest'\n",
            ":3: \"a*\" is given twice",
        ),
        ("[channel.a]\nmax-message-size = 2_000_000\n", ":2) is 2000000 bytes for \"a\": give 1 to 1048576"),
        (
            "slow-consumer = 'a*=latest'\n[channel.'a*']\npayload = 'json'\nslow-consumer = 'latest'\n",
            ":4: \"a*\" is given twice",
        ),
        (
            "[channel.a]\npublish = 'nobody'\n[channel.b]\nsubscribe = 'token'\npublish = 'token'\n",
            ":5) is \"token\" for \"b\", but there is no key to check one with",
        ),
        (certificate, ":1) /nowhere/cert.pem cannot be read"),
        ("workers = 1\njwt-secret-file = '/nowhere/secret'\n", ":2) /nowhere/secret cannot be read"),
    ] {
        let file = file(text);
        let said = ["check", "serve"].map(|command| {
            let (code, log) = run(fanwire().args([command, "--config", file.path()]));
            assert_eq!(code, USAGE, "{command}: {log}");
            let error = log.lines().find_map(|line| Some(line.split_once("ERROR ")?.1.to_owned()));
            error.unwrap_or_else(|| panic!("{command} says what is wrong: {log}"))
        });
        assert!(said[0].contains(words), "{}", said[0]);
        assert_eq!(said[0], said[1]);
    }
}

#[test]
fn a_flag_wins_over_a_variable_that_cannot_be_used_and_the_file_is_read() {
    let file = File::new("payload = 'json'\n");
    let mut check = fanwire();
    check.args(["check", "--workers", "2", "--config", file.path()]).env("FANWIRE_WORKERS", "two");
    let said = checked(&mut check);
    assert_eq!(value(&said, "workers"), ("2", "flag"));
    assert_eq!(value(&said, "payload").0, "\"json\"");
}

#[test]
fn a_flag_for_a_pattern_wins_over_the_section_of_that_pattern() {
    let file = File::new("[channel.'a*']\nslow-consumer = 'latest'\npayload = 'json'\n");
    let text =
        checked(fanwire().args(["check", "--config", file.path(), "--slow-consumer", "a*=drop-oldest"]));
    assert_eq!(value(&text, "slow-consumer"), ("[\"a*=drop-oldest\"]", "flag"));
    let section = text.split_once("[channel.\"a*\"]\n").expect("a section").1;
    assert!(section.starts_with("payload = \"json\"") && !section.contains("slow-consumer"), "{section}");
}

/// Starts it with a file.
fn serve(file: &File) -> (Process, SocketAddr) {
    let mut process = Process::spawn(fanwire().args(["serve", "--config", file.path()]));
    let address = process.address();
    (process, address)
}

#[test]
fn a_signal_has_the_file_read_again_and_what_cannot_change_is_said() {
    let file = File::new("listen = '127.0.0.1:0'\nworkers = 2\n");
    let (mut process, address) = serve(&file);
    process.line("permessage-deflate");
    let mut ann = Client::connect(address, "/ws/room");
    let missing = |target: &str| http(address, upgrade(target)).status;
    assert_eq!(missing("/echo"), 404);
    file.write("listen = '127.0.0.1:0'\nworkers = 3\necho = true\nlog-format = 'json'\n[channel.room]\npayload = 'json'\n");
    process.signal("HUP");
    process.line("changed --echo, [channel]");
    let rest = process.line("needs a restart");
    assert!(rest.ends_with("needs a restart: --workers, --log-format"), "{rest}");
    ann.send("whoever hears this was there when the worker took note");
    ann.text();
    ann.send("no JSON");
    assert!(ann.text().starts_with("{\"error\":"), "an open channel has new rules");
    let mut bob = Client::connect(address, "/echo");
    bob.send("hello");
    assert_eq!(bob.text(), "hello");
    file.write("echo = maybe\n");
    process.signal("HUP");
    let error = process.line("the configuration in use stays");
    assert!(error.contains(&format!("{}:1: not TOML", file.path())), "{error}");
    bob.send("still there");
    assert_eq!(bob.text(), "still there");
}

#[test]
fn a_file_that_changes_is_read_again_by_itself() {
    let file = File::new("listen = '127.0.0.1:0'\n");
    let (mut process, address) = serve(&file);
    process.line("permessage-deflate");
    file.write("listen = '127.0.0.1:0'\necho = true\n");
    assert!(process.line("a file of the configuration has changed").contains("changed --echo"));
    let mut ann = Client::connect(address, "/echo");
    ann.send("hello");
    assert_eq!(ann.text(), "hello");
}

fn rule(config: &mut Config, pattern: &str, settings: ChannelSettings) {
    let pattern = ChannelPattern::parse("[channel]", pattern).expect("a pattern");
    config.channels.add("[channel]", pattern, settings).expect("once");
}

/// Two patterns: in all channels JSON of 1,000 bytes, in those that begin with `open-` anything of 100.
fn rules(config: &mut Config) {
    let json = ChannelSettings {
        payload: Some(PayloadPolicy::Json),
        message_bytes_max: Some(1_000),
        ..ChannelSettings::default()
    };
    let open = ChannelSettings {
        payload: Some(PayloadPolicy::Any),
        message_bytes_max: Some(100),
        ..ChannelSettings::default()
    };
    rule(config, "*", json);
    rule(config, "open-*", open);
}

#[test]
fn what_may_be_published_is_what_the_most_exact_pattern_says() {
    for workers in [1, 3] {
        let server = Running::start(workers, rules);
        let (mut ann, mut bob) = (server.client("/ws/room"), server.client("/ws/open-room"));
        ann.send("no JSON");
        assert!(ann.text().contains("not JSON"));
        ann.send("{}");
        assert_eq!(ann.text(), "{}");
        bob.send("no JSON");
        assert_eq!(bob.text(), "no JSON");
    }
}

#[test]
fn s7_4_1_a_message_over_the_limit_of_its_channel_is_closed_with_1009_and_one_within_it_is_not() {
    let server = Running::start(2, rules);
    for (target, limit) in [("/ws/room", 1_000), ("/ws/open-room", 100)] {
        let json = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        let (mut within, mut over) = (server.client(target), server.client(target));
        within.send(&json(limit));
        assert_eq!((within.text(), over.text()), (json(limit), json(limit)));
        over.send(&json(limit + 1));
        assert_closed(&over.rest().1, CloseCode::MESSAGE_TOO_BIG, "");
        within.send("\"after\"");
        assert_eq!(within.text(), "\"after\"");
    }
}

#[test]
fn who_may_not_publish_is_told_so_and_hears_on_and_who_may_not_listen_gets_403() {
    let server = Running::start(2, |config| {
        let publish = |access| ChannelSettings { publish: Some(access), ..ChannelSettings::default() };
        rule(config, "news*", publish(Access::Nobody));
        rule(config, "news-talk", publish(Access::Anyone));
        let nobody = Some(Access::Nobody);
        rule(config, "hidden", ChannelSettings { subscribe: nobody, ..ChannelSettings::default() });
    });
    let mut ann = server.client("/ws/news-today");
    ann.send("hello");
    assert_eq!(ann.text(), "{\"error\":\"nobody may publish in this channel\"}");
    let mut bob = server.client("/ws/news-talk");
    bob.send("hello");
    assert_eq!(bob.text(), "hello");
    assert_eq!(server.http(upgrade("/ws/hidden")).status, 403);
    assert_eq!(server.totals().messages_rejected, 1);
}

#[test]
fn a_running_server_changes_on_all_workers_and_loses_nothing_that_flows() {
    const MESSAGES: usize = 2_000;
    let server = Running::start(3, |_| {});
    let mut listeners: Vec<Client> = (0..12).map(|_| server.client("/ws/room")).collect();
    let mut others: Vec<Client> =
        (0..6).map(|number| server.client(&format!("/ws/other-{number}"))).collect();
    let mut publisher = server.client("/ws/room");
    for number in 0..MESSAGES {
        publisher.send(&format!("{number}"));
        if number % 100 == 50 {
            let mut config = Config::clone(&server.server().config());
            config.payload = if number % 200 == 50 { PayloadPolicy::Json } else { PayloadPolicy::Any };
            config.limits.outbox_bytes_max += 1;
            config.deflate.level = 1 + (number / 100 % 9) as u8;
            let Reconfigured { changed, needs_restart } =
                server.server().reconfigure(config).expect("it can");
            assert!(changed.contains(&"--payload") && needs_restart.is_empty(), "{changed:?}");
        }
    }
    let expected: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    for listener in &mut listeners {
        assert_eq!(listener.texts(MESSAGES), expected);
    }
    let mut config = Config::clone(&server.server().config());
    config.payload = PayloadPolicy::Json;
    server.server().reconfigure(config).expect("it can");
    for other in &mut others {
        // Whoever hears of it has taken note: there are no more than so many turns.
        loop {
            other.send("no JSON");
            if other.text() != "no JSON" {
                break;
            }
        }
    }
}

#[test]
fn other_bounds_hold_for_who_comes_and_nobody_who_is_in_is_closed() {
    let server = Running::start(2, |_| {});
    let mut inside: Vec<Client> = (0..3).map(|_| server.client("/ws")).collect();
    let reconfigure = |change: fn(&mut Config)| {
        let mut config = Config::clone(&server.server().config());
        change(&mut config);
        server.server().reconfigure(config)
    };
    let fewer = reconfigure(|config| config.connections_max = 2).expect("it can");
    assert_eq!(fewer.changed, ["--max-connections"]);
    assert_eq!(server.http(upgrade("/ws")).status, 503);
    for client in &mut inside {
        client.send("hello");
    }
    assert_eq!(inside[0].text(), "hello");
    reconfigure(|config| (config.connections_max, config.connections_per_address_max) = (9, 1))
        .expect("it can");
    let one = server.client("/ws");
    assert_eq!(server.http(upgrade("/ws")).status, 429, "one that came since then counts");
    drop(one);
    let error = reconfigure(|config| {
        config.echo = true;
        config.deflate.level = 0;
    });
    assert_eq!(error.expect_err("all or nothing").option, "--deflate-level");
    assert!(!server.server().config().echo);
    let kept = reconfigure(|config| (config.workers, config.echo) = (9, true)).expect("it can");
    assert_eq!((kept.changed, kept.needs_restart), (vec!["--echo"], vec!["--workers"]));
    assert_eq!(server.server().config().workers, 2);
}

#[test]
fn open_connections_keep_the_limits_they_came_with_and_new_ones_have_the_new() {
    let server = Running::start(1, |_| {});
    let mut former = server.client("/ws");
    let mut config = Config::clone(&server.server().config());
    config.limits.message_bytes_max = 10;
    server.server().reconfigure(config).expect("it can");
    former.send("whoever hears this was there when the worker took note");
    former.text();
    let mut newcomer = server.client("/ws");
    former.send("more than ten bytes");
    assert_eq!(newcomer.receive(), Received::Text("more than ten bytes".to_owned()));
    newcomer.send("more than ten bytes");
    assert_closed(&newcomer.rest().1, CloseCode::MESSAGE_TOO_BIG, "");
}

#[test]
fn the_example_in_the_readme_is_a_good_file() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let file = File::new(example);
    let text = checked(fanwire().args(["check", "--config", file.path()]));
    assert!(text.contains("[channel.\"ticker-*\"]"), "{text}");
}

#[test]
fn what_can_be_read_only_once_or_is_far_too_long_is_no_configuration() {
    let huge = std::env::temp_dir().join(format!("fanwire-huge-{}.toml", std::process::id()));
    std::fs::write(&huge, "#".repeat((1 << 20) + 1)).expect("a file");
    for (file, why) in
        [("/dev/null", "is no file"), (&*huge.to_string_lossy(), "has more than 1048576 bytes")]
    {
        let (code, log) = run(fanwire().args(["check", "--config", file]));
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(&format!("--config {file} {why}")), "{log}");
    }
    std::fs::remove_file(huge).expect("it is there");
}

#[test]
fn keys_and_tokens_that_can_be_read_only_once_are_refused_as_such() {
    let certificate = "--listen-tls 127.0.0.1:0 --tls-key /dev/null --tls-cert";
    let admin = "--admin 127.0.0.1:0 --admin-token-file";
    for options in ["--jwt-secret-file", "--jwt-public-key", "--jwt-jwks", admin, certificate] {
        let script = format!("printf 0123456789abcdef0123456789abcdef | \"$0\" check {options} /dev/stdin");
        let (code, log) = run(Command::new("sh").arg("-c").arg(script).arg(fanwire().get_program()));
        assert_eq!(code, USAGE, "{log}");
        assert!(log.contains("/dev/stdin is no file: give a file: it is read more than once"), "{log}");
    }
}

#[test]
fn a_token_in_the_variable_is_blamed_by_the_variables_name_and_an_empty_one_is_none() {
    let check = |arguments: &[&str], token: &str| {
        run(fanwire().arg("check").args(arguments).env("FANWIRE_ADMIN_TOKEN", token))
    };
    let admin = ["--admin", "127.0.0.1:0"];
    for wrong in ["0123456789abcde", "0123456789 abcdef", "0123456789abcd\u{e9}f"] {
        let (code, log) = check(&admin, wrong);
        assert_eq!(code, USAGE, "{log}");
        assert!(log.contains("ERROR FANWIRE_ADMIN_TOKEN ") && !log.contains("--admin-token-file"), "{log}");
        assert!(!log.contains(wrong), "{log}");
    }
    assert_eq!((check(&admin, "").0, check(&[], "").0), (Some(0), Some(0)));
}

#[test]
fn a_variable_that_is_misspelt_is_warned_of_and_those_of_others_are_not() {
    for command in ["check", "serve"] {
        let mut fanwire = fanwire();
        // The client's, and those that Kubernetes sets for services called fanwire and fanwire-admin.
        for (variable, value) in [
            ("FANWIRE_TOKEN", "a.b.c"),
            ("FANWIRE_SERVICE_HOST", "10.0.0.1"),
            ("FANWIRE_SERVICE_PORT", "80"),
            ("FANWIRE_PORT", "tcp://10.0.0.1:80"),
            ("FANWIRE_ADMIN_SERVICE_HOST", "10.0.0.2"),
            ("FANWIRE_ADMIN_SERVICE_PORT", "81"),
            ("FANWIRE_ADMIN_PORT", "tcp://10.0.0.2:81"),
            ("FANWIRE_ADMIN_PORT_81_TCP", "tcp://10.0.0.2:81"),
        ] {
            fanwire.env(variable, value);
        }
        fanwire.env("FANWIRE_JWT_SECRETFILE", "secret").env("FANWIRE_JWT_SECRET", "secret");
        let (_, log) = run(fanwire.args([command, "--workers", "0"]));
        for misspelt in ["FANWIRE_JWT_SECRETFILE", "FANWIRE_JWT_SECRET"] {
            let words =
                format!("nobody reads the variable {misspelt}: did you mean FANWIRE_JWT_SECRET_FILE?");
            assert_eq!(log.matches(&words).count(), 1, "{log}");
        }
        assert_eq!(log.matches("nobody reads").count(), 2, "{log}");
    }
}

#[test]
fn a_variable_that_cannot_be_used_is_named() {
    for (variable, value, option) in [
        ("FANWIRE_WORKERS", "two", "--workers"),
        ("FANWIRE_TLS_CERT", "", "--tls-cert"),
        ("FANWIRE_ECHO", "maybe", "--echo"),
        ("FANWIRE_LISTEN", "127.0.0.1:1,here", "--listen"),
    ] {
        for command in [&["check"][..], &["serve"], &[]] {
            let (code, log) = run(fanwire().args(command).env(variable, value));
            assert_eq!(code, USAGE, "{log}");
            assert!(log.contains(option) && log.contains(variable), "{log}");
        }
    }
    // Whom the flag blames is said by nobody else.
    let (_, log) = run(fanwire().args(["check", "--workers", "two"]).env("FANWIRE_WORKERS", "2"));
    assert!(log.contains("--workers") && !log.contains("FANWIRE_WORKERS"), "{log}");
}

#[test]
fn a_variable_of_the_servers_is_none_of_another_commands_business() {
    let mut command = fanwire();
    command.args(["completions", "bash"]).env("FANWIRE_WORKERS", "two");
    assert_eq!(run(&mut command), (Some(0), String::new()));
    let (code, log) = run(fanwire().args(["completions", "cmd"]).env("FANWIRE_WORKERS", "two"));
    assert_eq!((code, log.contains("bash"), log.contains("WORKERS")), (USAGE, true, false), "{log}");
}

#[test]
fn to_listen_nowhere_is_no_configuration() {
    let file = File::new("workers = 1\nlisten = []\n");
    let (code, log) = run(fanwire().args(["check", "--config", file.path()]));
    assert_eq!(code, USAGE, "{log}");
    assert!(log.contains(&format!("--listen ({}:2) names no address", file.path())), "{log}");
    let elsewhere = checked(fanwire().args(["check", "--config", file.path(), "--listen", "127.0.0.1:1"]));
    assert_eq!(value(&elsewhere, "listen"), ("[\"127.0.0.1:1\"]", "flag"));
}

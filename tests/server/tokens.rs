//! Tokens (JWT) on the wire: who comes in, what that may, and until when. The rules of tokens themselves stand in `src/auth`.

use crate::client::{Client, Raw, Response, http, masked, upgrade_with};
use crate::process::{Process, fanwire};
use crate::running::Running;
use fanwire::config::{Access, AuthConfig, ChannelPattern, ChannelSettings, Config, PayloadPolicy};
use fanwire::protocol::{CloseCode, CloseReason, Closure};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A file with the secret, gone with this.
struct SecretFile(PathBuf);

impl SecretFile {
    fn new() -> SecretFile {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fanwire-tokens-{}-{number}", std::process::id()));
        fs::write(&path, format!("{SECRET}\n")).expect("written");
        SecretFile(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// A server that asks for tokens, without leeway.
fn start(configure: impl FnOnce(&mut Config)) -> Running {
    let file = SecretFile::new();
    Running::start(2, |config| {
        config.auth =
            Some(AuthConfig { secret: Some(file.0.clone()), leeway_seconds: 0, ..AuthConfig::default() });
        configure(config);
    })
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("it can be signed")
}

/// Ann's, who may listen in all rooms and publish in the first.
fn token() -> String {
    token_until(since_1970().as_secs() + 60)
}

fn token_until(exp: u64) -> String {
    signed(&json!({"sub": "ann", "exp": exp, "subscribe": "room-*", "publish": ["room-1"]}))
}

fn refused(server: &Running, target: &str, lines: &str) -> Response {
    let response = server.http(upgrade_with(target, lines));
    response.assert_complete();
    response
}

/// The head of the 101.
fn accepted(raw: &mut Raw, target: &str, lines: &str) -> String {
    raw.send(upgrade_with(target, lines));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push_str(&raw.read_text(1));
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    head
}

#[test]
fn a_token_lets_in_by_header_query_and_subprotocol() {
    let server = start(|_| {});
    let token = token();
    for (target, lines) in [
        ("/ws/room-1".to_owned(), format!("Authorization: Bearer {token}\r\n")),
        ("/ws/room-1".to_owned(), format!("authorization: bEARER   {token} \r\n")),
        (format!("/ws/room-1?echo=off&token={token}"), String::new()),
        ("/ws/room-1".to_owned(), format!("Sec-WebSocket-Protocol: fanwire, fanwire.token.{token}\r\n")),
        (format!("/ws/room-1?token={token}"), format!("Authorization: Bearer {token}\r\n")),
        (format!("/ws/room-1?token={token}"), "Authorization: Basic YTpi\r\n".to_owned()),
    ] {
        accepted(&mut server.raw(), &target, &lines);
    }
    assert_eq!(server.totals().tokens_refused, 0);
}

#[test]
fn fanwire_is_the_subprotocol_that_is_agreed_to_and_a_token_never_is() {
    let server = start(|_| {});
    let token = token();
    let agreed = |lines: &str| {
        let head = accepted(&mut server.raw(), "/ws/room-1", lines);
        let line = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        line.map(str::to_owned)
    };
    let offer = |offer: &str| agreed(&format!("Sec-WebSocket-Protocol: {offer}\r\n"));
    assert_eq!(offer(&format!("fanwire, fanwire.token.{token}")).as_deref(), Some("fanwire"));
    assert_eq!(offer(&format!("fanwire.token.{token}, fanwire")).as_deref(), Some("fanwire"));
    assert_eq!(offer(&format!("fanwire.token.{token}")), None);
    assert_eq!(agreed(&format!("Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: chat\r\n")), None);
    // Where nobody asks for tokens the same page works.
    let open = Running::start(1, |_| {});
    let lines = format!("Sec-WebSocket-Protocol: fanwire, fanwire.token.{token}\r\n");
    assert!(accepted(&mut open.raw(), "/ws", &lines).contains("\r\nSec-WebSocket-Protocol: fanwire\r\n"));
}

#[test]
fn rfc6750_3_without_a_good_token_it_is_401_with_a_challenge_and_the_reason() {
    let server = start(|_| {});
    let response = refused(&server, "/ws/room-1", "");
    assert_eq!(
        (response.status, response.header("WWW-Authenticate")),
        (401, Some("Bearer realm=\"fanwire\""))
    );
    assert_eq!(response.body, "a token is needed in this channel\n");
    let expired = token_until(since_1970().as_secs() - 1);
    for (token, reason) in [
        (expired.as_str(), "the token has expired"),
        ("a.b.c", "the token's header cannot be read, or its alg is not known here"),
        ("", "the token has not the three parts of a signed JWT"),
        (&"x".repeat(8193), "the token is longer than 8192 bytes"),
    ] {
        for (target, lines) in [
            (format!("/ws/room-1?token={token}"), String::new()),
            ("/ws/room-1".to_owned(), format!("Authorization: Bearer {token}\r\n")),
        ] {
            let response = refused(&server, &target, &lines);
            assert_eq!((response.status, response.body.trim_end()), (401, reason));
            let challenge =
                format!("Bearer realm=\"fanwire\", error=\"invalid_token\", error_description=\"{reason}\"");
            assert_eq!(response.header("WWW-Authenticate"), Some(&*challenge));
        }
    }
    server.until("all are counted", |totals| totals.tokens_refused == 9);
    for page in ["/", "/healthz"] {
        assert_eq!(server.http(format!("GET {page} HTTP/1.1\r\nHost: a\r\n\r\n")).status, 200, "{page}");
    }
}

#[test]
fn rfc6750_3_a_channel_that_the_token_does_not_name_is_403() {
    let server = start(|_| {});
    let bearer = format!("Authorization: Bearer {}\r\n", token());
    for target in ["/ws", "/ws/room", "/ws/rooms"] {
        let response = refused(&server, target, &bearer);
        assert_eq!(
            (response.status, &*response.body),
            (403, "the token's subscribe does not name this channel\n")
        );
        assert!(
            response.header("WWW-Authenticate").is_some_and(|value| value.contains("insufficient_scope"))
        );
    }
}

#[test]
fn two_different_tokens_are_400() {
    let server = start(|_| {});
    let (one, other) = (token(), token_until(since_1970().as_secs() + 61));
    for (target, lines) in [
        (format!("/ws/room-1?token={one}&token={other}"), String::new()),
        (format!("/ws/room-1?token={one}"), format!("Authorization: Bearer {other}\r\n")),
        (format!("/ws/room-1?token={one}"), format!("Sec-WebSocket-Protocol: fanwire.token.{other}\r\n")),
        ("/ws/room-1".to_owned(), format!("Authorization: Bearer {one}\r\nAuthorization: Bearer {one}\r\n")),
    ] {
        assert_eq!(refused(&server, &target, &lines).status, 400, "{}", target.len());
    }
}

#[test]
fn who_may_not_publish_is_told_so_and_listens_on() {
    let server = start(|_| {});
    let all =
        signed(&json!({"sub": "bob", "exp": since_1970().as_secs() + 60, "subscribe": "*", "publish": "*"}));
    let mut ann = server.client(&format!("/ws/room-2?token={}", token()));
    let mut bob = server.client(&format!("/ws/room-2?token={all}"));
    ann.send("hello");
    let error: Value = serde_json::from_str(&ann.text()).expect("JSON");
    assert!(error["error"].as_str().is_some_and(|error| error.contains("may not publish")), "{error}");
    bob.send("still there?");
    assert_eq!(
        (ann.text(), bob.text()),
        ("still there?".into(), "still there?".into()),
        "and nothing before it"
    );
    let mut ann = server.client(&format!("/ws/room-1?token={}", token()));
    ann.send("here I may");
    assert_eq!(ann.text(), "here I may");
}

#[test]
fn rules_of_channels_let_in_without_a_token_or_nobody_at_all() {
    let server = start(|config| {
        for (pattern, subscribe, publish) in [
            ("news", Access::Anyone, Access::Token),
            ("square", Access::Anyone, Access::Anyone),
            ("room-9", Access::Nobody, Access::Nobody),
            ("room-1", Access::Token, Access::Nobody),
        ] {
            let settings = ChannelSettings {
                subscribe: Some(subscribe),
                publish: Some(publish),
                ..ChannelSettings::default()
            };
            let pattern = ChannelPattern::parse("[channel]", pattern).expect("a pattern");
            config.channels.add("[channel]", pattern, settings).expect("once");
        }
    });
    let is_error = |text: String| text.starts_with("{\"error\":");
    let said_in = |target: String| {
        let mut client = server.client(&target);
        client.send("x");
        client.text()
    };
    assert!(is_error(said_in("/ws/news".into())), "a listener without a token");
    assert_eq!(said_in("/ws/square".into()), "x");
    assert_eq!(said_in(format!("/ws/square?token={}", token())), "x", "a token does not hurt");
    assert!(is_error(said_in(format!("/ws/room-1?token={}", token()))), "nobody may, its token or not");
    let bearer = format!("Authorization: Bearer {}\r\n", token());
    let response = refused(&server, "/ws/room-9", &bearer);
    assert_eq!((response.status, &*response.body), (403, "nobody may listen in this channel\n"));
    assert_eq!(refused(&server, "/ws/square?token=a.b.c", "").status, 401, "a bad token is told so anywhere");
}

#[test]
fn rfc7519_4_1_4_a_connection_ends_with_3000_when_its_token_expires() {
    let server = start(|_| {});
    // So that there are three seconds at least.
    let exp = since_1970().as_secs() + 4;
    let client = server.client(&format!("/ws/room-1?token={}", token_until(exp)));
    let (texts, closure) = client.rest();
    let ended = since_1970();
    assert_eq!(texts, [""; 0]);
    let expected = Closure::Agreed(Some(CloseCode::UNAUTHORIZED), CloseReason::new("the token has expired"));
    assert_eq!(closure, expected);
    let expires = Duration::from_secs(exp);
    assert!(ended >= expires && ended < expires + Duration::from_secs(3), "{ended:?}, and not {expires:?}");
    server.until("it is counted", |totals| totals.tokens_expired == 1 && totals.connections_open == 0);
}

#[test]
fn a_token_expires_for_an_echo_too_and_echo_asks_for_one() {
    let server = start(|config| config.echo = true);
    assert_eq!(refused(&server, "/echo", "").status, 401);
    let exp = since_1970().as_secs() + 4;
    let mut client = server.client(&format!("/echo?token={}", token_until(exp)));
    client.send("hello");
    assert_eq!(client.text(), "hello");
    assert!(matches!(client.rest().1, Closure::Agreed(Some(CloseCode::UNAUTHORIZED), _)));
}

#[test]
fn in_a_chat_everybody_speaks_as_whom_the_token_names() {
    let server = start(|config| config.payload = PayloadPolicy::Chat);
    let mut ann = server.client(&format!("/ws/room-1?token={}", token()));
    ann.send(r#"{"username":"bob","text":"hi"}"#);
    assert_eq!(ann.text(), r#"{"username":"ann","text":"hi"}"#);
}

#[test]
fn no_part_of_a_token_is_in_the_log_however_much_is_logged() {
    let file = SecretFile::new();
    let arguments = ["-vv", "--jwt-secret-file", file.path(), "--jwt-leeway", "0", "--echo"];
    let (mut process, address) = Process::serve(&arguments);
    process.line("tokens are asked for: HS256 (1 key)");
    let short = token_until(since_1970().as_secs() + 4);
    let foreign = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &json!({"sub": "eve", "exp": since_1970().as_secs() + 60}),
        &EncodingKey::from_secret(b"another secret of more than 32 bytes"),
    );
    let tokens =
        [short, token_until(1), foreign.expect("it can be signed"), "marker1.marker2.marker3".into()];
    for token in &tokens {
        for (target, lines) in [
            (format!("/ws/room-1?token={token}"), String::new()),
            ("/ws/room-1".into(), format!("Authorization: Bearer {token}\r\n")),
            ("/ws/room-1".into(), format!("Sec-WebSocket-Protocol: fanwire.token.{token}\r\n")),
            (format!("/ws/room-1?token={token}"), "Authorization: Bearer marker4\r\n".into()),
            (format!("/ws/other?token={token}"), String::new()),
        ] {
            // Those that are let in see their token expire.
            let mut raw = Raw::connect(address);
            raw.send(upgrade_with(&target, &lines));
            raw.read_to_end();
        }
    }
    process.line("the token has expired");
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("ended"), "{log}");
    for part in tokens.iter().flat_map(|token| token.split('.')).chain(["marker4", SECRET]) {
        assert!(!log.contains(part), "{part} is in the log: {log}");
    }
}

#[test]
fn another_secret_in_the_file_is_for_who_comes_and_who_is_in_stays() {
    let file = SecretFile::new();
    let (mut process, address) = Process::serve(&["--jwt-secret-file", file.path(), "--workers", "1"]);
    process.line("tokens are asked for: HS256 (1 key)");
    let target = |token: &str| format!("/ws/room-1?token={token}");
    let mut ann = Client::connect(address, &target(&token()));
    let mut whoever_hears_this_was_there_when_the_worker_took_note = |said: &str| {
        ann.send(said);
        assert_eq!(ann.text(), said, "her token is good until it expires");
    };
    let status = |token: &str| http(address, upgrade_with(&target(token), "")).status;
    let other = || {
        let rights = ["--sub", "bob", "--subscribe", "*", "--publish", "room-1"];
        target(&minted(&file, &rights))
    };

    fs::write(&file.0, "another secret of more than 32 bytes").expect("written");
    let log = process.line("a file of the configuration has changed");
    assert!(log.ends_with("changed --jwt-secret-file"), "{log}");
    whoever_hears_this_was_there_when_the_worker_took_note("one");
    assert_eq!(status(&token()), 401);
    let mut bob = Client::connect(address, &other());
    bob.send("hello");
    assert_eq!(bob.text(), "hello");

    let bobs = other();
    fs::write(&file.0, "short").expect("written");
    process.signal("HUP");
    let log = process.line("the configuration in use stays");
    assert!(log.contains("--jwt-secret-file") && log.contains("is shorter than 32 bytes"), "{log}");
    bob.send("two");
    assert_eq!(bob.text(), "two");
    Client::connect(address, &bobs);
}

#[test]
fn a_running_server_begins_to_ask_for_tokens_and_closes_nobody_for_it() {
    let file = SecretFile::new();
    let server = Running::start(1, |_| {});
    let mut ann = server.client("/ws/room-1");
    let mut config = Config::clone(&server.server().config());
    config.auth = Some(AuthConfig { secret: Some(file.0.clone()), ..AuthConfig::default() });
    let changes = server.server().reconfigure(config.clone()).expect("it can");
    assert_eq!((changes.changed, changes.needs_restart), (vec!["--jwt-secret-file"], vec![]));
    // Whoever hears of it has taken note: there are no more than so many turns.
    loop {
        ann.send("hello");
        if ann.text() != "hello" {
            break;
        }
    }
    assert_eq!(refused(&server, "/ws/room-1", "").status, 401);
    let mut bob = server.client(&format!("/ws/room-1?token={}", token()));
    bob.send("to all");
    assert_eq!((ann.text(), bob.text()), ("to all".to_owned(), "to all".to_owned()));
    assert!(server.server().reconfigure(config).expect("it can").is_nothing(), "the same file again");
}

#[test]
fn a_key_that_cannot_be_used_is_an_error_at_the_start() {
    let file = SecretFile::new();
    fs::write(&file.0, "short").expect("written");
    let (code, log) = crate::process::run(fanwire().args(["--jwt-secret-file", file.path()]));
    assert_eq!(code, Some(2));
    assert!(log.contains("--jwt-secret-file") && log.contains("openssl rand -hex 32"), "{log}");
    let (code, log) = crate::process::run(fanwire().args(["--jwt-audience", "chat"]));
    assert_eq!(code, Some(2));
    assert!(log.contains("--jwt-audience is given without a key: name one with"), "{log}");
}

/// What `fanwire token` writes.
fn minted(file: &SecretFile, arguments: &[&str]) -> String {
    let output = fanwire().args(["token", "--secret-file", file.path()]).args(arguments).output();
    let output = output.expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("ASCII").trim_end().to_owned()
}

#[test]
fn what_fanwire_token_makes_lets_fanwire_chat_in() {
    let file = SecretFile::new();
    let arguments = ["--jwt-secret-file", file.path(), "--jwt-audience", "fanwire", "--payload", "chat"];
    let (_process, address) = Process::serve(&arguments);
    let rights = ["--sub", "zoe", "--subscribe", "room-*", "--publish", "room-1", "--expires", "60"];
    let token = minted(&file, &[&rights[..], &["--audience", "fanwire"]].concat());
    let mut listener = Client::connect(address, &format!("/ws/room-1?token={token}"));
    let url = format!("ws://{address}/ws/room-1");
    let chat = |token: &str| {
        let shell = format!("echo hello | FANWIRE_TOKEN={token} \"$0\" chat {url} --username bob");
        Command::new("sh").arg("-c").arg(shell).arg(fanwire().get_program()).output().expect("sh starts")
    };
    let output = chat(&token);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(listener.text(), r#"{"username":"zoe","text":"hello"}"#);
    let output = chat("\"\"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("401") && said.contains("a token is needed"), "{said}");
}

/// Requests of proxies wait until it is known for whom they speak; their tokens are looked at then.
#[test]
fn tokens_are_asked_for_behind_a_proxy_too_and_the_places_of_an_address_come_before_them() {
    let server = start(|config| {
        config.trusted_proxies.add("127.0.0.1").expect("an address");
        config.connections_per_address_max = 1;
    });
    let from = |host: u8, token: &str| {
        format!("X-Forwarded-For: 192.0.2.{host}\r\nAuthorization: Bearer {token}\r\n")
    };
    let mut ann = server.raw();
    accepted(&mut ann, "/ws/room-1", &from(1, &token()));
    let status = |lines: &str, target: &str| refused(&server, target, lines).status;
    assert_eq!(status(&from(1, &token()), "/ws/room-1"), 429, "its place is taken");
    assert_eq!(status(&from(2, "a.b.c"), "/ws/room-1"), 401);
    assert_eq!(status("X-Forwarded-For: 192.0.2.3\r\n", "/ws/room-1"), 401);
    assert_eq!(status(&from(4, &token()), "/ws/lobby"), 403);
    // Frames that come with the request are heard as hers.
    let request = upgrade_with("/ws/room-1?echo=off", &from(5, &token())).into_bytes();
    let mut talker = server.raw();
    talker.send([request, masked(0x81, b"hi")].concat());
    assert_eq!(ann.read(4), b"\x81\x02hi");
}

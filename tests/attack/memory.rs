//! Attacks on memory: much that is begun and not ended, many names, and payloads that are dear to judge.

use crate::case::{Case, open, script, send};
use crate::client::{Client, Stream, connect, header, masked, upgrade, upgrade_with};
use crate::stage::{BUDGET_BYTES, HEALTH, Over, Stage};
use fanwire::limits::{CHANNEL_NAME_BYTES_MAX, REQUEST_HEAD_BYTES_MAX};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        script("a thousand messages of which half has come", |stage| {
            begun(stage, 1_000, &[&header(0x82, 60_000)[..], &[0; 4 + 30_000]].concat());
        }),
        script("a thousand messages of fragments", |stage| {
            begun(stage, 1_000, &[masked(0x02, &[0; 15_000]), masked(0x00, &[0; 15_000])].concat());
        }),
        script("a thousand lengths and nothing behind them", |stage| {
            begun(stage, 1_000, &header(0x82, 60_000));
        }),
        script("a thousand compressed messages of which half has come", |stage| {
            let lines = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
            let half = masked(0x42, &[0x55; 30_000]);
            let mut streams = Vec::new();
            for _ in 0..1_000 {
                let mut stream = stage.connect(Over::Tcp);
                let request = upgrade_with("/ws/begun", lines);
                send(&mut *stream, &[request.as_bytes(), &half].concat());
                streams.push(stream);
            }
            stage.assert_within_budget("compressed messages");
        }),
        script("a thousand heads of which nearly all has come", |stage| {
            let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(REQUEST_HEAD_BYTES_MAX - 100));
            let mut streams: Vec<TcpStream> = (0..1_000).map(|_| connect(stage.address, None)).collect();
            for stream in &mut streams {
                send(stream, head.as_bytes());
            }
            stage.assert_within_budget("heads");
        }),
        script("a thousand channels with long names", |stage| {
            let mut streams = Vec::new();
            for number in 0..1_000 {
                let name = format!("{number:x>CHANNEL_NAME_BYTES_MAX$}");
                let mut stream = connect(stage.address, None);
                send(&mut stream, upgrade(&format!("/ws/{name}")).as_bytes());
                streams.push(stream);
            }
            stage.assert_within_budget("long names");
        }),
        script("a channel for each of a thousand connections, one after the other", |stage| {
            for number in 0..1_000 {
                let mut stream = connect(stage.address, None);
                send(&mut stream, upgrade(&format!("/ws/churn-{number}")).as_bytes());
            }
        }),
        script("twenty who do not read the Pongs they ask for", |stage| {
            let mut streams: Vec<Box<dyn Stream>> =
                (0..20).map(|number| open(stage, Over::Tcp, &format!("/ws/{number}"), "")).collect();
            let pings = masked(0x89, &[b'p'; 125]).repeat(1_000);
            for stream in &mut streams {
                stream.tcp().set_write_timeout(Some(Duration::from_millis(50))).expect("a socket");
                drop((0..5).try_for_each(|_| stream.write_all(&pings)));
            }
            stage.assert_within_budget("Pongs");
        }),
        script("two hundred channels with messages that nobody reads", |stage| {
            let mut streams: Vec<TcpStream> =
                (0..200).map(|_| connect(stage.address, Some(4 << 10))).collect();
            for (number, stream) in streams.iter_mut().enumerate() {
                stream.set_write_timeout(Some(Duration::from_millis(50))).expect("a socket");
                send(stream, upgrade(&format!("/ws/unread-{number}")).as_bytes());
                send(stream, &masked(0x82, &vec![0; 60_000]).repeat(4));
            }
            stage.assert_within_budget("messages that nobody reads");
        }),
        script("forty TLS connections with half a record", |stage| {
            let mut streams: Vec<Box<dyn Stream>> =
                (0..40).map(|_| open(stage, Over::Tls, "/ws/tls", "")).collect();
            for stream in &mut streams {
                let mut hand = stream.tcp().try_clone().expect("a descriptor");
                hand.write_all(&[&[23, 3, 3, 0x40, 0][..], &[7; 16_000]].concat())
                    .expect("the server takes it");
            }
            stage.assert_within_budget("half records");
        }),
        script("near the budget, honest clients stay and the rest is refused", near_the_budget),
    ]
}

/// So many who begin something, each in the same breath as its handshake, and then wait.
fn begun(stage: &Stage, count: usize, bytes: &[u8]) {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = connect(stage.address, None);
        stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
        send(&mut stream, &[upgrade("/ws/begun").as_bytes(), bytes].concat());
        streams.push(stream);
    }
    stage.assert_within_budget("what is begun");
}

fn near_the_budget(stage: &Stage) {
    let mut honest = Client::connect(stage.address, "/ws/honest");
    let mut begun: Vec<Box<dyn Stream>> = Vec::new();
    // What is half there may be in a buffer of twice its size.
    for _ in 0..BUDGET_BYTES / 60_000 {
        if stage.http(HEALTH).status == 503 {
            break;
        }
        let mut stream = stage.connect(Over::Tcp);
        send(&mut *stream, &[upgrade("/ws/begun").as_bytes(), &masked(0x02, &vec![0; 60_000])].concat());
        begun.push(stream);
    }
    honest.send("still here");
    assert_eq!(honest.text(), "still here");
    stage.assert_within_budget("near the budget");
}

/// What a message is, and who says it.
type Judged = (&'static str, fn(&Stage));

/// What `--payload` judges: what is refused is answered to its sender alone, and the connection stays open.
pub(crate) fn rejected(policy: &str) -> Vec<Case> {
    let refused: [Judged; 7] = [
        ("arrays in arrays", |stage| reject(stage, &"[".repeat(60_000))),
        ("objects in objects", |stage| reject(stage, &"{\"a\":".repeat(12_000))),
        ("a string that does not end", |stage| reject(stage, &format!("\"{}", "x".repeat(60_000)))),
        ("NaN", |stage| reject(stage, "NaN")),
        ("nothing", |stage| reject(stage, "")),
        ("two values", |stage| reject(stage, "{\"username\":\"a\",\"text\":\"b\"}{}")),
        ("minus signs", |stage| reject(stage, &"-".repeat(60_000))),
    ];
    // These are JSON, but no chat lines.
    let of_chat: [Judged; 4] = [
        ("arrays in arrays that end", |stage| reject(stage, &nested())),
        ("a string of lone surrogates", |stage| reject(stage, &surrogates())),
        ("a name of lone surrogates", |stage| {
            reject(stage, &format!("{{\"username\":{},\"text\":\"b\"}}", surrogates()));
        }),
        ("a number of 60,000 digits", |stage| reject(stage, &"9".repeat(60_000))),
    ];
    let of_json: [Judged; 4] = [
        ("arrays in arrays that end", |stage| pass(stage, &nested())),
        ("a string of lone surrogates", |stage| pass(stage, &surrogates())),
        ("a number with an exponent of 60,000 digits", |stage| {
            pass(stage, &format!("1e{}", "9".repeat(60_000)));
        }),
        ("a number of 60,000 digits", |stage| pass(stage, &"9".repeat(60_000))),
    ];
    let judged = if policy == "chat" { of_chat } else { of_json };
    let scripts = refused
        .into_iter()
        .chain(judged)
        .map(|(name, attack)| script(format!("--payload {policy}: {name}"), attack));
    let floods = [
        script(format!("--payload {policy}: what is refused, by the thousand"), |stage| {
            let mut client = Client::connect(stage.address, "/ws/rejected");
            client.send_all((0..5_000).map(|_| "[".to_owned()));
            for _ in 0..5_000 {
                assert!(client.text().starts_with("{\"error\":"));
            }
        }),
        script(format!("--payload {policy}: what is refused, and not read"), |stage| {
            let mut stream = connect(stage.address, Some(4 << 10));
            stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
            send(&mut stream, upgrade("/ws/rejected").as_bytes());
            drop((0..50).try_for_each(|_| stream.write_all(&masked(0x81, b"[").repeat(2_000))));
            stage.assert_within_budget("refusals");
        }),
        script(format!("--payload {policy}: a binary message"), |stage| {
            let mut client = Client::connect(stage.address, "/ws/rejected");
            client.send_binary(&vec![0xff; 60_000]);
            assert!(client.text().starts_with("{\"error\":"));
        }),
    ];
    scripts.chain(floods).collect()
}

fn nested() -> String {
    ["[".repeat(30_000), "]".repeat(30_000)].concat()
}

/// RFC 8259 §8.2: the grammar allows them.
fn surrogates() -> String {
    format!("\"{}\"", "\\ud800".repeat(10_000))
}

/// Says something that is dear to judge, and goes to everyone as it is.
fn pass(stage: &Stage, text: &str) {
    let mut client = Client::connect(stage.address, "/ws/passed");
    client.send(text);
    assert!(client.text() == text);
}

/// Says something that is refused; the next thing it says, which is right, is not.
fn reject(stage: &Stage, text: &str) {
    let mut client = Client::connect(stage.address, "/ws/rejected");
    client.send(text);
    let answer = client.text();
    assert!(answer.starts_with("{\"error\":") && answer.len() < 500, "{answer}");
    client.send("{\"username\":\"a\",\"text\":\"b\"}");
    assert_eq!(client.text(), "{\"username\":\"a\",\"text\":\"b\"}");
}

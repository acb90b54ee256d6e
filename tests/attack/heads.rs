//! Attacks by the head of a request: smuggling, injection, other protocols, and heads that are dear to read.

use crate::case::{Case, MARK, opens, request};
use crate::client::{SAMPLE_KEY, upgrade, upgrade_with};
use fanwire::limits::{CHANNEL_NAME_BYTES_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_HEADERS_MAX};

/// A second request, which nobody may answer.
const SECOND: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: Evil\r\n\r\n";

pub(crate) fn cases() -> Vec<Case> {
    [smuggling(), targets(), too_much(), injection(), versions(), keys(), origins(), protocols()]
        .into_iter()
        .flatten()
        .collect()
}

/// The sample request with this line more.
fn with(line: &str) -> String {
    upgrade_with("/ws", &format!("{line}\r\n"))
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// What one reader takes for one request and another for two.
fn smuggling() -> Vec<Case> {
    let pipelined = [get("/healthz"), SECOND.to_owned()].concat();
    let refused = [upgrade("/ws").replace("Version: 13", "Version: 12"), SECOND.to_owned()].concat();
    let hostless = upgrade("/ws").replace("Host: server.example.com\r\n", "");
    vec![
        request("a space before the colon", with("X : 1"), 400),
        request("a space before the colon of a length", with("Content-Length : 5"), 400),
        request("a folded line", with("X: 1\r\n folded: 2"), 400),
        request("a folded line with a tab", with("X: 1\r\n\tContent-Length: 5"), 400),
        request(
            "a header that begins with a blank",
            upgrade("/ws").replace("\r\nHost", "\r\n X: 1\r\nHost"),
            400,
        ),
        request("CR alone in a value", with("X: 1\r2"), 400),
        request("CR alone at a line's end", with("X: 1\rContent-Length: 5"), 400),
        request("LF alone at a line's end", with("X: 1\nContent-Length: 5"), 400),
        request("LF alone at every line's end", upgrade("/ws").replace("\r\n", "\n"), 400),
        request("two CR at a line's end", with("X: 1\r"), 400),
        request("NUL in a value", with("X: 1\x002"), 400),
        request("NUL in a name", with("X\0: 1"), 400),
        request("DEL in a name", with("X\x7f: 1"), 400),
        request("an escape in a value", with("X: \x1b[31m"), 400),
        request("a header without a name", with(": 1"), 400),
        request("a header without a colon", with("Content-Length"), 400),
        request("a name that is no token", with("X(Y): 1"), 400),
        request("a name that is not ASCII", with("Contént-Length: 5"), 400),
        request("no Host", hostless, 400),
        request("two Hosts", with("Host: evil.example"), 400),
        request("the same Host twice", with("Host: server.example.com"), 400),
        request("an empty Host", get("/healthz").replace("Host: a", "Host:"), 400),
        request("a Host with a user", get("/healthz").replace("Host: a", "Host: Evil@a"), 400),
        request("a Host with a path", get("/healthz").replace("Host: a", "Host: a/Evil"), 400),
        request("a Host with a blank", get("/healthz").replace("Host: a", "Host: a Evil"), 400),
        request("a Host with a port out of range", get("/healthz").replace("Host: a", "Host: a:65536"), 400),
        request("a Host with an open bracket", get("/healthz").replace("Host: a", "Host: [::1"), 400),
        request("a body on an upgrade", with("Content-Length: 5"), 400),
        request("two lengths that differ", with("Content-Length: 0\r\nContent-Length: 5"), 400),
        request("a list of lengths", with("Content-Length: 0, 5"), 400),
        request("a length with a sign", with("Content-Length: +0"), 400),
        request("a negative length", with("Content-Length: -1"), 400),
        request("a length in hexadecimal", with("Content-Length: 0x5"), 400),
        request("a length beyond 64 bits", with("Content-Length: 18446744073709551616"), 400),
        request("an empty length", with("Content-Length:"), 400),
        request("a chunked body on an upgrade", with("Transfer-Encoding: chunked"), 400),
        request("a chunked body with a length", with("Content-Length: 0\r\nTransfer-Encoding: chunked"), 400),
        request("an unknown transfer encoding", with("Transfer-Encoding: xchunked"), 400),
        request("a transfer encoding with a vertical tab", with("Transfer-Encoding:\x0bchunked"), 400),
        request("who waits for 100 before its body", with("Expect: 100-continue\r\nContent-Length: 5"), 400),
        request("a second request behind a page's", pipelined, 200),
        request("a second request behind a refused one", refused, 426),
        request(
            "a second request in the body of a page's",
            get("/healthz").replace("\r\n\r\n", "\r\nContent-Length: 46\r\n\r\n") + SECOND,
            200,
        ),
        request(
            "a second request in chunks",
            get("/nowhere").replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n2e\r\n") + SECOND,
            404,
        ),
    ]
}

/// Targets that are no path of ours.
fn targets() -> Vec<Case> {
    let long = "x".repeat(CHANNEL_NAME_BYTES_MAX + 1);
    vec![
        request("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
        request("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\nX: Evil\r\n\r\n", 405),
        request("POST", "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nEvil", 405),
        request("a method in small letters", "get /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        request("a method of ours that POSTs an upgrade", upgrade("/ws").replace("GET", "POST"), 405),
        request("an absolute target of another scheme", get("ftp://a/healthz"), 400),
        request("an absolute target without a host", get("http:///healthz"), 400),
        request("an absolute target with a user", get("http://Evil@a/healthz"), 400),
        request("an absolute target is a page's", get("http://evil.example/healthz"), 200),
        request("a target without a slash", get("healthz"), 400),
        request("a target with a fragment", get("/healthz#Evil"), 400),
        request("a target that is not ASCII", get("/ws/\u{e4}"), 400),
        request("a target with DEL", get("/ws/\x7f"), 400),
        request("a target with a tab", get("/ws/\tEvil"), 400),
        request("a target of two words", get("/healthz Evil"), 400),
        request("a path out of the root", get("/../../../etc/passwd"), 404),
        request("a path out of the root, encoded", get("/%2e%2e/%2e%2e/etc/passwd"), 404),
        request("a path with backslashes", get("/..\\..\\Evil"), 404),
        request("a percent-encoded slash in a channel", upgrade("/ws/a%2fb"), 404),
        request("a percent-encoded NUL in a channel", upgrade("/ws/a%00"), 404),
        request("a percent-encoded line break in a channel", upgrade("/ws/a%0d%0aSet-Cookie:Evil"), 404),
        request("a channel of markup", upgrade("/ws/<script>Evil</script>"), 404),
        request("a channel without a name", upgrade("/ws/"), 404),
        request("a channel's name of 201 bytes", upgrade(&format!("/ws/{long}")), 404),
        request("a double slash before a channel", upgrade("//ws/a"), 404),
        opens("dots in a channel are a name like any other", upgrade("/ws/../healthz")),
        request("the same without an upgrade is no page", get("/ws/../healthz"), 426),
    ]
}

/// Heads that are long, have many parts, or would be dear to read.
fn too_much() -> Vec<Case> {
    let room = REQUEST_HEAD_BYTES_MAX - 1_000;
    let fill = |what: &str| what.repeat(room / what.len());
    vec![
        request(
            "a header that fills the head",
            with(&format!("X: {}", "x".repeat(REQUEST_HEAD_BYTES_MAX))),
            431,
        ),
        request(
            "a target that fills the head",
            get(&format!("/{}", "x".repeat(REQUEST_HEAD_BYTES_MAX))),
            431,
        ),
        request("a method that fills the head", "A".repeat(REQUEST_HEAD_BYTES_MAX + 1), 431),
        request("a name that fills the head", with(&"X".repeat(REQUEST_HEAD_BYTES_MAX)), 431),
        request("a megabyte of headers", with(&"X: 1\r\n".repeat(170_000)), 431),
        request("empty lines without end", "\r\n".repeat(REQUEST_HEAD_BYTES_MAX), 431),
        request("101 headers", with(&"X: 1\r\n".repeat(REQUEST_HEADERS_MAX)), 431),
        request("headers of one letter that fill the head", with(&fill("a:\r\n")), 431),
        opens("a cookie of 15 KiB", with(&format!("Cookie: {}", fill("x")))),
        opens("a subprotocol of blanks", with(&format!("Sec-WebSocket-Protocol: {}", fill(" ")))),
        opens(
            "a subprotocol behind blanks",
            with(&format!("Sec-WebSocket-Protocol: a{}b", fill(" ")).replace("a ", "a, ")),
        ),
        opens("subprotocols of commas", with(&format!("Sec-WebSocket-Protocol: {}", fill(",")))),
        opens("subprotocols by the thousand", with(&format!("Sec-WebSocket-Protocol: {}a", fill("a, ")))),
        request("extensions of semicolons", with(&format!("Sec-WebSocket-Extensions: {}", fill(";"))), 400),
        request(
            "extensions of backslashes",
            with(&format!("Sec-WebSocket-Extensions: a; b=\"{}", fill("\\\""))),
            400,
        ),
        request(
            "an extension's quote that does not end",
            with(&format!("Sec-WebSocket-Extensions: a; b=\"{}", fill("x"))),
            400,
        ),
        request("extensions of blanks", with(&format!("Sec-WebSocket-Extensions: a{}b", fill(" "))), 400),
        opens("extensions of commas", with(&format!("Sec-WebSocket-Extensions: {}", fill(",")))),
        opens(
            "an extension of a thousand parameters",
            with(&format!("Sec-WebSocket-Extensions: a{}", fill("; b"))),
        ),
        opens(
            "a thousand offers of compression",
            with(&format!("Sec-WebSocket-Extensions: a{}", fill(", permessage-deflate; x"))),
        ),
        opens("Connection of a thousand options", with(&format!("Connection: {}", fill("a,")))),
    ]
}

/// Requests that would like to write the response.
fn injection() -> Vec<Case> {
    vec![
        request("an encoded line break in a path", get("/%0d%0aSet-Cookie:%20Evil=1"), 404),
        request("a line break in a path", get("/x\r\nSet-Cookie: Evil=1\r\nX:"), 400),
        opens(
            "a line break behind a subprotocol",
            with("Sec-WebSocket-Protocol: chat\r\nSet-Cookie: Evil=1"),
        ),
        request(
            "an encoded line break in a subprotocol",
            with("Sec-WebSocket-Protocol: chat%0d%0a: Evil"),
            400,
        ),
        opens("a subprotocol that nobody speaks", with(&format!("Sec-WebSocket-Protocol: {MARK}"))),
        opens("an extension that nobody knows", with(&format!("Sec-WebSocket-Extensions: {MARK}; x={MARK}"))),
        request("a subprotocol of Latin-1", latin1(&with("Sec-WebSocket-Protocol: \u{fc}Evil")), 400),
        request("a subprotocol of UTF-8", with("Sec-WebSocket-Protocol: \u{1f600}"), 400),
        request("a subprotocol in quotes", with("Sec-WebSocket-Protocol: \"Evil\""), 400),
        request("a Host that would be a link", get("/nowhere").replace("Host: a", "Host: Evil.example"), 404),
        request("a page's query of markup", get("/nowhere?<script>Evil</script>"), 404),
        opens(
            "X-Forwarded-For of many kinds",
            with("X-Forwarded-For: Evil, 127.0.0.1, ::1\r\nForwarded: for=Evil"),
        ),
    ]
}

/// Every letter as one byte.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| letter as u8).collect()
}

/// Versions, of WebSocket and of HTTP.
fn versions() -> Vec<Case> {
    let drafts = [
        "0",
        "7",
        "8",
        "12",
        "14",
        "255",
        "013",
        "13.0",
        "0xD",
        "+13",
        "-13",
        "13, 8",
        "13 13",
        "1e1",
        "99999999999999999999",
        "",
    ];
    let drafts = drafts.map(|draft| {
        let head = upgrade("/ws").replace("Version: 13", &format!("Version: {draft}"));
        request(format!("WebSocket version {draft:?}"), head, 426)
    });
    let hixie = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
                 Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nOrigin: http://a\r\n\r\n^n:ds[4U";
    let http = [
        ("HTTP/0.9", 505),
        ("HTTP/1.0", 505),
        ("HTTP/1.2", 505),
        ("HTTP/2.0", 505),
        ("HTTP/1.10", 400),
        ("HTTP/1", 400),
        ("http/1.1", 400),
        ("HTTP/1.1 x", 400),
        ("", 400),
    ];
    let http = http.map(|(version, status)| {
        request(format!("of {version:?}"), upgrade("/ws").replace("HTTP/1.1", version), status)
    });
    let others = [
        request("two versions", with("Sec-WebSocket-Version: 13"), 400),
        request("Hixie's draft 76", hixie, 426),
        request("HTTP/0.9", "GET /healthz\r\n\r\n", 400),
        request("an upgrade to h2c", upgrade("/ws").replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        request(
            "an upgrade without Connection",
            upgrade("/ws").replace("Connection: Upgrade", "Connection: close"),
            426,
        ),
        request(
            "an upgrade whose name only begins so",
            upgrade("/ws").replace("Upgrade: websocket", "Upgrade: websocketEvil"),
            426,
        ),
    ];
    drafts.into_iter().chain(http).chain(others).collect()
}

fn keys() -> Vec<Case> {
    let key = |key: &str| upgrade("/ws").replace(SAMPLE_KEY, key);
    let keys = [
        ("no key at all", upgrade("/ws").replace("Sec-WebSocket-Key", "X")),
        ("two keys", with(&format!("Sec-WebSocket-Key: {SAMPLE_KEY}"))),
        ("an empty key", key("")),
        ("a key of 15 bytes", key("dGhlIHNhbXBsZSBub25j")),
        ("a key of 17 bytes", key("dGhlIHNhbXBsZSBub25jZWU=")),
        ("a key that is not base64", key("dGhlIHNhbXBsZSBub25*ZQ==")),
        ("a key without padding", key("dGhlIHNhbXBsZSBub25jZQ")),
        ("a key in the alphabet of URLs", key("--__--__--__--__--__--==")),
        ("a key of 10 KiB", key(&"A".repeat(10 << 10))),
    ];
    keys.map(|(name, head)| request(name, head, 400)).into()
}

/// Pages of other sites (RFC 6455 §10.2).
fn origins() -> Vec<Case> {
    let foreign = [
        "null",
        "",
        "http://evil.example",
        "http://server.example.com.evil.example",
        "http://evilserver.example.com",
        "http://server.example.co",
        "http://server.example.com:81",
        "http://server.example.com/",
        "http://127.0.0.1",
        "http://localhost",
        "file://",
        "chrome-extension://abcdef",
        "http://server.example.com, http://evil.example",
        "http://server.example.com@evil.example",
        "server.example.com",
        "ftp://server.example.com",
    ];
    let foreign = foreign
        .map(|origin| request(format!("a page of {origin:?}"), with(&format!("Origin: {origin}")), 403));
    let own = "Origin: http://server.example.com";
    let others = [
        request(
            "two Origins, of which one is ours",
            with(&format!("{own}\r\nOrigin: http://evil.example")),
            403,
        ),
        request("our Origin twice", with(&format!("{own}\r\n{own}")), 403),
        request("an Origin of Latin-1", latin1(&with("Origin: http://\u{e4}")), 400),
        request(
            "a page whose Host is overruled by the target",
            with("Origin: http://server.example.com").replace("GET /ws", "GET http://other.example/ws"),
            403,
        ),
    ];
    foreign.into_iter().chain(others).collect()
}

/// What is no HTTP at all.
fn protocols() -> Vec<Case> {
    let hello = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 500]].concat();
    let proxied = format!("PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n{}", get("/healthz"));
    // Over TLS these come inside of it.
    vec![
        request("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 505),
        request("a TLS hello", hello, 400),
        request("an SSH banner", "SSH-2.0-OpenSSH_9.6\r\n", 400),
        request("a PROXY line", proxied, 400),
        request("PROXY's second version", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec(), 400),
        request("Redis", "*1\r\n$4\r\nPING\r\n", 400),
        request("SMTP", "EHLO evil.example\r\n\r\n", 400),
        request("memcached", "stats\r\n", 400),
        request("a frame before the request", b"\x81\x85\x01\x02\x03\x04\x05\x06\x07\x08\x09".to_vec(), 400),
        request("zeros", vec![0; 1_000], 400),
        request(
            "a megabyte of random bytes",
            (0..1_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect::<Vec<u8>>(),
            400,
        ),
        request("UTF-16", "GET / HTTP/1.1\r\n".bytes().flat_map(|byte| [byte, 0]).collect::<Vec<u8>>(), 400),
        request("a byte order mark", format!("\u{feff}{}", get("/healthz")), 400),
    ]
}

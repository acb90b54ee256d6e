//! The browsers that cannot be told to forget: Safari 15.0 to 15.3, and all else on iOS and iPadOS 15.0 to 15.3.
//!
//! They offer permessage-deflate, but do not obey an answer with `client_no_context_takeover`, and the connection fails
//! with a protocol error: <https://github.com/uNetworking/uWebSockets/issues/1347>. That is how it looks if they go on with
//! the window of the message before, which a server that keeps none per client cannot follow. Others met it too
//! (<https://github.com/gorilla/websocket/issues/731>, <https://github.com/nats-io/nats.ws/issues/113>). From 15.4 on it is
//! right; before 15, Safari offered only its own `x-webkit-deflate-frame`.
//!
//! uWebSockets declines the extension for these versions (<https://github.com/uNetworking/uWebSockets/pull/1414>), and so
//! do we, whatever our answer would be: their users get messages that are not compressed, and a connection that lasts.

/// Whether a User-Agent header names one of these browsers.
///
/// On iOS all browsers, and pages in applications, have the system's engine: its version counts, whatever their name. A
/// browser on a Mac says its own version, and so does Safari on an iPad that asks for desktop pages. Others that do so
/// on an iPad cannot be told from a Mac's.
pub(in super::super) fn keeps_context(user_agent: &[u8]) -> bool {
    let names = |product: &[u8]| (0..user_agent.len()).any(|at| user_agent[at..].starts_with(product));
    let names_0_to_3_of = |version: &[u8]| {
        (0..user_agent.len()).any(|at| {
            let minor = user_agent[at..].strip_prefix(version);
            matches!(minor, Some([b'0'..=b'3', rest @ ..]) if !rest.first().is_some_and(u8::is_ascii_digit))
        })
    };
    // `Mozilla/5.0 (iPhone; CPU iPhone OS 15_1 like Mac OS X) AppleWebKit/… (KHTML, like Gecko) CriOS/96.0 Mobile/15E148`
    // `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/… (KHTML, like Gecko) Version/15.1 Safari/605.1.15`
    names_0_to_3_of(b" OS 15_") && names(b" like Mac OS X")
        || names_0_to_3_of(b" Version/15.") && names(b" Safari/")
}

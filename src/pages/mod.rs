//! Built-in web pages, embedded at compile time: the server reads no file while it runs.
//!
//! Each page is one self-contained HTML file next to this one, and has here the Content-Security-Policy that fits
//! exactly that file: its one style sheet and its one script are allowed by their hashes, and nothing else is. Who
//! serves a page sends its policy with it. Which path shows which page is not decided here.

/// The chat page: a WebSocket client for `{"username","text"}` messages, for the origin it is served from.
///
/// UTF-8; to be served as `text/html; charset=utf-8` together with [`CHAT_SECURITY_POLICY`].
pub(crate) const CHAT: &str = include_str!("chat.html");

/// The value of the `Content-Security-Policy` header for [`CHAT`].
///
/// - The hashes are of the text between `<style>` and `</style>`, `<script>` and `</script>`. A test computes them;
///   when the page has changed it fails and prints the policy that should stand here.
/// - `connect-src 'self'` means the WebSocket of the same origin in Chromium and Firefox, but in Safari before 15.4 it
///   means https only: hence `ws:` and `wss:`.
/// - Trusted types make a script that assigns markup (`innerHTML` and the like) fail where browsers know them: what
///   peers send can reach the document as text only.
pub(crate) const CHAT_SECURITY_POLICY: &str = "default-src 'none'; \
    connect-src 'self' ws: wss:; \
    style-src 'sha256-l+0MKOkzssIgGU0tY1pXUe6N92a7n5TTLcYrCVy3mF4='; \
    script-src 'sha256-CmcfROSguBcLOLVErQCyOL04X47Y3CJTI9oV31+DL14='; \
    img-src data:; \
    base-uri 'none'; \
    form-action 'none'; \
    frame-ancestors 'none'; \
    require-trusted-types-for 'script'; \
    trusted-types 'none'";

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::{CHAT, CHAT_SECURITY_POLICY};

    /// The text of the page's only element `tag`, without attributes.
    fn element(page: &str, tag: &str) -> String {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        assert_eq!(
            page.matches(&format!("<{tag}")).count(),
            1,
            "one <{tag}>, or the policy blocks the others"
        );
        let (_, rest) = page.split_once(&open).expect("the element opens");
        let (text, _) = rest.split_once(&close).expect("the element closes");
        text.to_owned()
    }

    fn source(page: &str, tag: &str) -> String {
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(element(page, tag))))
    }

    #[test]
    fn the_policy_allows_the_chat_pages_style_and_script_by_their_hashes() {
        let expected = format!(
            "default-src 'none'; connect-src 'self' ws: wss:; style-src {}; script-src {}; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'",
            source(CHAT, "style"),
            source(CHAT, "script"),
        );
        assert_eq!(CHAT_SECURITY_POLICY, expected, "put the right-hand side's hashes into the policy");
    }

    #[test]
    fn the_chat_page_asks_for_nothing_but_its_own_websocket() {
        for forbidden in
            [" src=", "@import", "url(", "fetch(", "XMLHttpRequest", "import(", "sendBeacon", "EventSource"]
        {
            assert!(!CHAT.contains(forbidden), "{forbidden} makes a request that the policy blocks");
        }
        assert_eq!(CHAT.matches("new WebSocket(").count(), 1);
    }

    #[test]
    fn the_chat_page_has_no_inline_styles_or_handlers_and_never_writes_markup() {
        let (before, _) = CHAT.split_once("<script>").expect("the page has a script");
        for forbidden in [" style=", " onclick=", " onload=", " onsubmit=", "javascript:"] {
            assert!(!before.contains(forbidden), "{forbidden} is blocked by the policy");
        }
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"]
        {
            assert!(!CHAT.contains(forbidden), "{forbidden} would take a peer's text for markup");
        }
    }
}

//! The dashboard: one page, embedded, that asks for nothing but this API.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::IntoResponse;

/// The page.
const DASHBOARD: &str = include_str!("dashboard.html");

/// What the page may do: its one style sheet and its one script are allowed by their hashes, and nothing else is. A test
/// computes them; when the page has changed it fails and prints the policy that should stand here.
const SECURITY_POLICY: &str = "default-src 'none'; connect-src 'self' ws: wss:; \
    style-src 'sha256-8nrAFy1ONnzWY/l8S0zNJofGhdTeXCS4dkMSudmeHbs='; \
    script-src 'sha256-Hw+7M8Gc7AA8YFOEeySviDJTSlUAwjghnAWdJn2QFTg='; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types 'none'";

/// The dashboard
///
/// It needs no token itself, and asks for the one that the rest needs.
#[utoipa::path(
    get, path = "/", tag = "operations", security(()),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"))
)]
pub(super) async fn dashboard() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, SECURITY_POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, DASHBOARD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    /// The text of the page's only element `tag`, without attributes.
    fn source(tag: &str) -> String {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let count = DASHBOARD.matches(&format!("<{tag}")).count();
        assert_eq!(count, 1, "one <{tag}>, or the policy blocks the others");
        let (_, rest) = DASHBOARD.split_once(&open).expect("the element opens");
        let (text, _) = rest.split_once(&close).expect("the element closes");
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
    }

    #[test]
    fn the_policy_allows_the_dashboards_style_and_script_by_their_hashes() {
        let expected = format!(
            "default-src 'none'; connect-src 'self' ws: wss:; style-src {}; script-src {}; img-src data:; base-uri \
             'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types \
             'none'",
            source("style"),
            source("script"),
        );
        assert_eq!(SECURITY_POLICY, expected, "put the right-hand side's hashes into the policy");
    }

    #[test]
    fn the_dashboard_asks_no_other_host_and_never_writes_markup() {
        for forbidden in [" src=\"http", "@import", "url(http", "import(", "sendBeacon", "EventSource"] {
            assert!(!DASHBOARD.contains(forbidden), "{forbidden} makes a request that the policy blocks");
        }
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"]
        {
            assert!(!DASHBOARD.contains(forbidden), "{forbidden} would take a client's text for markup");
        }
        let (before, _) = DASHBOARD.split_once("<script>").expect("the page has a script");
        for forbidden in [" style=", " onclick=", " onload=", " onsubmit=", "javascript:"] {
            assert!(!before.contains(forbidden), "{forbidden} is blocked by the policy");
        }
    }
}

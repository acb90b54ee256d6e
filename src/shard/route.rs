//! What a request is for: its path names a page, a channel or nothing.

use super::admission::Door;
use super::drain::Phase;
use crate::auth::Claims;
use crate::config::{Config, OriginPolicy};
use crate::hub::ChannelName;
use crate::pages;
use crate::protocol::{Method, Origin, Request, Response, Status};

/// What a request gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// An HTTP response: a page, or a refusal.
    Respond(Response),
    /// A subscription to a channel, in which it also publishes.
    Relay {
        /// The channel.
        channel: ChannelName,
        /// `?echo=off`: it does not want its own publications back.
        without_own: bool,
        /// `?gaps=on`: it wants to be told what it loses by being slow.
        wants_gaps: bool,
        /// What its token says, if it has one.
        claims: Option<Claims>,
    },
    /// Its own messages back.
    Echo {
        /// What its token says, if it has one.
        claims: Option<Claims>,
    },
}

/// The channel of `/ws` itself.
const LOBBY: &str = "lobby";

/// Decides what `request` gets.
pub(super) fn route(request: &Request, phase: Phase, door: Door<'_>) -> Route {
    let config = door.config;
    if phase == Phase::Draining && &*request.path != "/healthz" {
        return Route::Respond(shutting_down());
    }
    let relay = match &*request.path {
        "/ws" => Some(LOBBY),
        path => path.strip_prefix("/ws/"),
    };
    match (&*request.path, relay) {
        (_, Some(name)) => match (opens(request, config), ChannelName::new(name)) {
            (Err(refusal), _) => Route::Respond(refusal),
            (Ok(()), Err(error)) => {
                Route::Respond(Response::text(Status::NOT_FOUND, format!("no such channel: {error}\n")))
            }
            (Ok(()), Ok(channel)) => match door.enter(request, channel.as_str()) {
                Err(refusal) => Route::Respond(refusal),
                Ok(claims) => Route::Relay {
                    channel,
                    without_own: request.query_value("echo") == Some("off"),
                    wants_gaps: request.query_value("gaps") == Some("on"),
                    claims,
                },
            },
        },
        ("/echo", _) if config.echo => {
            match opens(request, config).and_then(|()| door.enter_without_channel(request)) {
                Err(refusal) => Route::Respond(refusal),
                Ok(claims) => Route::Echo { claims },
            }
        }
        ("/" | "/healthz", _) if request.method == Method::Other => Route::Respond(
            Response::text(Status::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed here\n")
                .with_header("Allow", "GET, HEAD"),
        ),
        ("/", _) => Route::Respond(chat_page()),
        ("/healthz", _) if phase != Phase::Serving => {
            Route::Respond(Response::text(Status::SERVICE_UNAVAILABLE, "draining\n"))
        }
        ("/healthz", _) => Route::Respond(Response::text(Status::OK, "ok\n")),
        _ => Route::Respond(Response::text(
            Status::NOT_FOUND,
            "nothing here: the chat page is at /, WebSockets are at /ws and /ws/<channel>\n",
        )),
    }
}

/// What a request gets that comes too late.
pub(super) fn shutting_down() -> Response {
    Response::text(Status::SERVICE_UNAVAILABLE, "the server is shutting down\n")
        .with_header("Retry-After", "1")
}

fn chat_page() -> Response {
    Response {
        status: Status::OK,
        content_type: "text/html; charset=utf-8",
        headers: vec![
            ("Content-Security-Policy", pages::CHAT_SECURITY_POLICY.into()),
            ("Referrer-Policy", "no-referrer".into()),
        ],
        body: pages::CHAT.as_bytes().into(),
    }
}

/// Whether `request` may open a WebSocket: RFC 6455 §4.2.1 first, then where it comes from (§10.2).
fn opens(request: &Request, config: &Config) -> Result<(), Response> {
    request.upgrade.map_err(crate::protocol::HandshakeError::response)?;
    let origin = match &request.origin {
        Origin::Absent => return Ok(()),
        Origin::One(origin) => &**origin,
        Origin::Several => {
            return Err(Response::text(Status::FORBIDDEN, "more than one Origin header\n"));
        }
    };
    let allowed = match &config.origins {
        OriginPolicy::Any => true,
        OriginPolicy::These(origins) => origins.iter().any(|allowed| allowed == origin),
        OriginPolicy::SameOrigin => is_same_origin(origin, &request.host),
    };
    if allowed {
        Ok(())
    } else {
        Err(Response::text(
            Status::FORBIDDEN,
            "this origin is not allowed to connect: the operator can allow it with --allow-origin\n",
        ))
    }
}

/// Whether the serialised `origin` names the host and port that the request was sent to. The scheme is left open:
/// behind a proxy that ends TLS we see http where the browser sees https.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let default_ports = [("http://", ":80"), ("https://", ":443")];
    default_ports.into_iter().any(|(scheme, port)| {
        origin.strip_prefix(scheme).is_some_and(|authority| {
            // A browser leaves its scheme's own port out of both; some clients write it into Host.
            authority.eq_ignore_ascii_case(host.strip_suffix(port).unwrap_or(host))
                || authority.eq_ignore_ascii_case(host)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Authorization, HandshakeError};

    fn request(path: &str) -> Request {
        Request {
            method: Method::Get,
            path: path.into(),
            query: None,
            host: "chat.example:8080".into(),
            origin: Origin::Absent,
            authorization: Authorization::Absent,
            subprotocols: Vec::new(),
            deflate_offers: Vec::new(),
            upgrade: Ok(()),
            forwarding: None,
        }
    }

    /// Nobody is asked for a token.
    fn open(config: &Config) -> Door<'_> {
        Door { keys: None, unix_seconds: 0, config }
    }

    fn status(request: &Request, config: &Config) -> Status {
        match route(request, Phase::Serving, open(config)) {
            Route::Respond(response) => response.status,
            Route::Relay { .. } | Route::Echo { .. } => Status::SWITCHING_PROTOCOLS,
        }
    }

    fn channel(path: &str) -> Option<String> {
        match route(&request(path), Phase::Serving, open(&Config::default())) {
            Route::Relay { channel, .. } => Some(channel.to_string()),
            _ => None,
        }
    }

    #[test]
    fn the_path_names_the_channel_as_it_is() {
        assert_eq!(channel("/ws").as_deref(), Some("lobby"));
        assert_eq!(channel("/ws/lobby").as_deref(), Some("lobby"));
        assert_eq!(channel("/ws/a/b;c=@d,e.f:g_h-i").as_deref(), Some("a/b;c=@d,e.f:g_h-i"));
        assert_eq!(channel("/ws/a%20b"), None, "nothing is percent-decoded");
        assert_eq!(channel("/ws/"), None);
        assert_eq!(channel("/wsx"), None);
        assert_eq!(channel(&format!("/ws/{}", "x".repeat(200))).map(|name| name.len()), Some(200));
        assert_eq!(channel(&format!("/ws/{}", "x".repeat(201))), None);
    }

    #[test]
    fn the_sender_is_left_out_only_if_the_query_says_echo_off() {
        let without_own = |query: Option<&str>| {
            let request = Request { query: query.map(Into::into), ..request("/ws") };
            matches!(
                route(&request, Phase::Serving, open(&Config::default())),
                Route::Relay { without_own: true, .. }
            )
        };
        assert!(without_own(Some("echo=off")));
        assert!(without_own(Some("a=b&echo=off")));
        assert!(!without_own(Some("echo=on")));
        assert!(!without_own(None));
    }

    #[test]
    fn who_is_slow_is_told_of_gaps_only_if_the_query_says_gaps_on() {
        let wants_gaps = |query: Option<&str>| {
            let request = Request { query: query.map(Into::into), ..request("/ws") };
            matches!(
                route(&request, Phase::Serving, open(&Config::default())),
                Route::Relay { wants_gaps: true, .. }
            )
        };
        assert!(wants_gaps(Some("gaps=on")));
        assert!(wants_gaps(Some("echo=off&gaps=on")));
        assert!(!wants_gaps(Some("gaps=off")));
        assert!(!wants_gaps(None));
    }

    #[test]
    fn echo_exists_only_if_it_was_asked_for() {
        let config = Config { echo: true, ..Config::default() };
        assert_eq!(route(&request("/echo"), Phase::Serving, open(&config)), Route::Echo { claims: None });
        assert_eq!(status(&request("/echo"), &Config::default()), Status::NOT_FOUND);
    }

    #[test]
    fn pages_answer_get_and_head_and_refuse_the_rest_with_405() {
        let plain = Request { upgrade: Err(HandshakeError::ALL[0]), ..request("/healthz") };
        assert_eq!(status(&plain, &Config::default()), Status::OK);
        let post = Request { method: Method::Other, ..plain };
        assert_eq!(status(&post, &Config::default()), Status::METHOD_NOT_ALLOWED);
        assert_eq!(status(&Request { path: "/nope".into(), ..post }, &Config::default()), Status::NOT_FOUND);
    }

    #[test]
    fn health_is_503_once_the_end_is_announced_and_nobody_comes_in_once_it_has_begun() {
        let plain = |path| Request { upgrade: Err(HandshakeError::ALL[0]), ..request(path) };
        let answer = |request: &Request, phase| match route(request, phase, open(&Config::default())) {
            Route::Respond(response) => (response.status, response.body),
            Route::Relay { .. } | Route::Echo { .. } => (Status::SWITCHING_PROTOCOLS, b"".into()),
        };
        let draining = || (Status::SERVICE_UNAVAILABLE, b"draining\n".as_slice().into());
        let too_late = (Status::SERVICE_UNAVAILABLE, b"the server is shutting down\n".as_slice().into());
        assert_eq!(answer(&plain("/healthz"), Phase::Serving).0, Status::OK);
        assert_eq!(answer(&plain("/healthz"), Phase::Announced), draining());
        assert_eq!(answer(&plain("/healthz"), Phase::Draining), draining());
        assert_eq!(answer(&request("/ws"), Phase::Announced).0, Status::SWITCHING_PROTOCOLS);
        assert_eq!(answer(&request("/ws"), Phase::Draining), too_late);
        assert_eq!(answer(&plain("/"), Phase::Announced).0, Status::OK);
        assert_eq!(answer(&plain("/"), Phase::Draining), too_late);
    }

    fn from_origin(origin: &str, host: &str, origins: OriginPolicy) -> Status {
        let origin = Origin::One(origin.into());
        let config = Config { origins, ..Config::default() };
        status(&Request { origin, host: host.into(), ..request("/ws") }, &config)
    }

    #[test]
    fn s10_2_the_same_origin_may_connect_and_others_get_403() {
        let same = |origin, host| from_origin(origin, host, OriginPolicy::SameOrigin);
        for (origin, host) in [
            ("http://chat.example:8080", "chat.example:8080"),
            ("https://chat.example", "chat.example"),
            ("https://chat.example", "Chat.Example:443"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(same(origin, host), Status::SWITCHING_PROTOCOLS, "{origin} at {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "chat.example"),
            ("http://chat.example", "chat.example:8080"),
            ("http://chat.example:80800", "chat.example:8080"),
            ("http://chat.example.evil.example", "chat.example"),
            ("http://chat.example:443", "chat.example"),
            ("http://chat.example/", "chat.example"),
            ("ftp://chat.example", "chat.example"),
            ("null", "chat.example"),
            ("", "chat.example"),
        ] {
            assert_eq!(same(origin, host), Status::FORBIDDEN, "{origin} at {host}");
        }
    }

    #[test]
    fn s10_2_a_list_of_origins_is_exact_and_replaces_the_same_origin() {
        let these = |origin| {
            from_origin(origin, "chat.example", OriginPolicy::These(vec!["https://app.example:444".into()]))
        };
        assert_eq!(these("https://app.example:444"), Status::SWITCHING_PROTOCOLS);
        assert_eq!(these("https://app.example"), Status::FORBIDDEN);
        assert_eq!(these("https://app.example:4444"), Status::FORBIDDEN);
        assert_eq!(these("http://chat.example"), Status::FORBIDDEN);
        assert_eq!(
            from_origin("http://evil.example", "chat.example", OriginPolicy::Any),
            Status::SWITCHING_PROTOCOLS
        );
    }

    #[test]
    fn s10_2_two_origins_are_403_and_none_is_not_a_browser() {
        let several = Request { origin: Origin::Several, ..request("/ws") };
        assert_eq!(status(&several, &Config::default()), Status::FORBIDDEN);
        assert_eq!(status(&request("/ws"), &Config::default()), Status::SWITCHING_PROTOCOLS);
    }
}

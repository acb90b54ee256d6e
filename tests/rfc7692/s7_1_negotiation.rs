//! §5 and §7.1: what a client offers, what a server makes of it, and what a client makes of that.

use crate::peer::{Peer, REQUEST, Seen};
use fanwire::limits::{DEFLATE_OFFERS_MAX, Limits};
use fanwire::protocol::{
    Agreement, ClientRequest, ClientWindow, Closure, Deflate, DeflateOffer, DeflatePolicy, HandshakeError,
    Request, WindowBits, first_acceptable,
};

/// The default: no client keeps its context.
const FORGETFUL: DeflatePolicy = DeflatePolicy { client_context_takeover: false };

/// Clients may keep their context.
const MINDFUL: DeflatePolicy = DeflatePolicy { client_context_takeover: true };

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

/// What a server reads from a request with these headers.
fn requested(headers: &[&str]) -> Request {
    let mut head = REQUEST[..REQUEST.len() - 2].to_vec();
    for value in headers {
        head.extend_from_slice(format!("Sec-WebSocket-Extensions: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    let mut seen = Peer::connecting_server(Limits::default()).receive(&head);
    let Some(Seen::Requested(request)) = seen.pop() else { panic!("{seen:?}") };
    request
}

fn offers(header: &str) -> Vec<DeflateOffer> {
    let request = requested(&[header]);
    assert_eq!(request.upgrade, Ok(()), "{header}");
    request.deflate_offers
}

/// The header that a server answers an offer with.
fn answer(offer: &str, policy: DeflatePolicy) -> Option<String> {
    let mut server = Peer::connecting_server(Limits::default());
    let mut head = REQUEST[..REQUEST.len() - 2].to_vec();
    head.extend_from_slice(format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n").as_bytes());
    let seen = server.receive(&head);
    let [Seen::Requested(request)] = &seen[..] else { panic!("{seen:?}") };
    let deflate = first_acceptable(&request.deflate_offers, &policy);
    server.connection.accept(Agreement { deflate, ..Agreement::default() }, server.now, &mut server.out);
    let head = String::from_utf8(server.out).unwrap();
    let mut lines = head.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let answer = lines.next().map(str::to_owned);
    assert_eq!(lines.next(), None, "§11.3.2 of RFC 6455: once");
    answer
}

/// What a client that offered this makes of a server's header, if there is one.
fn answered(offer: Option<DeflateOffer>, header: Option<&str>) -> Result<Option<Deflate>, HandshakeError> {
    let request = ClientRequest::new("a", "/").unwrap();
    let mut client = Peer::connecting_client(match offer {
        Some(offer) => request.with_deflate(offer),
        None => request,
    });
    let mut server = Peer::connecting_server(Limits::default());
    server.receive(&client.take_out());
    server.connection.accept(Agreement::default(), server.now, &mut server.out);
    let mut head = server.out[..server.out.len() - 2].to_vec();
    if let Some(header) = header {
        head.extend_from_slice(format!("Sec-WebSocket-Extensions: {header}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    match &client.receive(&head)[..] {
        [Seen::Accepted(agreement)] => Ok(agreement.deflate),
        [Seen::Closed(Closure::Refused(error))] => Err(*error),
        seen => panic!("{seen:?}"),
    }
}

const PLAIN: DeflateOffer = DeflateOffer::PLAIN;

// ---- §5.1, §7.1: offers ---------------------------------------------------------------------------------------------

#[test]
fn s7_1_all_four_parameters_are_read() {
    assert_eq!(offers("permessage-deflate"), [PLAIN]);
    assert_eq!(
        offers(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10; client_max_window_bits=11"
        ),
        [DeflateOffer {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: Some(bits(10)),
            client_max_window_bits: ClientWindow::AtMost(bits(11)),
        }]
    );
    assert_eq!(
        offers("permessage-deflate; client_max_window_bits"),
        [DeflateOffer { client_max_window_bits: ClientWindow::Supported, ..PLAIN }]
    );
}

#[test]
fn s7_1_values_may_be_quoted_and_blanks_stand_where_they_may() {
    let ten = DeflateOffer { server_max_window_bits: Some(bits(10)), ..PLAIN };
    for value in ["=10", "=\"10\"", "=\"\\1\\0\"", " = 10", "\t=\t\"1\\0\" "] {
        assert_eq!(offers(&format!("permessage-deflate;server_max_window_bits{value}")), [ten], "{value}");
    }
    assert_eq!(offers(" ,permessage-deflate\t;  server_max_window_bits=10 ,, "), [ten]);
}

#[test]
fn s7_1_2_windows_are_8_to_15_bits_without_leading_zeroes() {
    for window in 8..=15 {
        let offer = DeflateOffer { server_max_window_bits: Some(bits(window)), ..PLAIN };
        assert_eq!(offers(&format!("permessage-deflate; server_max_window_bits={window}")), [offer]);
        let offer = DeflateOffer { client_max_window_bits: ClientWindow::AtMost(bits(window)), ..PLAIN };
        assert_eq!(offers(&format!("permessage-deflate; client_max_window_bits={window}")), [offer]);
    }
    for value in ["0", "7", "16", "08", "010", "1", "150", "99", "+9", "-9", "0x9", "9.0", "nine"] {
        for name in ["server_max_window_bits", "client_max_window_bits"] {
            assert_eq!(offers(&format!("permessage-deflate; {name}={value}")), [], "{name}={value}");
            assert_eq!(offers(&format!("permessage-deflate; {name}=\"{value}\"")), [], "{name}={value}");
        }
    }
    assert_eq!(
        [7, 8, 15, 16].map(|bits| WindowBits::new(bits).map(WindowBits::get)),
        [None, Some(8), Some(15), None]
    );
}

#[test]
fn s7_1_an_offer_with_a_wrong_parameter_is_declined_and_the_handshake_goes_on() {
    for parameters in [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover=\"x\"",
        "server_max_window_bits",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "client_max_window_bits=10; client_max_window_bits",
        "server_max_window_bits=16; server_max_window_bits=10",
        "unknown; server_no_context_takeover",
        "server_no_context_takeover; unknown",
    ] {
        assert_eq!(offers(&format!("permessage-deflate; {parameters}")), [], "{parameters}");
        let second = format!("permessage-deflate; {parameters}, permessage-deflate");
        assert_eq!(offers(&second), [PLAIN], "{parameters}: the next one counts");
        let first = format!("permessage-deflate, permessage-deflate; {parameters}");
        assert_eq!(offers(&first), [PLAIN], "{parameters}: the one before counts");
    }
}

#[test]
fn s5_other_extensions_are_passed_over() {
    assert_eq!(
        offers("permessage-bzip2; server_max_window_bits=99, permessage-deflate, x; y=\"z\""),
        [PLAIN]
    );
    assert_eq!(offers("x-webkit-deflate-frame"), []);
    assert_eq!(offers(""), []);
    assert_eq!(requested(&[]).deflate_offers, []);
}

#[test]
fn s7_names_are_compared_letter_by_letter() {
    assert_eq!(offers("Permessage-Deflate, PERMESSAGE-DEFLATE"), []);
    assert_eq!(offers("permessage-deflate; Server_No_Context_Takeover"), []);
    let mut head = REQUEST[..REQUEST.len() - 2].to_vec();
    head.extend_from_slice(b"SEC-websocket-EXTENSIONS: permessage-deflate\r\n\r\n");
    let seen = Peer::connecting_server(Limits::default()).receive(&head);
    let [Seen::Requested(request)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(request.deflate_offers, [PLAIN], "a header's name is another matter");
}

#[test]
fn s5_1_offers_come_in_order_over_all_headers() {
    let ten = DeflateOffer { server_max_window_bits: Some(bits(10)), ..PLAIN };
    let request = requested(&["x, permessage-deflate; server_max_window_bits=10", "", "permessage-deflate"]);
    assert_eq!(request.deflate_offers, [ten, PLAIN]);
}

#[test]
fn rfc6455_s9_1_what_breaks_the_grammar_fails_the_handshake_wherever_it_stands() {
    for header in [
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=1 0",
        "permessage-deflate;",
        "permessage-deflate;;client_max_window_bits",
        "permessage-deflate client_max_window_bits",
        "; client_max_window_bits",
        "\"permessage-deflate\"",
    ] {
        for headers in [[header, "x"], ["permessage-deflate", header]] {
            assert_eq!(requested(&headers).upgrade, Err(HandshakeError::ExtensionsInvalid), "{header}");
        }
        let upgrade = requested(&[&format!("x, {header}")]).upgrade;
        assert_eq!(upgrade, Err(HandshakeError::ExtensionsInvalid), "{header}");
    }
}

#[test]
fn s5_1_offers_beyond_the_bound_are_not_looked_at() {
    let just = ["permessage-deflate"; DEFLATE_OFFERS_MAX].join(",");
    assert_eq!(offers(&just).len(), DEFLATE_OFFERS_MAX);
    assert_eq!(offers(&format!("{just}, permessage-deflate")).len(), DEFLATE_OFFERS_MAX);
    let declined = ["permessage-deflate; x"; 100].join(",");
    assert_eq!(offers(&format!("{declined}, permessage-deflate")), [PLAIN], "only valid ones count");
}

// ---- §5.1, §7.1: a server's answer ----------------------------------------------------------------------------------

#[test]
fn s7_1_1_a_server_keeps_no_context_and_lets_no_client_keep_one_by_default() {
    let forgetful = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for offer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=\"15\"; client_no_context_takeover",
    ] {
        let answer = answer(offer, FORGETFUL).unwrap();
        assert!(answer.starts_with(forgetful), "{offer}: {answer}");
    }
}

#[test]
fn s7_1_1_2_where_clients_may_keep_their_context_one_may_still_say_that_it_does_not() {
    let keeps = "permessage-deflate; server_no_context_takeover";
    assert_eq!(answer("permessage-deflate", MINDFUL).as_deref(), Some(keeps));
    assert_eq!(
        answer("permessage-deflate; client_no_context_takeover", MINDFUL).as_deref(),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
}

#[test]
fn s7_1_2_1_a_server_compresses_with_15_bits_or_with_9_and_says_so_if_it_was_asked() {
    for (offered, answered) in [
        ("", Some("")),
        ("; server_max_window_bits=15", Some("; server_max_window_bits=15")),
        ("; server_max_window_bits=14", Some("; server_max_window_bits=9")),
        ("; server_max_window_bits=10", Some("; server_max_window_bits=9")),
        ("; server_max_window_bits=9", Some("; server_max_window_bits=9")),
        ("; server_max_window_bits=8", None),
    ] {
        let expected =
            answered.map(|answered| format!("permessage-deflate; server_no_context_takeover{answered}"));
        assert_eq!(answer(&format!("permessage-deflate{offered}"), MINDFUL), expected, "{offered}");
    }
}

#[test]
fn s7_1_2_2_a_client_s_own_bound_is_said_again_and_none_is_given_to_it() {
    for (offered, answered) in [
        ("", ""),
        ("; client_max_window_bits", ""),
        ("; client_max_window_bits=15", "; client_max_window_bits=15"),
        ("; client_max_window_bits=8", "; client_max_window_bits=8"),
    ] {
        let expected = format!("permessage-deflate; server_no_context_takeover{answered}");
        assert_eq!(answer(&format!("permessage-deflate{offered}"), MINDFUL), Some(expected), "{offered}");
    }
}

#[test]
fn s5_1_the_first_offer_that_can_be_accepted_is() {
    assert_eq!(
        answer(
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; nonsense, \
             permessage-deflate; server_max_window_bits=12, permessage-deflate",
            MINDFUL
        )
        .as_deref(),
        Some("permessage-deflate; server_no_context_takeover; server_max_window_bits=9")
    );
    assert_eq!(answer("permessage-deflate; server_max_window_bits=8", FORGETFUL), None);
    assert_eq!(answer("permessage-bzip2", FORGETFUL), None);
    assert_eq!(first_acceptable(&[], &FORGETFUL), None);
}

#[test]
fn s7_1_an_agreement_says_the_windows_in_use() {
    let agreed = PLAIN.accept(&FORGETFUL).unwrap();
    assert_eq!((agreed.server_window_bits(), agreed.client_window_bits()), (15, 15));
    let offer = DeflateOffer {
        server_max_window_bits: Some(bits(12)),
        client_max_window_bits: ClientWindow::AtMost(bits(11)),
        ..PLAIN
    };
    let agreed = offer.accept(&FORGETFUL).unwrap();
    assert_eq!((agreed.server_window_bits(), agreed.client_window_bits()), (9, 11));
}

// ---- §5.1, §7.1: a client -------------------------------------------------------------------------------------------

#[test]
fn s5_1_a_client_offers_what_it_was_told_to() {
    let all = DeflateOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: Some(bits(9)),
        client_max_window_bits: ClientWindow::AtMost(bits(10)),
    };
    let supported = DeflateOffer { client_max_window_bits: ClientWindow::Supported, ..PLAIN };
    for (offer, line) in [
        (PLAIN, "permessage-deflate"),
        (supported, "permessage-deflate; client_max_window_bits"),
        (
            all,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=9; client_max_window_bits=10",
        ),
    ] {
        let request = ClientRequest::new("a", "/").unwrap().with_deflate(PLAIN).with_deflate(offer);
        let head = String::from_utf8(Peer::connecting_client(request).out).unwrap();
        let lines = head.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
        assert_eq!(lines.collect::<Vec<_>>(), [line]);
        assert_eq!(offers(line), [offer]);
    }
    let head = String::from_utf8(Peer::connecting_client(ClientRequest::new("a", "/").unwrap()).out).unwrap();
    assert!(!head.contains("Sec-WebSocket-Extensions"), "{head}");
}

#[test]
fn s5_1_a_server_may_decline() {
    assert_eq!(answered(Some(PLAIN), None), Ok(None));
    assert_eq!(answered(Some(PLAIN), Some("")), Ok(None));
}

#[test]
fn s5_1_an_answer_is_to_what_was_offered() {
    let error = Err(HandshakeError::ExtensionNotOffered);
    assert_eq!(answered(None, Some("permessage-deflate")), error);
    assert_eq!(answered(Some(PLAIN), Some("permessage-bzip2")), error);
    assert_eq!(answered(Some(PLAIN), Some("permessage-deflate, permessage-bzip2")), error);
    assert_eq!(answered(Some(PLAIN), Some("Permessage-Deflate")), error);
}

#[test]
fn s5_1_an_offer_is_answered_once() {
    let twice = "permessage-deflate, permessage-deflate";
    assert_eq!(answered(Some(PLAIN), Some(twice)), Err(HandshakeError::DeflateAnswerInvalid));
    // RFC 6455 §11.3.2: "MUST NOT appear more than once in an HTTP response".
    let in_two = "permessage-deflate\r\nSec-WebSocket-Extensions: x";
    assert_eq!(answered(Some(PLAIN), Some(in_two)), Err(HandshakeError::AnsweredExtensionsInvalid));
}

#[test]
fn rfc6455_s9_1_an_answer_has_its_grammar() {
    for header in ["permessage-deflate;", "permessage-deflate; server_max_window_bits=\"9", "="] {
        assert_eq!(
            answered(Some(PLAIN), Some(header)),
            Err(HandshakeError::AnsweredExtensionsInvalid),
            "{header}"
        );
    }
}

#[test]
fn s7_1_an_answer_with_a_wrong_parameter_fails_the_handshake() {
    let offer = DeflateOffer { client_max_window_bits: ClientWindow::Supported, ..PLAIN };
    for parameters in [
        "unknown",
        "server_no_context_takeover=1",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "client_max_window_bits=7",
    ] {
        let header = format!("permessage-deflate; {parameters}");
        assert_eq!(
            answered(Some(offer), Some(&header)),
            Err(HandshakeError::DeflateAnswerInvalid),
            "{parameters}"
        );
    }
}

#[test]
fn s7_1_1_1_a_server_that_accepts_the_wish_to_forget_says_so() {
    let offer = DeflateOffer { server_no_context_takeover: true, ..PLAIN };
    assert_eq!(answered(Some(offer), Some("permessage-deflate")), Err(HandshakeError::DeflateAnswerInvalid));
    let header = "permessage-deflate; server_no_context_takeover";
    let agreed = answered(Some(offer), Some(header)).unwrap().unwrap();
    assert!(agreed.server_no_context_takeover && !agreed.client_no_context_takeover);
    assert_eq!(answered(Some(PLAIN), Some(header)), Ok(Some(agreed)), "it may do so unasked");
}

#[test]
fn s7_1_1_2_a_client_forgets_if_either_says_so() {
    let offer = DeflateOffer { client_no_context_takeover: true, ..PLAIN };
    let header = "permessage-deflate; client_no_context_takeover";
    for (offer, header, forgets) in [
        (PLAIN, "permessage-deflate", false),
        (PLAIN, header, true),
        (offer, "permessage-deflate", true),
        (offer, header, true),
    ] {
        let agreed = answered(Some(offer), Some(header)).unwrap().unwrap();
        assert_eq!(agreed.client_no_context_takeover, forgets, "{offer}, {header}");
    }
}

#[test]
fn s7_1_2_1_a_server_s_window_is_not_larger_than_was_asked_for() {
    let offer = DeflateOffer { server_max_window_bits: Some(bits(11)), ..PLAIN };
    for (parameters, window) in [
        ("", None),
        ("; server_max_window_bits=12", None),
        ("; server_max_window_bits=11", Some(11)),
        ("; server_max_window_bits=\"8\"", Some(8)),
    ] {
        let agreed = answered(Some(offer), Some(&format!("permessage-deflate{parameters}")));
        let expected = window.ok_or(HandshakeError::DeflateAnswerInvalid);
        assert_eq!(agreed.map(|agreed| agreed.unwrap().server_window_bits()), expected, "{parameters}");
    }
    let unasked = answered(Some(PLAIN), Some("permessage-deflate; server_max_window_bits=12"));
    assert_eq!(unasked.unwrap().unwrap().server_window_bits(), 12);
}

#[test]
fn s7_1_2_2_a_client_s_window_is_given_only_to_one_that_can_be_told_and_not_larger_than_its_own() {
    let at_most_11 = ClientWindow::AtMost(bits(11));
    for (offered, parameters, window) in [
        (ClientWindow::Absent, "", Some(15)),
        (ClientWindow::Absent, "; client_max_window_bits=15", None),
        (ClientWindow::Supported, "", Some(15)),
        (ClientWindow::Supported, "; client_max_window_bits=9", Some(9)),
        (ClientWindow::Supported, "; client_max_window_bits", None),
        (at_most_11, "", Some(11)),
        (at_most_11, "; client_max_window_bits=11", Some(11)),
        (at_most_11, "; client_max_window_bits=10", Some(10)),
        (at_most_11, "; client_max_window_bits=12", None),
        (at_most_11, "; client_max_window_bits", None),
    ] {
        let offer = DeflateOffer { client_max_window_bits: offered, ..PLAIN };
        let agreed = answered(Some(offer), Some(&format!("permessage-deflate{parameters}")));
        let expected = window.ok_or(HandshakeError::DeflateAnswerInvalid);
        assert_eq!(
            agreed.map(|agreed| agreed.unwrap().client_window_bits()),
            expected,
            "{offered:?}{parameters}"
        );
    }
}

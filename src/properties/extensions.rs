//! The laws of what both ends agree on about compression (RFC 6455 §9.1, RFC 7692 §7.1).

use super::connection::{REQUEST, law_limits};
use crate::limits::DEFLATE_OFFERS_MAX;
use crate::protocol::{
    self, Agreement, ClientRequest, ClientWindow, Closure, Connection, Deflate, DeflateOffer, DeflatePolicy,
    Event, HandshakeError, Request, Time, WindowBits,
};

/// What extensions are offered or answered does not depend on how they are written (RFC 6455 §9.1, RFC 7692 §7.1). The
/// first byte chooses what the others are:
///
/// - 0: a request's header as it stands, see [`offers_survive_being_written_again`];
/// - 1: an offer, and the header of a response to it, see [`an_answer_agrees_within_the_offer`];
/// - else: extensions to offer, and how to write them, see [`offers_are_what_a_naive_reader_finds`].
pub fn extensions_mean_one_thing_however_written(bytes: &[u8]) {
    match bytes {
        [] => {}
        [0, rest @ ..] => offers_survive_being_written_again(rest),
        [1, rest @ ..] => an_answer_agrees_within_the_offer(rest),
        [_, rest @ ..] => offers_are_what_a_naive_reader_finds(rest),
    }
}

/// An extension as one would note it down.
type Noted = (&'static str, Vec<(&'static str, Option<&'static str>)>);

/// A server finds the offers of permessage-deflate that a reader would who has maps and strings and is in no hurry:
/// whatever blanks are around, whatever is quoted or escaped, in whatever order the parameters come, and in however many
/// headers.
///
/// The bytes choose the extensions, each a name and parameters, and then, over and over, how to write the next thing.
pub fn offers_are_what_a_naive_reader_finds(bytes: &[u8]) {
    const NAMES: [&str; 4] =
        ["permessage-deflate", "permessage-deflate", "x-webkit-deflate-frame", "Permessage-Deflate"];
    const PARAMETERS: [&str; 6] = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
        "unknown",
        "Server_no_context_takeover",
    ];
    const VALUES: [Option<&str>; 16] = [
        None,
        Some("8"),
        Some("9"),
        Some("10"),
        Some("11"),
        Some("12"),
        Some("13"),
        Some("14"),
        Some("15"),
        None,
        Some("7"),
        Some("16"),
        Some("08"),
        Some("1"),
        Some("150"),
        Some("x"),
    ];
    let mut bytes = bytes.iter().copied();
    let mut choose = |count: usize| usize::from(bytes.next().unwrap_or(0)) % count;
    let extensions: Vec<Noted> = (0..choose(DEFLATE_OFFERS_MAX + 3))
        .map(|_| {
            let (name, count) = (NAMES[choose(NAMES.len())], choose(6));
            let parameters =
                (0..count).map(|_| (PARAMETERS[choose(PARAMETERS.len())], VALUES[choose(VALUES.len())]));
            (name, parameters.collect())
        })
        .collect();
    let styles = bytes.collect::<Vec<_>>();
    let request = requested_with(&write_extensions(&extensions, &styles)).expect("it is a request");
    assert_eq!(request.upgrade, Ok(()));
    let expected = extensions.iter().filter_map(naive_offer).take(DEFLATE_OFFERS_MAX).collect::<Vec<_>>();
    assert_eq!(request.deflate_offers, expected);
}

/// The offer that an extension is, if it is a valid one.
fn naive_offer((name, parameters): &Noted) -> Option<DeflateOffer> {
    let window = |value: &str| -> Option<WindowBits> {
        let bits = value.parse::<u8>().ok().filter(|bits| bits.to_string() == value)?;
        WindowBits::new(bits)
    };
    let given = |name: &str| parameters.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
    let known = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
    ];
    let each_once =
        known.iter().all(|known| parameters.iter().filter(|(name, _)| name == known).count() <= 1);
    let all_known = parameters.iter().all(|(name, _)| known.contains(name));
    let flags_are_bare = known[..2].iter().all(|flag| matches!(given(flag), None | Some(None)));
    if *name != "permessage-deflate" || !each_once || !all_known || !flags_are_bare {
        return None;
    }
    Some(DeflateOffer {
        server_no_context_takeover: given(known[0]).is_some(),
        client_no_context_takeover: given(known[1]).is_some(),
        server_max_window_bits: match given(known[2]) {
            None => None,
            Some(value) => Some(window(value?)?),
        },
        client_max_window_bits: match given(known[3]) {
            None => ClientWindow::Absent,
            Some(None) => ClientWindow::Supported,
            Some(Some(value)) => ClientWindow::AtMost(window(value)?),
        },
    })
}

/// Headers with these extensions. Each of `styles` says how the next thing is written; without any, all is plain.
fn write_extensions(extensions: &[Noted], styles: &[u8]) -> Vec<u8> {
    const BLANKS: [&str; 4] = ["", " ", "\t", " \t  "];
    const HEADERS: [&str; 3] =
        ["Sec-WebSocket-Extensions:", "sec-websocket-extensions:", "SEC-WEBSOCKET-EXTENSIONS: "];
    let mut styles = styles.iter().copied().chain([0]).cycle();
    let mut choose = |count: usize| usize::from(styles.next().unwrap_or(0)) % count;
    let mut headers = HEADERS[choose(HEADERS.len())].to_owned();
    for (index, (name, parameters)) in extensions.iter().enumerate() {
        if index > 0 {
            match choose(4) {
                0 | 1 => headers.push(','),
                2 => headers.push_str(", ,,"),
                _ => {
                    headers.push_str("\r\n");
                    headers.push_str(HEADERS[choose(HEADERS.len())]);
                }
            }
        }
        headers.push_str(BLANKS[choose(BLANKS.len())]);
        headers.push_str(name);
        let mut parameters = parameters.clone();
        let first = choose(parameters.len().max(1));
        parameters.rotate_left(first);
        if choose(2) == 1 {
            parameters.reverse();
        }
        for (name, value) in parameters {
            for part in [BLANKS[choose(BLANKS.len())], ";", BLANKS[choose(BLANKS.len())], name] {
                headers.push_str(part);
            }
            let Some(value) = value else { continue };
            for part in [BLANKS[choose(BLANKS.len())], "=", BLANKS[choose(BLANKS.len())]] {
                headers.push_str(part);
            }
            let is_quoted = choose(2) == 1;
            let quote = if is_quoted { "\"" } else { "" };
            headers.push_str(quote);
            for character in value.chars() {
                if is_quoted && choose(2) == 1 {
                    headers.push('\\');
                }
                headers.push(character);
            }
            headers.push_str(quote);
        }
        headers.push_str(BLANKS[choose(BLANKS.len())]);
    }
    headers.push_str("\r\n");
    headers.into_bytes()
}

/// What a server makes of a request with these headers; `None` if it refuses it at once.
fn requested_with(headers: &[u8]) -> Option<Request> {
    let mut head = [&REQUEST[..REQUEST.len() - 2], headers, b"\r\n"].concat();
    let mut server = Connection::server(law_limits(), Time(0));
    match server.next_event(&mut head.as_mut_slice(), Time(0), &mut Vec::new()) {
        Some(Event::Requested(request)) => Some(*request),
        Some(Event::Closed(Closure::Refused(_))) => None,
        other => panic!("{other:?}"),
    }
}

/// A header's value that ends neither its line nor the head.
fn header(value: &[u8]) -> Vec<u8> {
    let mut header = b"Sec-WebSocket-Extensions: ".to_vec();
    header.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    header.extend_from_slice(b"\r\n");
    header
}

/// Offers that a server finds in a header, written by us, are found again, and each of them can be answered.
pub fn offers_survive_being_written_again(value: &[u8]) {
    let Some(Request { deflate_offers, .. }) = requested_with(&header(value)) else { return };
    assert!(deflate_offers.len() <= DEFLATE_OFFERS_MAX);
    let written = deflate_offers.iter().map(DeflateOffer::to_string).collect::<Vec<_>>().join(", ");
    let again = requested_with(&header(written.as_bytes())).map(|request| request.deflate_offers);
    assert_eq!(again, Some(deflate_offers.clone()));
    for offer in deflate_offers {
        our_client_takes_our_server_s_answer(offer);
    }
}

/// Whatever a client offers, it takes our server's answer, and both have agreed on the same.
pub fn our_client_takes_our_server_s_answer(offer: DeflateOffer) {
    for client_context_takeover in [false, true] {
        let agreed = protocol::first_acceptable(&[offer], &DeflatePolicy { client_context_takeover });
        let agreement = Agreement { deflate: agreed, ..Agreement::default() };
        assert_eq!(answered_with(offer, agreement, b""), Ok(agreed), "{offer}");
        // What is compressed once is right for everybody, or for everybody with the small window.
        let window = offer.server_max_window_bits.map_or(WindowBits::MAX, WindowBits::get);
        assert_eq!(agreed.is_some(), window > WindowBits::MIN);
        if let Some(agreed) = agreed {
            assert!(agreed.server_no_context_takeover);
            assert!(agreed.client_no_context_takeover || client_context_takeover);
            assert!([9, 15].contains(&agreed.server_window_bits()) && agreed.server_window_bits() <= window);
        }
    }
}

/// What a client agrees on with a server that answers an offer by this agreement, and by `headers` besides.
fn answered_with(
    offer: DeflateOffer,
    agreement: Agreement,
    headers: &[u8],
) -> Result<Option<Deflate>, HandshakeError> {
    let (mut request, mut response) = (Vec::new(), Vec::new());
    let client_request = ClientRequest::new("server.example.com", "/chat").expect("it is a request");
    let client_request = client_request.with_deflate(offer);
    let mut client = Connection::client(law_limits(), client_request, [7; 32], Time(0), &mut request);
    let mut server = Connection::server(law_limits(), Time(0));
    let requested = server.next_event(&mut request.as_mut_slice(), Time(0), &mut response);
    assert!(
        matches!(&requested, Some(Event::Requested(request)) if request.deflate_offers == [offer]),
        "{requested:?}"
    );
    server.accept(agreement, Time(0), &mut response);
    response.truncate(response.len() - 2);
    response.extend_from_slice(headers);
    response.extend_from_slice(b"\r\n");
    match client.next_event(&mut response.as_mut_slice(), Time(0), &mut Vec::new()) {
        Some(Event::Accepted(agreement)) => Ok(agreement.deflate),
        Some(Event::Closed(Closure::Refused(error))) => Err(error),
        other => panic!("{other:?}"),
    }
}

/// Whatever a server answers, a client agrees on nothing that it did not offer (RFC 7692 §7.1). The first bytes are the
/// offer, the others the header's value.
pub fn an_answer_agrees_within_the_offer(bytes: &[u8]) {
    let [switches, server_bits, client_bits, ref value @ ..] = *bytes else { return };
    let offer = DeflateOffer {
        server_no_context_takeover: switches & 1 != 0,
        client_no_context_takeover: switches & 2 != 0,
        server_max_window_bits: WindowBits::new(server_bits),
        client_max_window_bits: match WindowBits::new(client_bits) {
            Some(bits) => ClientWindow::AtMost(bits),
            None if switches & 4 != 0 => ClientWindow::Supported,
            None => ClientWindow::Absent,
        },
    };
    let Ok(Some(agreed)) = answered_with(offer, Agreement::default(), &header(value)) else { return };
    assert!(agreed.server_no_context_takeover >= offer.server_no_context_takeover);
    assert!(agreed.client_no_context_takeover >= offer.client_no_context_takeover);
    if let Some(offered) = offer.server_max_window_bits {
        assert!(agreed.server_max_window_bits.is_some_and(|agreed| agreed <= offered));
    }
    match offer.client_max_window_bits {
        ClientWindow::Absent => assert_eq!(agreed.client_max_window_bits, None),
        ClientWindow::Supported => {}
        ClientWindow::AtMost(offered) => {
            assert!(agreed.client_max_window_bits.is_some_and(|agreed| agreed <= offered));
        }
    }
    // Written by us, the answer means the same.
    let agreement = Agreement { deflate: Some(agreed), ..Agreement::default() };
    assert_eq!(answered_with(offer, agreement, b""), Ok(Some(agreed)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn rfc7692_s7_1_every_offer_that_there_is_can_be_answered() {
        let windows = || (WindowBits::MIN..=WindowBits::MAX).map(WindowBits::new);
        let client_windows = || {
            windows()
                .flatten()
                .map(ClientWindow::AtMost)
                .chain([ClientWindow::Absent, ClientWindow::Supported])
        };
        for (server_no_context_takeover, client_no_context_takeover) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            for server_max_window_bits in windows().chain([None]) {
                for client_max_window_bits in client_windows() {
                    our_client_takes_our_server_s_answer(DeflateOffer {
                        server_no_context_takeover,
                        client_no_context_takeover,
                        server_max_window_bits,
                        client_max_window_bits,
                    });
                }
            }
        }
    }

    /// The beginning of a law's bytes: extensions, mostly permessage-deflate with parameters that it may have.
    fn noted_extensions() -> impl Strategy<Value = Vec<u8>> {
        let parameters = vec((0..6_u8, 0..16_u8, 0..12_u8), 0..5).prop_map(|mut parameters| {
            let careless = parameters.first().is_some_and(|(_, _, odd)| *odd == 0);
            if !careless {
                // Each once, and flags without a value.
                parameters.retain(|(name, _, _)| *name < 4);
                parameters.sort_unstable();
                parameters.dedup_by_key(|(name, _, _)| *name);
            }
            let value = |name, value| match name {
                0 | 1 if !careless => 0,
                2 if !careless => 1 + value % 8,
                _ => value,
            };
            let count = parameters.len() as u8;
            let pairs = parameters.into_iter().flat_map(|(name, bits, _)| [name, value(name, bits)]);
            [count].into_iter().chain(pairs).collect::<Vec<_>>()
        });
        let extension =
            (0..6_u8, parameters).prop_map(|(name, parameters)| [vec![name], parameters].concat());
        vec(extension, 0..DEFLATE_OFFERS_MAX + 3)
            .prop_map(|extensions| [vec![extensions.len() as u8], extensions.concat()].concat())
    }

    /// The value of a Sec-WebSocket-Extensions header, mostly right.
    fn extensions() -> impl Strategy<Value = String> {
        let flags = "(; ?(server|client)_no_context_takeover)?";
        let windows = "(; ?(server|client)_max_window_bits( ?=(\"?[89]\"?|1[0-6]|[a-z ]))?)?";
        let element = format!("permessage-deflate{flags}{flags}{windows}{windows}(; x)?|[ -~]{{0,12}}");
        let element = proptest::string::string_regex(&element).expect("it is a regular expression");
        vec(element, 1..3).prop_map(|elements| elements.join(", "))
    }

    proptest! {
        #[test]
        fn rfc7692_s7_1_offers(noted in noted_extensions(), styles in vec(any::<u8>(), 0..100)) {
            offers_are_what_a_naive_reader_finds(&[noted, styles].concat());
        }

        #[test]
        fn rfc7692_s7_1_offers_from_bytes(value in extensions()) {
            offers_survive_being_written_again(value.as_bytes());
        }

        #[test]
        fn rfc7692_s7_1_answers(switches: u8, server_bits in 7..17_u8, client_bits in 7..17_u8, value in extensions()) {
            let bytes = [&[switches, server_bits, client_bits], value.as_bytes()].concat();
            an_answer_agrees_within_the_offer(&bytes);
        }
    }
}

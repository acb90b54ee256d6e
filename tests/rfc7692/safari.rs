//! §7.1.1.2, and the browsers that do not obey it: <https://github.com/uNetworking/uWebSockets/issues/1347>.

use crate::peer::{Peer, REQUEST, Seen};
use fanwire::limits::Limits;

/// Whether offers of this browser are looked at.
fn is_offered(user_agent: &str) -> bool {
    let mut head = REQUEST[..REQUEST.len() - 2].to_vec();
    head.extend_from_slice(b"Sec-WebSocket-Extensions: permessage-deflate\r\nUser-Agent: ");
    head.extend_from_slice(user_agent.as_bytes());
    head.extend_from_slice(b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    let seen = Peer::connecting_server(Limits::default()).receive(&head);
    let [Seen::Requested(request)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(request.upgrade, Ok(()), "{user_agent}");
    !request.deflate_offers.is_empty()
}

fn safari_on_a_mac(version: &str) -> String {
    format!(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Version/{version} Safari/605.1.15"
    )
}

fn on_an_iphone(system: &str, browser: &str) -> String {
    format!(
        "Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) {browser}"
    )
}

#[test]
fn s7_1_1_2_safari_15_0_to_15_3_gets_no_compression() {
    for version in ["15.0", "15.1", "15.2", "15.2.1", "15.3"] {
        assert!(!is_offered(&safari_on_a_mac(version)), "{version}");
    }
    for version in ["5.15.1", "14.1.2", "15.4", "15.6.1", "15.10", "15.30", "16.0", "16.3", "115.0", "26.0"] {
        assert!(is_offered(&safari_on_a_mac(version)), "{version}");
    }
}

#[test]
fn s7_1_1_2_nor_does_any_browser_on_ios_15_0_to_15_3() {
    for browser in [
        "Version/15.1 Mobile/15E148 Safari/604.1",
        "CriOS/96.0.4664.53 Mobile/15E148 Safari/604.1",
        "FxiOS/39.0 Mobile/15E148 Safari/605.1.15",
        "Mobile/15E148",
    ] {
        for system in ["15_0", "15_1_1", "15_2", "15_3_1"] {
            assert!(!is_offered(&on_an_iphone(system, browser)), "{system}, {browser}");
        }
    }
    for system in ["14_8", "15_4", "15_4_1", "15_8", "15_10", "16_1", "18_6", "115_1"] {
        let browser = "CriOS/96.0.4664.53 Mobile/15E148 Safari/604.1";
        assert!(is_offered(&on_an_iphone(system, browser)), "{system}");
    }
    let on_an_ipad = "Mozilla/5.0 (iPad; CPU OS 15_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
        FxiOS/39.0 Mobile/15E148 Safari/605.1.15";
    assert!(!is_offered(on_an_ipad));
}

#[test]
fn s7_1_1_2_others_do() {
    for user_agent in [
        "",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:96.0) Gecko/20100101 Firefox/96.0",
        "Mozilla/5.0 (Linux; Android 11; SM-A405FN) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/97.0.4692.87 \
         Mobile Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_2) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Opera/9.80 (X11; Linux x86_64) Presto/2.12.388 Version/15.1",
        "Python/3.12 websockets/15.0.1",
        "Version/15.",
        " OS 15_",
        " OS 15_1",
        "caf\u{e9} Version/15.1",
    ] {
        assert!(is_offered(user_agent), "{user_agent}");
    }
}

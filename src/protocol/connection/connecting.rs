//! [`Connecting`] and [`Awaiting`]: the opening handshake, from its first byte to the decision (RFC 6455 §4).

use crate::protocol::client_handshake::{Answer, Expectation};
use crate::protocol::error::HandshakeError;
use crate::protocol::handshake::{self, AcceptKey, Method, Request};
use crate::protocol::head::{HeadKind, HeadReader};
use crate::protocol::time::Time;

#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) since: Time,
    pub(super) head: HeadReader,
    /// Client role: what the response must match.
    pub(super) expectation: Option<Expectation>,
    /// Server role: what proxies have added to the request is kept.
    pub(super) keeps_forwarding: bool,
}

#[derive(Debug)]
pub(super) struct Awaiting {
    pub(super) since: Time,
    /// What the 101 will say, or why there must be none.
    pub(super) upgrade: Result<AcceptKey, HandshakeError>,
    pub(super) method: Method,
    /// What came behind the request head.
    pub(super) held: Vec<u8>,
}

impl Connecting {
    /// The request, once its head is whole. If it is refused, the error, and whether the response has a body: "the server MUST
    /// NOT send content in the response" to HEAD (RFC 9110 §9.3.2).
    pub(super) fn read_request(
        &mut self,
        input: &mut &mut [u8],
    ) -> Result<Option<(Request, Awaiting)>, (HandshakeError, bool)> {
        let Some(head) = self.head.read(input).map_err(|error| (error, true))? else { return Ok(None) };
        let (request, accept_key) = handshake::parse_request(&head, self.keeps_forwarding)
            .map_err(|error| (error, !head.trim_ascii_start().starts_with(b"HEAD ")))?;
        let upgrade = request.upgrade.and(accept_key.ok_or(HandshakeError::UpgradeMissing));
        let awaiting = Awaiting { since: self.since, upgrade, method: request.method, held: Vec::new() };
        Ok(Some((request, awaiting)))
    }

    pub(super) fn read_response(&mut self, input: &mut &mut [u8]) -> Result<Option<Answer>, HandshakeError> {
        let Some(expectation) = &self.expectation else { return Ok(None) };
        loop {
            let Some(head) = self.head.read(input)? else { return Ok(None) };
            match expectation.check(&head)? {
                Answer::Interim => self.head = HeadReader::new(HeadKind::Response),
                answer => return Ok(Some(answer)),
            }
        }
    }
}

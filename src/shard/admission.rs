//! Who may come in, and what it may then: a request's token, weighed against the rules of its channel.
//!
//! A token is checked once, in the opening handshake. What it lets its bearer do in the one channel that the connection is
//! for stays with the client as [`Credentials`], and with them the time at which they end: then it is closed with 3000.
//! A token comes in the Authorization header, in the query or among the subprotocols. Nothing of it is kept or logged.

use super::Shard;
use super::client::Client;
use super::deadlines::Instant;
use crate::auth::{Claims, Keys};
use crate::config::{Access, ChannelSettings, Config};
use crate::dialect::Terms;
use crate::hub::ClientKey;
use crate::limits;
use crate::protocol::{Authorization, CloseCode, CloseReason, Request, Response, Status, Time};
use std::sync::Arc;

/// The subprotocol that stands for whatever the path names, for clients that have to agree on one.
pub(super) const SUBPROTOCOL: &str = "fanwire";

/// What a token stands behind among the subprotocols.
const TOKEN_SUBPROTOCOL: &str = "fanwire.token.";

/// Who bears a client's token, and what that lets it do in the client's channel.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The token's `sub`.
    pub user: Arc<str>,
    /// The second of Unix time at which they end.
    expires: u64,
    /// When to look at the clock on the wall next; never, once they have ended.
    look_at: Instant,
    /// Its `publish` names the client's channel.
    pub may_publish: bool,
}

impl Credentials {
    /// When to look at the clock on the wall next.
    pub(super) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Bytes of memory that they take.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Credentials>() + 2 * size_of::<usize>() + self.user.len()
    }
}

/// What is known of those who come in, at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door<'s> {
    /// With what tokens are checked. If absent nobody is asked for one.
    pub keys: Option<&'s Keys>,
    /// The time on the wall.
    pub unix_seconds: u64,
    /// What the operator chose.
    pub config: &'s Config,
}

impl Door<'_> {
    /// Lets a request subscribe to a channel, if it may. Returns what its token says, if it has one.
    ///
    /// # Errors
    /// The response that refuses it: 400, 401 or 403, with the reason.
    pub(super) fn enter(&self, request: &Request, channel: &str) -> Result<Option<Claims>, Response> {
        let claims = self.claims(request)?;
        let access = self.config.channels.subscribe_for(channel).unwrap_or(self.access_default());
        match (access, &claims) {
            (Access::Nobody, _) => Err(forbidden("nobody may listen in this channel\n")),
            (Access::Token, None) => Err(unauthorized("a token is needed in this channel\n")),
            (Access::Token, Some(claims)) if !claims.subscribe.cover(channel) => {
                Err(forbidden("the token's subscribe does not name this channel\n"))
            }
            (Access::Token, Some(_)) | (Access::Anyone, _) => Ok(claims),
        }
    }

    /// Lets a request come in where there is no channel, if it may. Returns what its token says, if it has one.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(super) fn enter_without_channel(&self, request: &Request) -> Result<Option<Claims>, Response> {
        let claims = self.claims(request)?;
        if self.keys.is_some() && claims.is_none() {
            return Err(unauthorized("a token is needed here\n"));
        }
        Ok(claims)
    }

    /// What a request's token says, if it has one and anybody asks.
    fn claims(&self, request: &Request) -> Result<Option<Claims>, Response> {
        let Some(keys) = self.keys else { return Ok(None) };
        let Some(token) = token(request)? else { return Ok(None) };
        keys.verify(token, self.unix_seconds).map(Some).map_err(|refusal| {
            // RFC 6750 §3.1. The sentence is one of ours: it has nothing that would end the quotes.
            let challenge =
                format!("Bearer realm=\"fanwire\", error=\"invalid_token\", error_description=\"{refusal}\"");
            Response::text(Status::UNAUTHORIZED, format!("{refusal}\n"))
                .with_header("WWW-Authenticate", challenge)
        })
    }

    /// Who may do something in a channel of which no rule says that.
    pub(super) fn access_default(&self) -> Access {
        if self.keys.is_some() { Access::Token } else { Access::Anyone }
    }
}

/// The one token of a request, if it has any.
fn token(request: &Request) -> Result<Option<&str>, Response> {
    let in_header = match &request.authorization {
        Authorization::Bearer(token) => Some(&**token),
        Authorization::Absent | Authorization::Other => None,
        Authorization::Several => return Err(ambiguous("more than one Authorization header\n")),
    };
    let offered = request.subprotocols.iter();
    let in_subprotocols = offered.filter_map(|subprotocol| subprotocol.strip_prefix(TOKEN_SUBPROTOCOL));
    let mut tokens = in_header.into_iter().chain(request.query_values("token")).chain(in_subprotocols);
    let first = tokens.next();
    if tokens.any(|token| Some(token) != first) {
        return Err(ambiguous("two different tokens: give one\n"));
    }
    Ok(first)
}

fn ambiguous(body: &'static str) -> Response {
    Response::text(Status::BAD_REQUEST, body)
        .with_header("WWW-Authenticate", "Bearer realm=\"fanwire\", error=\"invalid_request\"")
}

/// RFC 6750 §3.1: who has not tried is not told of an error.
fn unauthorized(body: &'static str) -> Response {
    Response::text(Status::UNAUTHORIZED, body).with_header("WWW-Authenticate", "Bearer realm=\"fanwire\"")
}

fn forbidden(body: &'static str) -> Response {
    Response::text(Status::FORBIDDEN, body)
        .with_header("WWW-Authenticate", "Bearer realm=\"fanwire\", error=\"insufficient_scope\"")
}

impl Shard {
    /// The shard with keys with which clients' tokens are checked.
    #[must_use]
    pub fn with_keys(mut self, keys: Option<Arc<Keys>>) -> Shard {
        self.keys = keys;
        self
    }

    /// Whether tokens are checked, or were: then the shard wants to [be told](Self::tell_unix_ms) the time on the wall at the
    /// beginning of each turn.
    pub fn uses_tokens(&self) -> bool {
        self.keys.is_some() || self.unix_ms > 0
    }

    /// The time on the wall is so many milliseconds since 1970.
    pub fn tell_unix_ms(&mut self, unix_ms: u64) {
        self.unix_ms = unix_ms;
    }

    /// Tokens are checked with other keys from now on, or no more. Who is in stays in, until its token expires, and has its
    /// rights by that token still, which is not checked again.
    pub fn change_keys(&mut self, keys: Option<Arc<Keys>>) {
        self.keys = keys;
    }

    /// What is known of those who come in.
    pub(super) fn door(&self) -> Door<'_> {
        Door { keys: self.keys.as_deref(), unix_seconds: self.unix_ms / 1000, config: &self.place.config }
    }

    /// What is taken of a client's publications in its channel.
    pub(super) fn terms(&self, key: ClientKey) -> Terms {
        let membership = self.clients.get(key).and_then(|client| client.membership);
        let channel = membership.and_then(|membership| self.subscriptions.get(membership.channel));
        let settings = channel.map_or_else(ChannelSettings::default, |channel| channel.settings);
        let payload = settings.payload.unwrap_or(self.place.config.payload);
        match settings.publish.unwrap_or(self.door().access_default()) {
            Access::Anyone => Terms::Publish(payload),
            Access::Token => match self.clients.get(key).and_then(Client::credentials) {
                Some(credentials) if credentials.may_publish => Terms::Publish(payload),
                Some(_) => {
                    Terms::Refuse("you may not publish in this channel: the token's publish does not name it")
                }
                None => Terms::Refuse("you may not publish in this channel without a token"),
            },
            Access::Nobody => Terms::Refuse("nobody may publish in this channel"),
        }
    }

    /// Notes who a client is, if its token says so, and what that lets it do in its channel, if it has one.
    pub(super) fn note_claims(
        &mut self,
        key: ClientKey,
        claims: Option<Claims>,
        channel: Option<&str>,
        now: Time,
    ) {
        let Some(Claims { user, expires, publish, .. }) = claims else { return };
        let look_at = next_look(self.deadlines.instant(now), self.unix_ms, expires);
        let may_publish = channel.is_some_and(|name| publish.cover(name));
        if let Some(client) = self.clients.get_mut(key) {
            client.account.get_or_insert_default().credentials =
                Some(Credentials { user, expires, look_at, may_publish });
        }
    }

    /// Looks at the clock on the wall for a client whose token may have expired, and closes it if it has.
    pub(super) fn expire_credentials(&mut self, key: ClientKey, now: Time) {
        let (instant, unix_ms) = (self.deadlines.instant(now), self.unix_ms);
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(credentials) = client.credentials_mut() else { return };
        if credentials.look_at > instant {
            return;
        }
        if unix_ms < credentials.expires.saturating_mul(1000) {
            credentials.look_at = next_look(instant, unix_ms, credentials.expires);
            return;
        }
        credentials.look_at = Instant::NEVER;
        self.counters.tokens_expired.add(1);
        self.dismiss(key, now);
    }

    /// Closes a client whose token has expired, with 3000. What lies in its log is not for it any more.
    fn dismiss(&mut self, key: ClientKey, now: Time) {
        let Some(client) = self.clients.get(key) else { return };
        if client.connection.is_over() {
            return;
        }
        if !client.connection.is_open() {
            return self.respond(key, &unauthorized("the token has expired\n"), now);
        }
        let reason = "the token has expired";
        tracing::debug!(client = %self.id_of(key), reason, "dismissed");
        self.close(key, CloseCode::UNAUTHORIZED, &CloseReason::new(reason), now);
    }
}

/// When to look at the clock on the wall: when it should have come to `expires`, but it may have been set by then.
fn next_look(now: Instant, unix_ms: u64, expires: u64) -> Instant {
    let left_ms = expires.saturating_mul(1000).saturating_sub(unix_ms);
    now.plus(left_ms.min(limits::TOKEN_LOOK_MS) as u32)
}

impl Client {
    /// Who speaks, for its dialect.
    pub(super) fn user(&self) -> Option<&str> {
        self.credentials().map(|credentials| &*credentials.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::mail::{Answer, Question, Ticket};
    use crate::shard::trial;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// The time on the wall when the shard's time is 0.
    const UNIX_MS: u64 = 1_000_400;

    fn keys() -> Arc<Keys> {
        let mut keys = Keys::default();
        keys.add_secret(SECRET).expect("long enough");
        Arc::new(keys)
    }

    fn shard(keys: Option<Arc<Keys>>) -> Shard {
        let mut shard = trial::shard(Config::default()).with_keys(keys);
        shard.tell_unix_ms(UNIX_MS);
        shard
    }

    /// A client in a channel, with a token until `exp` that lets it listen there.
    fn client(shard: &mut Shard, exp: Option<u64>) -> ClientKey {
        let query = exp.map_or(String::new(), |exp| {
            let claims = json!({"sub": "ann", "exp": exp, "subscribe": "*"});
            let key = EncodingKey::from_secret(SECRET);
            format!(
                "?token={}",
                jsonwebtoken::encode(&Header::default(), &claims, &key).expect("it is signed")
            )
        });
        let key = trial::asking(shard, &format!("/ws{query}"), Time(0));
        shard.check_invariants();
        key
    }

    /// Whether a client is open when so many milliseconds have passed, by the clock on the wall this many more.
    fn is_open_after(shard: &mut Shard, key: ClientKey, ms: u32, set_by_ms: i64) -> bool {
        shard.tell_unix_ms((UNIX_MS + u64::from(ms)).saturating_add_signed(set_by_ms));
        shard.expire(Time(ms));
        shard.check_invariants();
        shard.clients.get(key).is_some_and(|client| client.connection.is_open())
    }

    #[test]
    fn a_client_is_closed_in_the_millisecond_in_which_its_token_ends() {
        let mut shard = shard(Some(keys()));
        let key = client(&mut shard, Some(1_010));
        assert_eq!(shard.ms_to_next_deadline(), Some(9_600));
        assert!(is_open_after(&mut shard, key, 9_599, 0));
        assert_eq!(shard.ms_to_next_deadline(), Some(1));
        assert!(!is_open_after(&mut shard, key, 9_600, 0));
        assert_eq!(shard.counters().tokens_expired.get(), 1);
        assert!(shard.subscribed().next().is_none(), "it has left its channel");
    }

    #[test]
    fn a_token_that_has_ended_already_opens_nothing() {
        let mut shard = shard(Some(keys()));
        let key = client(&mut shard, Some(UNIX_MS / 1000 / 2));
        assert!(!is_open_after(&mut shard, key, 0, 0));
        assert_eq!(shard.subscribed().count(), 0);
    }

    #[test]
    fn the_time_on_the_wall_is_of_use_while_there_are_keys_and_once_it_was_told() {
        let mut shard = trial::shard(Config::default());
        assert!(!shard.uses_tokens());
        shard.tell_unix_ms(1);
        assert!(shard.uses_tokens(), "there may be tokens of keys that were taken away");
        assert!(trial::shard(Config::default()).with_keys(Some(keys())).uses_tokens());
    }

    #[test]
    fn what_is_known_of_a_client_counts_as_what_it_holds() {
        let mut shard = shard(Some(keys()));
        let ann = client(&mut shard, Some(2_000));
        trial::flush(&mut shard, |_| usize::MAX);
        let client = shard.clients.get(ann).expect("it is there");
        let bytes = client.credentials().map(Credentials::held_bytes).expect("it had a token");
        // The name, and the two counts that stand before what is shared.
        assert_eq!(bytes, size_of::<Credentials>() + 16 + "ann".len());
        assert!(shard.bytes_retained() >= bytes as u64);
    }

    #[test]
    fn a_clock_that_was_set_back_gives_a_token_that_much_longer() {
        let mut shard = shard(Some(keys()));
        let key = client(&mut shard, Some(1_010));
        assert!(is_open_after(&mut shard, key, 9_600, -5_000));
        assert!(is_open_after(&mut shard, key, 14_599, -5_000));
        assert!(!is_open_after(&mut shard, key, 14_600, -5_000));
    }

    #[test]
    fn a_clock_that_was_put_forward_is_noticed_within_a_minute() {
        let mut shard = shard(Some(keys()));
        let key = client(&mut shard, Some(u64::MAX / 1000));
        assert!(is_open_after(&mut shard, key, 60_000, 0), "the end of time is no overflow");
        let key = client(&mut shard, Some(1_000_000));
        let day_ms = 24 * 60 * 60 * 1000;
        assert!(is_open_after(&mut shard, key, 60_001, 0));
        assert!(!is_open_after(&mut shard, key, 120_001, 20 * day_ms));
    }

    #[test]
    fn an_operator_sees_who_a_client_is_and_that_it_may_not_publish() {
        let mut shard = shard(Some(keys()));
        let ann = client(&mut shard, Some(2_000));
        shard.ask(Ticket(1), Question::Client { client: ann }, Time(0));
        let answered = shard.take_answer().expect("an answer");
        let Answer::Client(Some(facts)) = answered.answer else { panic!("{answered:?}") };
        assert_eq!((facts.user.as_deref(), facts.may_publish), (Some("ann"), false));
    }

    #[test]
    fn keys_that_are_taken_away_open_the_channels_and_new_ones_close_them_but_nobody_is_closed() {
        let mut shard = shard(Some(keys()));
        let ann = client(&mut shard, Some(2_000));
        let may_publish = |shard: &Shard, key| matches!(shard.terms(key), Terms::Publish(_));
        assert!(!may_publish(&shard, ann), "her token does not say so");
        shard.change_keys(None);
        let nobody = client(&mut shard, None);
        assert!(may_publish(&shard, ann) && may_publish(&shard, nobody));
        shard.change_keys(Some(keys()));
        shard.check_invariants();
        assert!(!may_publish(&shard, ann) && !may_publish(&shard, nobody));
        assert!(is_open_after(&mut shard, ann, 0, 0) && is_open_after(&mut shard, nobody, 0, 0));
        let late = client(&mut shard, None);
        assert!(!is_open_after(&mut shard, late, 0, 0), "who comes now is asked");
    }

    #[test]
    fn a_token_of_a_key_that_is_no_longer_trusted_lasts_until_it_expires() {
        let mut shard = shard(Some(keys()));
        let ann = client(&mut shard, Some(1_010));
        let mut others = Keys::default();
        others.add_secret(&[b'x'; 32]).expect("long enough");
        shard.change_keys(Some(Arc::new(others)));
        let late = client(&mut shard, Some(1_010));
        assert!(!is_open_after(&mut shard, late, 0, 0), "nobody comes in with it any more");
        assert!(is_open_after(&mut shard, ann, 9_599, 0));
        assert!(!is_open_after(&mut shard, ann, 9_600, 0));
    }
}

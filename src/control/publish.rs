//! Publishing by the admin API: one message, or a batch.
//!
//! A message goes to its channel's home, which gives it its place among all others there: subscribers see one order. What
//! an operator publishes is taken as it is; `--payload` is for clients.

use super::channels::{self, Position};
use super::plane::Plane;
use super::refusal::{Problem, Refusal};
use super::requests::{self, Rest};
use crate::hub::{ChannelName, ShardId, home_of};
use crate::limits;
use crate::protocol::Kind;
use crate::shard::mail::{Answer, Question};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::str;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;

/// What became of a publication.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// The channel.
    channel: String,
    /// Its place in the channel. None if nobody listens: then there is no channel, and it is gone.
    position: Option<Position>,
    /// Who listens. None if a worker did not say in time; it is published all the same.
    subscribers: Option<u64>,
    /// For how many of them it is on its way.
    enqueued: Option<u64>,
    /// How many of them lag so far, by more than half of the outbox limit, that they may not get it.
    dropped: Option<u64>,
}

/// Messages to be published together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// In this order.
    #[schema(value_type = Vec<BatchMessage>)]
    messages: Few<BatchMessage>,
}

/// A message, and where it goes. It has one of `channel` and `channels`, and one of `text`, `json` and `base64`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchMessage {
    /// The channel.
    channel: Option<String>,
    /// The channels.
    #[schema(value_type = Option<Vec<String>>)]
    channels: Option<Few<String>>,
    /// Its text.
    text: Option<String>,
    /// JSON of any kind, published as a text as it stands here.
    #[serde(default, deserialize_with = "as_it_stands")]
    #[schema(value_type = Option<utoipa::gen::serde_json::Value>)]
    json: Option<Box<RawValue>>,
    /// A binary message.
    base64: Option<String>,
}

/// What stands in a list, but no more of it than shows that it is too long: what is small in JSON may be large in memory.
#[derive(Debug)]
struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Few<T>, D::Error> {
        deserializer.deserialize_seq(FewOf(PhantomData))
    }
}

/// Reads a [`Few`].
struct FewOf<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewOf<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T>, A::Error> {
        let mut few = Vec::new();
        while few.len() <= limits::ADMIN_BATCH_MAX {
            let Some(next) = list.next_element()? else { return Ok(Few(few)) };
            few.push(next);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Few(few))
    }
}

/// `null` is JSON too.
fn as_it_stands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchResult {
    /// One for each message and channel, in their order.
    results: Vec<Published>,
}

/// A publication that has been checked.
struct Publication {
    channel: ChannelName,
    kind: Kind,
    payload: Vec<u8>,
}

/// Publish one message
///
/// `text/plain` and `application/json` are published as a text message, `application/octet-stream` as a binary one,
/// byte for byte.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/messages", tag = "messages",
    params(("channel" = String, Path, description = "The channel's name; slashes may stand as they are")),
    request_body(content((String = "text/plain"), (serde_json::Value = "application/json"), (String = "application/octet-stream"))),
    responses(
        (status = 200, description = "It has its place, or nobody listens", body = Published),
        (status = 400, description = "The channel's name or the body is wrong", body = Problem),
        (status = 413, description = "It is longer than a message may be", body = Problem),
        (status = 415, description = "The body is of another kind", body = Problem),
        (status = 503, description = "The server is short of memory, or a worker does not answer in time", body = Problem),
    )
)]
pub(super) async fn one(
    State(plane): State<Arc<Plane>>,
    Rest(rest): Rest,
    request: Request,
) -> Result<Json<Published>, Refusal> {
    let until = last_moment();
    // What is not there is no place to post to.
    let Some(name) = rest.strip_suffix("/messages") else { return Err(Refusal::method("GET, HEAD")) };
    let channel = requests::channel(name)?;
    let (media_type, charset) = requests::media_type(request.headers())?;
    if charset.is_some_and(|charset| charset != "utf-8" && charset != "us-ascii") {
        return Err(unsupported("the charset is not UTF-8"));
    }
    let kind = match &*media_type {
        "text/plain" | "application/json" => Kind::Text,
        "application/octet-stream" => Kind::Binary,
        _ => return Err(unsupported("the body is of a kind that this does not take")),
    };
    let payload = requests::body(request, plane.message_bytes_max()).await?;
    if media_type == "application/json"
        && let Err(error) = serde_json::from_slice::<&RawValue>(&payload)
    {
        return Err(Refusal::bad_request(format!("the body is not JSON: {error}")));
    }
    if kind == Kind::Text && str::from_utf8(&payload).is_err() {
        return Err(Refusal::bad_request("the body is not UTF-8").fix("send application/octet-stream"));
    }
    plane.check_message_bytes(payload.len())?;
    let publication = Publication { channel, kind, payload: payload.into() };
    publish(&plane, vec![publication], until)
        .await?
        .pop()
        .map(Json)
        .ok_or_else(|| Refusal::unavailable("nobody answered"))
}

fn unsupported(error: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
        .fix("send Content-Type: text/plain, application/json or application/octet-stream")
}

/// Publish many messages
///
/// All of them are checked before the first is published: a batch with a mistake publishes nothing.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", request_body = Batch,
    responses(
        (status = 200, description = "What became of each", body = BatchResult),
        (status = 400, description = "The body is not JSON", body = Problem),
        (status = 413, description = "A message, or all together, are longer than they may be", body = Problem),
        (status = 415, description = "The body does not say that it is JSON", body = Problem),
        (status = 422, description = "A message is not as it must be; nothing was published", body = Problem),
        (status = 503, description = "The server is short of memory, a worker does not answer in time, or it takes too long; it says how much was published", body = Problem),
    )
)]
pub(super) async fn batch(
    State(plane): State<Arc<Plane>>,
    request: Request,
) -> Result<Json<BatchResult>, Refusal> {
    let until = last_moment();
    let headers = request.headers().clone();
    let body = requests::body(request, batch_bytes_max(plane.message_bytes_max())).await?;
    let Batch { messages: Few(messages) } = requests::json(&headers, &body)?;
    let publications = publications(messages, |payload_bytes| plane.check_message_bytes(payload_bytes))?;
    Ok(Json(BatchResult { results: publish(&plane, publications, until).await? }))
}

/// Bytes that a batch's body may have where a message may have so many.
fn batch_bytes_max(message_bytes_max: usize) -> usize {
    // Base64 has four bytes for three, JSON's escapes up to six for one; what a batch may have is more than one message.
    let payload_bytes_max = (limits::ADMIN_BATCH_BYTES_MAX.max(message_bytes_max) / 3).saturating_mul(4);
    payload_bytes_max.saturating_add(limits::ADMIN_BATCH_ENVELOPE_BYTES)
}

/// Reads a batch.
///
/// # Errors
/// The first thing that is wrong, with the number of its message.
fn publications(
    messages: Vec<BatchMessage>,
    check_bytes: impl Fn(usize) -> Result<(), Refusal>,
) -> Result<Vec<Publication>, Refusal> {
    let check_number = |publications: usize| {
        let max = limits::ADMIN_BATCH_MAX;
        if publications <= max {
            return Ok(());
        }
        Err(Refusal::too_large(format!(
            "the batch has more than {max} messages, each counted for each of its channels"
        )))
    };
    check_number(messages.len())?;
    let mut publications = Vec::new();
    let mut bytes = 0_usize;
    for (number, message) in messages.into_iter().enumerate() {
        let wrong = |error: &str| {
            Refusal::unprocessable(format!("messages[{number}]: {error}; nothing was published"))
        };
        let BatchMessage { channel, channels, text, json, base64 } = message;
        let (kind, payload) = match (text, json, base64) {
            (Some(text), None, None) => (Kind::Text, text.into_bytes()),
            (None, Some(json), None) => (Kind::Text, Box::<str>::from(json).into_string().into_bytes()),
            (None, None, Some(base64)) => {
                (Kind::Binary, STANDARD.decode(base64).map_err(|_| wrong("its base64 is wrong"))?)
            }
            _ => return Err(wrong("it must have one of text, json and base64")),
        };
        check_bytes(payload.len())?;
        let names = match (channel, channels) {
            (Some(name), None) => vec![name],
            (None, Some(Few(names))) => names,
            _ => return Err(wrong("it must have one of channel and channels")),
        };
        check_number(publications.len() + names.len())?;
        bytes = bytes.saturating_add(payload.len().saturating_mul(names.len()));
        if bytes > limits::ADMIN_BATCH_BYTES_MAX && (number > 0 || names.len() > 1) {
            return Err(Refusal::too_large(format!(
                "all messages together have more than {} bytes, each counted for each of its channels",
                limits::ADMIN_BATCH_BYTES_MAX
            )));
        }
        for name in names {
            let channel = ChannelName::new(&name).map_err(|error| wrong(&error.to_string()))?;
            publications.push(Publication { channel, kind, payload: payload.clone() });
        }
    }
    Ok(publications)
}

/// The same in portions that are published one after the other: none has more bytes than a turn takes from clients, so that
/// nobody who takes what a turn brings becomes slow by that turn. A longer message is one by itself.
fn portions(publications: Vec<Publication>, outbox_bytes_max: usize) -> Vec<Vec<Publication>> {
    let bytes_max = limits::READ_BYTES_PER_TURN_MAX.min(outbox_bytes_max / 2);
    let mut portions: Vec<Vec<Publication>> = Vec::new();
    let mut bytes = 0_usize;
    for publication in publications {
        bytes = bytes.saturating_add(publication.payload.len());
        match portions.last_mut() {
            Some(portion) if bytes <= bytes_max => portion.push(publication),
            _ => {
                bytes = publication.payload.len();
                portions.push(vec![publication]);
            }
        }
    }
    portions
}

/// The last moment in which anything of a request that comes now may be given to the workers.
fn last_moment() -> Instant {
    Instant::now() + Duration::from_millis(limits::ADMIN_PUBLISH_TIMEOUT_MS)
}

/// Publishes, each at its channel's home and nothing later than `until`, and then counts who listens.
async fn publish(
    plane: &Plane,
    publications: Vec<Publication>,
    until: Instant,
) -> Result<Vec<Published>, Refusal> {
    plane.check_memory()?;
    let names: Vec<ChannelName> =
        publications.iter().map(|publication| publication.channel.clone()).collect();
    let shards = plane.desk.shards().count();
    let mut answers = Vec::new();
    for portion in portions(publications, plane.served.config().limits.outbox_bytes_max) {
        let so_far = format!("; {} of {} messages were published", answers.len(), names.len());
        let questions = portion.into_iter().map(|Publication { channel, kind, payload }| {
            let home = home_of(&channel, shards, plane.served.seed);
            (ShardId(home as u16), Question::Publish { channel, kind, payload })
        });
        let turn = plane.desk.turn_to_publish(until).await.map_err(|refusal| refusal.also(&so_far))?;
        // What a worker has been asked for it does, whether somebody waits for the answer or not.
        let published = plane.desk.ask(questions).await.map_err(|refusal| {
            refusal.also(&so_far).also(", perhaps more").fix("what is published again may come twice")
        });
        drop(turn);
        answers.extend(published?);
    }
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    // Whoever is told that it failed publishes again.
    let listening = channels::these(plane, distinct).await.ok();
    Ok(results(&names, answers, listening.as_deref()))
}

/// What became of each publication: as its home has answered, and those who were asked who listens, if all of them did.
fn results(
    names: &[ChannelName],
    answers: Vec<Answer>,
    listening: Option<&[channels::Channel]>,
) -> Vec<Published> {
    let listening: Option<HashMap<&str, &channels::Channel>> =
        listening.map(|channels| channels.iter().map(|channel| (&*channel.channel, channel)).collect());
    let published = names.iter().zip(answers).map(|(name, answer)| {
        let position = match answer {
            Answer::Published(position) => position.map(Position::from),
            _ => None,
        };
        let count = |listening: &HashMap<&str, &channels::Channel>| {
            let channel = listening.get(name.as_str());
            channel.map_or((0, 0), |channel| (channel.subscribers, channel.behind))
        };
        let counted = match position {
            // Who has come since is not one of those it went to.
            None => Some((0, 0)),
            Some(_) => listening.as_ref().map(count),
        };
        Published {
            channel: name.as_str().to_owned(),
            position,
            subscribers: counted.map(|(subscribers, _)| subscribers),
            enqueued: counted.map(|(subscribers, dropped)| subscribers.saturating_sub(dropped)),
            dropped: counted.map(|(_, dropped)| dropped),
        }
    });
    published.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub;
    use axum::response::IntoResponse as _;

    /// What a message of a batch was read as.
    type Read = (String, Kind, Vec<u8>);

    fn read(batch: &str) -> Result<Vec<Read>, (u16, String)> {
        let said = |refusal: Refusal| {
            let error = refusal.error().to_owned();
            (refusal.into_response().status().as_u16(), error)
        };
        let headers = [(axum::http::header::CONTENT_TYPE, "application/json".parse().expect("a value"))];
        let Batch { messages: Few(messages) } =
            requests::json(&headers.into_iter().collect(), batch.as_bytes()).map_err(said)?;
        let check = |bytes| if bytes > 100 { Err(Refusal::too_large("too long")) } else { Ok(()) };
        let publications = publications(messages, check).map_err(said)?;
        Ok(publications
            .into_iter()
            .map(|Publication { channel, kind, payload }| (channel.to_string(), kind, payload))
            .collect())
    }

    #[test]
    fn a_batch_is_a_publication_for_each_message_and_channel_and_json_stays_as_it_stands() {
        let batch = r#"{"messages":[{"channels":["a","b"],"text":"hi"},{"channel":"c","json":{"b": 1.0, "a":null}},
            {"channel":"c","json":null},{"channel":"c","base64":"AAE="}]}"#;
        let text = |channel: &str, text: &str| (channel.to_owned(), Kind::Text, text.as_bytes().to_vec());
        let expected = vec![
            text("a", "hi"),
            text("b", "hi"),
            text("c", r#"{"b": 1.0, "a":null}"#),
            text("c", "null"),
            ("c".to_owned(), Kind::Binary, vec![0, 1]),
        ];
        assert_eq!(read(batch), Ok(expected));
        assert_eq!(read(r#"{"messages":[]}"#), Ok(Vec::new()));
    }

    #[test]
    fn what_is_published_is_said_to_be_even_if_it_is_not_known_who_listens() {
        let names = ["a", "void"].map(|name| ChannelName::new(name).expect("a name"));
        let position = hub::Position { epoch: 7, offset: 9 };
        let answers = || vec![Answer::Published(Some(position)), Answer::Published(None)];
        let [heard, unheard] = [Some(&[][..]), None].map(|listening| results(&names, answers(), listening));
        assert_eq!((heard[0].position, heard[0].subscribers), (Some(position.into()), Some(0)));
        let Published { position: at, subscribers, enqueued, dropped, .. } = unheard[0];
        assert_eq!((at, subscribers, enqueued, dropped), (Some(position.into()), None, None, None));
        assert_eq!((unheard[1].position, unheard[1].subscribers), (None, Some(0)));
    }

    #[test]
    fn what_is_wrong_in_a_batch_is_said_with_the_number_of_its_message() {
        let wrong =
            |message: &str| read(&format!(r#"{{"messages":[{{"channel":"a","text":""}},{message}]}}"#));
        for (message, error) in [
            (r#"{"channel":"a"}"#, "one of text, json and base64"),
            (r#"{"channel":"a","text":"","base64":""}"#, "one of text, json and base64"),
            (r#"{"text":""}"#, "one of channel and channels"),
            (r#"{"channel":"a","channels":["b"],"text":""}"#, "one of channel and channels"),
            (r#"{"channel":"a b","text":""}"#, "a channel's name has only"),
            (r#"{"channel":"a","base64":"="}"#, "base64 is wrong"),
        ] {
            let (status, said) = wrong(message).expect_err(message);
            assert!(status == 422 && said.starts_with("messages[1]: ") && said.contains(error), "{said}");
        }
        for (batch, status) in [
            ("", 400),
            (r#"{"messages":["#, 400),
            ("[]", 422),
            (r#"{"messages":[{"channel":"a","text":"","ttl":1}]}"#, 422),
            (r#"{"messages":[{"channel":"a","text":1}]}"#, 422),
        ] {
            assert_eq!(read(batch).expect_err(batch).0, status, "{batch}");
        }
    }

    #[test]
    fn what_is_published_in_one_turn_is_less_than_a_client_may_lag_behind() {
        let lens = |lens: &[usize], outbox_bytes_max| -> Vec<Vec<usize>> {
            let publication = |(number, len): (usize, &usize)| Publication {
                channel: ChannelName::new(&format!("c{number}")).expect("a name"),
                kind: Kind::Binary,
                payload: vec![0; *len],
            };
            let publications = lens.iter().enumerate().map(publication).collect();
            let portions = portions(publications, outbox_bytes_max);
            let len = |publication: &Publication| publication.payload.len();
            portions.iter().map(|portion| portion.iter().map(len).collect()).collect()
        };
        assert_eq!(lens(&[], 200), Vec::<Vec<usize>>::new());
        assert_eq!(lens(&[50, 50, 1, 0, 99], 200), [vec![50, 50], vec![1, 0, 99]]);
        assert_eq!(lens(&[101, 0, 100, 150, 150], 200), [vec![101], vec![0, 100], vec![150], vec![150]]);
        let max = limits::READ_BYTES_PER_TURN_MAX;
        assert_eq!(lens(&[max, 1], usize::MAX), [[max], [1]], "whatever the outbox may have");
    }

    #[test]
    fn of_a_list_that_is_too_long_no_more_is_kept_than_shows_it() {
        let many = |one: &str| vec![one; 5 * limits::ADMIN_BATCH_MAX].join(",");
        let kept = |batch: &str| serde_json::from_str::<Batch>(batch).expect("a batch").messages.0;
        assert_eq!(kept(&format!(r#"{{"messages":[{}]}}"#, many("{}"))).len(), limits::ADMIN_BATCH_MAX + 1);
        let messages = kept(&format!(r#"{{"messages":[{{"channels":[{}]}}]}}"#, many("\"a\"")));
        let Some(Few(names)) = &messages[0].channels else { panic!("it has channels") };
        assert_eq!(names.len(), limits::ADMIN_BATCH_MAX + 1);
        let nowhere = many(r#"{"channels":[],"text":""}"#);
        let refused = read(&format!(r#"{{"messages":[{nowhere}]}}"#));
        assert_eq!(refused.map_err(|(status, _)| status), Err(413), "what is not kept is not forgotten");
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_in_bytes() {
        let with = |channels: usize, bytes: usize| {
            let names = vec!["\"a\""; channels].join(",");
            read(&format!(r#"{{"messages":[{{"channels":[{names}],"text":"{}"}}]}}"#, "x".repeat(bytes)))
        };
        assert_eq!(with(1000, 1).map(|publications| publications.len()), Ok(1000));
        assert_eq!(with(1001, 1).map_err(|(status, _)| status), Err(413));
        assert_eq!(with(1, 100).map(|publications| publications.len()), Ok(1));
        assert_eq!(with(1, 101).map_err(|(status, _)| status), Err(413));
    }
}

//! Channels, as the admin API shows them: `GET /v1/channels` and one of them.

use super::plane::Plane;
use super::refusal::{Problem, Refusal};
use super::requests::{self, Rest};
use crate::hub::{self, ChannelName};
use crate::shard::mail::{Answer, ChannelFacts, ChannelOrder, Question};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// A channel, over all workers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "it is called so in requests too")]
pub(super) struct Channel {
    /// Its name.
    pub(super) channel: String,
    /// How many listen. In lists there are also channels that somebody listened to a moment ago.
    pub(super) subscribers: u64,
    /// Of its latest publication. None for the moment in which its home is only just told of it.
    pub(super) position: Option<Position>,
    /// Publications in a second, over the last five to ten.
    pub(super) messages_per_second: f64,
    /// Their payload bytes in a second.
    pub(super) bytes_per_second: f64,
    /// Bytes that are kept for subscribers who have not been written them yet.
    pub(super) retained_bytes: u64,
    /// Subscribers that have more than half of the outbox limit still to be written.
    pub(super) behind: u64,
}

/// A publication's place in its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Position {
    /// Which life of the channel: one that was forgotten and came again counts from 1 under another epoch.
    epoch: u32,
    /// 1 for the first publication of the epoch; 0 where there is none yet.
    offset: u64,
}

impl From<hub::Position> for Position {
    fn from(position: hub::Position) -> Self {
        Position { epoch: position.epoch, offset: position.offset }
    }
}

/// A page of channels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelPage {
    /// The channels.
    channels: Vec<Channel>,
    /// To be given as `cursor` for what follows; none if nothing does.
    next: Option<String>,
    /// How many there are with that prefix, on all pages.
    total: usize,
}

/// Which channels.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChannelQuery {
    /// How their names begin.
    prefix: Option<String>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
    /// How many, 1 to 1000; 100 unless it is said.
    limit: Option<usize>,
    /// `name`, all of them page by page, or `traffic`: those with most bytes in a second, on one page.
    #[param(inline)]
    sort: Option<ChannelSort>,
}

/// Which channels come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChannelSort {
    /// In the order of bytes.
    #[default]
    Name,
    /// Most bytes in a second.
    Traffic,
}

/// The channels that anyone listens to, or did a moment ago
#[utoipa::path(
    get, path = "/v1/channels", tag = "channels", params(ChannelQuery),
    responses(
        (status = 200, description = "A page of them", body = ChannelPage),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "A worker does not answer in time", body = Problem),
    )
)]
pub(super) async fn list(State(plane): State<Arc<Plane>>, uri: Uri) -> Result<Json<ChannelPage>, Refusal> {
    let ChannelQuery { prefix, cursor, limit, sort } = requests::query(&uri)?;
    let page = requests::Page::of(limit)?;
    let prefix = prefix.unwrap_or_default();
    if let Some(cursor) = &cursor {
        requests::channel(cursor).map_err(|_| requests::wrong_cursor())?;
    }
    if sort.unwrap_or_default() == ChannelSort::Traffic {
        if cursor.is_some() {
            return Err(Refusal::bad_request("channels by traffic have no cursor: they move")
                .fix("leave cursor out, or give sort=name"));
        }
        let (channels, total) = busiest(&plane, prefix, page.limit).await?;
        return Ok(Json(ChannelPage { channels, next: None, total }));
    }
    let question =
        Question::Channels { prefix, after: cursor, limit: page.asked(), order: ChannelOrder::Name };
    let (mut channels, total) = merged(plane.desk.survey(|_| question.clone()).await?);
    let next = page.cut(&mut channels, |channel| channel.channel.clone());
    Ok(Json(ChannelPage { channels, next, total }))
}

/// One channel
#[utoipa::path(
    get, path = "/v1/channels/{channel}", tag = "channels",
    params(("channel" = String, Path, description = "Its name; slashes may stand as they are")),
    responses(
        (status = 200, description = "The channel", body = Channel),
        (status = 400, description = "That is no channel's name", body = Problem),
        (status = 404, description = "Nobody listens to it", body = Problem),
        (status = 503, description = "A worker does not answer in time", body = Problem),
    )
)]
pub(super) async fn one(State(plane): State<Arc<Plane>>, Rest(name): Rest) -> Result<Json<Channel>, Refusal> {
    let name = requests::channel(&name)?;
    let found = these(&plane, vec![name]).await?.pop().filter(|channel| channel.subscribers > 0);
    found.map(Json).ok_or_else(|| Refusal::not_found("nobody listens to this channel"))
}

/// The channels with most traffic, and how many there are in all.
pub(super) async fn busiest(
    plane: &Plane,
    prefix: String,
    limit: usize,
) -> Result<(Vec<Channel>, usize), Refusal> {
    let question = Question::Channels { prefix, after: None, limit, order: ChannelOrder::Traffic };
    let (mut channels, total) = merged(plane.desk.survey(|_| question.clone()).await?);
    let by_traffic = |a: &Channel, b: &Channel| b.bytes_per_second.total_cmp(&a.bytes_per_second);
    channels.sort_by(by_traffic);
    channels.truncate(limit);
    // What homes do not know: who listens elsewhere.
    let names = channels.iter().filter_map(|channel| ChannelName::new(&channel.channel).ok()).collect();
    let mut channels = these(plane, names).await?;
    channels.sort_by(by_traffic);
    Ok((channels, total))
}

/// What is known of these channels, by name. At most [`ADMIN_PAGE_MAX`](crate::limits::ADMIN_PAGE_MAX) of them.
pub(super) async fn these(plane: &Plane, channels: Vec<ChannelName>) -> Result<Vec<Channel>, Refusal> {
    if channels.is_empty() {
        return Ok(Vec::new());
    }
    let question = Question::These { channels };
    let answers = plane.desk.ask(plane.desk.shards().map(|shard| (shard, question.clone()))).await?;
    Ok(merged(answers).0)
}

/// What shards say of channels, added up by name; and how many channels there are.
fn merged(answers: Vec<Answer>) -> (Vec<Channel>, usize) {
    let mut merged: BTreeMap<ChannelName, Channel> = BTreeMap::new();
    let mut all = 0;
    for answer in answers {
        let Answer::Channels { channels, total } = answer else { continue };
        all += total;
        for ChannelFacts { channel, subscribers, behind, retained_bytes, home } in channels {
            let name = channel.as_str().to_owned();
            let sum = merged.entry(channel).or_insert_with(|| Channel {
                channel: name,
                subscribers: 0,
                position: None,
                messages_per_second: 0.0,
                bytes_per_second: 0.0,
                retained_bytes: 0,
                behind: 0,
            });
            sum.subscribers += subscribers;
            sum.behind += behind;
            sum.retained_bytes += retained_bytes;
            if let Some(home) = home {
                sum.position = Some(home.position.into());
                sum.messages_per_second = home.messages_per_second;
                sum.bytes_per_second = home.bytes_per_second;
            }
        }
    }
    (merged.into_values().collect(), all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::mail::HomeFacts;

    fn facts(name: &str, subscribers: u64, home: Option<HomeFacts>) -> ChannelFacts {
        let channel = ChannelName::new(name).expect("a name");
        ChannelFacts { channel, subscribers, behind: 1, retained_bytes: 10, home }
    }

    #[test]
    fn a_channel_is_the_sum_of_what_shards_say_and_its_home_knows_the_rest() {
        let home = HomeFacts {
            position: hub::Position { epoch: 7, offset: 9 },
            messages_per_second: 2.0,
            bytes_per_second: 20.0,
        };
        let (channels, total) = merged(vec![
            Answer::Channels { channels: vec![facts("b", 2, None), facts("c", 1, None)], total: 1 },
            Answer::Channels { channels: vec![facts("a", 4, None), facts("b", 3, Some(home))], total: 2 },
        ]);
        assert_eq!(total, 3);
        let seen: Vec<_> = channels.iter().map(|channel| (&*channel.channel, channel.subscribers)).collect();
        assert_eq!(seen, [("a", 4), ("b", 5), ("c", 1)]);
        assert_eq!(channels[1].position, Some(Position { epoch: 7, offset: 9 }));
        assert_eq!((channels[1].behind, channels[1].retained_bytes, channels[0].position), (2, 20, None));
    }
}

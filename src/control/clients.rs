//! Clients, as the admin API shows and closes them: `/v1/clients`.

use super::plane::Plane;
use super::refusal::{Problem, Refusal};
use super::requests::{self, Rest};
use crate::hub::{ClientId, ShardId};
use crate::protocol::{CloseCode, CloseReason};
use crate::shard::mail::{Answer, ClientFacts, ClientOrder, ClientState, Question};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// A client.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Client {
    /// What logs call it, too.
    #[schema(example = "0.17.3")]
    id: String,
    /// Where it comes from.
    #[schema(example = "192.0.2.1:4711")]
    address: Option<String>,
    /// The channel that it is in.
    channel: Option<String>,
    /// How far it has come.
    state: Progress,
    /// Seconds since it was accepted.
    age_seconds: f64,
    /// Bytes still to be written to it.
    queued_bytes: u64,
    /// Milliseconds between the latest Ping that it answered and its Pong.
    rtt_ms: Option<u32>,
    /// Whether what it says is published.
    may_publish: bool,
    /// Who it is, if it has said so with a token.
    user: Option<String>,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ClientState)]
pub(super) enum Progress {
    /// Its opening handshake is not complete.
    Handshake,
    /// It is connected.
    Open,
    /// Its end is being seen to.
    Closing,
}

impl From<ClientFacts> for Client {
    #[expect(clippy::cast_precision_loss, reason = "49 days have few milliseconds")]
    fn from(facts: ClientFacts) -> Self {
        Client {
            id: facts.id.to_string(),
            address: facts.address,
            channel: facts.channel.map(|channel| channel.as_str().to_owned()),
            state: match facts.state {
                ClientState::Handshake => Progress::Handshake,
                ClientState::Open => Progress::Open,
                ClientState::Closing => Progress::Closing,
            },
            age_seconds: facts.age_ms as f64 / 1000.0,
            queued_bytes: facts.queued_bytes,
            rtt_ms: facts.rtt_ms,
            may_publish: facts.may_publish,
            user: facts.user.map(|user| user.to_string()),
        }
    }
}

/// A page of clients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientPage {
    /// The clients.
    clients: Vec<Client>,
    /// To be given as `cursor` for what follows; none if nothing does.
    next: Option<String>,
    /// How many there are, in that channel if one is given, on all pages.
    total: usize,
}

/// Which clients.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClientQuery {
    /// Only those in this channel.
    channel: Option<String>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
    /// How many, 1 to 1000; 100 unless it is said.
    limit: Option<usize>,
    /// `id`, all of them page by page, or `slowest`: those with most bytes queued, on one page.
    #[param(inline)]
    sort: Option<ClientSort>,
}

/// Which clients come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientSort {
    /// In the order of worker, slot and tenancy.
    #[default]
    Id,
    /// Most bytes queued.
    Slowest,
}

/// The clients that are connected
#[utoipa::path(
    get, path = "/v1/clients", tag = "clients", params(ClientQuery),
    responses(
        (status = 200, description = "A page of them", body = ClientPage),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "A worker does not answer in time", body = Problem),
    )
)]
pub(super) async fn list(State(plane): State<Arc<Plane>>, uri: Uri) -> Result<Json<ClientPage>, Refusal> {
    let ClientQuery { channel, cursor, limit, sort } = requests::query(&uri)?;
    let page = requests::Page::of(limit)?;
    let channel = channel.map(|name| requests::channel(&name)).transpose()?;
    let cursor: Option<ClientId> =
        cursor.map(|cursor| cursor.parse().map_err(|_| requests::wrong_cursor())).transpose()?;
    if sort.unwrap_or_default() == ClientSort::Slowest {
        if cursor.is_some() {
            return Err(Refusal::bad_request("clients by slowness have no cursor: they move")
                .fix("leave cursor out, or give sort=id"));
        }
        let limit = page.limit;
        let question = Question::Clients { channel, after: None, limit, order: ClientOrder::Slowest };
        let (clients, total) = slowest_of(plane.desk.survey(|_| question.clone()).await?, limit);
        return Ok(Json(ClientPage { clients, next: None, total }));
    }
    let question = |shard: ShardId| {
        let (after, limit) = match cursor.map(|cursor| (shard.cmp(&cursor.shard), cursor)) {
            None | Some((Ordering::Greater, _)) => (None, page.asked()),
            Some((Ordering::Equal, cursor)) => (Some(cursor.client), page.asked()),
            // All of these are on former pages. They count.
            Some((Ordering::Less, _)) => (None, 0),
        };
        Question::Clients { channel: channel.clone(), after, limit, order: ClientOrder::Id }
    };
    let (mut clients, total) = listed(plane.desk.survey(question).await?);
    let next = page.cut(&mut clients, |client| client.id.to_string());
    let clients = clients.into_iter().map(Client::from).collect();
    Ok(Json(ClientPage { clients, next, total }))
}

/// One client
#[utoipa::path(
    get, path = "/v1/clients/{id}", tag = "clients",
    params(("id" = String, Path, description = "As logs and lists have it", example = "0.17.3")),
    responses(
        (status = 200, description = "The client", body = Client),
        (status = 400, description = "That is no client's id", body = Problem),
        (status = 404, description = "It is gone", body = Problem),
        (status = 503, description = "A worker does not answer in time", body = Problem),
    )
)]
pub(super) async fn one(State(plane): State<Arc<Plane>>, Rest(id): Rest) -> Result<Json<Client>, Refusal> {
    let id = client_id(&plane, &id)?;
    match plane.desk.ask([(id.shard, Question::Client { client: id.client })]).await?.pop() {
        Some(Answer::Client(Some(facts))) => Ok(Json(facts.into())),
        _ => Err(gone()),
    }
}

/// What a client is told when it is closed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CloseQuery {
    /// 1000, 1001, 1008, 1011, 1012, 1013, or 3000 to 4999; 1008 unless it is said.
    code: Option<u16>,
    /// Up to 123 bytes; `closed by an operator` unless it is said.
    reason: Option<String>,
}

/// A client that is being closed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Closed {
    /// Always true.
    closed: bool,
}

/// Close a client, when it has been written what there is for it
#[utoipa::path(
    delete, path = "/v1/clients/{id}", tag = "clients",
    params(("id" = String, Path, description = "As logs and lists have it", example = "0.17.3"), CloseQuery),
    responses(
        (status = 200, description = "It is being told", body = Closed),
        (status = 400, description = "That is no client's id, or no code that it can be told", body = Problem),
        (status = 404, description = "It is gone, or not open", body = Problem),
        (status = 503, description = "A worker does not answer in time", body = Problem),
    )
)]
pub(super) async fn close(
    State(plane): State<Arc<Plane>>,
    Rest(id): Rest,
    uri: Uri,
) -> Result<Json<Closed>, Refusal> {
    let id = client_id(&plane, &id)?;
    let CloseQuery { code, reason } = requests::query(&uri)?;
    let code = match code.unwrap_or(CloseCode::POLICY_VIOLATION.number()) {
        code @ (1000 | 1001 | 1008 | 1011..=1013 | 3000..=4999) => CloseCode::new(code),
        _ => {
            return Err(Refusal::bad_request("a client is not told that code")
                .fix("give 1000, 1001, 1008, 1011, 1012, 1013, or one of 3000 to 4999"));
        }
    };
    let reason = reason.as_deref().unwrap_or("closed by an operator");
    if reason.len() > CloseReason::BYTES_MAX {
        let max = CloseReason::BYTES_MAX;
        return Err(Refusal::bad_request(format!("the reason has more than {max} bytes")));
    }
    let question = Question::Close { client: id.client, code, reason: CloseReason::new(reason) };
    match plane.desk.ask([(id.shard, question)]).await?.pop() {
        // The log has it from its worker.
        Some(Answer::Closed(true)) => Ok(Json(Closed { closed: true })),
        _ => Err(gone()),
    }
}

/// The clients with most bytes queued.
pub(super) async fn slowest(plane: &Plane, limit: usize) -> Result<Vec<Client>, Refusal> {
    let question = Question::Clients { channel: None, after: None, limit, order: ClientOrder::Slowest };
    Ok(slowest_of(plane.desk.survey(|_| question.clone()).await?, limit).0)
}

fn slowest_of(answers: Vec<Answer>, limit: usize) -> (Vec<Client>, usize) {
    let (mut clients, total) = listed(answers);
    clients.sort_by_key(|client| std::cmp::Reverse(client.queued_bytes));
    clients.truncate(limit);
    (clients.into_iter().map(Client::from).collect(), total)
}

/// What shards say of clients, one shard's behind the other's; and how many there are.
fn listed(answers: Vec<Answer>) -> (Vec<ClientFacts>, usize) {
    let (mut listed, mut all) = (Vec::new(), 0);
    for answer in answers {
        if let Answer::Clients { clients, total } = answer {
            listed.extend(clients);
            all += total;
        }
    }
    (listed, all)
}

/// A client's id, on a shard that there is.
fn client_id(plane: &Plane, id: &str) -> Result<ClientId, Refusal> {
    let id: ClientId = id.parse().map_err(|error| Refusal::bad_request(format!("{error}")))?;
    if plane.desk.shards().any(|shard| shard == id.shard) { Ok(id) } else { Err(gone()) }
}

fn gone() -> Refusal {
    Refusal::not_found("there is no such client, or it is gone")
}

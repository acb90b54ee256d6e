//! What an operator asks of several workers, on sockets: what the worker's side of an admin interface promises.

use crate::config::Config;
use crate::hub::ShardId;
use crate::hub::{ChannelName, HashSeed, home_of};
use crate::mesh::Mesh;
use crate::metrics::Counters;
use crate::protocol::Time;
use crate::protocol::{CloseCode, CloseReason, Kind};
use crate::shard::Place;
use crate::shard::Shard;
use crate::shard::mail::{Answer, Answered, ClientOrder, Order, Question, Ticket};
use crate::worker::{Common, Listener, Worker};
use mio::Waker;
use std::io;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SEED: HashSeed = HashSeed(1, 2);
const PATIENCE: Duration = Duration::from_secs(20);

/// Workers on sockets, each with a port of its own, and whoever asks them.
struct Asking {
    ports: Vec<SocketAddr>,
    mesh: Arc<Mesh<Waker>>,
    answers: Receiver<Answered>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    asked: u64,
}

impl Asking {
    fn start(workers: usize) -> Asking {
        let common = Common { started: Instant::now(), handshake_timeout_ms: 0, is_among_many: workers > 1 };
        let (mut ports, mut made, mut counters) = (Vec::new(), Vec::new(), Vec::new());
        for id in 0..workers {
            let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
            socket.set_nonblocking(true).expect("it can be");
            ports.push(socket.local_addr().expect("it is bound"));
            counters.push(Arc::new(Counters::default()));
            let listener = Listener { socket, tls: None, is_shared: false };
            let worker = Worker::new(ShardId(id as u16), vec![listener], counters[id].clone(), common);
            made.push(worker.expect("the system has room"));
        }
        let (workers, wakers): (Vec<Worker>, Vec<Waker>) = made.into_iter().unzip();
        let (sender, answers) = mpsc::channel();
        let mesh = Mesh::new(wakers, 100, 0).with_answers(Box::new(move |answered| {
            sender.send(answered).expect("somebody waits for it");
        }));
        let (mesh, shards, config) = (Arc::new(mesh), workers.len(), Arc::new(Config::default()));
        let threads = workers.into_iter().zip(counters).enumerate().map(|(id, (worker, counters))| {
            let place = Place { id: ShardId(id as u16), shards, seed: SEED, config: config.clone() };
            let (shard, mesh) = (Shard::new(place, counters, Time(0)), mesh.clone());
            thread::spawn(move || worker.run(shard, mesh))
        });
        let threads = threads.collect();
        Asking { ports, mesh, answers, threads, asked: 0 }
    }

    fn ask(&mut self, shard: usize, question: Question) -> Answer {
        self.asked += 1;
        let (shard, ticket) = (ShardId(shard as u16), Ticket(self.asked));
        self.mesh.order(shard, Order::Ask(ticket, question));
        let answered = self.answers.recv_timeout(PATIENCE).expect("it answers");
        assert_eq!((answered.shard, answered.ticket), (shard, ticket));
        answered.answer
    }

    fn ask_all(&mut self, question: &Question) -> Vec<Answer> {
        (0..self.ports.len()).map(|shard| self.ask(shard, question.clone())).collect()
    }

    /// A subscriber of a channel at a worker, with its 101 behind it.
    fn subscriber(&self, worker: usize, channel: &str) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(self.ports[worker]).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be");
        let request = format!(
            "GET /ws/{channel} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it is read");
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            response.extend(receive(&mut stream, 1));
        }
        assert!(response.starts_with(b"HTTP/1.1 101 "));
        stream
    }

    fn end(self) {
        for shard in 0..self.ports.len() {
            self.mesh.order(ShardId(shard as u16), Order::Drain { spread_ms: 0 });
        }
        for thread in self.threads {
            thread.join().expect("it does not panic").expect("it ends well");
        }
    }
}

fn receive(stream: &mut std::net::TcpStream, bytes: usize) -> Vec<u8> {
    let mut received = vec![0; bytes];
    stream.read_exact(&mut received).expect("it comes");
    received
}

#[test]
fn what_an_operator_asks_of_several_workers_is_answered_once_it_is_on_its_way() {
    let mut asking = Asking::start(3);
    let channel = ChannelName::new("room").expect("a good name");
    let mut subscribers: Vec<_> = (0..6).map(|number| asking.subscriber(number % 3, "room")).collect();
    let home = home_of(&channel, 3, SEED);
    for number in 1..=30 {
        let payload = format!("{number:03}").into_bytes();
        let question = Question::Publish { channel: channel.clone(), kind: Kind::Text, payload };
        let Answer::Published(Some(position)) = asking.ask(home, question) else {
            panic!("somebody listens")
        };
        assert_eq!(position.offset, number);
        let answers = asking.ask_all(&Question::Channel { channel: channel.clone() });
        let counts = answers.iter().map(|answer| match answer {
            Answer::Channel(Some(facts)) => facts.subscribers,
            other => panic!("each has subscribers: {other:?}"),
        });
        assert_eq!(counts.collect::<Vec<_>>(), [2, 2, 2]);
    }
    let frame = |number: u32| [b"\x81\x03", format!("{number:03}").as_bytes()].concat();
    let all: Vec<u8> = (1..=30).flat_map(frame).collect();
    assert!(subscribers.iter_mut().all(|subscriber| receive(subscriber, 150) == all));
    asking.end();
}

#[test]
fn a_client_is_known_by_its_address_and_closed_by_its_id() {
    let mut asking = Asking::start(2);
    let mut stream = asking.subscriber(1, "room");
    let question = Question::Clients { channel: None, after: None, limit: 10, order: ClientOrder::Id };
    let mut answers = asking.ask_all(&question);
    let (Some(Answer::Clients { clients, .. }), Some(Answer::Clients { total: 0, .. })) =
        (answers.pop(), answers.pop())
    else {
        panic!("it is at the second worker")
    };
    let address = stream.local_addr().expect("it is connected").to_string();
    assert_eq!(clients[0].address, Some(address));
    let client = clients[0].id.client;
    let reason = CloseReason::new("enough");
    let question = Question::Close { client, code: CloseCode::POLICY_VIOLATION, reason };
    assert_eq!(asking.ask(1, question.clone()), Answer::Closed(true));
    assert_eq!(receive(&mut stream, 10), b"\x88\x08\x03\xf0enough");
    assert_eq!(asking.ask(1, question), Answer::Closed(false));
    drop(stream);
    asking.end();
}

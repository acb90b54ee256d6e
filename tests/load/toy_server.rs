//! A server that says what it hears to everybody, in one order, but for the mistakes that it is told to make.

use fanwire::limits::Limits;
use fanwire::protocol::{Agreement, CloseCode, Connection, Event, Time, append_close};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What goes wrong with a message, by its number, on its way to one connection, by the number of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Drop(usize, u64),
    Double(usize, u64),
    /// The message comes behind the next one.
    Swap(usize, u64),
    /// After this message all connections are cut.
    Die(u64),
    /// After this message all connections are closed with 1001.
    Close(u64),
    /// The message comes in fragments with a Ping between them.
    Fragment(usize, u64),
    /// The message has spaces in its JSON that the publisher did not write.
    Rewrite(usize, u64),
}

pub(crate) struct ToyServer {
    pub(crate) address: SocketAddr,
}

struct Hall {
    clients: Vec<TcpStream>,
    mistakes: Vec<Mistake>,
    messages: u64,
    /// Payloads that are held back, one for each client.
    held: Vec<Option<Vec<u8>>>,
}

impl ToyServer {
    /// Serves until the process ends.
    pub(crate) fn start(mistakes: &[Mistake]) -> ToyServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hall = Hall { clients: Vec::new(), mistakes: mistakes.to_vec(), messages: 0, held: Vec::new() };
        let hall = Arc::new(Mutex::new(hall));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, hall) = (stream.unwrap(), hall.clone());
                // One after the other: clients are numbered as they came.
                let Some((connection, answer)) = open(&stream) else { continue };
                let mut writer = stream.try_clone().unwrap();
                // Whoever has its 101 hears all that is said from then on.
                let mut locked = hall.lock().unwrap();
                // Greetings and the like are no fault.
                if writer.write_all(&[answer, frame(true, 1, b"welcome")].concat()).is_err() {
                    continue;
                }
                locked.clients.push(writer);
                locked.held.push(None);
                drop(locked);
                thread::spawn(move || listen(stream, connection, &hall));
            }
        });
        ToyServer { address }
    }
}

/// Makes the opening handshake, but for sending the answer.
fn open(mut stream: &TcpStream) -> Option<(Connection, Vec<u8>)> {
    let mut connection = Connection::server(Arc::new(Limits::default()), Time(0));
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        let mut out = Vec::new();
        let mut input = &mut buffer[..count];
        if let Some(Event::Requested(_)) = connection.next_event(&mut input, Time(0), &mut out) {
            connection.accept(Agreement::default(), Time(0), &mut out);
            return Some((connection, out));
        }
    }
}

/// Hears one client to its end.
fn listen(mut stream: TcpStream, mut connection: Connection, hall: &Mutex<Hall>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let mut input = &mut buffer[..count];
        let mut out = Vec::new();
        while let Some(event) = connection.next_event(&mut input, Time(0), &mut out) {
            if let Event::Message(message) = event {
                hall.lock().unwrap().say(&message.payload);
            }
        }
    }
}

impl Hall {
    fn say(&mut self, payload: &[u8]) {
        let number = self.messages;
        self.messages += 1;
        for index in 0..self.clients.len() {
            let has = |mistake| self.mistakes.contains(&mistake);
            let mut frames = Vec::new();
            if has(Mistake::Swap(index, number)) {
                self.held[index] = Some(payload.to_vec());
                continue;
            }
            if has(Mistake::Fragment(index, number)) {
                let (head, tail) = payload.split_at(20);
                frames.extend(frame(false, 1, head));
                frames.extend(frame(true, 9, b"are you there?"));
                frames.extend(frame(true, 0, tail));
            } else if has(Mistake::Rewrite(index, number)) {
                let json = String::from_utf8(payload.to_vec()).unwrap().replace(":\"", ": \"");
                frames.extend(frame(true, 1, json.as_bytes()));
            } else if !has(Mistake::Drop(index, number)) {
                frames.extend(frame(true, 1, payload));
            }
            if has(Mistake::Double(index, number)) {
                frames.extend(frame(true, 1, payload));
            }
            if let Some(held) = self.held[index].take() {
                frames.extend(frame(true, 1, &held));
            }
            // Who is gone hears nothing.
            let _ = self.clients[index].write_all(&frames);
        }
        if self.mistakes.contains(&Mistake::Die(number)) {
            for stream in self.clients.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        if self.mistakes.contains(&Mistake::Close(number)) {
            let mut close = Vec::new();
            append_close(Some(CloseCode::GOING_AWAY), "so\u{1b}long", None, &mut close);
            for mut stream in self.clients.drain(..) {
                let _ = stream.write_all(&close);
            }
        }
    }
}

fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(fin) << 7 | opcode];
    match payload.len() {
        length @ ..126 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

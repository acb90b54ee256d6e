//! [`Crowd`]: a thousand clients in one thread. They speak bytes and look only at whether all get the same ones.

use crate::client::{PATIENCE, SAMPLE_101, masked, upgrade};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

/// Clients of one channel.
pub(crate) struct Crowd {
    poll: Poll,
    members: Vec<Member>,
    /// What the channel has said so far, as far as anyone has got.
    pub(crate) stream: Vec<u8>,
    scratch: Vec<u8>,
}

struct Member {
    socket: mio::net::TcpStream,
    /// How many bytes of the stream it has got.
    got: usize,
}

impl Crowd {
    /// Connects `count` clients to `target`; each has its 101.
    pub(crate) fn connect(address: SocketAddr, target: &str, count: usize) -> Crowd {
        let poll = Poll::new().expect("a poll");
        let mut members: Vec<Member> = Vec::with_capacity(count);
        for number in 0..count {
            let mut socket = std::net::TcpStream::connect(address).expect("the server listens");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            socket.set_nodelay(true).expect("a socket");
            socket.write_all(upgrade(target).as_bytes()).expect("the server takes it");
            let mut response = vec![0; SAMPLE_101.len()];
            socket.read_exact(&mut response).expect("the 101 comes");
            assert_eq!(String::from_utf8_lossy(&response), SAMPLE_101);
            socket.set_nonblocking(true).expect("a socket");
            let mut socket = mio::net::TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(number), Interest::READABLE).expect("a poll");
            members.push(Member { socket, got: 0 });
        }
        Crowd { poll, members, stream: Vec::new(), scratch: vec![0; 256 << 10] }
    }

    /// Member `number` says something.
    pub(crate) fn say(&mut self, number: usize, text: &str) {
        let frame = masked(0x81, text.as_bytes());
        let written = self.members[number].socket.write(&frame).expect("there is room");
        assert_eq!(written, frame.len(), "there is room for a small frame");
    }

    /// Waits until something has come; whoever got something got the same as the others.
    pub(crate) fn listen(&mut self) {
        let mut events = Events::with_capacity(1024);
        self.poll.poll(&mut events, Some(PATIENCE)).expect("a poll");
        assert!(!events.is_empty(), "nothing came within {PATIENCE:?}; {} bytes before", self.stream.len());
        for event in &events {
            let member = &mut self.members[event.token().0];
            loop {
                match member.socket.read(&mut self.scratch) {
                    Ok(0) => panic!("the server closed"),
                    Ok(read) => {
                        let (known, new) = (self.stream.len() - member.got, &self.scratch[..read]);
                        let (again, first) = new.split_at(known.min(read));
                        assert!(again == &self.stream[member.got..][..again.len()], "all get the same");
                        self.stream.extend_from_slice(first);
                        member.got += read;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Listens until everyone has got `bytes`.
    pub(crate) fn listen_to_all(&mut self, bytes: usize) {
        let started = Instant::now();
        while self.members.iter().any(|member| member.got < bytes) {
            let least = self.members.iter().map(|member| member.got).min();
            assert!(started.elapsed() < 3 * PATIENCE, "of {bytes} bytes someone has got only {least:?}");
            self.listen();
        }
    }
}

/// The texts in a stream of whole unmasked frames.
pub(crate) fn texts(mut stream: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [0x81, len @ 0..=125, rest @ ..] = stream {
        let (text, rest) = rest.split_at(usize::from(*len));
        texts.push(String::from_utf8(text.to_vec()).expect("UTF-8"));
        stream = rest;
    }
    assert_eq!(stream, b"", "whole frames of short texts, and nothing else");
    texts
}

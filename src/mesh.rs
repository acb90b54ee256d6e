//! What shards share: a mailbox for each, a few numbers, and what is known of addresses. The only locks of the data plane
//! are here.
//!
//! Posting never fails and never waits: a mailbox has no capacity but a mark in bytes, and while any mailbox is over
//! it nobody reads sockets, though everybody goes on reading mail. So no two shards can wait for each other, and TCP
//! slows the publishers instead.

mod addresses;
mod budget;

pub use addresses::Address;

use crate::hub::ShardId;
use crate::limits;
use crate::shard::mail::{Answered, Batch, Order};
use crate::shard::{Full, Held};
use addresses::Addresses;
use budget::Budget;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Wakes the loop of one shard, which may be asleep.
pub trait Wake {
    /// Ends the sleep that goes on, or else the next one.
    fn wake(&self);
}

/// What the shards of one server share. `W` wakes a shard's loop.
#[derive(Debug)]
pub struct Mesh<W> {
    mailboxes: Vec<Mailbox<W>>,
    /// How many shards have a fan-out that is behind.
    ahead: AtomicUsize,
    /// Clients of all shards, those at the door not counted.
    connections: AtomicUsize,
    connections_max: AtomicUsize,
    /// Connections by address, if those of one are limited.
    addresses: Addresses,
    /// What may be held and is.
    memory: Budget,
    /// Bytes in a mailbox from which on nobody reads sockets.
    mailbox_bytes_mark: usize,
    answers: Answers,
}

/// Whom shards' answers are handed to.
struct Answers(Box<dyn Fn(Answered) + Send + Sync>);

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

#[derive(Debug)]
struct Mailbox<W> {
    post: Mutex<Post>,
    /// Bytes in `post`, to be read without its lock. Ordered with `is_woken`, as `ahead` is: whoever finds a wake on its
    /// way and sends none must know that the one who is woken will see that there is room.
    bytes: AtomicUsize,
    /// A wake is on its way. Cleared before the mailbox is emptied and set after something was put in, so that none
    /// is lost and few are in vain.
    is_woken: AtomicBool,
    /// Nobody reads orders any more. Read and written with the lock of `post` held.
    is_closed: AtomicBool,
    waker: W,
}

/// What lies in a mailbox.
#[derive(Debug, Default)]
pub struct Post {
    /// From other shards, oldest first.
    pub batches: Vec<Batch>,
    /// From the server.
    pub orders: Vec<Order>,
}

impl<W: Wake> Mesh<W> {
    /// A mesh with a shard for each of `wakers`, and room for `connections_max` clients that hold `memory_bytes_max` in all;
    /// 0 is no bound.
    pub fn new(
        wakers: impl IntoIterator<Item = W>,
        connections_max: usize,
        memory_bytes_max: u64,
    ) -> Mesh<W> {
        let mailbox = |waker| Mailbox {
            post: Mutex::default(),
            bytes: AtomicUsize::new(0),
            is_woken: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            waker,
        };
        let mailboxes: Vec<Mailbox<W>> = wakers.into_iter().map(mailbox).collect();
        Mesh {
            memory: Budget::new(memory_bytes_max, mailboxes.len()),
            mailboxes,
            ahead: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(connections_max),
            addresses: Addresses::default(),
            mailbox_bytes_mark: limits::MAILBOX_BYTES_MARK,
            answers: Answers(Box::new(drop)),
        }
    }

    /// The same with somebody who gets the answers to what [`Order::Ask`] asks; else they are dropped. It is called by the
    /// workers in the midst of their turns, so it must not wait for anything.
    #[must_use]
    pub fn with_answers(self, answers: Box<dyn Fn(Answered) + Send + Sync>) -> Mesh<W> {
        Mesh { answers: Answers(answers), ..self }
    }

    /// The same with another mark than [`limits::MAILBOX_BYTES_MARK`], for those who want to see it passed.
    #[must_use]
    pub fn with_mailbox_bytes_mark(self, mailbox_bytes_mark: usize) -> Mesh<W> {
        Mesh { mailbox_bytes_mark, ..self }
    }

    /// The same with so many places for each address; 0 is any number.
    #[must_use]
    pub fn with_connections_per_address_max(self, max: usize) -> Mesh<W> {
        Mesh { addresses: Addresses::new(max), ..self }
    }

    /// Other bounds from now on, as [`new`](Self::new) and
    /// [`with_connections_per_address_max`](Self::with_connections_per_address_max) take them. Who is in stays, and counts;
    /// but by its address only who came while those were limited.
    pub fn reconfigure(
        &self,
        connections_max: usize,
        memory_bytes_max: u64,
        connections_per_address_max: usize,
    ) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
        self.memory.set_bytes_max(memory_bytes_max);
        self.addresses.set_max(connections_per_address_max);
        // Whoever found no room may find some.
        self.wake_all();
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// Posts mail to a shard.
    pub fn post(&self, to: ShardId, batch: Batch) {
        let mailbox = &self.mailboxes[usize::from(to.0)];
        let bytes = batch.bytes();
        let mut post = mailbox.lock();
        post.batches.push(batch);
        mailbox.bytes.fetch_add(bytes, Ordering::SeqCst);
        drop(post);
        mailbox.wake();
    }

    /// Orders a shard to do something. Orders do not count as mail, for a shard whose drain is over leaves them lying: who
    /// has much to be published waits for answers. Whether it will be read: not if the shard's loop [has
    /// ended](Self::close).
    pub fn order(&self, to: ShardId, order: Order) -> bool {
        let mailbox = &self.mailboxes[usize::from(to.0)];
        let mut post = mailbox.lock();
        if mailbox.is_closed.load(Ordering::Relaxed) {
            return false;
        }
        post.orders.push(order);
        drop(post);
        mailbox.wake();
        true
    }

    /// A shard's drain is over, and its loop ends: nothing can be ordered any more. What was, and it has not read.
    pub fn close(&self, shard: ShardId) -> Vec<Order> {
        let mailbox = &self.mailboxes[usize::from(shard.0)];
        let mut post = mailbox.lock();
        mailbox.is_closed.store(true, Ordering::Relaxed);
        mem::take(&mut post.orders)
    }

    /// Hands an answer to who asked.
    pub fn answer(&self, answered: Answered) {
        (self.answers.0)(answered);
    }

    /// Empties a shard's mailbox. `former` is what it emptied the last time, whose memory is used again. Returns how many
    /// bytes there were.
    pub fn collect(&self, shard: ShardId, former: &mut Post) -> usize {
        let mailbox = &self.mailboxes[usize::from(shard.0)];
        former.batches.clear();
        former.orders.clear();
        mailbox.is_woken.store(false, Ordering::SeqCst);
        let mut post = mailbox.lock();
        mem::swap(&mut *post, former);
        let bytes = mailbox.bytes.swap(0, Ordering::SeqCst);
        drop(post);
        if bytes >= self.mailbox_bytes_mark {
            self.wake_all();
        }
        bytes
    }

    /// Whether sockets may be read: no fan-out is behind and no mailbox too full.
    pub fn may_read(&self) -> bool {
        self.ahead.load(Ordering::SeqCst) == 0
            && self
                .mailboxes
                .iter()
                .all(|mailbox| mailbox.bytes.load(Ordering::SeqCst) < self.mailbox_bytes_mark)
    }

    /// Bytes that wait in a shard's mailbox.
    pub fn mailbox_bytes(&self, shard: ShardId) -> usize {
        self.mailboxes[usize::from(shard.0)].bytes.load(Ordering::SeqCst)
    }

    /// One more shard's fan-out is behind, or one less. Whoever is the last to catch up wakes all.
    pub fn note_ahead(&self, is_ahead: bool) {
        if is_ahead {
            self.ahead.fetch_add(1, Ordering::SeqCst);
        } else if self.ahead.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.wake_all();
        }
    }

    /// Takes a place among the connections.
    ///
    /// # Errors
    /// If there is none.
    pub fn admit(&self) -> Result<(), Full> {
        if !self.has_memory() {
            return Err(Full::Memory);
        }
        let max = self.connections_max.load(Ordering::Relaxed);
        let next = |count| (count < max).then_some(count + 1);
        let admitted = self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        admitted.map(drop).map_err(|_| Full::Connections)
    }

    /// Gives a place back.
    pub fn release(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many places are taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether a place is left.
    pub fn has_room(&self) -> bool {
        self.connections() < self.connections_max.load(Ordering::Relaxed) && self.has_memory()
    }

    /// Whether there is memory for somebody new.
    pub fn has_memory(&self) -> bool {
        self.memory.has_room(|| self.bytes_on_the_way())
    }

    /// A shard says what it holds. If that is too much in all, whoever holds most is woken.
    pub fn note_held(&self, shard: ShardId, held: Held) {
        let memory = &self.memory;
        memory.note(shard, held);
        if memory.excess(|| self.bytes_on_the_way()).is_none() {
            return;
        }
        let largest = memory.largest();
        if largest != shard {
            self.mailboxes[usize::from(largest.0)].wake();
        }
    }

    /// Bytes that a shard has to let go, because all of them hold too much and it holds most.
    pub fn excess(&self, shard: ShardId) -> Option<u64> {
        let excess = self.memory.excess(|| self.bytes_on_the_way())?;
        (self.memory.largest() == shard).then_some(excess)
    }

    /// Bytes in all mailboxes.
    fn bytes_on_the_way(&self) -> u64 {
        self.mailboxes.iter().map(|mailbox| mailbox.bytes.load(Ordering::Relaxed) as u64).sum()
    }

    /// How many connections an address may have; 0 is any number, and then nobody counts.
    pub fn connections_per_address_max(&self) -> usize {
        self.addresses.max()
    }

    /// Takes a place among those of an address, if there is one. Only if they are limited.
    pub fn admit_address(&self, address: Address) -> bool {
        self.addresses.admit(address)
    }

    /// Gives it back.
    pub fn release_address(&self, address: Address) {
        self.addresses.release(address);
    }

    /// How many addresses have a connection, if they are limited.
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    fn wake_all(&self) {
        self.mailboxes.iter().for_each(Mailbox::wake);
    }
}

impl<W: Wake> Mailbox<W> {
    fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// The post. A shard that panicked with the lock held left it whole: every change to it is one call.
    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::mail::{Barrier, Mail, Round};

    #[derive(Debug, Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const A: ShardId = ShardId(0);
    const B: ShardId = ShardId(1);

    fn mesh() -> Mesh<Woken> {
        Mesh::new([Woken::default(), Woken::default()], 2, 0)
    }

    fn woken(mesh: &Mesh<Woken>, shard: ShardId) -> usize {
        mesh.mailboxes[usize::from(shard.0)].waker.0.load(Ordering::Relaxed)
    }

    fn batch(payload_bytes: usize) -> Batch {
        let mail = vec![Mail::Barrier(Round::Last, Barrier::Publications)];
        Batch { mail, payloads: vec![0; payload_bytes], ..Batch::new(A) }
    }

    #[test]
    fn mail_arrives_in_order_and_wakes_once_until_it_is_collected() {
        let mesh = mesh();
        mesh.post(B, batch(1));
        mesh.post(B, batch(2));
        assert_eq!(woken(&mesh, B), 1);
        let mut post = Post::default();
        mesh.collect(B, &mut post);
        let sizes: Vec<usize> = post.batches.iter().map(|batch| batch.payloads.len()).collect();
        assert_eq!(sizes, [1, 2]);
        mesh.post(B, batch(3));
        assert_eq!(woken(&mesh, B), 2);
    }

    #[test]
    fn a_mailbox_over_the_mark_stops_all_reading_until_it_is_collected() {
        let mesh = mesh();
        mesh.post(B, batch(limits::MAILBOX_BYTES_MARK));
        assert!(!mesh.may_read());
        assert!(mesh.mailbox_bytes(B) >= limits::MAILBOX_BYTES_MARK && mesh.mailbox_bytes(A) == 0);
        mesh.collect(B, &mut Post::default());
        assert!(mesh.may_read());
        assert_eq!(mesh.mailbox_bytes(B), 0);
        assert_eq!(woken(&mesh, A), 1, "who stopped reading is told to go on");
    }

    #[test]
    fn the_last_shard_to_catch_up_wakes_all() {
        let mesh = mesh();
        mesh.note_ahead(true);
        mesh.note_ahead(true);
        mesh.note_ahead(false);
        assert!(!mesh.may_read());
        assert_eq!(woken(&mesh, B), 0);
        mesh.note_ahead(false);
        assert!(mesh.may_read());
        assert_eq!((woken(&mesh, A), woken(&mesh, B)), (1, 1));
    }

    #[test]
    fn there_are_as_many_places_as_connections_may_be() {
        let mesh = mesh();
        assert!(mesh.admit().is_ok() && mesh.admit().is_ok());
        assert!(!mesh.has_room());
        assert_eq!(mesh.admit(), Err(Full::Connections));
        mesh.release();
        assert_eq!(mesh.admit(), Ok(()));
    }

    #[test]
    fn without_a_budget_there_is_always_memory() {
        let mesh = mesh();
        mesh.note_held(A, Held { bytes: u64::MAX, queued_bytes: u64::MAX });
        assert!(mesh.has_room() && mesh.excess(A).is_none());
    }

    #[test]
    fn near_the_budget_there_is_no_place_and_beyond_it_whoever_holds_most_is_woken() {
        let mesh = Mesh::new([Woken::default(), Woken::default()], 2, 1000);
        mesh.note_held(A, Held { bytes: 801, queued_bytes: 801 });
        assert!(!mesh.has_room());
        assert_eq!(mesh.admit(), Err(Full::Memory));
        assert_eq!((mesh.excess(A), woken(&mesh, A)), (None, 0));
        mesh.note_held(B, Held { bytes: 200, queued_bytes: 0 });
        assert_eq!((mesh.excess(A), mesh.excess(B)), (Some(126), None));
        assert_eq!((woken(&mesh, A), woken(&mesh, B)), (1, 0));
        mesh.note_held(A, Held { bytes: 600, queued_bytes: 600 });
        assert_eq!((mesh.excess(A), mesh.admit()), (None, Ok(())));
    }
}

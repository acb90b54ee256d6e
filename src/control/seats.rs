//! [`Seats`]: the places of the admin API's connections. When all are taken, who has waited longest, for its next request or in
//! the midst of one's head, gives its own up, unless it has shown the token: else whoever reaches the port could keep
//! operators and load balancers out with connections that ask nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// So many places.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    /// Invariant: no more of them live than there are places.
    taken: Mutex<Vec<Weak<Place>>>,
    count: u32,
    /// Counts who begins to wait, from 1, so that it is known who did before whom.
    next: Arc<AtomicU64>,
}

/// A place among the connections, held as long as any part of one lives.
#[derive(Clone, Debug)]
pub(super) struct Seat(Arc<Place>);

#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    /// When it began to wait, by `next`; 0 while something is asked.
    waits_since: AtomicU64,
    /// That of all [`Seats`].
    next: Arc<AtomicU64>,
    has_shown_token: AtomicBool,
    /// It is needed by somebody else.
    needed: Notify,
}

impl Seats {
    /// So many places, none of them taken.
    pub(super) fn new(count: u32) -> Seats {
        let (free, next) = (Arc::new(Semaphore::new(count as usize)), Arc::new(AtomicU64::new(1)));
        Seats { free, taken: Mutex::default(), count, next }
    }

    /// A place for somebody who has come, and waits for its first request. None if all are taken by those who do not wait, or
    /// have shown the token.
    pub(super) async fn take(&self) -> Option<Seat> {
        let permit = if let Ok(permit) = self.free.clone().try_acquire_owned() {
            permit
        } else {
            self.longest_waiting()?.needed.notify_one();
            // A connection with nothing under way goes at once.
            self.free.clone().acquire_owned().await.ok()?
        };
        let place = Place {
            _permit: permit,
            waits_since: AtomicU64::new(0),
            next: self.next.clone(),
            has_shown_token: AtomicBool::new(false),
            needed: Notify::new(),
        };
        let seat = Seat(Arc::new(place));
        seat.waits();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|place| place.strong_count() > 0);
        taken.push(Arc::downgrade(&seat.0));
        Some(seat)
    }

    fn longest_waiting(&self) -> Option<Arc<Place>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = taken.iter().filter_map(Weak::upgrade).filter(|place| {
            place.waits_since.load(Ordering::Relaxed) > 0 && !place.has_shown_token.load(Ordering::Relaxed)
        });
        waiting.min_by_key(|place| place.waits_since.load(Ordering::Relaxed))
    }

    /// Ends when nobody has a place any more.
    pub(super) async fn all_free(&self) {
        drop(self.free.acquire_many(self.count).await);
    }
}

impl Seat {
    /// Something is asked.
    pub(super) fn is_asked(&self) {
        self.0.waits_since.store(0, Ordering::Relaxed);
    }

    /// Nothing is asked any more, or yet.
    pub(super) fn waits(&self) {
        self.0.waits_since.store(self.0.next.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// It has shown the token: it keeps its place.
    pub(super) fn has_shown_token(&self) {
        self.0.has_shown_token.store(true, Ordering::Relaxed);
    }

    /// Ends when somebody else needs the place.
    pub(super) async fn needed(&self) {
        self.0.needed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_waited_longest_and_not_shown_the_token_gives_its_place_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let seats = Seats::new(4);
            let mut taken = Vec::new();
            for _ in 0..4 {
                taken.push(seats.take().await.expect("a place is free"));
            }
            let mut taken = taken.into_iter();
            let [known, busy, former, latter] = [(); 4].map(|()| taken.next().expect("there are four"));
            known.has_shown_token();
            busy.is_asked();
            // It has asked something meanwhile.
            former.is_asked();
            former.waits();
            let mut newcomers = Vec::new();
            for first in [latter, former] {
                let leaving = async move { first.needed().await };
                let ((), newcomer) = tokio::join!(leaving, seats.take());
                let newcomer = newcomer.expect("somebody went");
                newcomer.is_asked();
                newcomers.push(newcomer);
            }
            assert!(seats.take().await.is_none(), "nobody waits but who has shown the token");
            drop(known);
            assert!(seats.take().await.is_some());
        });
    }
}

//! [`Ledger`]: what has reached one connection, exactly: what is missing, what came twice, what came too late.

use std::collections::VecDeque;
use std::ops::Range;

/// Gaps that a connection remembers. A message of an older one that comes after all counts as unexpected.
const GAPS_MAX: usize = 1024;

/// What has reached one connection of its channel's publishers, each of whom numbers its messages from 0 on.
#[derive(Debug)]
pub(super) struct Ledger {
    /// For each publisher, the number behind the highest that has come.
    next: Box<[u64]>,
    /// Messages that came, each counted once.
    count: u64,
    /// Stands for their order over all publishers.
    order: u64,
    out_of_order: u64,
    unexpected: u64,
    /// What was passed over and has not come yet.
    gaps: VecDeque<Gap>,
    /// Messages in gaps that are remembered no longer.
    given_up: u64,
}

/// Numbers of one publisher that have been passed over. Invariant: not empty.
#[derive(Debug)]
struct Gap {
    publisher: usize,
    numbers: Range<u64>,
}

/// What is wrong with what has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) missing: u64,
    pub(super) unexpected: u64,
    pub(super) out_of_order: u64,
}

impl Judgement {
    /// Adds what is wrong elsewhere.
    pub(super) fn add(&mut self, other: Judgement) {
        self.missing += other.missing;
        self.unexpected += other.unexpected;
        self.out_of_order += other.out_of_order;
    }
}

impl Ledger {
    /// Of a connection whose channel has so many publishers.
    pub(super) fn new(publishers: usize) -> Ledger {
        Ledger {
            next: vec![0; publishers].into(),
            count: 0,
            order: 0,
            out_of_order: 0,
            unexpected: 0,
            gaps: VecDeque::new(),
            given_up: 0,
        }
    }

    /// A message came. `sent` says how many its publisher has sent. Returns whether it was due: not if it has come before,
    /// or if nobody sent it.
    #[inline]
    pub(super) fn take(&mut self, publisher: usize, number: u64, sent: impl FnOnce() -> u64) -> bool {
        let is_due = match self.next.get_mut(publisher) {
            Some(next) if *next == number => {
                *next += 1;
                true
            }
            _ => self.take_out_of_turn(publisher, number, sent()),
        };
        if is_due {
            self.count += 1;
            let message = ((publisher as u64) << 48) ^ number;
            self.order = (self.order.rotate_left(5) ^ message).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        is_due
    }

    /// A message came that is none of the channel's.
    pub(super) fn take_foreign(&mut self) {
        self.unexpected += 1;
    }

    #[cold]
    fn take_out_of_turn(&mut self, publisher: usize, number: u64, sent: u64) -> bool {
        if publisher < self.next.len() && number < sent {
            let next = &mut self.next[publisher];
            if number > *next {
                let numbers = *next..number;
                *next = number + 1;
                self.remember(Gap { publisher, numbers });
                return true;
            }
            if self.fill(publisher, number) {
                self.out_of_order += 1;
                return true;
            }
        }
        self.unexpected += 1;
        false
    }

    fn remember(&mut self, gap: Gap) {
        if self.gaps.len() >= GAPS_MAX
            && let Some(oldest) = self.gaps.pop_front()
        {
            self.given_up += length(&oldest.numbers);
        }
        self.gaps.push_back(gap);
    }

    /// Takes a number out of the gap that has it. Returns whether there is one.
    fn fill(&mut self, publisher: usize, number: u64) -> bool {
        let found =
            self.gaps.iter().rposition(|gap| gap.publisher == publisher && gap.numbers.contains(&number));
        let Some(index) = found else { return false };
        let numbers = self.gaps[index].numbers.clone();
        let parts = [numbers.start..number, number + 1..numbers.end];
        self.gaps.remove(index);
        for numbers in parts.into_iter().filter(|part| !part.is_empty()) {
            self.gaps.insert(index, Gap { publisher, numbers });
        }
        true
    }

    /// The number behind the highest that has come of a publisher.
    #[inline]
    pub(super) fn next(&self, publisher: usize) -> u64 {
        self.next.get(publisher).copied().unwrap_or_default()
    }

    /// Messages that came, each counted once.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Stands for the order in which they came, over all publishers: if it differs between two connections of a channel
    /// to which equally many came, they came in another order.
    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// Whether all has come. `sent` says how many each publisher has sent, `None` if nobody knows.
    pub(super) fn is_complete(&self, sent: impl Iterator<Item = Option<u64>>) -> bool {
        self.gaps.is_empty()
            && self.next.iter().zip(sent).all(|(next, sent)| sent.is_none_or(|sent| *next >= sent))
    }

    /// What is wrong, now that nothing more comes. `sent` says how many each publisher has sent, `None` if nobody knows.
    pub(super) fn judge(&self, sent: impl Iterator<Item = Option<u64>>) -> Judgement {
        let behind = self.next.iter().zip(sent);
        let behind: u64 = behind.map(|(next, sent)| sent.map_or(0, |sent| sent.saturating_sub(*next))).sum();
        let between: u64 = self.gaps.iter().map(|gap| length(&gap.numbers)).sum();
        Judgement {
            missing: behind + between + self.given_up,
            unexpected: self.unexpected,
            out_of_order: self.out_of_order,
        }
    }
}

fn length(numbers: &Range<u64>) -> u64 {
    numbers.end - numbers.start
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger after these messages (publisher, number) of two publishers, who have sent ten each.
    fn ledger(messages: &[(usize, u64)]) -> Ledger {
        let mut ledger = Ledger::new(2);
        for (publisher, number) in messages {
            ledger.take(*publisher, *number, || 10);
        }
        ledger
    }

    /// What is wrong if the two have sent so many.
    fn judged(messages: &[(usize, u64)], sent: [u64; 2]) -> Judgement {
        ledger(messages).judge(sent.into_iter().map(Some))
    }

    const GOOD: Judgement = Judgement { missing: 0, unexpected: 0, out_of_order: 0 };

    #[test]
    fn nothing_is_wrong_if_all_comes_in_order() {
        assert_eq!(judged(&[], [0, 0]), GOOD);
        assert_eq!(judged(&[(0, 0), (1, 0), (1, 1), (0, 1), (0, 2)], [3, 2]), GOOD);
    }

    #[test]
    fn a_lost_message_is_missing_in_the_middle_at_the_end_and_if_all_are() {
        assert_eq!(judged(&[(0, 0), (0, 2)], [3, 0]), Judgement { missing: 1, ..GOOD });
        assert_eq!(judged(&[(0, 0), (0, 1)], [3, 0]), Judgement { missing: 1, ..GOOD });
        assert_eq!(judged(&[(0, 1), (0, 2)], [3, 0]), Judgement { missing: 1, ..GOOD });
        assert_eq!(judged(&[], [3, 4]), Judgement { missing: 7, ..GOOD });
    }

    #[test]
    fn a_doubled_message_is_unexpected_and_counts_once() {
        let messages = [(0, 0), (0, 1), (0, 1), (0, 2)];
        assert_eq!(judged(&messages, [3, 0]), Judgement { unexpected: 1, ..GOOD });
        assert_eq!(ledger(&messages).count(), 3);
        let messages = [(0, 0), (0, 2), (0, 1), (0, 1)];
        assert_eq!(judged(&messages, [3, 0]), Judgement { unexpected: 1, out_of_order: 1, ..GOOD });
    }

    #[test]
    fn a_late_message_is_out_of_order_and_not_missing() {
        assert_eq!(judged(&[(0, 1), (0, 0), (0, 2)], [3, 0]), Judgement { out_of_order: 1, ..GOOD });
        assert_eq!(
            judged(&[(0, 3), (0, 0), (0, 2)], [4, 0]),
            Judgement { out_of_order: 2, missing: 1, ..GOOD }
        );
        // Another publisher's order is another matter.
        assert_eq!(judged(&[(0, 0), (0, 1), (1, 0)], [2, 1]), GOOD);
    }

    #[test]
    fn what_nobody_sent_is_unexpected() {
        assert_eq!(judged(&[(0, 0), (0, 10)], [1, 0]), Judgement { unexpected: 1, ..GOOD });
        assert_eq!(judged(&[(2, 0)], [0, 0]), Judgement { unexpected: 1, ..GOOD });
        let mut ledger = Ledger::new(0);
        ledger.take_foreign();
        assert_eq!(ledger.judge([].into_iter()), Judgement { unexpected: 1, ..GOOD });
        assert_eq!(ledger.count(), 0);
    }

    #[test]
    fn a_publisher_whose_last_messages_nobody_knows_of_leaves_none_missing_but_those_between() {
        let judgement = ledger(&[(0, 0), (0, 2)]).judge([None, None].into_iter());
        assert_eq!(judgement, Judgement { missing: 1, ..GOOD });
    }

    #[test]
    fn it_is_complete_when_nothing_is_missing() {
        let sent = || [Some(3), None].into_iter();
        assert!(ledger(&[(0, 0), (0, 1), (0, 2)]).is_complete(sent()));
        assert!(ledger(&[(0, 0), (0, 2), (0, 1)]).is_complete(sent()));
        assert!(!ledger(&[(0, 0), (0, 1)]).is_complete(sent()));
        assert!(!ledger(&[(0, 0), (0, 2)]).is_complete(sent()));
    }

    #[test]
    fn another_order_of_the_same_messages_is_told_apart_and_the_same_is_not() {
        let order = |messages: &[(usize, u64)]| ledger(messages).order();
        let (here, there) = ([(0, 0), (1, 0), (0, 1)], [(0, 0), (0, 1), (1, 0)]);
        assert_eq!(judged(&here, [2, 1]), judged(&there, [2, 1]), "each publisher's order is right");
        assert_ne!(order(&here), order(&there));
        assert_eq!(order(&here), order(&here));
        assert_eq!(
            order(&here),
            order(&[(0, 0), (1, 0), (1, 0), (0, 1)]),
            "what came twice is no other order"
        );
    }

    #[test]
    fn gaps_beyond_those_remembered_stay_missing() {
        let mut ledger = Ledger::new(1);
        let gaps = GAPS_MAX as u64 + 3;
        for number in 0..gaps {
            assert!(ledger.take(0, 2 * number + 1, || u64::MAX));
        }
        assert_eq!(ledger.judge([Some(2 * gaps)].into_iter()), Judgement { missing: gaps, ..GOOD });
        assert!(!ledger.take(0, 0, || u64::MAX), "the oldest is forgotten");
        assert!(ledger.take(0, 2 * gaps - 2, || u64::MAX), "the latest is not");
    }
}

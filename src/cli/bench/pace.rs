//! [`Pace`]: when a message may be sent, and when it should have been.

/// What decides when the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// A sender's next message goes when its message before so many has come back: what the server can carry is found
    /// out.
    Window(usize),
    /// So many messages a second over all senders go at fixed times, whatever comes back: a load that does not wait for
    /// the server.
    Rate(f64),
}

/// The times of a fixed rate. Message 0 of all senders goes first, in the senders' order, then message 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timetable {
    /// Messages a second over all senders.
    pub(super) rate: f64,
    pub(super) senders: u64,
    /// When the first message is due, in nanoseconds.
    pub(super) begin_ns: u64,
}

const NS_PER_S: f64 = 1e9;

impl Timetable {
    /// Messages of all senders that are due by then.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "2^53 ns are a hundred days")]
    pub(super) fn due(&self, now_ns: u64) -> u64 {
        match now_ns.checked_sub(self.begin_ns) {
            Some(gone_ns) => (gone_ns as f64 * self.rate / NS_PER_S) as u64 + 1,
            None => 0,
        }
    }

    /// Messages of this sender that are due by then.
    pub(super) fn due_of(&self, sender: u64, now_ns: u64) -> u64 {
        (self.due(now_ns) + self.senders - 1).saturating_sub(sender) / self.senders
    }

    /// When this message is due, in nanoseconds.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "2^53 ns are a hundred days")]
    pub(super) fn intended_ns(&self, sender: u64, number: u64) -> u64 {
        self.begin_ns + ((number * self.senders + sender) as f64 * NS_PER_S / self.rate) as u64
    }
}

/// One sender's place in its stream of messages.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// Messages sent, which is the number of the next.
    pub(super) sent: u64,
    /// Messages below this number are waited for no longer.
    pub(super) forgiven: u64,
    /// Times that was looked at it since it last had something to send.
    pub(super) looks: u32,
    /// When the messages under way were sent, by their number modulo the window. Only where payloads do not say it.
    pub(super) sent_ns: Box<[u64]>,
}

impl Sender {
    /// Messages that may be sent under a window, of which all below `next` have come back or been passed over.
    pub(super) fn room(&self, window: usize, next: u64) -> u64 {
        (window as u64).saturating_sub(self.sent.saturating_sub(next.max(self.forgiven)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_room_for_what_has_come_back() {
        let mut sender = Sender::default();
        assert_eq!(sender.room(4, 0), 4);
        sender.sent = 4;
        assert_eq!(sender.room(4, 0), 0);
        assert_eq!(sender.room(4, 3), 3);
        sender.forgiven = 4;
        assert_eq!(sender.room(4, 0), 4, "after a stall it begins anew");
    }

    #[test]
    fn a_rate_has_each_sender_s_messages_at_equal_distances() {
        let table = Timetable { rate: 1000.0, senders: 3, begin_ns: 5_000_000 };
        assert_eq!((table.due(4_999_999), table.due(5_000_000), table.due(5_999_999)), (0, 1, 1));
        assert_eq!(table.due(1_005_000_000), 1001);
        assert_eq!([0, 1, 2].map(|sender| table.due_of(sender, 8_000_000)), [2, 1, 1]);
        assert_eq!(table.intended_ns(0, 0), 5_000_000);
        assert_eq!(table.intended_ns(2, 1), 10_000_000);
    }

    #[test]
    fn what_is_due_was_intended_by_then_at_any_rate() {
        for rate in [0.3, 7.0, 999.9, 4000.0, 1e6, 3e6] {
            let table = Timetable { rate, senders: 7, begin_ns: 123 };
            for now_ns in [123, 124, 1_000_000, 77_777_777, 123_456_789_012] {
                let sum: u64 = (0..7).map(|sender| table.due_of(sender, now_ns)).sum();
                assert_eq!(sum, table.due(now_ns));
                for sender in 0..7 {
                    let due = table.due_of(sender, now_ns);
                    assert!(due == 0 || table.intended_ns(sender, due - 1) <= now_ns + 1);
                    assert!(table.intended_ns(sender, due) + 1 >= now_ns, "{rate} {now_ns}");
                }
            }
        }
    }
}

//! What a client may send where the operator limits it: [`Meter`], which remembers all that was taken from it.
//!
//! Nothing here knows how the server keeps its allowances: every window of time is looked at by itself.

use fanwire::config::{Rate, Rates};

/// What was taken from one client of the things that one rate is about.
#[derive(Debug)]
pub struct Meter {
    rate: Option<Rate>,
    /// When how much was taken, in order.
    taken: Vec<(u64, u64)>,
    total: u64,
}

impl Meter {
    fn new(rate: Option<Rate>) -> Meter {
        Meter { rate, taken: Vec::new(), total: 0 }
    }

    /// So much has been taken in all. Whether in every window of time that ends now it was no more than may be.
    fn read(&mut self, total: u64, now_ms: u64) -> bool {
        let Some(Rate { per_second, burst }) = self.rate.filter(|_| total > self.total) else { return true };
        self.taken.push((now_ms, total - self.total));
        self.total = total;
        let mut in_window = 0;
        self.taken.iter().rev().all(|(since_ms, count)| {
            in_window += count;
            in_window * 1000 <= burst * 1000 + per_second * (now_ms - since_ms)
        })
    }
}

/// Both of one client.
#[derive(Debug)]
pub struct Meters {
    messages: Meter,
    bytes: Meter,
}

impl Meters {
    pub fn new(rates: Rates) -> Meters {
        Meters { messages: Meter::new(rates.messages), bytes: Meter::new(rates.bytes) }
    }

    /// So many messages and bytes have been taken in all. Whether that may be.
    pub fn read(&mut self, messages: u64, bytes: u64, now_ms: u64) -> bool {
        let (messages, bytes) = (self.messages.read(messages, now_ms), self.bytes.read(bytes, now_ms));
        messages && bytes
    }
}

#[test]
fn a_meter_sees_one_too_many_in_any_window() {
    let meter = |reads: &[(u64, u64)]| {
        let mut meter = Meter::new(Some(Rate { per_second: 2, burst: 3 }));
        reads.iter().map(|&(total, now_ms)| meter.read(total, now_ms)).collect::<Vec<bool>>()
    };
    assert_eq!(meter(&[(3, 0), (4, 500), (5, 1_000)]), [true, true, true]);
    assert_eq!(meter(&[(3, 0), (4, 499)]), [true, false]);
    assert_eq!(meter(&[(1, 0), (2, 10_000), (4, 10_000), (5, 10_001)]), [true, true, true, false]);
}

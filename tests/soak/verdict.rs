//! [`Verdict`]: whether the connection of a good client may have ended as it did.

use crate::course::Stage;
use crate::member::{Ending, Temper};

/// Whether a connection may have ended so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// If the server was short of memory.
    RightIfShort,
    /// If the server let go of clients because of its budget.
    RightIfShed,
    Wrong,
}

impl Verdict {
    /// About a client of this temper, which had its 101 or had not.
    pub(crate) fn of(ending: &Ending, temper: Temper, was_in: bool, stage: Stage) -> Verdict {
        match (ending, stage) {
            (Ending::Left, Stage::Chaos | Stage::Quiet) | (Ending::Closed(1001, _), Stage::Farewell) => {
                Verdict::Right
            }
            (Ending::Closed(1008, _), Stage::Chaos | Stage::Quiet) if temper.may_be_slow() => Verdict::Right,
            (Ending::Closed(1013, _), _) => Verdict::RightIfShed,
            // Whose socket is full is told nothing.
            (Ending::Lost(_), Stage::Chaos) if was_in && temper.may_be_slow() => Verdict::Right,
            (Ending::Lost(_), Stage::Chaos) if was_in => Verdict::RightIfShed,
            // Whoever is turned away over TLS hears of it only if the handshake is over in time.
            (Ending::Refused(503), _) | (Ending::Lost(_), Stage::Chaos) => Verdict::RightIfShort,
            _ => Verdict::Wrong,
        }
    }

    /// The same after the machine stood still: deadlines were missed by all.
    pub(crate) fn after_standstill(ending: &Ending) -> Option<Verdict> {
        let is_missed_deadline =
            matches!(ending, Ending::Closed(1008 | 1001, _) | Ending::Refused(408) | Ending::Lost(_));
        is_missed_deadline.then_some(Verdict::Right)
    }
}

#[test]
fn who_keeps_to_the_protocol_is_closed_for_slowness_or_want_of_memory_or_at_the_end() {
    let closed = |code| Ending::Closed(code, String::new());
    let lost = || Ending::Lost(String::new());
    for (ending, temper, was_in, stage, verdict) in [
        (Ending::Left, Temper::Steady, true, Stage::Chaos, Verdict::Right),
        (Ending::Left, Temper::Steady, true, Stage::Farewell, Verdict::Wrong),
        (closed(1001), Temper::Steady, true, Stage::Farewell, Verdict::Right),
        (closed(1001), Temper::Steady, true, Stage::Chaos, Verdict::Wrong),
        (closed(1002), Temper::Stalling, true, Stage::Chaos, Verdict::Wrong),
        (closed(1008), Temper::Stalling, true, Stage::Chaos, Verdict::Right),
        (closed(1008), Temper::Steady, true, Stage::Chaos, Verdict::Wrong),
        (closed(1013), Temper::Clerk, true, Stage::Chaos, Verdict::RightIfShed),
        (Ending::Refused(503), Temper::Restless, false, Stage::Chaos, Verdict::RightIfShort),
        (Ending::Refused(400), Temper::Restless, false, Stage::Chaos, Verdict::Wrong),
        (lost(), Temper::Sipping, true, Stage::Chaos, Verdict::Right),
        (lost(), Temper::Steady, true, Stage::Chaos, Verdict::RightIfShed),
        (lost(), Temper::Steady, false, Stage::Chaos, Verdict::RightIfShort),
        (lost(), Temper::Steady, false, Stage::Quiet, Verdict::Wrong),
        (lost(), Temper::Steady, true, Stage::Farewell, Verdict::Wrong),
    ] {
        assert_eq!(Verdict::of(&ending, temper, was_in, stage), verdict, "{ending:?} {temper:?} {stage:?}");
    }
}

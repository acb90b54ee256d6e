//! What does a message cost, by our code and by that of three peers?
//!
//! [`tungstenite`], [`fastwebsockets`] and [`sockudo_ws`] do the same deeds as fanwire, on the same bytes in memory, in one
//! process: no kernel, no runtime. A case is one deed of one size; before it is measured, all libraries must have made
//! the same of it.
//!
//! ```text
//! cargo bench --bench codec                      criterion: a group for each question, with its bounds of noise
//! cargo bench --bench codec -- --table [WORD]    a table in markdown, of the cases with WORD in their names
//! ```
//!
//! For the table the libraries take turns within each case, so that a machine's moods hit all of them alike, and medians
//! are compared. It is what the README shows.
//!
//! Bad news: a ratio below 1.5 where frames of up to 1 KiB are decoded, or a mask of 64 KiB below 0.8 of a copy.

mod case;
mod decode;
mod encode;
mod handshake;
mod memory;
mod parts;
#[path = "../../../per_unit/mod.rs"]
mod per_unit;
mod table;

use case::{Case, Contender};
use criterion::Criterion;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut cases = Vec::new();
    decode::add_cases(&mut cases);
    encode::add_cases(&mut cases);
    parts::add_cases(&mut cases);
    handshake::add_cases(&mut cases);
    if arguments.next().as_deref() == Some("--table") {
        table::print(&mut cases, arguments.next().as_deref().unwrap_or_default());
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    for cases in cases.chunk_by_mut(|one, next| one.question == next.question) {
        let mut group = per_unit::group(&mut criterion, cases[0].question);
        for Case { name, units, bytes, contenders, .. } in cases {
            for Contender { name: library, batch } in contenders {
                per_unit::measure(&mut group, &format!("{name}/{library}"), *units, *bytes, batch);
            }
        }
    }
    criterion.final_summary();
}

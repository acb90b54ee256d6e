//! What does a frame cost, ours and theirs?

fn main() {}

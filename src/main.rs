//! The `fanwire` program.

fn main() {}

//! Which changes this node has, lacks and sends, and who wins when two writes meet.
//!
//! Never in here: async, IO, a clock, randomness, SQL. Facts and moments are arguments.
//!
//! Start reading at `merge.rs` (one change meets one row), `join.rs` (two states of a row meet), `admit.rs`
//! (may a transaction be applied) and `exchange.rs` (what goes to which member, and when).

mod admit;
mod exchange;
mod join;
mod merge;

pub use admit::admit;
pub use exchange::{Behind, Exchange, ExchangeConfig, ExchangeOutput, Feed};
pub use join::join;
pub use merge::merge;

//! The database `data.db`: replicated tables, with the bookkeeping that keeps them in step, in one file,
//! so that a change and what is known of it commit together. SQLite through sqlx.
//!
//! Any SQLite client may read and write the file. Triggers note which rows changed (`triggers.rs`); the
//! agent seals what was noted into a numbered transaction (`seal.rs`) and keeps it in a log until every
//! member has it. Transactions of others are applied whole or not at all (`apply.rs`).
//!
//! Never in here: who wins when two writes meet (the [`Rules`] are asked), what goes to which member, a
//! clock (every moment is an argument, but for the triggers, which any client runs), randomness.
//!
//! Start reading at [`Tables`], then `migrations/` for the bookkeeping, then `desk.rs` for how a write runs.

mod catalog;
mod config;
mod desk;
mod error;
mod introspect;
mod key;
mod open;
mod query;
mod readers;
mod rows;
mod rules;
mod sql;
mod state;
mod statement;
mod tables;

pub use config::TablesConfig;
pub use error::{TablesError, TablesOpenError, Thing};
pub use query::{Query, Rows};
pub use rules::Rules;
pub use state::Have;
pub use tables::Tables;

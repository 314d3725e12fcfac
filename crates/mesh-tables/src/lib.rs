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

mod accepted;
mod apply;
mod backup;
mod builtin;
mod catalog;
mod config;
mod conflicts;
mod desk;
mod digest;
mod durable;
mod effect;
mod error;
mod feed;
mod health;
mod introspect;
mod key;
mod log;
mod members;
mod oddity;
mod open;
mod outlet;
mod parked;
mod query;
mod readers;
mod recent;
mod renew;
mod room;
mod rows;
mod rules;
mod schema;
mod seal;
mod snapshot;
mod sql;
mod state;
mod statement;
mod stats;
mod tables;
mod triggers;
mod write;

pub use apply::{Applied, IncomingPart, ParkedNow};
pub use builtin::{
    CONFIG_HISTORY_TABLE, CONFIG_TABLE, ConfigHistoryQuery, ConfigHistoryRow, ConfigWrite,
};
pub use config::TablesConfig;
pub use conflicts::{ConflictInfo, Restored, WriteInfo};
pub use digest::checksum;
pub use error::{TablesError, TablesOpenError, Thing};
pub use feed::{ChangeEvent, Feed, FeedItem, Operation};
pub use health::{Health, examine};
pub use log::{LogBatch, LogCursor};
pub use members::MemberRow;
pub use oddity::Oddity;
pub use open::refuse_newer;
pub use parked::{ParkReason, ParkedInfo};
pub use query::{Query, Rows};
pub use rules::Rules;
pub use snapshot::{Taken, View};
pub use state::Have;
pub use statement::only_reads;
pub use stats::{ParkedAhead, TablesStats};
pub use tables::Tables;
pub use write::{FileMark, Noticed, Statement, TableInfo, Written};

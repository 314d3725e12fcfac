//! The private database `mesh.db`: membership records, `agent_peers`, `peer_keys`, sealing keys, opened values,
//! `join_tokens`, outbox, inbox with the ids that were seen, parcels kept for others, pushes with their
//! history, audit. SQLite through sqlx.
//!
//! Whatever a method has reported as done has been committed with `synchronous=FULL` in WAL mode. One
//! task writes, on one connection, and puts everything that waits into one commit; the methods that
//! do not wait (`finish_outbox`, `finish_custody`, `note_attempt`, `note_peer_seen`, `audit`) ride along
//! with the next commit of several rows, or get their own after [`StoreConfig::lazy_delay`]. A small
//! pool of connections reads.
//!
//! Never in here: a clear secret (secret columns arrive sealed and leave sealed), decisions about
//! delivery or membership, a clock (every moment is an argument), SQL outside this crate.
//!
//! Start reading at [`Store`], then `migrations/` for the tables, then `writer.rs` for how
//! commits are grouped. Every statement is a named constant, collected in `statements.rs` and
//! compiled by SQLite against the migrated schema each time a database is opened.

mod audit;
mod backup;
mod columns;
mod config;
mod custody;
mod error;
mod git_audit;
mod health;
mod inbox;
mod meta;
mod open;
mod opened;
mod outbox;
mod pair_keys;
mod peers;
mod prune;
mod pushes;
mod query;
mod readers;
mod records;
mod sealing_keys;
mod statements;
mod store;
mod tokens;
mod writer;

pub use audit::AuditRow;
pub use config::StoreConfig;
pub use custody::{CustodyOutcome, CustodyRow, NewCustody};
pub use error::{OpenError, StoreError};
pub use git_audit::GitAuditRow;
pub use health::{Health, examine};
pub use inbox::{InboxOutcome, InboxQuery, InboxRow, NewInbox};
pub use opened::OpenedRow;
pub use outbox::{NewOutbox, OutboxEnd, OutboxRow};
pub use pair_keys::PairKeyRow;
pub use peers::{PeerRow, PeerStatus};
pub use prune::Pruned;
pub use pushes::{PushRow, StoredPush};
pub use records::{NewMesh, StoredRecord};
pub use sealing_keys::SealingKeyRow;
pub use store::{Counts, Store};
pub use tokens::{Redeem, RevokeOutcome, TokenRow};

//! The replicated tables as programs that embed a node use them.

use std::collections::BTreeMap;

use mesh_control::ParkedAccepted;
use mesh_protocol::{OriginId, PeerId};
use mesh_tables::{
    ConflictInfo, Feed, ParkedInfo, Query, Restored, Rows, Statement, TableInfo, TablesError,
    Written,
};

use crate::clock;
use crate::error::{NodeError, chain};
use crate::node::Node;
use crate::shared::lock;

impl From<TablesError> for NodeError {
    fn from(error: TablesError) -> Self {
        if matches!(error, TablesError::Closed) {
            return Self::stopping();
        }
        let hint = match &error {
            TablesError::Full { .. } => {
                "make room; what was committed before is kept, and changes of members are asked for again by themselves"
            }
            TablesError::ReadOnly { .. } => {
                "make the file system writable again; nothing has to be repaired afterwards"
            }
            TablesError::TakingOver => {
                "try again in a while; `mesh-ctl status` says how far it has come"
            }
            TablesError::Busy { .. } => "end the other program's transaction, then repeat",
            TablesError::Statement { .. } => {
                "`mesh-ctl table list` shows the tables and their columns"
            }
            TablesError::TookTooLong { .. } => {
                "narrow the query, or read the file with a client of your own"
            }
            TablesError::TooManyRows { .. } => {
                "add a LIMIT, or read the file with a client of your own"
            }
            TablesError::Closed
            | TablesError::Constraint { .. }
            | TablesError::Refused { .. }
            | TablesError::Unknown { .. }
            | TablesError::Database { .. }
            | TablesError::Malformed { .. }
            | TablesError::File { .. } => "",
        };
        let is_ours = matches!(error, TablesError::Database { .. } | TablesError::Malformed { .. });
        let message = if is_ours {
            format!("the replicated tables refused, so nothing was done: {}", chain(&error))
        } else {
            format!("{}; nothing was changed", chain(&error))
        };
        Self::new(error.code(), message).with_hint(hint)
    }
}

impl Node {
    /// Creates a replicated table: every member has it, and every write to it reaches every member.
    /// Returns its name.
    ///
    /// # Errors
    /// `statement_refused` says why such a table cannot be kept in step; `statement_invalid`.
    pub async fn create_table(&self, sql: &str) -> Result<String, NodeError> {
        self.shared.wait_until_settled().await?;
        let created = self.shared.replication.tables.create_table(sql, now()).await;
        self.shared.note_tables(&created);
        Ok(created?)
    }

    /// Drops a replicated table with everything in it, on every member.
    ///
    /// # Errors
    /// `unknown_table`.
    pub async fn drop_table(&self, name: &str) -> Result<(), NodeError> {
        self.shared.wait_until_settled().await?;
        let dropped = self.shared.replication.tables.drop_table(name, now()).await;
        self.shared.note_tables(&dropped);
        Ok(dropped?)
    }

    /// The replicated tables of users.
    ///
    /// # Errors
    /// `storage_error`.
    pub async fn tables(&self) -> Result<Vec<TableInfo>, NodeError> {
        let mut tables = self.shared.replication.tables.tables().await?;
        tables.retain(|table| !table.is_built_in);
        Ok(tables)
    }

    /// Runs writes in one transaction. When this returns they are committed and on their way to every
    /// linked member; after an error nothing of them has happened. A node that has just joined waits up to 20 s
    /// for what the others have.
    ///
    /// # Errors
    /// `rate_limited` when that is not enough; `statement_invalid`, `statement_refused`, `constraint_failed`, `disk_full`, `read_only`, …
    pub async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<Written>, NodeError> {
        self.shared.wait_until_settled().await?;
        let written = self.shared.replication.tables.execute(statements, now()).await;
        self.shared.note_tables(&written);
        Ok(written?)
    }

    /// Runs a query. It cannot write, ends after a bounded time, and its rows come as they are read.
    ///
    /// # Errors
    /// `statement_invalid`, `statement_refused`; later, with the rows, `query_too_long`, `too_many_rows`.
    pub async fn query(&self, query: Query) -> Result<Rows, NodeError> {
        Ok(self.shared.replication.tables.query(query).await?)
    }

    /// Follows committed changes, of this node and of the others, from behind `position` on, or from now on.
    ///
    /// # Errors
    /// `position_gone` when that is too long ago, `unknown_table`.
    pub async fn changes(
        &self,
        position: Option<i64>,
        table: Option<String>,
    ) -> Result<Feed, NodeError> {
        Ok(self.shared.replication.tables.feed(position, table).await?)
    }

    /// Writes that lost against concurrent ones: the same list on every member.
    ///
    /// # Errors
    /// `unknown_table`, `storage_error`.
    pub async fn conflicts(&self, table: Option<String>) -> Result<Vec<ConflictInfo>, NodeError> {
        Ok(self.shared.replication.tables.conflicts(table).await?)
    }

    /// Writes the loser of a conflict again, as a new change, on every member.
    ///
    /// # Errors
    /// `unknown_conflict`; `constraint_failed` when the row does not take it any more.
    pub async fn restore_conflict(&self, id: impl Into<String>) -> Result<Restored, NodeError> {
        self.shared.wait_until_settled().await?;
        let restored = self.shared.replication.tables.restore_conflict(id.into(), now()).await;
        self.shared.note_tables(&restored);
        Ok(restored?)
    }

    /// Transactions of members that cannot be applied at the moment.
    ///
    /// # Errors
    /// `storage_error`.
    pub async fn parked(&self) -> Result<Vec<ParkedInfo>, NodeError> {
        Ok(self.shared.replication.tables.parked().await?)
    }

    /// Applies what a member wrote although its clock was ahead; `name` is a member's, or the id of a
    /// database.
    ///
    /// # Errors
    /// `unknown_peer`, `storage_error`.
    pub async fn accept_clock(&self, name: &str) -> Result<ParkedAccepted, NodeError> {
        let parked = self.parked().await?;
        let databases: BTreeMap<OriginId, Option<PeerId>> =
            parked.into_iter().map(|parked| (parked.dot.origin, parked.member)).collect();
        let named = name.parse().ok().filter(|origin| databases.contains_key(origin));
        let origins = match named {
            Some(origin) => vec![origin],
            None => {
                let member = self.shared.view().resolve(name, now())?.peer;
                // The database learns whose an origin is later than the engine does, and keeps it longer.
                let core = lock(&self.shared.core);
                let is_its = |(origin, known): &(OriginId, Option<PeerId>)| {
                    core.member_of_origin(origin).or(*known) == Some(member)
                };
                databases.into_iter().filter(is_its).map(|(origin, _)| origin).collect()
            }
        };
        let accepted = self.shared.replication.tables.accept_ahead(origins, now()).await;
        self.shared.note_tables(&accepted);
        let (accepted, outcome) = accepted?;
        Ok(ParkedAccepted { accepted, applied: outcome.applied.len() as u64 })
    }
}

fn now() -> mesh_protocol::UnixMillis {
    clock::now().wall
}

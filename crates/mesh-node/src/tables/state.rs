//! Whether the database takes writes, as people are told; and what finds out that it does again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_control::DataState;
use mesh_protocol::ErrorCode;
use mesh_tables::TablesError;
use serde_json::json;

use crate::clock;
use crate::error::chain;
use crate::shared::Shared;

/// How often it is tried again after a write has failed, and how long nothing may have failed before that:
/// what one page fits into may still be too small for what failed.
const TRY_EVERY: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(4);

/// Why the database does not take writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What kind of trouble.
    pub(crate) state: DataState,
    /// What SQLite said.
    pub(crate) detail: String,
    /// When it was last seen.
    at: Instant,
}

impl Trouble {
    /// None when the error is of one operation alone.
    fn of(error: &TablesError) -> Option<Self> {
        let state = match error {
            TablesError::Full { .. } => DataState::DiskFull,
            TablesError::ReadOnly { .. } => DataState::ReadOnly,
            TablesError::Busy { .. } => DataState::Locked,
            TablesError::Database { .. } | TablesError::Malformed { .. } => DataState::Failed,
            TablesError::Closed
            | TablesError::TakingOver
            | TablesError::Constraint { .. }
            | TablesError::Statement { .. }
            | TablesError::Refused { .. }
            | TablesError::Unknown { .. }
            | TablesError::TookTooLong { .. }
            | TablesError::TooManyRows { .. }
            | TablesError::File { .. } => return None,
        };
        Some(Self { state, detail: chain(error), at: clock::now().instant })
    }
}

impl Shared {
    /// The loop that finds out when the database takes writes again, whoever writes or does not.
    pub(super) async fn try_tables(self: Arc<Self>) {
        let mut trouble = self.replication.trouble.subscribe();
        while trouble.wait_for(Option::is_some).await.is_ok() {
            tokio::time::sleep(TRY_EVERY).await;
            let now = clock::now();
            let is_quiet = |trouble: Trouble| now.instant.duration_since(trouble.at) >= QUIET;
            if !self.replication.trouble().is_some_and(is_quiet) {
                continue;
            }
            match self.replication.tables.try_write(now.wall).await {
                Ok(()) => self.tables_work(),
                Err(error) => self.tables_failed("a trial", &error),
            }
        }
    }

    /// The database does what it should.
    fn tables_work(&self) {
        let was_in_trouble =
            self.replication.trouble.send_if_modified(|trouble| trouble.take().is_some());
        if was_in_trouble {
            tracing::info!("the replicated tables take writes again");
            self.events.emit(clock::now().wall, "tables_recovered", json!({}));
        }
    }

    /// Something of the database failed; it is tried again. Said once for as long as it stays the same.
    pub(crate) fn tables_failed(&self, what: &'static str, error: &TablesError) {
        if error.code() == ErrorCode::ShuttingDown {
            return;
        }
        let Some(new) = Trouble::of(error) else {
            tracing::warn!(what, error = chain(error), "the replicated tables refused");
            return;
        };
        let (state, detail) = (new.state.as_str(), new.detail.clone());
        let is_new = self.replication.trouble.send_if_modified(|trouble| {
            let is_new = trouble.as_ref().is_none_or(|before| before.state != new.state);
            *trouble = Some(new);
            is_new
        });
        if is_new {
            tracing::error!(what, state, detail, "the replicated tables cannot be written");
            self.events.emit(
                clock::now().wall,
                "tables_failed",
                json!({ "state": state, "detail": detail }),
            );
        }
    }

    /// Notes how an operation went that somebody waits for.
    pub(crate) fn note_tables<T>(&self, result: &Result<T, TablesError>) {
        if let Err(error) = result
            && Trouble::of(error).is_some()
        {
            self.tables_failed("a write", error);
        }
    }
}

//! Membership that is in force and not on the disk yet.
//!
//! A record counts from the moment it is checked, whatever the disk says: a removal must not wait for room. Until the
//! database has taken it, a restart forgets it, and with it whoever it admitted: their pair secrets would then be
//! destroyed as a stranger's, and messages for them ended. So what names a member is committed behind the
//! records, and records that the database refused are tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_protocol::ErrorCode;
use mesh_store::{StoreError, StoredRecord};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::NodeError;
use crate::shared::Shared;

/// One change of the membership at a time, so that memory and disk agree on the order.
#[derive(Debug, Default)]
pub(crate) struct MembershipGate {
    /// In force and not stored, in order.
    unstored: Mutex<Vec<StoredRecord>>,
    is_behind: AtomicBool,
}

impl MembershipGate {
    pub(crate) async fn lock(&self) -> MutexGuard<'_, Vec<StoredRecord>> {
        self.unstored.lock().await
    }

    /// To be called before anybody can act on new records: from now on others wait for their commit.
    pub(crate) fn fall_behind(&self) {
        self.is_behind.store(true, Ordering::Release);
    }

    /// The database has everything, by whatever way.
    pub(crate) fn catch_up(&self, unstored: &mut Vec<StoredRecord>) {
        unstored.clear();
        self.is_behind.store(false, Ordering::Release);
    }
}

/// Adds a record to those that wait. One that it replaces there has no use any more, so that a disk that stays
/// full makes no more of them wait than are in force.
pub(crate) fn add_unstored(unstored: &mut Vec<StoredRecord>, mut record: StoredRecord) {
    let replaced = record.replaces.and_then(|id| unstored.iter().position(|old| old.id == id));
    if let Some(position) = replaced {
        record.replaces = unstored.remove(position).replaces;
    }
    unstored.push(record);
}

impl Shared {
    /// Commits what waits, and shows the members as they are then. `refused` says what it means when the
    /// database takes nothing.
    pub(crate) async fn store_records(
        self: &Arc<Self>,
        unstored: &mut Vec<StoredRecord>,
        refused: fn(StoreError) -> NodeError,
    ) -> Result<(), NodeError> {
        self.store.insert_records(unstored.clone()).await.map_err(refused)?;
        self.membership_gate.catch_up(unstored);
        self.sync_peer_rows().await?;
        self.show_members().await;
        Ok(())
    }

    /// Commits the membership that is in force and not on the disk. To be called before what names a member is
    /// committed.
    pub(crate) async fn store_membership_first(self: &Arc<Self>) -> Result<(), NodeError> {
        if !self.membership_gate.is_behind.load(Ordering::Acquire) {
            return Ok(());
        }
        // In a task of its own: a caller that gives up must not leave memory and disk apart.
        let shared = Arc::clone(self);
        let stored = self.tasks.isolate(async move {
            let mut unstored = shared.membership_gate.lock().await;
            if unstored.is_empty() {
                return Ok(());
            }
            shared.store_records(&mut unstored, NodeError::storage).await?;
            tracing::info!("membership records that the database had refused are stored");
            Ok(())
        });
        stored.await.unwrap_or_else(|_| Err(NodeError::stopping()))
    }

    /// As [`Shared::store_membership_first`], for messages: only a disk without room is a reason to take none.
    pub(crate) async fn store_membership_or_room(self: &Arc<Self>) -> Result<(), NodeError> {
        match self.store_membership_first().await {
            Err(error) if error.code != ErrorCode::DiskFull => {
                tracing::debug!(%error, "membership records are still not stored");
                Ok(())
            }
            stored => stored,
        }
    }
}

#[cfg(test)]
mod tests;

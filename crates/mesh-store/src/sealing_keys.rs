//! The keys that messages to this node are sealed to, themselves sealed.

use std::fmt;

use mesh_protocol::{KeyId, UnixMillis};

use crate::columns::{Columns, Value};
use crate::pair_keys::SEALED_BYTES_MAX;
use crate::query::{execute, fetch_all, fetch_one};
use crate::statements::statements;
use crate::{Store, StoreError};

/// Most keys: a weekly rotation keeps about six.
const KEYS_MAX: usize = 64;

/// A sealing key of this node.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKeyRow {
    /// Which one.
    pub key_id: KeyId,
    /// The secret half, sealed under the key file.
    pub sealed_secret: Vec<u8>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it is to be destroyed; none while it is in use.
    pub destroy_at: Option<UnixMillis>,
}

impl fmt::Debug for SealingKeyRow {
    /// Leaves the secret out, although it is of no use without more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKeyRow")
            .field("key_id", &self.key_id)
            .field("created_at", &self.created_at)
            .field("destroy_at", &self.destroy_at)
            .finish_non_exhaustive()
    }
}

statements! {
    SELECT = "SELECT key_id, sealed_secret, created_at, destroy_at FROM sealing_keys
        ORDER BY created_at, key_id";
    COUNT = "SELECT count(*) FROM sealing_keys";
    INSERT = "INSERT OR IGNORE INTO sealing_keys (key_id, sealed_secret, created_at, destroy_at)
        VALUES (?, ?, ?, ?)";
    RETIRE = "UPDATE sealing_keys SET destroy_at = ? WHERE key_id = ? AND destroy_at IS NULL";
    DESTROY = "DELETE FROM sealing_keys WHERE destroy_at <= ?";
}

impl Store {
    /// Every sealing key, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_sealing_keys(&self) -> Result<Vec<SealingKeyRow>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT, []).await?;
                let rows = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok(SealingKeyRow {
                        key_id: columns.key_id()?,
                        sealed_secret: columns.blob()?,
                        created_at: columns.time()?,
                        destroy_at: columns.time_or_none()?,
                    })
                });
                rows.collect()
            })
        })
        .await
    }

    /// Commits a sealing key. One that is there already is left alone.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::TooMany`], or the database refused. Nothing was written.
    pub async fn insert_sealing_key(&self, row: SealingKeyRow) -> Result<(), StoreError> {
        if row.sealed_secret.len() > SEALED_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "sealed key", bytes_max: SEALED_BYTES_MAX });
        }
        self.write(move |desk| {
            Box::pin(async move {
                let values = [
                    Value::blob(row.key_id.as_bytes()),
                    Value::Blob(row.sealed_secret),
                    Value::time(row.created_at),
                    Value::time_or_null(row.destroy_at),
                ];
                execute(&mut desk.conn, INSERT, values).await?;
                let count = fetch_one(&mut desk.conn, COUNT, []).await?;
                if Columns::of(&count).small::<usize>("count")? > KEYS_MAX {
                    return Err(StoreError::TooMany { what: "sealing keys", count_max: KEYS_MAX });
                }
                Ok(())
            })
        })
        .await
    }

    /// Notes that a key is replaced and to be destroyed at `destroy_at`. False when it is not there or
    /// was retired before.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. Nothing was written.
    pub async fn retire_sealing_key(
        &self,
        key_id: KeyId,
        destroy_at: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.write(move |desk| {
            Box::pin(async move {
                let values = [Value::time(destroy_at), Value::blob(key_id.as_bytes())];
                Ok(execute(&mut desk.conn, RETIRE, values).await? > 0)
            })
        })
        .await
    }

    /// Destroys the keys whose time has come, in the database and in the WAL, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. None was destroyed.
    pub async fn destroy_sealing_keys(&self, now: UnixMillis) -> Result<u64, StoreError> {
        self.write(move |desk| {
            Box::pin(async move {
                let destroyed = execute(&mut desk.conn, DESTROY, [Value::time(now)]).await?;
                desk.is_wal_tainted |= destroyed > 0;
                Ok(destroyed)
            })
        })
        .await
    }
}

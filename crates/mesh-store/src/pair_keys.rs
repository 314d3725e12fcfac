//! `peer_keys`: the secrets shared with each peer, sealed.

use std::fmt;

use mesh_protocol::{KeyId, PeerId, UnixMillis};

use crate::columns::{Columns, Value};
use crate::query::{execute, fetch_all};
use crate::statements::statements;
use crate::{Store, StoreError};

/// Largest sealed secret and longest name of an algorithm.
pub(crate) const SEALED_BYTES_MAX: usize = 1024;

/// Most secrets per peer. Beyond it the oldest go, unconfirmed ones first.
const KEYS_PER_PEER_MAX: i64 = 16;

/// A secret shared with a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct PairKeyRow {
    /// With whom.
    pub peer: PeerId,
    /// Which one.
    pub key_id: KeyId,
    /// The secret, sealed under the key file.
    pub sealed_secret: Vec<u8>,
    /// How it was made and what it is for.
    pub algorithm: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Whether the peer said that it has it too.
    pub confirmed: bool,
    /// When it is to be destroyed; none while it is in use.
    pub destroy_at: Option<UnixMillis>,
}

impl fmt::Debug for PairKeyRow {
    /// Leaves the secret out, although it is of no use without more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairKeyRow")
            .field("peer", &self.peer)
            .field("key_id", &self.key_id)
            .field("created_at", &self.created_at)
            .field("confirmed", &self.confirmed)
            .field("destroy_at", &self.destroy_at)
            .finish_non_exhaustive()
    }
}

statements! {
    SELECT = "SELECT peer, key_id, shared_secret, algorithm, created_at, is_confirmed, destroy_at
        FROM peer_keys ORDER BY peer, created_at, key_id";
    INSERT = "INSERT OR IGNORE INTO peer_keys
        (peer, key_id, shared_secret, algorithm, created_at, is_confirmed, destroy_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)";
    DELETE_SURPLUS = "DELETE FROM peer_keys WHERE peer = ?1 AND key_id IN
        (SELECT key_id FROM peer_keys WHERE peer = ?1
         ORDER BY key_id = ?2 DESC, is_confirmed DESC, created_at DESC LIMIT -1 OFFSET ?3)";
    CONFIRM = "UPDATE peer_keys SET is_confirmed = 1 WHERE peer = ? AND key_id = ?";
    RETIRE_OTHERS = "UPDATE peer_keys SET destroy_at = ?
        WHERE peer = ? AND key_id <> ? AND destroy_at IS NULL";
    DESTROY = "DELETE FROM peer_keys WHERE destroy_at <= ?";
    FORGET = "DELETE FROM peer_keys WHERE peer = ?";
}

impl Store {
    /// Every secret, by peer, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_pair_keys(&self) -> Result<Vec<PairKeyRow>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT, []).await?;
                let rows = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok(PairKeyRow {
                        peer: columns.peer()?,
                        key_id: columns.key_id()?,
                        sealed_secret: columns.blob()?,
                        algorithm: columns.text()?,
                        created_at: columns.time()?,
                        confirmed: columns.flag()?,
                        destroy_at: columns.time_or_none()?,
                    })
                });
                rows.collect()
            })
        })
        .await
    }

    /// Commits a secret. One that is there already is left alone. A peer has sixteen at the most.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or the database refused. Nothing was written.
    pub async fn insert_pair_key(&self, row: PairKeyRow) -> Result<(), StoreError> {
        if row.sealed_secret.len().max(row.algorithm.len()) > SEALED_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "sealed key", bytes_max: SEALED_BYTES_MAX });
        }
        self.write(move |desk| {
            Box::pin(async move {
                let peer = Value::blob(row.peer.as_bytes());
                let key_id = Value::blob(row.key_id.as_bytes());
                let values = [
                    peer.clone(),
                    key_id.clone(),
                    Value::Blob(row.sealed_secret),
                    Value::Text(row.algorithm),
                    Value::time(row.created_at),
                    Value::flag(row.confirmed),
                    Value::time_or_null(row.destroy_at),
                ];
                execute(&mut desk.conn, INSERT, values).await?;
                let surplus = [peer, key_id, Value::Int(KEYS_PER_PEER_MAX)];
                let destroyed = execute(&mut desk.conn, DELETE_SURPLUS, surplus).await?;
                desk.is_wal_tainted |= destroyed > 0;
                Ok(())
            })
        })
        .await
    }

    /// Notes that the peer has the secret too, and that those before it are to be destroyed at
    /// `destroy_at`. False when the secret is not there; nothing changes then.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. Nothing was written.
    pub async fn confirm_pair_key(
        &self,
        peer: PeerId,
        key_id: KeyId,
        destroy_at: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.write(move |desk| {
            Box::pin(async move {
                let peer = Value::blob(peer.as_bytes());
                let key_id = Value::blob(key_id.as_bytes());
                let values = [peer.clone(), key_id.clone()];
                if execute(&mut desk.conn, CONFIRM, values).await? == 0 {
                    return Ok(false);
                }
                let values = [Value::time(destroy_at), peer, key_id];
                execute(&mut desk.conn, RETIRE_OTHERS, values).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Destroys every secret shared with a peer, in the database and in the WAL, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. None was destroyed.
    pub async fn forget_pair_keys(&self, peer: PeerId) -> Result<u64, StoreError> {
        self.write(move |desk| {
            Box::pin(async move {
                let peer = Value::blob(peer.as_bytes());
                let destroyed = execute(&mut desk.conn, FORGET, [peer]).await?;
                desk.is_wal_tainted |= destroyed > 0;
                Ok(destroyed)
            })
        })
        .await
    }

    /// Destroys the secrets whose time has come, in the database and in the WAL, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. None was destroyed.
    pub async fn destroy_pair_keys(&self, now: UnixMillis) -> Result<u64, StoreError> {
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

//! The signed records that membership is made of, as they came. What they mean is decided elsewhere.

use mesh_protocol::{RECORD_BYTES_MAX, RECORD_IDS_MAX, RecordId, SignedRecord};
use sqlx::SqliteConnection;

use crate::columns::{Columns, Value};
use crate::query::{execute, fetch_all, fetch_one};
use crate::statements::statements;
use crate::{Store, StoreError};

/// A record whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its digest.
    pub id: RecordId,
    /// The record.
    pub signed: SignedRecord,
    /// The record that it makes superfluous, such as the profile before.
    pub replaces: Option<RecordId>,
}

/// The mesh that this node goes over to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMesh {
    /// Its records.
    pub records: Vec<StoredRecord>,
}

statements! {
    SELECT = "SELECT signer, body, signature FROM records ORDER BY position";
    COUNT = "SELECT count(*) FROM records";
    INSERT = "INSERT OR IGNORE INTO records (record_id, signer, body, signature) VALUES (?, ?, ?, ?)";
    DELETE = "DELETE FROM records WHERE record_id = ?";
    DELETE_ALL = "DELETE FROM records";
    DELETE_TOKENS = "DELETE FROM join_tokens";
    DELETE_PEERS = "DELETE FROM agent_peers";
    DELETE_PEER_KEYS = "DELETE FROM peer_keys";
    DELETE_OUTBOX = "DELETE FROM outbox";
    DELETE_ENDED = "DELETE FROM outbox_ended";
    DELETE_CUSTODY = "DELETE FROM custody";
}

/// Inserts records within a transaction; those that are there are left alone.
pub(crate) async fn insert(
    conn: &mut SqliteConnection,
    records: &[StoredRecord],
) -> Result<(), StoreError> {
    for record in records {
        let SignedRecord { signer, body, signature } = &record.signed;
        if body.len() > RECORD_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "record", bytes_max: RECORD_BYTES_MAX });
        }
        let values = [
            Value::blob(record.id.as_bytes()),
            Value::blob(signer.as_bytes()),
            Value::blob(body),
            Value::blob(signature.as_bytes()),
        ];
        execute(conn, INSERT, values).await?;
        if let Some(replaced) = record.replaces.filter(|replaced| *replaced != record.id) {
            execute(conn, DELETE, [Value::blob(replaced.as_bytes())]).await?;
        }
    }
    let count = fetch_one(conn, COUNT, []).await?;
    if Columns::of(&count).count("count")? > RECORD_IDS_MAX as u64 {
        return Err(StoreError::TooMany { what: "records", count_max: RECORD_IDS_MAX });
    }
    Ok(())
}

impl Store {
    /// Every record, in the order of arrival.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_records(&self) -> Result<Vec<SignedRecord>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT, []).await?;
                let rows = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok(SignedRecord {
                        signer: columns.peer()?,
                        body: columns.blob()?,
                        signature: columns.signature()?,
                    })
                });
                rows.collect()
            })
        })
        .await
    }

    /// Commits records and deletes those that they replace. Records that are there already are left alone.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::TooMany`], or the database refused. Nothing was written.
    pub async fn insert_records(&self, records: Vec<StoredRecord>) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write(move |desk| Box::pin(async move { insert(&mut desk.conn, &records).await }))
            .await
    }

    /// Replaces every record by `records` in one transaction, whatever was there, damaged or not.
    ///
    /// # Errors
    /// [`StoreError`] as for [`Store::insert_records`]. The old records are untouched then.
    pub async fn rewrite_records(&self, records: Vec<StoredRecord>) -> Result<(), StoreError> {
        self.write(move |desk| {
            Box::pin(async move {
                execute(&mut desk.conn, DELETE_ALL, []).await?;
                insert(&mut desk.conn, &records).await
            })
        })
        .await
    }

    /// Leaves one mesh for another: records, tokens, peers, pair secrets, the outbox and what is held for
    /// others go, the new records come, in one transaction. Inbox, sealing keys and audit stay.
    ///
    /// # Errors
    /// [`StoreError`] as for [`Store::insert_records`]. The old mesh is untouched then.
    pub async fn replace_mesh(&self, mesh: NewMesh) -> Result<(), StoreError> {
        let everything = [
            DELETE_ALL,
            DELETE_TOKENS,
            DELETE_PEERS,
            DELETE_PEER_KEYS,
            DELETE_OUTBOX,
            DELETE_ENDED,
            DELETE_CUSTODY,
        ];
        self.flush().await?;
        self.write(move |desk| {
            Box::pin(async move {
                for sql in everything {
                    execute(&mut desk.conn, sql, []).await?;
                }
                desk.state.outbox = 0;
                desk.state.custody.clear();
                desk.is_wal_tainted = true;
                insert(&mut desk.conn, &mesh.records).await
            })
        })
        .await
    }
}

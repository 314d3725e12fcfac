//! Values that were sealed to this node and opened, themselves sealed.

use std::collections::BTreeSet;
use std::fmt;

use crate::columns::{Columns, Value};
use crate::query::{execute, fetch_all, fetch_one};
use crate::statements::statements;
use crate::{Store, StoreError};

/// Largest value: as large as the shared configuration lets one be, with what sealing adds.
const VALUE_BYTES_MAX: usize = 260 << 10;

/// Most values.
const ROWS_MAX: usize = 4096;

/// Bytes of all values together.
const BYTES_MAX: usize = 32 << 20;

/// A value that was sealed to this node.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedRow {
    /// Of the envelope that it came in.
    pub digest: [u8; 32],
    /// The value, sealed under the key file.
    pub sealed_value: Vec<u8>,
}

impl fmt::Debug for OpenedRow {
    /// Leaves the value out, although it is of no use without the key file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedRow").finish_non_exhaustive()
    }
}

statements! {
    SELECT = "SELECT digest, sealed_value FROM opened_values ORDER BY digest";
    SELECT_DIGESTS = "SELECT digest FROM opened_values";
    SIZE = "SELECT count(*), coalesce(sum(length(sealed_value)), 0) FROM opened_values";
    INSERT = "INSERT OR IGNORE INTO opened_values (digest, sealed_value) VALUES (?, ?)";
    DELETE = "DELETE FROM opened_values WHERE digest = ?";
}

impl Store {
    /// Every opened value.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_opened(&self) -> Result<Vec<OpenedRow>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT, []).await?;
                let rows = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    let digest = columns.array("digest")?;
                    Ok(OpenedRow { digest, sealed_value: columns.blob()? })
                });
                rows.collect()
            })
        })
        .await
    }

    /// Commits an opened value. One that is there already is left alone.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::TooMany`] beyond the bounds (4,096 values, 32 MiB together);
    /// otherwise the database refused. Nothing was written.
    pub async fn insert_opened(&self, row: OpenedRow) -> Result<(), StoreError> {
        if row.sealed_value.len() > VALUE_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "sealed value", bytes_max: VALUE_BYTES_MAX });
        }
        self.write(move |desk| {
            Box::pin(async move {
                let values = [Value::blob(&row.digest), Value::Blob(row.sealed_value)];
                execute(&mut desk.conn, INSERT, values).await?;
                let size = fetch_one(&mut desk.conn, SIZE, []).await?;
                let mut size = Columns::of(&size);
                if size.small::<usize>("count")? > ROWS_MAX {
                    return Err(StoreError::TooMany { what: "opened values", count_max: ROWS_MAX });
                }
                if size.small::<usize>("bytes")? > BYTES_MAX {
                    let what = "bytes of opened values";
                    return Err(StoreError::TooMany { what, count_max: BYTES_MAX });
                }
                Ok(())
            })
        })
        .await
    }

    /// Destroys all opened values but these, in the database and in the WAL, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. None was destroyed.
    pub async fn keep_opened(&self, kept: BTreeSet<[u8; 32]>) -> Result<u64, StoreError> {
        self.write(move |desk| {
            Box::pin(async move {
                let mut destroyed = 0;
                for row in fetch_all(&mut desk.conn, SELECT_DIGESTS, []).await? {
                    let digest = Columns::of(&row).array("digest")?;
                    if !kept.contains(&digest) {
                        let value = [Value::blob(&digest)];
                        destroyed += execute(&mut desk.conn, DELETE, value).await?;
                    }
                }
                desk.is_wal_tainted |= destroyed > 0;
                Ok(destroyed)
            })
        })
        .await
    }
}

//! Small values by name: what the node wants to remember and no table fits.

use crate::columns::{Columns, Value};
use crate::query::{execute, fetch_one, fetch_optional};
use crate::statements::statements;
use crate::{Store, StoreError};

/// Longest key.
const META_KEY_BYTES_MAX: usize = 128;

/// Largest value.
const META_VALUE_BYTES_MAX: usize = 64 << 10;

/// Most keys.
const META_ROWS_MAX: usize = 1024;

statements! {
    SELECT = "SELECT value FROM meta WHERE key = ?";
    COUNT_OTHERS = "SELECT count(*) FROM meta WHERE key <> ?";
    UPSERT = "INSERT INTO meta (key, value) VALUES (?, ?)
              ON CONFLICT (key) DO UPDATE SET value = excluded.value";
}

impl Store {
    /// The value that was set for `key`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = Value::text(key);
        self.read(move |conn| {
            Box::pin(async move {
                let row = fetch_optional(conn, SELECT, [key]).await?;
                row.map(|row| Columns::of(&row).blob()).transpose()
            })
        })
        .await
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::TooMany`] beyond the bounds (128 bytes, 64 KiB, 1,024
    /// keys); otherwise the database refused. Nothing was written.
    pub async fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        if key.len() > META_KEY_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "key", bytes_max: META_KEY_BYTES_MAX });
        }
        if value.len() > META_VALUE_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "value", bytes_max: META_VALUE_BYTES_MAX });
        }
        let (key, value) = (Value::text(key), Value::blob(value));
        self.write(|desk| {
            Box::pin(async move {
                let others = fetch_one(&mut desk.conn, COUNT_OTHERS, [key.clone()]).await?;
                if Columns::of(&others).small::<usize>("count")? >= META_ROWS_MAX {
                    return Err(StoreError::TooMany { what: "keys", count_max: META_ROWS_MAX });
                }
                execute(&mut desk.conn, UPSERT, [key, value]).await.map(drop)
            })
        })
        .await
    }
}

//! Which references of shared repositories others have moved.

use mesh_protocol::{PeerId, TEXT_BYTES_MAX, UnixMillis};

use crate::columns::{Columns, Value};
use crate::query::{execute, fetch_all};
use crate::statements::statements;
use crate::{Store, StoreError};

/// Longest id of a commit: SHA-256 in hexadecimal.
const COMMIT_DIGITS_MAX: usize = 64;

/// Most rows; beyond it the oldest go.
const ROWS_MAX: u64 = 10_000;

/// A reference that somebody moved, made or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitAuditRow {
    /// When.
    pub at: UnixMillis,
    /// Who did it.
    pub peer_id: PeerId,
    /// In which repository; at most 1,024 bytes.
    pub repository: String,
    /// Which; at most 1,024 bytes.
    pub reference: String,
    /// The commit that it named before, in hexadecimal; at most 64 digits.
    pub old: String,
    /// The commit that it names since.
    pub new: String,
}

statements! {
    INSERT = "INSERT INTO git_audit (at, peer_id, repository, reference, old_id, new_id)
        VALUES (?, ?, ?, ?, ?, ?)";
    TRIM = "DELETE FROM git_audit
        WHERE git_audit_id <= (SELECT max(git_audit_id) FROM git_audit) - ?";
    SELECT = "SELECT at, peer_id, repository, reference, old_id, new_id FROM git_audit
        ORDER BY git_audit_id DESC LIMIT ?";
}

impl Store {
    /// Commits that a reference was moved. Of more than 10,000 rows the oldest go.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a text beyond its bound; otherwise the database refused. Nothing was written.
    pub async fn insert_git_audit(&self, row: GitAuditRow) -> Result<(), StoreError> {
        let bounds = [
            ("repository", &row.repository, TEXT_BYTES_MAX),
            ("reference", &row.reference, TEXT_BYTES_MAX),
            ("commit id", &row.old, COMMIT_DIGITS_MAX),
            ("commit id", &row.new, COMMIT_DIGITS_MAX),
        ];
        for (what, text, bytes_max) in bounds {
            if text.len() > bytes_max {
                return Err(StoreError::TooLarge { what, bytes_max });
            }
        }
        self.write(move |desk| {
            Box::pin(async move {
                let values = [
                    Value::time(row.at),
                    Value::blob(row.peer_id.as_bytes()),
                    Value::Text(row.repository),
                    Value::Text(row.reference),
                    Value::Text(row.old),
                    Value::Text(row.new),
                ];
                execute(&mut desk.conn, INSERT, values).await?;
                execute(&mut desk.conn, TRIM, [Value::count(ROWS_MAX)]).await.map(drop)
            })
        })
        .await
    }

    /// The newest rows, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn list_git_audit(&self, limit: u64) -> Result<Vec<GitAuditRow>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT, [Value::count(limit)]).await?;
                let rows = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok(GitAuditRow {
                        at: columns.time()?,
                        peer_id: columns.peer()?,
                        repository: columns.text()?,
                        reference: columns.text()?,
                        old: columns.text()?,
                        new: columns.text()?,
                    })
                });
                rows.collect()
            })
        })
        .await
    }
}

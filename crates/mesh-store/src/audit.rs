//! What happened on this agent, for people to look up.

use std::collections::VecDeque;

use mesh_protocol::{PeerId, UnixMillis};
use serde_json::{Value as Json, json};

use crate::columns::{Columns, Value, saturated};
use crate::query::fetch_all;
use crate::statements::statements;
use crate::writer::{Step, StepKind};
use crate::{Store, StoreError};

/// Longest kind; a longer one is cut.
const KIND_CHARS_MAX: usize = 64;

/// Largest detail; a larger one is replaced by its size.
const DETAIL_BYTES_MAX: usize = 8 << 10;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: UnixMillis,
    /// What, as a stable word.
    pub kind: String,
    /// Who did it.
    pub actor: Option<PeerId>,
    /// Everything else, as a JSON document.
    pub detail: String,
}

statements! {
    INSERT = "INSERT INTO audit (at, kind, actor, detail)
        SELECT j.value ->> 0, j.value ->> 1, unhex(j.value ->> 2), j.value ->> 3 FROM json_each(?) AS j";
    TRIM = "DELETE FROM audit WHERE audit_id <= (SELECT max(audit_id) FROM audit) - ?";
    SELECT = "SELECT at, kind, actor, detail FROM audit ORDER BY audit_id DESC LIMIT ?";
}

pub(crate) fn insert_steps(rows: &VecDeque<AuditRow>, rows_max: u64) -> Vec<Step> {
    if rows.is_empty() {
        return Vec::new();
    }
    let rows: Json = rows
        .iter()
        .map(|row| {
            let actor = row.actor.map(|actor| actor.to_string());
            json!([saturated(row.at.0), row.kind, actor, row.detail])
        })
        .collect();
    let rows = vec![Value::Text(rows.to_string())];
    vec![
        Step { kind: StepKind::Other, sql: INSERT, values: rows },
        Step { kind: StepKind::Other, sql: TRIM, values: vec![Value::count(rows_max)] },
    ]
}

impl Store {
    /// Notes what happened. Does not wait; a disk that refuses for long costs rows, which is logged.
    ///
    /// A kind is cut after 64 characters; a detail larger than 8 KiB is replaced by its size.
    pub fn audit(&self, mut row: AuditRow) {
        if row.kind.chars().nth(KIND_CHARS_MAX).is_some() {
            row.kind = row.kind.chars().take(KIND_CHARS_MAX).collect();
        }
        if row.detail.len() > DETAIL_BYTES_MAX {
            row.detail = json!({ "detail_bytes": row.detail.len() }).to_string();
        }
        self.lazies().audit(row);
    }

    /// The newest rows, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn list_audit(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.flush().await?;
        let limit = Value::count(limit as u64);
        self.read(move |conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT, [limit]).await?;
                let rows = rows.iter().rev().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok(AuditRow {
                        at: columns.time()?,
                        kind: columns.text()?,
                        actor: columns.peer_or_none()?,
                        detail: columns.text()?,
                    })
                });
                rows.collect()
            })
        })
        .await
    }
}

//! Messages that wait for their receivers' acknowledgement, and for a week those that ended otherwise.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use futures_util::TryStreamExt as _;
use mesh_protocol::{
    APP_TYPE_BYTES_MAX, ErrorCode, MESSAGE_BYTES_MAX, MessageId, PeerId, UnixMillis,
};
use serde_json::{Value as Json, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::columns::{Columns, Value, saturated};
use crate::open::reader_options;
use crate::query::{fetch, fetch_all};
use crate::statements::{many_rows, statements};
use crate::writer::{Attempt, HotOp, Step, StepKind};
use crate::{Store, StoreError, writer};

/// Room for the envelope of a sealed message around one of the largest size.
const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 4096;

/// Most messages in one call: a broadcast to as many members as a mesh is built for, and then some.
const APPEND_ROWS_MAX: usize = 8192;

/// Rows without bodies that SQLite may read ahead when the outbox is loaded.
const LOAD_ROWS_AHEAD: usize = 512;

/// Most messages that ended undelivered and are kept to be looked at.
const ENDED_ROWS_MAX: i64 = 10_000;

/// A message to be sent to one peer. A broadcast is one row per member, with one id and one body.
#[derive(Clone)]
pub struct NewOutbox {
    /// The message.
    pub message_id: MessageId,
    /// The receiver.
    pub to: PeerId,
    /// Whether others get it too.
    pub is_broadcast: bool,
    /// 0 urgent, 1 normal, 2 bulk.
    pub priority: u8,
    /// Whether the body is sealed.
    pub is_sealed: bool,
    /// Application type, for people; empty for other payloads.
    pub app_type: String,
    /// When it was written.
    pub created_at: UnixMillis,
    /// When it is worthless.
    pub expires_at: UnixMillis,
    /// The encoded message as it will travel.
    pub body: Arc<[u8]>,
}

impl fmt::Debug for NewOutbox {
    /// Shows no content: an open body holds the user's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewOutbox")
            .field("message_id", &self.message_id)
            .field("to", &self.to)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How a message left the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxEnd {
    /// The receiver committed it: its row is deleted.
    Acked,
    /// Its lifetime ended first.
    Expired,
    /// The receiver will never take it.
    Refused(ErrorCode),
}

/// A message in the outbox, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row's number: growing, and never used again.
    pub sequence: u64,
    /// The message.
    pub message_id: MessageId,
    /// The receiver.
    pub to: PeerId,
    /// Whether others get it too.
    pub is_broadcast: bool,
    /// 0 urgent, 1 normal, 2 bulk.
    pub priority: u8,
    /// Whether the body is sealed.
    pub is_sealed: bool,
    /// Application type; empty for other payloads.
    pub app_type: String,
    /// When it was written.
    pub created_at: UnixMillis,
    /// When it is worthless.
    pub expires_at: UnixMillis,
    /// Size of the body.
    pub body_bytes: u64,
    /// How often it was sent.
    pub attempts: u32,
    /// What [`Store::note_attempt`] last said of the time; none before the first call.
    pub next_attempt_at: Option<UnixMillis>,
    /// Why the last attempt failed.
    pub reason: Option<ErrorCode>,
    /// How it ended; none while it waits.
    pub end: Option<OutboxEnd>,
    /// The first [`Store::prune`] after the end.
    pub ended_at: Option<UnixMillis>,
}

const INSERT_WIDTH: usize = 10;

/// Columns that `outbox` and `outbox_ended` share.
macro_rules! shared_columns {
    () => {
        "sequence, message_id, to_peer, is_broadcast, priority, is_sealed, app_type, created_at, expires_at"
    };
}

/// Columns of [`OutboxRow`] for a message that waits.
macro_rules! waiting_columns {
    () => {
        concat!(
            "SELECT ",
            shared_columns!(),
            ", length(body), coalesce(attempts, 0), next_attempt_at, reason, NULL, NULL, NULL
             FROM outbox LEFT JOIN outbox_attempts USING (sequence)"
        )
    };
}

statements! {
    INSERT_ONE = concat!(
        "INSERT INTO outbox (", shared_columns!(), ", body) VALUES (?,?,?,?,?,?,?,?,?,?)"
    );
    SELECT_WAITING = concat!(waiting_columns!(), " ORDER BY sequence");
    SELECT_NEWEST = concat!(
        waiting_columns!(),
        " UNION ALL SELECT ", shared_columns!(),
        ", body_bytes, attempts, NULL, NULL, state, code, ended_at FROM outbox_ended
         ORDER BY 1 DESC LIMIT ?"
    );
    SELECT_BODIES = "SELECT sequence, body FROM outbox
        WHERE sequence IN (SELECT value FROM json_each(?)) ORDER BY sequence";
    DELETE = "DELETE FROM outbox WHERE sequence IN (SELECT value FROM json_each(?))";
    KEEP_ENDED = concat!(
        "INSERT OR IGNORE INTO outbox_ended (", shared_columns!(), ", body_bytes, attempts, state, code)
         SELECT ", shared_columns!(), ", length(body), coalesce(attempts, 0), j.value ->> 1, j.value ->> 2
         FROM json_each(?) AS j CROSS JOIN outbox ON sequence = (j.value ->> 0)
         LEFT JOIN outbox_attempts USING (sequence)"
    );
    TRIM_ENDED = "DELETE FROM outbox_ended WHERE sequence <=
        (SELECT sequence FROM outbox_ended ORDER BY sequence DESC LIMIT 1 OFFSET ?)";
    UPSERT_ATTEMPTS = "INSERT INTO outbox_attempts (sequence, attempts, next_attempt_at, reason)
        SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3 FROM json_each(?) AS j
        WHERE EXISTS (SELECT 1 FROM outbox WHERE sequence = (j.value ->> 0))
        ON CONFLICT (sequence) DO UPDATE SET attempts = excluded.attempts,
            next_attempt_at = excluded.next_attempt_at, reason = excluded.reason";
}

/// The insert of several rows.
pub(crate) fn insert_many() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let prefix =
            concat!("INSERT INTO outbox (", shared_columns!(), ", body) SELECT * FROM (VALUES");
        many_rows(prefix, INSERT_WIDTH, ") WHERE column1 IS NOT NULL")
    });
    &SQL
}

pub(crate) fn values(sequence: u64, row: &NewOutbox) -> Vec<Value> {
    vec![
        Value::count(sequence),
        Value::blob(row.message_id.as_bytes()),
        Value::blob(row.to.as_bytes()),
        Value::flag(row.is_broadcast),
        Value::Int(row.priority.into()),
        Value::flag(row.is_sealed),
        Value::text(&row.app_type),
        Value::time(row.created_at),
        Value::time(row.expires_at),
        Value::blob(&row.body),
    ]
}

pub(crate) fn insert_steps(rows: Vec<Vec<Value>>) -> Vec<Step> {
    writer::insert_steps(INSERT_ONE, insert_many(), INSERT_WIDTH, rows)
}

/// Row numbers for `json_each`.
pub(crate) fn list(numbers: impl IntoIterator<Item = u64>) -> Value {
    let numbers: Json = numbers.into_iter().map(|number| Json::from(saturated(number))).collect();
    Value::Text(numbers.to_string())
}

pub(crate) fn finish_steps(finished: &BTreeMap<u64, OutboxEnd>) -> Vec<Step> {
    if finished.is_empty() {
        return Vec::new();
    }
    let ended: Vec<Json> = finished
        .iter()
        .filter_map(|(sequence, end)| match end {
            OutboxEnd::Acked => None,
            OutboxEnd::Expired => Some(json!([saturated(*sequence), "expired", null])),
            OutboxEnd::Refused(code) => {
                Some(json!([saturated(*sequence), "refused", code.as_str()]))
            }
        })
        .collect();
    let mut steps = Vec::new();
    if !ended.is_empty() {
        let ended = vec![Value::Text(Json::from(ended).to_string())];
        steps.push(Step { kind: StepKind::Other, sql: KEEP_ENDED, values: ended });
        let kept_max = vec![Value::Int(ENDED_ROWS_MAX)];
        steps.push(Step { kind: StepKind::Other, sql: TRIM_ENDED, values: kept_max });
    }
    let sequences = vec![list(finished.keys().copied())];
    steps.push(Step { kind: StepKind::OutboxDelete, sql: DELETE, values: sequences });
    steps
}

pub(crate) fn attempt_step(attempts: &BTreeMap<u64, Attempt>) -> Option<Step> {
    if attempts.is_empty() {
        return None;
    }
    let rows: Json = attempts
        .iter()
        .map(|(sequence, attempt)| {
            let at = saturated(attempt.next_attempt_at.0);
            let reason = attempt.reason.map(ErrorCode::as_str);
            json!([saturated(*sequence), attempt.attempts, at, reason])
        })
        .collect();
    let values = vec![Value::Text(rows.to_string())];
    Some(Step { kind: StepKind::Other, sql: UPSERT_ATTEMPTS, values })
}

fn read_row(row: &SqliteRow) -> Result<OutboxRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(OutboxRow {
        sequence: columns.count("sequence")?,
        message_id: columns.message_id()?,
        to: columns.peer()?,
        is_broadcast: columns.flag()?,
        priority: columns.small("priority")?,
        is_sealed: columns.flag()?,
        app_type: columns.text()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
        body_bytes: columns.count("length")?,
        attempts: columns.small("number of attempts")?,
        next_attempt_at: columns.time_or_none()?,
        reason: columns.code_or_none()?,
        end: match (columns.text_or_none()?.as_deref(), columns.code_or_none()?) {
            (None, _) => None,
            (Some("refused"), code) => {
                Some(OutboxEnd::Refused(code.unwrap_or(ErrorCode::Internal)))
            }
            (Some(_), _) => Some(OutboxEnd::Expired),
        },
        ended_at: columns.time_or_none()?,
    })
}

impl Store {
    /// Commits messages and returns their sequences, in order. Sequences grow from call to call and are
    /// never used again, not even after a crash; there may be gaps.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::TooMany`], or the database refused. No message was stored.
    pub async fn append_outbox(&self, rows: Vec<NewOutbox>) -> Result<Vec<u64>, StoreError> {
        if rows.len() > APPEND_ROWS_MAX {
            return Err(StoreError::TooMany { what: "messages", count_max: APPEND_ROWS_MAX });
        }
        for row in &rows {
            check_message(row.body.len(), row.app_type.len())?;
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.submit_hot(|reply| HotOp::Append { rows, reply }).await
    }

    /// Every message that waits, oldest first. Meant for the start: it may be a hundred thousand rows.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_outbox(&self) -> Result<Vec<OutboxRow>, StoreError> {
        self.flush().await?;
        // A connection of its own, because the pool's hand over few rows at a time.
        let mut conn =
            reader_options(self.path()).row_buffer_size(LOAD_ROWS_AHEAD).connect().await?;
        let rows = fetch(&mut conn, SELECT_WAITING, [])?;
        let rows = rows.and_then(|row| async move { read_row(&row) }).try_collect().await;
        conn.close().await?;
        rows
    }

    /// The bodies of messages that wait, by sequence; those that are gone are left out. The caller
    /// bounds the list: all bodies are in memory at once.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn outbox_bodies(
        &self,
        sequences: &[u64],
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let wanted = list(sequences.iter().copied());
        self.read(move |conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT_BODIES, [wanted]).await?;
                let rows = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok((columns.count("sequence")?, columns.blob()?))
                });
                rows.collect()
            })
        })
        .await
    }

    /// The newest messages, oldest first, with those that ended undelivered within the last week.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn list_outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.flush().await?;
        let limit = Value::count(limit as u64);
        self.read(move |conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT_NEWEST, [limit]).await?;
                rows.iter().rev().map(read_row).collect()
            })
        })
        .await
    }

    /// Notes that a message has come to its end. Does not wait: after a crash the message may be sent
    /// again, which its receiver recognises.
    pub fn finish_outbox(&self, sequence: u64, end: OutboxEnd) {
        self.lazies().finish_outbox(sequence, end);
    }

    /// Notes an attempt to deliver a message. Does not wait.
    pub fn note_attempt(
        &self,
        sequence: u64,
        attempts: u32,
        next_attempt_at: UnixMillis,
        reason: Option<ErrorCode>,
    ) {
        self.lazies().note_attempt(sequence, Attempt { attempts, next_attempt_at, reason });
    }
}

/// The bounds that messages of both boxes keep.
pub(crate) const fn check_message(
    body_bytes: usize,
    app_type_bytes: usize,
) -> Result<(), StoreError> {
    if body_bytes > BODY_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "message", bytes_max: BODY_BYTES_MAX });
    }
    if app_type_bytes > APP_TYPE_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "app type", bytes_max: APP_TYPE_BYTES_MAX });
    }
    Ok(())
}

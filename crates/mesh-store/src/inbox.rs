//! Messages that were received: until the application acknowledges them with their bodies, and from then
//! until they expire as ids that a repeat is recognised by.

mod tight;

use std::fmt;
use std::sync::{Arc, LazyLock};

use futures_util::TryStreamExt as _;
use mesh_protocol::{DELIVER_ITEMS_MAX, MessageId, PeerId, UnixMillis};
use serde_json::Value as Json;
use sqlx::sqlite::SqliteRow;

pub(crate) use self::tight::commit_tight;
use crate::columns::{Columns, Value};
use crate::outbox::check_message;
use crate::query::{fetch, fetch_optional};
use crate::statements::{many_rows, statements};
use crate::writer::{HotOp, Step, StepKind};
use crate::{Store, StoreError, writer};

/// Most ids in one acknowledgement.
const ACK_IDS_MAX: usize = 10_000;

/// Most rows in one answer.
const LIST_ROWS_MAX: usize = 10_000;

/// Bodies in one answer, beyond which it ends early.
const LIST_BYTES_MAX: usize = 8 << 20;

/// A message that was received and judged.
#[derive(Clone)]
pub struct NewInbox {
    /// The message; with `from` what a repeat is recognised by.
    pub message_id: MessageId,
    /// The sender.
    pub from: PeerId,
    /// The sender's outbox database. 0 says that there is none, so no floor ever covers the message.
    pub stream: u64,
    /// The message's number in that outbox.
    pub sequence: u64,
    /// 0 urgent, 1 normal, 2 bulk.
    pub priority: u8,
    /// Whether others got it too.
    pub is_broadcast: bool,
    /// Whether it came sealed.
    pub is_sealed: bool,
    /// Members that it came through, in order; nobody for a link.
    pub via: Vec<PeerId>,
    /// Application type of custom JSON.
    pub app_type: Option<String>,
    /// Kind of the payload.
    pub payload_kind: u16,
    /// The encoded plain message.
    pub body: Arc<[u8]>,
    /// When it was written, by the sender's clock.
    pub timestamp: UnixMillis,
    /// When it came.
    pub received_at: UnixMillis,
    /// Until when its id is remembered.
    pub expires_at: UnixMillis,
}

impl fmt::Debug for NewInbox {
    /// Shows no content: the body holds the user's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewInbox")
            .field("message_id", &self.message_id)
            .field("from", &self.from)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxOutcome {
    /// It is committed.
    Stored {
        /// The row's number: growing, and never used again.
        inbox_id: i64,
    },
    /// It was committed before.
    Duplicate,
    /// There is no room for it, or not for one before it.
    Full,
}

/// Which messages to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxQuery {
    /// Only those with a higher number.
    pub after_id: Option<i64>,
    /// Only those of this application type.
    pub app_type: Option<String>,
    /// Only those of this sender.
    pub from: Option<PeerId>,
    /// At most so many; more than 10,000 are never given.
    pub limit: usize,
    /// Leaves out those that were acknowledged, of which only the header is left.
    pub unacked_only: bool,
}

impl Default for InboxQuery {
    fn default() -> Self {
        Self { after_id: None, app_type: None, from: None, limit: 100, unacked_only: true }
    }
}

/// A message in the inbox.
#[derive(Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// The row's number.
    pub inbox_id: i64,
    /// The message.
    pub message_id: MessageId,
    /// The sender.
    pub from: PeerId,
    /// The sender's outbox database.
    pub stream: u64,
    /// The message's number in that outbox.
    pub sequence: u64,
    /// 0 urgent, 1 normal, 2 bulk.
    pub priority: u8,
    /// Whether others got it too.
    pub is_broadcast: bool,
    /// Whether it came sealed.
    pub is_sealed: bool,
    /// Members that it came through, in order; nobody for a link.
    pub via: Vec<PeerId>,
    /// Application type of custom JSON.
    pub app_type: Option<String>,
    /// Kind of the payload.
    pub payload_kind: u16,
    /// The encoded plain message; empty once it was acknowledged.
    pub body: Vec<u8>,
    /// When it was written, by the sender's clock.
    pub timestamp: UnixMillis,
    /// When it came.
    pub received_at: UnixMillis,
    /// Until when its id is remembered.
    pub expires_at: UnixMillis,
    /// Whether the application acknowledged it.
    pub is_acked: bool,
}

impl fmt::Debug for InboxRow {
    /// Shows no content: the body holds the user's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxRow")
            .field("inbox_id", &self.inbox_id)
            .field("message_id", &self.message_id)
            .field("from", &self.from)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

const INSERT_WIDTH: usize = 15;

/// Columns that `inbox` and `inbox_seen` share.
macro_rules! shared_columns {
    () => {
        "inbox_id, sender, message_id, stream, sequence, priority, is_broadcast, is_sealed, payload_kind, \
         app_type, timestamp, received_at, expires_at, via"
    };
}

/// Columns of [`InboxRow`] and its filters. The cross join keeps the order of the row number.
macro_rules! listing {
    ($is_acked:literal, $body:literal, $table:literal) => {
        concat!(
            "SELECT inbox_id, public_key, message_id, stream, sequence, priority, is_broadcast, is_sealed,
                payload_kind, app_type, timestamp, received_at, expires_at, via, ",
            $is_acked,
            ", ",
            $body,
            " FROM ",
            $table,
            " CROSS JOIN inbox_senders USING (sender)
             WHERE inbox_id > ?1 AND (?2 IS NULL OR app_type = ?2) AND (?3 IS NULL OR public_key = ?3)"
        )
    };
}

/// Accepts those of the rows in front that are not known yet.
macro_rules! unless_known {
    () => {
        ") AS new WHERE column1 IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM inbox_seen WHERE sender = new.column2 AND message_id = new.column3)
         ON CONFLICT DO NOTHING"
    };
}

statements! {
    INSERT_SENDER = "INSERT INTO inbox_senders (sender, public_key) VALUES (?, ?)";
    /// Returns nothing: the count of changes says it, and a row would wake the caller's task once more.
    INSERT_ONE = concat!(
        "INSERT INTO inbox (", shared_columns!(), ", body)
         SELECT * FROM (VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", unless_known!()
    );
    SELECT_KNOWN = "SELECT 1 FROM inbox WHERE message_id = ?1 AND sender = ?2
        UNION ALL SELECT 1 FROM inbox_seen WHERE sender = ?2 AND message_id = ?1";
    SELECT_SEEN = "SELECT 1 FROM inbox_senders AS s WHERE public_key = ?1 AND (
            EXISTS (SELECT 1 FROM inbox WHERE message_id = ?2 AND sender = s.sender)
            OR EXISTS (SELECT 1 FROM inbox_seen WHERE sender = s.sender AND message_id = ?2))";
    REMEMBER = concat!(
        "INSERT OR IGNORE INTO inbox_seen (", shared_columns!(), ") SELECT ", shared_columns!(),
        " FROM inbox WHERE message_id IN (SELECT unhex(value, '-') FROM json_each(?))"
    );
    DELETE_ACKED = "DELETE FROM inbox
        WHERE message_id IN (SELECT unhex(value, '-') FROM json_each(?))
        RETURNING message_id, sender, length(body)";
    LIST_UNACKED = concat!(listing!("0", "body", "inbox"), " ORDER BY inbox_id LIMIT ?4");
    LIST_ALL = concat!(
        listing!("0", "body", "inbox"), " UNION ALL ", listing!("1", "x''", "inbox_seen"),
        " ORDER BY 1 LIMIT ?4"
    );
}

/// The insert of several rows.
pub(crate) fn insert_many() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let prefix =
            concat!("INSERT INTO inbox (", shared_columns!(), ", body) SELECT * FROM (VALUES");
        many_rows(prefix, INSERT_WIDTH, concat!(unless_known!(), " RETURNING inbox_id"))
    });
    &SQL
}

pub(crate) fn values(inbox_id: i64, sender: i64, row: &NewInbox) -> Vec<Value> {
    vec![
        Value::Int(inbox_id),
        Value::Int(sender),
        Value::blob(row.message_id.as_bytes()),
        Value::bits(row.stream),
        Value::bits(row.sequence),
        Value::Int(row.priority.into()),
        Value::flag(row.is_broadcast),
        Value::flag(row.is_sealed),
        Value::Int(row.payload_kind.into()),
        Value::text_or_null(row.app_type.as_deref()),
        Value::time(row.timestamp),
        Value::time(row.received_at),
        Value::time(row.expires_at),
        via_value(&row.via),
        Value::blob(&row.body),
    ]
}

pub(crate) fn insert_steps(rows: Vec<Vec<Value>>) -> Vec<Step> {
    let mut steps = writer::insert_steps(INSERT_ONE, insert_many(), INSERT_WIDTH, rows);
    for step in &mut steps {
        step.kind = match step.values.first() {
            Some(Value::Int(inbox_id)) if step.sql == INSERT_ONE => {
                StepKind::InboxInsertOne(*inbox_id)
            }
            Some(_) | None => StepKind::InboxInsert,
        };
    }
    steps
}

/// The peers' bytes, one behind the other; nothing for nobody, which is what most messages have.
fn via_value(via: &[PeerId]) -> Value {
    let bytes: Vec<u8> = via.iter().flat_map(PeerId::as_bytes).copied().collect();
    if bytes.is_empty() { Value::Null } else { Value::blob(&bytes) }
}

pub(crate) fn sender_step(peer: &PeerId, sender: i64) -> Step {
    let values = vec![Value::Int(sender), Value::blob(peer.as_bytes())];
    Step { kind: StepKind::Other, sql: INSERT_SENDER, values }
}

pub(crate) fn ack_steps(ids: &[MessageId]) -> Vec<Step> {
    if ids.is_empty() {
        return Vec::new();
    }
    let ids: Json = ids.iter().map(|id| Json::from(id.to_string())).collect();
    let ids = vec![Value::Text(ids.to_string())];
    vec![
        Step { kind: StepKind::Other, sql: REMEMBER, values: ids.clone() },
        Step { kind: StepKind::InboxDelete, sql: DELETE_ACKED, values: ids },
    ]
}

fn read_row(row: &SqliteRow) -> Result<InboxRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(InboxRow {
        inbox_id: columns.int()?,
        from: columns.peer()?,
        message_id: columns.message_id()?,
        stream: columns.bits()?,
        sequence: columns.bits()?,
        priority: columns.small("priority")?,
        is_broadcast: columns.flag()?,
        is_sealed: columns.flag()?,
        payload_kind: columns.small("payload kind")?,
        app_type: columns.text_or_none()?,
        timestamp: columns.time()?,
        received_at: columns.time()?,
        expires_at: columns.time()?,
        via: columns.peers()?,
        is_acked: columns.flag()?,
        body: columns.blob()?,
    })
}

impl Store {
    /// Commits messages and says what became of each, in order. Together with others that wait, one
    /// commit takes many. Once a message finds no room, everything behind it is
    /// [`InboxOutcome::Full`] as well, so that its sender's order is kept.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::TooMany`], or the database refused. No message was stored.
    pub async fn commit_inbox(&self, rows: Vec<NewInbox>) -> Result<Vec<InboxOutcome>, StoreError> {
        if rows.len() > DELIVER_ITEMS_MAX {
            return Err(StoreError::TooMany { what: "messages", count_max: DELIVER_ITEMS_MAX });
        }
        for row in &rows {
            check_message(row.body.len(), row.app_type.as_deref().map_or(0, str::len))?;
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.submit_hot(|reply| HotOp::Inbox { rows, reply }).await
    }

    /// Lists messages, oldest first. The answer ends early when their bodies exceed 8 MiB, but never
    /// without a row: there are no more only when it is empty.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn list_inbox(&self, query: InboxQuery) -> Result<Vec<InboxRow>, StoreError> {
        let InboxQuery { after_id, app_type, from, limit, unacked_only } = query;
        let sql = if unacked_only { LIST_UNACKED } else { LIST_ALL };
        let values = [
            Value::Int(after_id.unwrap_or(i64::MIN)),
            Value::text_or_null(app_type.as_deref()),
            from.map_or(Value::Null, |peer| Value::blob(peer.as_bytes())),
            Value::count(limit.min(LIST_ROWS_MAX) as u64),
        ];
        self.read(move |conn| {
            Box::pin(async move {
                let mut rows = fetch(conn, sql, values)?;
                let mut listed = Vec::new();
                let mut bytes = 0;
                while let Some(row) = rows.try_next().await? {
                    let row = read_row(&row)?;
                    bytes += row.body.len();
                    listed.push(row);
                    if bytes >= LIST_BYTES_MAX {
                        break;
                    }
                }
                Ok(listed)
            })
        })
        .await
    }

    /// Whether a message of `from` is in the inbox or was: whether it is a repeat, for a caller that cannot
    /// offer it to [`Store::commit_inbox`]. Ids that were forgotten are not known, as only floors are
    /// left of them.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn has_seen(&self, from: PeerId, message_id: MessageId) -> Result<bool, StoreError> {
        let values = [Value::blob(from.as_bytes()), Value::blob(message_id.as_bytes())];
        self.read(move |conn| {
            Box::pin(async move { Ok(fetch_optional(conn, SELECT_SEEN, values).await?.is_some()) })
        })
        .await
    }

    /// Takes messages out of the inbox that the application has dealt with, and says how many were in
    /// it. Their bodies are gone; their ids are remembered until they expire.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] beyond 10,000 ids, or the database refused. Nothing was written.
    pub async fn ack_inbox(&self, ids: Vec<MessageId>) -> Result<u64, StoreError> {
        if ids.len() > ACK_IDS_MAX {
            return Err(StoreError::TooMany { what: "message ids", count_max: ACK_IDS_MAX });
        }
        if ids.is_empty() {
            return Ok(0);
        }
        self.submit_hot(|reply| HotOp::Ack { ids, reply }).await
    }
}

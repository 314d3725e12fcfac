//! The log of transactions, which members that were away are served from, and what is dropped from it.

mod tombstones;
mod trim;

use futures_util::{FutureExt as _, StreamExt as _};
use mesh_protocol::{Dot, OriginId, SqlValue, VersionVector};
use sqlx::SqliteConnection;

pub(crate) use self::trim::Trimmed;
use crate::rows::portions;
use crate::sql::{Columns, fetch, fetch_all, listed, number};
use crate::state::{Origins, load_origins};
use crate::{Tables, TablesError};

/// Entries that one batch looks at, at most: a reader that has nearly all of a long log is told where it
/// got to in between.
const ENTRIES_PER_BATCH: usize = 8192;

/// A place in the log: behind an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCursor(pub i64);

/// What was read from the log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// Encoded [`TransactionPart`](mesh_protocol::TransactionPart)s, in the order in which they were applied.
    pub bodies: Vec<Vec<u8>>,
    /// The transactions whose last part is among them.
    pub sent: Vec<(OriginId, u64)>,
    /// Where to go on. A transaction may go on there.
    pub cursor: LogCursor,
    /// In front of the first entry that the reader lacks and the goal does not name yet; none when there is
    /// none.
    pub skipped: Option<LogCursor>,
    /// Whether that was the end of the log.
    pub is_done: bool,
}

impl std::fmt::Debug for LogBatch {
    /// Shows no bodies: what they say is the user's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogBatch")
            .field("bodies", &self.bodies.len())
            .field("sent", &self.sent)
            .field("cursor", &self.cursor)
            .field("skipped", &self.skipped)
            .field("is_done", &self.is_done)
            .finish()
    }
}

impl Tables {
    /// Reads entries behind `from` that `goal` knows and `have` does not, until they have `bytes_max` bytes.
    /// What the reader keeps aside counts as had.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn read_log(
        &self,
        from: LogCursor,
        have: &VersionVector,
        goal: &VersionVector,
        bytes_max: usize,
    ) -> Result<LogBatch, TablesError> {
        // Nothing is newer than what was published.
        let head = self.have().borrow().log_head;
        if head <= from.0 {
            return Ok(LogBatch { cursor: from, is_done: true, ..LogBatch::default() });
        }
        if let Some(batch) = self.recent().read(from, head, have, goal, bytes_max) {
            return Ok(batch);
        }
        let (have, goal) = (have.clone(), goal.clone());
        let own = &self.reading().own;
        let range = (from, head);
        own.read(move |conn| {
            async move { read(conn, range, &have, &goal, bytes_max).await }.boxed()
        })
        .await
    }

    /// Where a reader that has `have` begins: no entry before lacks it.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn cursor_for(&self, have: &VersionVector) -> Result<LogCursor, TablesError> {
        let have = have.clone();
        let head = self.have().borrow().log_head;
        let own = &self.reading().own;
        own.read(move |conn| async move { cursor_for(conn, &have, head).await }.boxed()).await
    }

    /// Whether a reader that has `have` can be served from the log: it still holds everything that they lack.
    #[must_use]
    pub fn served_from_log(&self, have: &VersionVector) -> bool {
        let own = self.have();
        let own = own.borrow();
        own.origins.iter().all(|origin| {
            let theirs = have.upto(&origin.origin);
            theirs >= origin.floor || theirs >= origin.upto
        })
    }
}

/// An entry without its body.
struct Entry {
    id: i64,
    dot: Dot,
    is_last: bool,
}

async fn read(
    conn: &mut SqliteConnection,
    range: (LogCursor, i64),
    have: &VersionVector,
    goal: &VersionVector,
    bytes_max: usize,
) -> Result<LogBatch, TablesError> {
    let origins = load_origins(conn).await?;
    let (entries, mut batch) = find(conn, &origins, range, have, goal, bytes_max).await?;
    let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
    for portion in portions(&ids, 1) {
        let sql = format!(
            "SELECT body FROM mesh_log WHERE id IN ({}) ORDER BY id",
            listed(portion, |_| "?".to_owned())
        );
        let values = portion.iter().copied().map(SqlValue::Integer);
        for row in fetch_all(conn, sql, values).await? {
            batch.bodies.push(Columns::of(&row).blob()?);
        }
    }
    let last = entries.iter().filter(|entry| entry.is_last);
    batch.sent = last.map(|entry| (entry.dot.origin, entry.dot.sequence)).collect();
    Ok(batch)
}

/// Whether anything of a transaction's origin is for this reader: what its own database wrote is not.
pub(crate) fn is_aimed_at(dot: &Dot, have: &VersionVector, goal: &VersionVector) -> bool {
    have.upto(&dot.origin) > 0 || goal.upto(&dot.origin) > 0
}

/// The entries to be read, and a batch that says where they end.
async fn find(
    conn: &mut SqliteConnection,
    origins: &Origins,
    (from, head): (LogCursor, i64),
    have: &VersionVector,
    goal: &VersionVector,
    bytes_max: usize,
) -> Result<(Vec<Entry>, LogBatch), TablesError> {
    let mut batch = LogBatch { cursor: from, ..LogBatch::default() };
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let sql = "SELECT id, origin, sequence, is_last, length(body) FROM mesh_log \
               WHERE id > ? AND id <= ? ORDER BY id LIMIT ?";
    let limit = number(ENTRIES_PER_BATCH as u64);
    let mut rows = fetch(conn, sql, [SqlValue::Integer(from.0), SqlValue::Integer(head), limit])?;
    let mut seen = 0;
    while let Some(row) = rows.next().await {
        let row = row?;
        let mut columns = Columns::of(&row);
        let id = columns.int()?;
        let origin = origins.id(columns.int()?)?;
        let dot = Dot { origin, sequence: columns.count()? };
        let is_last = columns.flag()?;
        let size = usize::try_from(columns.count()?).unwrap_or(usize::MAX);
        let (is_lacked, is_named) = (dot.sequence > have.upto(&origin), goal.knows(&dot));
        if is_lacked && is_named && !entries.is_empty() && bytes + size > bytes_max {
            return Ok((entries, batch));
        }
        seen += 1;
        if is_lacked && is_named {
            bytes += size;
            entries.push(Entry { id, dot, is_last });
        } else if is_lacked && is_aimed_at(&dot, have, goal) {
            batch.skipped.get_or_insert(batch.cursor);
        }
        batch.cursor = LogCursor(id);
    }
    batch.is_done = seen < ENTRIES_PER_BATCH;
    Ok((entries, batch))
}

async fn cursor_for(
    conn: &mut SqliteConnection,
    have: &VersionVector,
    head: i64,
) -> Result<LogCursor, TablesError> {
    let origins = load_origins(conn).await?;
    let mut first: Option<i64> = None;
    for row in fetch_all(conn, "SELECT origin, upto FROM mesh_vector", []).await? {
        let mut columns = Columns::of(&row);
        let (no, upto) = (columns.int()?, columns.count()?);
        let theirs = have.upto(&origins.id(no)?);
        if theirs >= upto {
            continue;
        }
        // Not the one with the lowest number: one that was kept aside comes later than its successors.
        let sql = "SELECT min(id) FROM mesh_log WHERE origin = ? AND sequence > ?";
        let rows = fetch_all(conn, sql, [SqlValue::Integer(no), number(theirs)]).await?;
        let id = rows.first().map_or(Ok(None), |row| Columns::of(row).int_or_none())?;
        first = [first, id].into_iter().flatten().min();
    }
    Ok(LogCursor(first.map_or(head, |first| first - 1)))
}

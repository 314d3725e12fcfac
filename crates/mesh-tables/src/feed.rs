//! The live feed of committed changes, read from the log.
//!
//! A position names what comes next: an entry of the log and the change in it. Entries are numbered without
//! gaps, so a number that is missing was dropped, and with it what a reader would have to know.

mod read;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use mesh_protocol::{
    HybridClock, OriginId, PeerId, RowChange, Section, SqlValue, TableId, UnixMillis,
};
use sqlx::SqliteConnection;
use tokio::sync::watch;

use self::read::{Content, Entry, TableNames, entries, name_tables};
use crate::error::Thing;
use crate::outlet::Follower;
use crate::readers::Readers;
use crate::recent::Recent;
use crate::sql::{Columns, execute, fetch_all};
use crate::state::{Have, State};
use crate::{Tables, TablesError};

/// Bits of a position that count the changes of an entry. An entry has at most 2 MiB.
const INDEX_BITS: u32 = 20;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It was written whole: it is new, or replaced.
    Insert,
    /// Some of its columns were written.
    Update,
    /// It is gone.
    Delete,
}

/// A committed change of a row, as readers of the table see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeEvent {
    /// Where to go on from. Grows from event to event.
    pub position: i64,
    /// The table.
    pub table: String,
    /// What became of the row.
    pub operation: Operation,
    /// The columns of the primary key.
    pub key: Vec<(String, SqlValue)>,
    /// The other columns that were written.
    pub data: Vec<(String, SqlValue)>,
    /// The database that wrote it.
    pub origin: OriginId,
    /// The member whose database that is or was, if known.
    pub member: Option<PeerId>,
    /// The clock of the write; of several columns the latest.
    pub clock: HybridClock,
    /// When it was committed here.
    pub at: UnixMillis,
}

/// What a feed yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// A row changed.
    Change(ChangeEvent),
    /// Rows of the table changed without being named, because their state was taken over from another
    /// member: whoever keeps a copy reads the table again.
    Resync {
        /// Where to go on from.
        position: i64,
        /// The table.
        table: String,
    },
}

/// Committed changes in the order in which they were committed here, as they come.
///
/// It keeps nothing open while it waits, and reads a bounded piece of the log at a time: one that is not
/// read costs nothing, until the log is dropped under it.
#[derive(Debug)]
pub struct Feed {
    readers: Arc<Readers>,
    recent: Recent,
    have: watch::Receiver<Arc<Have>>,
    /// Only these tables, by their names in lower case.
    only: Option<Vec<String>>,
    /// Where reading goes on.
    next: Position,
    /// What was read and not yielded.
    items: VecDeque<FeedItem>,
    /// Position of the last item that was yielded.
    passed: i64,
    tables: BTreeMap<TableId, Arc<TableNames>>,
    has_ended: bool,
    _follower: Follower,
}

/// A place in the log: in front of a change of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    entry: i64,
    index: i64,
}

impl Position {
    const fn of(number: i64) -> Self {
        Self { entry: number >> INDEX_BITS, index: number & ((1 << INDEX_BITS) - 1) }
    }

    const fn number(self) -> i64 {
        (self.entry << INDEX_BITS) | self.index
    }

    fn unknown(self) -> TablesError {
        TablesError::Unknown { what: Thing::Position, name: self.number().to_string() }
    }
}

impl Tables {
    /// Follows the committed changes: from the position of an event on, which is not repeated, or from now
    /// on; of one table or of all. Position 0 is the beginning of all time. A position goes with the table
    /// that was followed.
    ///
    /// # Errors
    /// [`TablesError::Unknown`] when there is no such table, or the log does not reach back to the position:
    /// whoever keeps a copy reads the table, and follows from then on. The latter may also come later, when
    /// the feed is read too slowly. After an error nothing follows.
    pub async fn feed(
        &self,
        from: Option<i64>,
        table: Option<String>,
    ) -> Result<Feed, TablesError> {
        if from.is_none() {
            // What was committed before this is none of it, also where it is not on the disk yet.
            self.settle().await?;
        }
        let only = match table {
            None => None,
            Some(name) => Some(vec![self.live_name(name).await?]),
        };
        self.feed_of(from, only).await
    }

    /// Follows these tables, by their names in lower case.
    pub(crate) async fn feed_of(
        &self,
        from: Option<i64>,
        only: Option<Vec<String>>,
    ) -> Result<Feed, TablesError> {
        let reading = self.reading();
        let have = reading.have.clone();
        let head = have.borrow().log_head;
        let next = match from {
            None => Position { entry: head + 1, index: 0 },
            Some(number) => {
                let position = Position::of(number.max(0));
                Position { entry: position.entry.max(1), ..position }
            }
        };
        if next.entry > head + 1 {
            return Err(next.unknown());
        }
        let mut feed = Feed {
            readers: Arc::clone(&reading.own),
            recent: self.recent().clone(),
            have,
            only,
            next,
            items: VecDeque::new(),
            passed: next.number(),
            tables: BTreeMap::new(),
            has_ended: false,
            _follower: reading.followers.add(),
        };
        if next.entry <= head {
            feed.read().await?;
        }
        Ok(feed)
    }

    /// The name in lower case, if a live table has it.
    async fn live_name(&self, name: String) -> Result<String, TablesError> {
        let asked = SqlValue::Text(name.to_ascii_lowercase());
        let readers = &self.reading().own;
        let found = readers.read(|conn| {
            Box::pin(async move {
                let sql =
                    "SELECT lower(name) FROM mesh_tables WHERE lower(name) = ? AND state = 'live'";
                let rows = fetch_all(conn, sql, [asked]).await?;
                rows.first().map(|row| Columns::of(row).text()).transpose()
            })
        });
        found.await?.ok_or(TablesError::Unknown { what: Thing::Table, name })
    }
}

impl Feed {
    /// The next change, waiting for it; none when the database is closed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<FeedItem, TablesError>> {
        loop {
            if let Some(item) = self.next_ready() {
                return Some(Ok(item));
            }
            if self.has_ended {
                return None;
            }
            let head = self.have.borrow_and_update().log_head;
            if self.next.entry > head {
                self.have.changed().await.ok()?;
            } else if let Err(error) = self.read().await {
                self.has_ended = true;
                return Some(Err(error));
            }
        }
    }

    /// The next change, if it has been read already: those of one transaction mostly are, with the first.
    pub fn next_ready(&mut self) -> Option<FeedItem> {
        let item = self.items.pop_front()?;
        self.passed = item.position();
        Some(item)
    }

    /// The same as a stream.
    #[must_use]
    pub fn into_stream(self) -> BoxStream<'static, Result<FeedItem, TablesError>> {
        futures_util::stream::unfold(self, async |mut feed| {
            let item = feed.next().await?;
            Some((item, feed))
        })
        .boxed()
    }

    /// Where to go on from when nothing more is read.
    #[must_use]
    pub fn position(&self) -> i64 {
        if self.items.is_empty() { self.next.number() } else { self.passed }
    }

    /// Reads some entries. Nothing has changed when it fails or is dropped.
    async fn read(&mut self) -> Result<(), TablesError> {
        // A position behind what is on the disk may come to name something else.
        let head = self.have.borrow().log_head;
        self.pass(head);
        if self.next.entry > head {
            return Ok(());
        }
        let from = self.next;
        let mut known = self.tables.clone();
        let (entries, known) = self
            .readers
            .read(|conn| {
                Box::pin(async move {
                    let entries = entries(conn, from.entry, head).await?;
                    for entry in &entries {
                        name_tables(conn, entry, &mut known).await?;
                    }
                    Ok((entries, known))
                })
            })
            .await?;
        self.tables = known;
        if entries.is_empty() {
            return Err(from.unknown());
        }
        for entry in entries {
            let items = self.items_of(entry);
            self.items.extend(items);
        }
        Ok(())
    }

    /// Goes on behind the newest entries that are known to write none of the tables, without a look into the
    /// database.
    fn pass(&mut self, head: i64) {
        let Some(only) = &self.only else { return };
        let is_other = |id: &TableId| self.tables.get(id).is_some_and(|names| !names.are_in(only));
        let entry = self.recent.pass(self.next.entry, head, is_other);
        if entry != self.next.entry {
            self.next = Position { entry, index: 0 };
        }
    }

    /// What an entry says, but for what lies before the position.
    fn items_of(&mut self, entry: Entry) -> Vec<FeedItem> {
        let Entry { id, at, content } = entry;
        let skipped = if self.next.entry == id { self.next.index } else { 0 };
        self.next = Position { entry: id + 1, index: 0 };
        let mut items = match content {
            Content::Resync { table } => {
                let table = self.tables.get(&table).map(|names| names.name.clone());
                table
                    .map(|table| (0, FeedItem::Resync { position: 0, table }))
                    .into_iter()
                    .collect()
            }
            Content::Part { origin, member, part } => {
                let changes = part.sections.into_iter().flat_map(|section| {
                    let Section { table, columns, changes, .. } = section;
                    let (names, columns) = (self.tables.get(&table).cloned(), Arc::new(columns));
                    changes
                        .into_iter()
                        .map(move |change| (names.clone(), Arc::clone(&columns), change))
                });
                let events = (0..).zip(changes).filter_map(|(index, (names, columns, change))| {
                    let event = event(&*names?, &columns, change);
                    Some((index, FeedItem::Change(ChangeEvent { origin, member, at, ..event })))
                });
                events.collect::<Vec<(i64, FeedItem)>>()
            }
        };
        items.retain(|(index, item)| *index >= skipped && self.is_wanted(item));
        let last = items.len().saturating_sub(1);
        let places = items.into_iter().enumerate();
        // Behind the last change lies the next entry: nothing has to be kept for it.
        let placed = places.map(|(place, (index, item))| {
            let behind = Position { entry: id, index: index + 1 };
            item.at(if place == last { self.next } else { behind }.number())
        });
        placed.collect()
    }

    fn is_wanted(&self, item: &FeedItem) -> bool {
        let table = match item {
            FeedItem::Change(change) => &change.table,
            FeedItem::Resync { table, .. } => table,
        };
        let is_same = |wanted: &String| table.eq_ignore_ascii_case(wanted);
        self.only.as_ref().is_none_or(|only| only.iter().any(is_same))
    }
}

impl FeedItem {
    /// Where to go on from.
    #[must_use]
    pub const fn position(&self) -> i64 {
        match self {
            Self::Change(change) => change.position,
            Self::Resync { position, .. } => *position,
        }
    }

    fn at(mut self, place: i64) -> Self {
        match &mut self {
            Self::Change(ChangeEvent { position, .. }) | Self::Resync { position, .. } => {
                *position = place;
            }
        }
        self
    }
}

/// Its place and origin are filled in by the caller.
fn event(names: &TableNames, columns: &[String], change: RowChange) -> ChangeEvent {
    let clock = change.clock();
    let (operation, key, data) = match change {
        RowChange::Put { key, values, .. } => {
            let data = columns.iter().cloned().zip(values).collect();
            (Operation::Insert, key, data)
        }
        RowChange::Delete { key, .. } => (Operation::Delete, key, Vec::new()),
        RowChange::Edit { key, cells, .. } => {
            let data = cells.into_iter().filter_map(|cell| {
                let name = columns.get(usize::from(cell.column))?;
                Some((name.clone(), cell.value))
            });
            (Operation::Update, key, data.collect())
        }
    };
    ChangeEvent {
        position: 0,
        table: names.name.clone(),
        operation,
        key: names.key.iter().cloned().zip(key).collect(),
        data,
        origin: OriginId::from_bytes([0; 16]),
        member: None,
        clock,
        at: UnixMillis(0),
    }
}

/// Notes that rows of a table changed without entries of the log. The note takes a number of theirs; an
/// older one of the same table goes, and who has not read it finds a gap.
pub(crate) async fn note_resync(
    conn: &mut SqliteConnection,
    state: &mut State,
    table_no: i64,
) -> Result<(), TablesError> {
    execute(conn, "DELETE FROM mesh_resyncs WHERE table_no = ?", [SqlValue::Integer(table_no)])
        .await?;
    let id = state.log_head + 1;
    let sql = "INSERT INTO mesh_resyncs (id, table_no) VALUES (?, ?)";
    execute(conn, sql, [SqlValue::Integer(id), SqlValue::Integer(table_no)]).await?;
    let take = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'mesh_log'";
    if execute(conn, take, [SqlValue::Integer(id)]).await? == 0 {
        let begin = "INSERT INTO sqlite_sequence (name, seq) VALUES ('mesh_log', ?)";
        execute(conn, begin, [SqlValue::Integer(id)]).await?;
    }
    state.log_head = id;
    Ok(())
}

#[cfg(test)]
mod tests;

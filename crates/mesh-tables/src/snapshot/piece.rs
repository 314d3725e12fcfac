//! Puts pieces of the state together, so that each fits a frame and none takes much memory.

use std::collections::BTreeMap;

use mesh_protocol::{
    CHANGES_PER_PART_MAX, LOSERS_PER_CHUNK_MAX, OriginHave, SNAPSHOT_CHUNK_BYTES_MAX,
    SnapshotChunk, SnapshotPosition, SnapshotRequest, SqlValue, TableId,
};
use sqlx::SqliteConnection;

use super::losers::{Item, Listed, Losers};
use super::page::{self, Range};
use super::preamble::Preamble;
use crate::TablesError;
use crate::catalog::Table;
use crate::key;
use crate::state::State;

/// What a piece should take: large enough that round trips do not count, small enough to be one of many.
const PIECE_BYTES_TARGET: usize = 512 << 10;

/// Most versions of columns that are read at a time.
const CELLS_MAX: usize = 1 << 17;

/// Pages that are looked through for the ranges of one piece; those who repair see progress that way.
const PAGES_MAX: usize = 32;

/// Rows in the first page of a table; later ones learn from those before.
const ROWS_FIRST: u64 = 512;

/// What reads a view.
pub(super) struct Source {
    conn: SqliteConnection,
    state: State,
    session: u64,
    have: Vec<OriginHave>,
    preamble: Preamble,
    /// Rows by table, and those that were sent; none before the first piece.
    counts: BTreeMap<TableId, u64>,
    rows_sent: Option<u64>,
    /// Rows that the next page may have.
    rows_max: u64,
    /// Losers of the table that was read last.
    losers: Option<(TableId, Losers)>,
}

/// A piece in the making.
struct Piece {
    chunk: SnapshotChunk,
    bytes: usize,
    /// What it takes without any content.
    base: usize,
    /// What it should take.
    target: usize,
}

/// Where the reading of a table got to.
enum Reached {
    /// Behind this key, and so much of the next row was sent.
    At(Option<Vec<SqlValue>>, usize),
    /// The end of the table.
    End,
}

impl Source {
    pub(super) async fn open(
        mut conn: SqliteConnection,
        state: State,
        session: u64,
    ) -> Result<Self, TablesError> {
        let preamble = Preamble::read(&mut conn, &state).await?;
        let mut counts = BTreeMap::new();
        for table in state.catalog.tables.values() {
            counts.insert(table.id, page::count_rows(&mut conn, table, None).await?);
        }
        let have = state.have().origins;
        let (rows_sent, rows_max, losers) = (None, ROWS_FIRST, None);
        Ok(Self { conn, state, session, have, preamble, counts, rows_sent, rows_max, losers })
    }

    pub(super) fn into_conn(self) -> SqliteConnection {
        self.conn
    }

    /// The piece that a member asks for.
    pub(super) async fn chunk(
        &mut self,
        request: &SnapshotRequest,
    ) -> Result<SnapshotChunk, TablesError> {
        let is_repair = !request.buckets.is_empty();
        let catalog = std::sync::Arc::clone(&self.state.catalog);
        let asked = request.position.as_ref();
        let table = match asked {
            None => catalog.tables.values().next(),
            Some(position) if is_repair => catalog.tables.get(&position.table),
            Some(position) => catalog.tables.range(position.table..).map(|(_, table)| table).next(),
        };
        // A table that is gone is passed over: the piece begins with the next one.
        let same = asked.filter(|asked| table.is_some_and(|table| table.id == asked.table));
        let after = same.and_then(|position| position.after.clone());
        let sent = match asked {
            Some(position) if request.session == self.session => position.sent,
            Some(_) | None => 0,
        };
        let sent = usize::try_from(sent).unwrap_or(usize::MAX);
        let mut piece = Piece::new(self, request, table, after.as_deref());
        let before = if is_repair { 0 } else { self.preamble.len() };
        if sent < before {
            let portion = self.preamble.portion(sent);
            piece.bytes += portion.bytes;
            piece.chunk.schema = portion.schema;
            piece.chunk.contexts = portion.contexts;
            piece.chunk.coverage = portion.coverage;
            if portion.sent < before {
                piece.go_on(
                    table.map_or(TableId::from_bytes([0; 16]), |table| table.id),
                    after,
                    portion.sent,
                );
                return Ok(piece.chunk);
            }
        }
        let Some(table) = table else { return Ok(piece.chunk) };
        self.count_sent(table, after.as_deref()).await?;
        let row_sent = if same.is_some() { sent.saturating_sub(before) } else { 0 };
        let reached = self.fill(&mut piece, table, after, row_sent, &request.buckets).await?;
        match reached {
            Reached::At(after, sent) => piece.go_on(table.id, after, before + sent),
            Reached::End => {
                piece.chunk.is_table_end = true;
                let behind = (std::ops::Bound::Excluded(table.id), std::ops::Bound::Unbounded);
                let next = catalog.tables.range(behind).next().filter(|_| !is_repair);
                if let Some((next, _)) = next {
                    piece.go_on(*next, None, before);
                }
                self.rows_max = ROWS_FIRST;
            }
        }
        let sent = self.rows_sent.get_or_insert(0);
        *sent += piece.chunk.rows.len() as u64;
        piece.chunk.progress = (*sent, self.counts.values().sum());
        Ok(piece.chunk)
    }

    /// Counts what members have read in views before this one.
    async fn count_sent(
        &mut self,
        table: &Table,
        after: Option<&[SqlValue]>,
    ) -> Result<(), TablesError> {
        if self.rows_sent.is_none() {
            let mut sent = self.counts.range(..table.id).map(|(_, rows)| rows).sum();
            if after.is_some() {
                sent += page::count_rows(&mut self.conn, table, after).await?;
            }
            self.rows_sent = Some(sent);
        }
        Ok(())
    }

    async fn losers(&mut self, table: &Table) -> Result<Losers, TablesError> {
        match &self.losers {
            Some((id, losers)) if *id == table.id => Ok(losers.clone()),
            Some(_) | None => {
                let losers = Losers::read(&mut self.conn, &self.state.origins, table).await?;
                self.losers = Some((table.id, losers.clone()));
                Ok(losers)
            }
        }
    }

    /// Fills the piece with rows of one table. `row_sent` parts of the first one were sent before.
    async fn fill(
        &mut self,
        piece: &mut Piece,
        table: &Table,
        mut after: Option<Vec<SqlValue>>,
        mut row_sent: usize,
        buckets: &[u16],
    ) -> Result<Reached, TablesError> {
        let losers = self.losers(table).await?;
        for _ in 0..PAGES_MAX {
            let (items, end) = self.page(piece, table, &losers, after.as_deref()).await?;
            for item in items {
                if !in_buckets(table, item.key(), buckets) {
                    after = Some(item.key().clone());
                    continue;
                }
                let Self { conn, state, .. } = &mut *self;
                let listed = losers.of(conn, &state.origins, table, item.key()).await?;
                match piece.add(conn, item, listed, row_sent).await? {
                    Added::Whole(key) => after = Some(key),
                    Added::Part(sent) => return Ok(Reached::At(after, sent)),
                    Added::Nothing => return Ok(Reached::At(after, 0)),
                }
                row_sent = 0;
            }
            match end {
                None => return Ok(Reached::End),
                Some(key) if piece.is_full() => return Ok(Reached::At(Some(key), 0)),
                Some(key) => after = Some(key),
            }
        }
        Ok(Reached::At(after, 0))
    }

    /// The next rows and losers, and the key of the last one; none at the end of the table.
    async fn page(
        &mut self,
        piece: &Piece,
        table: &Table,
        losers: &Losers,
        after: Option<&[SqlValue]>,
    ) -> Result<(Vec<Item>, Option<Vec<SqlValue>>), TablesError> {
        let conn = &mut self.conn;
        let rows_left = CHANGES_PER_PART_MAX.saturating_sub(piece.chunk.rows.len());
        let rows_max = (CELLS_MAX / (table.columns.len() + 1)).min(rows_left) as u64;
        let rows_max = self.rows_max.min(rows_max).max(1);
        let room = piece.target.saturating_sub(piece.bytes);
        let end = page::page_end(conn, table, after, rows_max, room).await?;
        let Some(end) = end else {
            let range = Range { after, upto: None };
            return Ok((losers.join(table, range, Vec::new()), None));
        };
        self.rows_max = (end.rows * 2).clamp(64, CHANGES_PER_PART_MAX as u64);
        let is_last = !page::has_rows_behind(conn, table, &end.key).await?;
        let range = Range { after, upto: Some(&end.key) };
        // A row that no piece can hold never travelled in a transaction either.
        let with_values = end.rows > 1 || end.bytes <= piece.row_bytes_max(&end.key);
        if !with_values {
            tracing::warn!(table = table.name, "a row is too large for a snapshot; it stays here");
        }
        let rows = page::read_rows(conn, &self.state.origins, table, range, with_values).await?;
        let range = Range { after, upto: Some(&end.key).filter(|_| !is_last).map(Vec::as_slice) };
        Ok((losers.join(table, range, rows), (!is_last).then_some(end.key)))
    }
}

/// Whether a row is of one of the ranges of key digests; no ranges are all of them.
pub(super) fn in_buckets(table: &Table, key: &[SqlValue], buckets: &[u16]) -> bool {
    if buckets.is_empty() {
        return true;
    }
    let [first, ..] = key::hash(table, key);
    buckets.contains(&u16::from(first))
}

/// What became of a row that was to be added.
enum Added {
    /// All of it is in the piece.
    Whole(Vec<SqlValue>),
    /// So many parts of it were sent: its values are the first one, each of its losers is another.
    Part(usize),
    /// It does not fit any more.
    Nothing,
}

impl Piece {
    fn new(
        source: &Source,
        request: &SnapshotRequest,
        table: Option<&Table>,
        after: Option<&[SqlValue]>,
    ) -> Self {
        let from = table.map(|table| SnapshotPosition {
            table: table.id,
            after: after.map(<[_]>::to_vec),
            sent: 0,
        });
        let columns: Vec<String> = table
            .map(|table| table.columns.iter().map(|column| column.name.clone()).collect())
            .unwrap_or_default();
        let have: usize = source.have.iter().map(|have| 48 + 10 * have.holes.len()).sum();
        let names: usize = columns.iter().map(|name| name.len() + 4).sum();
        let bytes = 256 + have + names + after.map_or(0, page::key_bytes);
        let chunk = SnapshotChunk {
            request_id: request.request_id,
            session: source.session,
            have: source.have.clone(),
            contexts: Vec::new(),
            schema: Vec::new(),
            coverage: Vec::new(),
            from,
            columns,
            rows: Vec::new(),
            losers: Vec::new(),
            is_table_end: false,
            next: None,
            progress: (0, 0),
        };
        let target = bytes + PIECE_BYTES_TARGET;
        Self { chunk, bytes, base: bytes, target }
    }

    fn go_on(&mut self, table: TableId, after: Option<Vec<SqlValue>>, sent: usize) {
        self.chunk.next = Some(SnapshotPosition { table, after, sent: sent as u64 });
    }

    fn is_empty(&self) -> bool {
        self.bytes == self.base
    }

    const fn is_full(&self) -> bool {
        self.bytes >= self.target || self.chunk.rows.len() >= CHANGES_PER_PART_MAX
    }

    /// What one row may take, with nothing beside it.
    fn row_bytes_max(&self, key: &[SqlValue]) -> usize {
        SNAPSHOT_CHUNK_BYTES_MAX.saturating_sub(self.base + page::key_bytes(key))
    }

    /// Adds a row with its losers, of which `row_sent` parts were sent before.
    async fn add(
        &mut self,
        conn: &mut SqliteConnection,
        item: Item,
        listed: Vec<Listed>,
        row_sent: usize,
    ) -> Result<Added, TablesError> {
        let key = item.key().clone();
        let mut row = match item {
            Item::Row(row) => Some(row),
            Item::Orphans(_) => None,
        };
        let losers_sent = row_sent.saturating_sub(1);
        if let Some(row) = row.as_mut().filter(|_| row_sent > 0) {
            row.bytes -= page::key_bytes(&row.state.values);
            row.state.values = Vec::new();
        }
        // The key stands in the next position as well.
        let heads: usize = listed.iter().map(|loser| loser.head_bytes).sum();
        let bytes = row.as_ref().map_or(0, |row| row.bytes) + page::key_bytes(&key) + heads;
        let values: usize = listed.iter().skip(losers_sent).map(|one| one.value_bytes).sum();
        let is_too_many = self.chunk.losers.len() + listed.len() > LOSERS_PER_CHUNK_MAX;
        let is_too_large = self.bytes + bytes + values > SNAPSHOT_CHUNK_BYTES_MAX;
        if !self.is_empty() && (is_too_large || is_too_many || self.is_full()) {
            return Ok(Added::Nothing);
        }
        self.bytes += bytes;
        let count = listed.len();
        let mut sent = losers_sent;
        for (index, loser) in listed.into_iter().enumerate() {
            let fits = self.bytes + loser.value_bytes <= SNAPSHOT_CHUNK_BYTES_MAX;
            let is_next = index == sent;
            // What fits no piece is passed over: somebody wrote it in a transaction that it filled.
            let is_hopeless = row_sent > 0 && sent == losers_sent && !fits;
            let mut value = None;
            if is_next && fits {
                self.bytes += loser.value_bytes;
                value = Some(loser.read_value(conn).await?);
            }
            sent += usize::from(is_next && (fits || is_hopeless));
            self.chunk.losers.push(loser.into_state(key.clone(), value));
        }
        self.chunk.rows.extend(row.map(|row| row.state));
        Ok(if sent < count { Added::Part(sent + 1) } else { Added::Whole(key) })
    }
}

//! What a batch of transactions has to write besides rows, gathered and written at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_protocol::{
    Dot, HybridClock, OriginId, SqlValue, TableId, TransactionHeader, UnixMillis, VersionVector,
};

use super::{Applied, Transaction};
use crate::TablesError;
use crate::desk::{Desk, Last};
use crate::recent::NewEntry;
use crate::rows::portions;
use crate::sql::{Columns, fetch_all, number, placeholders};
use crate::state::State;

/// Bodies of entries that wait to be written are held in memory up to this many bytes.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// No more entries than this travel with the end of a batch, so that few texts are compiled.
const ENTRIES_LAST: usize = 4;

/// An entry of the log.
pub(crate) struct Entry {
    pub(crate) dot: Dot,
    pub(crate) part: u32,
    pub(crate) is_last: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) effect: Option<Vec<u8>>,
    pub(crate) tables: Box<[TableId]>,
}

/// Transactions for which SQLite had too little memory, over all attempts at one batch. It may have rolled back
/// everything by then, so the batch begins anew without them.
#[derive(Clone, Default)]
pub(crate) struct TooLarge(Arc<Mutex<BTreeSet<Dot>>>);

impl TooLarge {
    pub(crate) fn add(&self, dot: Dot) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(dot);
    }

    pub(crate) fn has(&self, dot: &Dot) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(dot)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

pub(crate) struct Batch {
    pub(crate) too_large: TooLarge,
    pub(crate) at: UnixMillis,
    /// Nothing is kept aside, and it is hoped that nothing will be: transactions go without savepoints of
    /// their own, and the first that cannot be applied ends the attempt.
    pub(super) is_bold: bool,
    /// It could not.
    pub(super) has_failed: bool,
    pub(crate) applied: Applied,
    entries: Vec<Entry>,
    entries_bytes: usize,
    /// Origins of which there is more.
    advanced: BTreeSet<OriginId>,
    /// Origins that had more of others.
    contexts: BTreeSet<(OriginId, OriginId)>,
    clock: HybridClock,
}

/// What the maker of a transaction had applied when it made it.
pub(crate) fn context_of(state: &State, dot: Dot, header: &TransactionHeader) -> VersionVector {
    let mut context = state.contexts.get(&dot.origin).cloned().unwrap_or_default();
    for (origin, upto) in &header.advanced {
        context.advance(*origin, *upto);
    }
    context.advance(dot.origin, dot.sequence.saturating_sub(1));
    for hole in &header.holes {
        context.add_hole(*hole);
    }
    context
}

impl Batch {
    pub(super) fn new(at: UnixMillis, is_bold: bool, too_large: TooLarge) -> Self {
        Self {
            too_large,
            at,
            is_bold,
            has_failed: false,
            applied: Applied::default(),
            entries: Vec::new(),
            entries_bytes: 0,
            advanced: BTreeSet::new(),
            contexts: BTreeSet::new(),
            clock: HybridClock::default(),
        }
    }

    /// Sees that every origin that a transaction names has its number. Not inside its savepoint: the numbers
    /// are also kept in memory.
    pub(crate) async fn name_origins(
        &self,
        desk: &mut Desk,
        transaction: &Transaction,
    ) -> Result<(), TablesError> {
        let header = &transaction.header;
        let origins = std::iter::once(transaction.dot.origin)
            .chain(header.advanced.iter().map(|(origin, _)| *origin));
        for origin in origins {
            desk.state.origin_no(&mut desk.conn, origin).await?;
        }
        Ok(())
    }

    /// Notes that a transaction was taken, be it applied or kept aside.
    pub(crate) fn taken(&mut self, state: &mut State, dot: Dot, header: &TransactionHeader) {
        Arc::make_mut(&mut state.vector).advance(dot.origin, dot.sequence);
        self.advanced.insert(dot.origin);
        if header.advanced.is_empty() {
            return;
        }
        let contexts = Arc::make_mut(&mut state.contexts);
        let context = contexts.entry(dot.origin).or_default();
        for (other, upto) in &header.advanced {
            context.advance(*other, *upto);
            self.contexts.insert((dot.origin, *other));
        }
    }

    /// Notes the clock of a transaction that was applied, unless it is too far ahead to be believed.
    pub(crate) fn saw_clock(&mut self, desk: &Desk, clock: HybridClock) {
        if !desk.is_ahead(clock, self.at) {
            self.clock = self.clock.max(clock);
        }
    }

    pub(crate) async fn log(
        &mut self,
        desk: &mut Desk,
        entries: Vec<Entry>,
    ) -> Result<(), TablesError> {
        self.entries_bytes += entries.iter().map(|entry| entry.body.len()).sum::<usize>();
        self.entries.extend(entries);
        if self.entries_bytes > PENDING_BYTES_MAX {
            self.flush_log(desk).await?;
        }
        Ok(())
    }

    /// Writes the entries that wait. Also before an entry is written past them: the log is in order.
    pub(crate) async fn flush_log(&mut self, desk: &mut Desk) -> Result<(), TablesError> {
        let (rows, entries) = self.take_entries(&desk.state)?;
        write_log(desk, &rows, entries).await
    }

    /// What waits, as it is written and as it is remembered.
    fn take_entries(&mut self, state: &State) -> Result<(Vec<LogRow>, Vec<NewEntry>), TablesError> {
        self.entries_bytes = 0;
        let mut rows = Vec::with_capacity(self.entries.len());
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries.drain(..) {
            entries.push(new_entry(&entry));
            rows.push(row_of(state, entry, self.at)?);
        }
        Ok((rows, entries))
    }

    /// Writes an entry at once, for transactions that are too large to wait in memory.
    pub(crate) async fn log_now(&self, desk: &mut Desk, entry: Entry) -> Result<(), TablesError> {
        let new = new_entry(&entry);
        let row = row_of(&desk.state, entry, self.at)?;
        write_log(desk, &[row], vec![new]).await
    }

    /// Writes what waits; the statements that are left then end the batch.
    pub(super) async fn flush(&mut self, desk: &mut Desk) -> Result<Last, TablesError> {
        if self.entries.len() > ENTRIES_LAST {
            self.flush_log(desk).await?;
        }
        let state = &desk.state;
        let (rows, entries) = self.take_entries(state)?;
        let number_of = |origin: &OriginId| {
            let no = state.origins.no(origin).ok_or(TablesError::Malformed { what: "origin" });
            no.map(SqlValue::Integer)
        };
        let mut sql = if rows.is_empty() { String::new() } else { log_sql(rows.len()) + ";" };
        let mut values: Vec<SqlValue> = rows.into_iter().flatten().collect();
        sql.push_str("UPDATE mesh_state SET applying = 0, clock = max(clock, ?) WHERE id = 1");
        values.push(number(self.clock.0));
        let mut rows = Vec::new();
        for origin in std::mem::take(&mut self.advanced) {
            let upto = number(state.vector.upto(&origin));
            rows.push([number_of(&origin)?, upto, SqlValue::Integer(0)]);
        }
        for portion in portions(&rows, 3) {
            sql.push_str(&format!(
                ";INSERT INTO mesh_vector (origin, upto, floor) VALUES {} \
                 ON CONFLICT (origin) DO UPDATE SET upto = max(upto, excluded.upto)",
                placeholders(portion.len(), 3)
            ));
            values.extend(portion.iter().flatten().cloned());
        }
        let mut rows = Vec::new();
        for (origin, other) in std::mem::take(&mut self.contexts) {
            let upto = state.contexts.get(&origin).map_or(0, |context| context.upto(&other));
            rows.push([number_of(&origin)?, number_of(&other)?, number(upto)]);
        }
        for portion in portions(&rows, 3) {
            sql.push_str(&format!(
                ";INSERT INTO mesh_contexts (origin, other, upto) VALUES {} \
                 ON CONFLICT (origin, other) DO UPDATE SET upto = max(upto, excluded.upto)",
                placeholders(portion.len(), 3)
            ));
            values.extend(portion.iter().flatten().cloned());
        }
        Ok(Last { sql, values, entries })
    }
}

fn new_entry(entry: &Entry) -> NewEntry {
    let Entry { dot, is_last, body, tables, .. } = entry;
    NewEntry { dot: *dot, is_last: *is_last, body: body.clone(), tables: tables.clone() }
}

/// The values of an entry.
type LogRow = [SqlValue; 7];

/// Writes so many entries, and says the number of the last one.
fn log_sql(entries: usize) -> String {
    format!(
        "INSERT INTO mesh_log (origin, sequence, part, is_last, at, body, effect) VALUES {}\
         ;SELECT max(id) FROM mesh_log",
        placeholders(entries, 7)
    )
}

fn row_of(state: &State, entry: Entry, at: UnixMillis) -> Result<LogRow, TablesError> {
    let Entry { dot, part, is_last, body, effect, tables: _ } = entry;
    let origin = state.origins.no(&dot.origin).ok_or(TablesError::Malformed { what: "origin" })?;
    Ok([
        SqlValue::Integer(origin),
        number(dot.sequence),
        SqlValue::Integer(part.into()),
        SqlValue::Integer(is_last.into()),
        number(at.0),
        SqlValue::Blob(body),
        effect.map_or(SqlValue::Null, SqlValue::Blob),
    ])
}

async fn write_log(
    desk: &mut Desk,
    rows: &[LogRow],
    mut entries: Vec<NewEntry>,
) -> Result<(), TablesError> {
    for portion in portions(rows, 7) {
        let values = portion.iter().flatten().cloned();
        let head = fetch_all(&mut desk.conn, log_sql(portion.len()), values).await?;
        let head = head.first().map_or(Ok(0), |row| Columns::of(row).int())?;
        desk.logged(head, entries.drain(..portion.len()).collect());
    }
    Ok(())
}

impl Desk {
    /// Whether a clock is further ahead than is believed.
    pub(crate) fn is_ahead(&self, clock: HybridClock, at: UnixMillis) -> bool {
        let ahead = clock.time().0.saturating_sub(at.0);
        u128::from(ahead) > self.config.clock_ahead_max.as_millis()
    }
}

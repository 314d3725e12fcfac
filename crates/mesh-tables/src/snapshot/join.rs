//! Rows of another database's state meet the rows that are here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_protocol::{
    LoserFacts, LoserState, OriginId, RowFacts, RowState, SnapshotChunk, SqlValue, TheirRow,
    UnixMillis, Version, VersionVector,
};

use super::losers::Losers;
use super::page::{KEY_BYTES_MAX, Range, key_bytes, read_keys};
use super::piece::in_buckets;
use super::repair;
use crate::TablesError;
use crate::catalog::Table;
use crate::conflicts;
use crate::desk::Desk;
use crate::key::{canonical, decode_values};
use crate::rows::{PlannedRow, RowRead, Visible, read_facts, uncovered, write_plans};
use crate::sql::{Columns, fetch_all};

/// Rows that are read, joined and written together.
const ROWS_TOGETHER: usize = 1024;

/// Whether rows of equal versions are compared by their values.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// They are not: nobody altered anything.
    Take,
    /// They are, in these ranges of key digests; these are the databases of who sends them.
    Repair { buckets: Vec<u16>, databases: BTreeSet<OriginId> },
}

/// Rows of one table, and where they come from.
#[derive(Debug)]
pub(super) struct Theirs {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<RowState>,
    pub(super) losers: Vec<LoserState>,
    /// What the view had applied.
    pub(super) known: VersionVector,
}

impl Theirs {
    pub(super) fn of(chunk: &mut SnapshotChunk) -> Self {
        Self {
            columns: std::mem::take(&mut chunk.columns),
            rows: std::mem::take(&mut chunk.rows),
            losers: std::mem::take(&mut chunk.losers),
            known: VersionVector::of(&chunk.have),
        }
    }
}

/// What both sides share of the rows of one table.
pub(super) struct Meeting<'t> {
    pub(super) table: &'t Table,
    /// Numbers of their columns.
    numbers: Vec<u16>,
    table_columns: Vec<u16>,
    /// Columns that they do not have.
    lacking: BTreeSet<u16>,
    pub(super) known: VersionVector,
    purpose: Purpose,
    /// Whether there is nothing here to meet: so it is for newcomers.
    is_alone: bool,
    /// Keys of rows that this database keeps to itself.
    unsent: BTreeSet<Vec<u8>>,
    at: UnixMillis,
}

/// One row at their end; no facts when they have no memory of it.
struct Meets {
    key: Vec<SqlValue>,
    facts: Option<RowFacts>,
    values: Vec<SqlValue>,
    /// Whether the values are all that there are.
    is_whole: bool,
    loser_values: Vec<Option<SqlValue>>,
}

/// Joins rows of a range of `table` with what is here, rows that only this database has in that range
/// included. Says how many of them look different to readers from now on.
pub(super) async fn join_rows(
    desk: &mut Desk,
    table: &Table,
    theirs: Theirs,
    range: Option<Range<'_>>,
    purpose: Purpose,
    at: UnixMillis,
) -> Result<u64, TablesError> {
    name_origins(desk, &theirs).await?;
    let Theirs { columns, rows, losers, known } = theirs;
    let mut meeting = Meeting::new(table, &columns, known, purpose, at)?;
    meeting.unsent = read_unsent(desk, table).await?;
    meeting.is_alone = match range {
        Some(range) => is_empty(desk, table, range, &rows).await?,
        None => false,
    };
    let mut losers = by_row(table, losers);
    let mut seen = BTreeSet::new();
    let mut together = Vec::with_capacity(ROWS_TOGETHER);
    let mut changed = 0;
    for row in rows {
        let canonical = canonical(table, &row.key);
        let losers = losers.remove(&canonical).unwrap_or_default();
        if !seen.insert(canonical) {
            return Err(refused("a piece of a snapshot names a row twice"));
        }
        together.push(meeting.meets(desk, row, losers)?);
        if together.len() == ROWS_TOGETHER {
            changed += meeting.join(desk, std::mem::take(&mut together)).await?;
        }
    }
    for (canonical, losers) in losers {
        seen.insert(canonical);
        together.extend(meeting.orphans(losers));
    }
    changed += meeting.join(desk, together).await?;
    match range {
        Some(range) if !meeting.is_alone => {
            Ok(changed + meeting.join_rest(desk, range, &seen).await?)
        }
        Some(_) | None => Ok(changed),
    }
}

pub(super) fn refused(reason: &str) -> TablesError {
    TablesError::Refused { reason: reason.to_owned() }
}

async fn name_origins(desk: &mut Desk, theirs: &Theirs) -> Result<(), TablesError> {
    let rows = theirs.rows.iter();
    let versions = rows.flat_map(|row| {
        std::iter::once(&row.version).chain(row.cells.iter().map(|cell| &cell.version))
    });
    let versions = versions.chain(theirs.losers.iter().map(|loser| &loser.version));
    let origins: BTreeSet<OriginId> = versions.map(|version| version.origin).collect();
    for origin in origins {
        desk.state.origin_no(&mut desk.conn, origin).await?;
    }
    Ok(())
}

/// Whether this database has no row of a range and no loser in the table.
async fn is_empty(
    desk: &mut Desk,
    table: &Table,
    range: Range<'_>,
    theirs: &[RowState],
) -> Result<bool, TablesError> {
    // Rows with larger keys are in no range.
    if theirs.iter().any(|row| key_bytes(&row.key) > KEY_BYTES_MAX / 2) {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM mesh_conflicts WHERE table_no = ? LIMIT 1";
    let losers = fetch_all(&mut desk.conn, sql, [SqlValue::Integer(table.no)]).await?;
    Ok(losers.is_empty() && read_keys(&mut desk.conn, table, range, 1).await?.is_empty())
}

/// Rows that are too large to travel: nobody else can know what is in them.
async fn read_unsent(desk: &mut Desk, table: &Table) -> Result<BTreeSet<Vec<u8>>, TablesError> {
    let sql = "SELECT key FROM mesh_unsent WHERE table_no = ?";
    let rows = fetch_all(&mut desk.conn, sql, [SqlValue::Integer(table.no)]).await?;
    let keys = rows.iter().map(|row| {
        let key = decode_values(&Columns::of(row).blob()?)?;
        Ok(canonical(table, &key))
    });
    keys.collect()
}

fn by_row(table: &Table, losers: Vec<LoserState>) -> BTreeMap<Vec<u8>, Vec<LoserState>> {
    let mut rows = BTreeMap::<_, Vec<_>>::new();
    for loser in losers {
        rows.entry(canonical(table, &loser.key)).or_default().push(loser);
    }
    rows
}

impl<'t> Meeting<'t> {
    fn new(
        table: &'t Table,
        columns: &[String],
        known: VersionVector,
        purpose: Purpose,
        at: UnixMillis,
    ) -> Result<Self, TablesError> {
        let no_of = |name: &String| {
            let mut columns = table.columns.iter();
            let column = columns.find(|column| column.name.eq_ignore_ascii_case(name));
            let unknown = || refused(&format!("table {:?} has no column {name:?}", table.name));
            column.map(|column| column.no).ok_or_else(unknown)
        };
        let numbers: Vec<u16> = columns.iter().map(no_of).collect::<Result<_, _>>()?;
        let table_columns: Vec<u16> = table.columns.iter().map(|column| column.no).collect();
        let lacking = table_columns.iter().filter(|no| !numbers.contains(no)).copied().collect();
        let unsent = BTreeSet::new();
        Ok(Self {
            table,
            numbers,
            table_columns,
            lacking,
            known,
            purpose,
            is_alone: false,
            unsent,
            at,
        })
    }

    fn meets(
        &self,
        desk: &Desk,
        row: RowState,
        losers: Vec<LoserState>,
    ) -> Result<Meets, TablesError> {
        let RowState { key, version, values, cells } = row;
        if key.len() != self.table.key.len() {
            return Err(refused("a piece of a snapshot has a key of another table"));
        }
        let malformed = TablesError::Malformed { what: "origin" };
        let origin = desk.state.origins.no(&version.origin).ok_or(malformed)?;
        let mut uncovered = uncovered(self.table, origin, &version);
        if version.is_alive() {
            uncovered.extend(&self.lacking);
        }
        let cells = cells
            .iter()
            .filter_map(|cell| Some((*self.numbers.get(usize::from(cell.column))?, cell.version)));
        let cells = cells.collect();
        let is_whole = values.len() == self.numbers.len() || !version.is_alive();
        let (listed, loser_values) = self.losers(losers);
        let facts = RowFacts { version: Some(version), cells, uncovered, losers: listed };
        Ok(Meets { key, facts: Some(facts), values, is_whole, loser_values })
    }

    /// Losers of a row that is not remembered any more.
    fn orphans(&self, losers: Vec<LoserState>) -> Option<Meets> {
        let key = losers.first()?.key.clone();
        let (losers, loser_values) = self.losers(losers);
        let facts = Some(RowFacts { losers, ..RowFacts::default() });
        (key.len() == self.table.key.len()).then_some(Meets {
            key,
            facts,
            values: Vec::new(),
            is_whole: true,
            loser_values,
        })
    }

    fn losers(&self, losers: Vec<LoserState>) -> (Vec<LoserFacts>, Vec<Option<SqlValue>>) {
        let named = |name: &str| {
            let mut columns = self.table.columns.iter();
            columns.find(|column| column.name.eq_ignore_ascii_case(name)).map(|column| column.no)
        };
        let known = losers.into_iter().filter_map(|loser| {
            let column = match &loser.column {
                None => None,
                Some(name) => Some(named(name)?),
            };
            Some((LoserFacts { column, version: loser.version }, loser.value))
        });
        known.unzip()
    }

    /// Joins what only this database has in a range: who sent the rest has never known it, or knows no more.
    async fn join_rest(
        &self,
        desk: &mut Desk,
        range: Range<'_>,
        seen: &BTreeSet<Vec<u8>>,
    ) -> Result<u64, TablesError> {
        let mut changed = 0;
        let is_ours = |key: &Vec<SqlValue>| !seen.contains(&canonical(self.table, key));
        let mut after = range.after.map(<[_]>::to_vec);
        loop {
            let rest = Range { after: after.as_deref(), upto: range.upto };
            let keys = read_keys(&mut desk.conn, self.table, rest, ROWS_TOGETHER).await?;
            let is_end = keys.len() < ROWS_TOGETHER;
            after = keys.last().cloned().or(after);
            let ours = keys.into_iter().filter(is_ours).map(Meets::unknown).collect();
            changed += self.join(desk, ours).await?;
            if is_end {
                break;
            }
        }
        let origins = Arc::clone(&desk.state.origins);
        let losers = Losers::read(&mut desk.conn, &origins, self.table).await?;
        let orphans = losers.orphans(self.table, range).into_iter().filter(is_ours);
        let orphans = orphans.map(Meets::unknown).collect();
        Ok(changed + self.join(desk, orphans).await?)
    }

    async fn join(&self, desk: &mut Desk, rows: Vec<Meets>) -> Result<u64, TablesError> {
        let rows = match &self.purpose {
            Purpose::Take => rows,
            Purpose::Repair { buckets, .. } => {
                let is_asked = |row: &Meets| in_buckets(self.table, &row.key, buckets);
                rows.into_iter().filter(is_asked).collect()
            }
        };
        let is_sent = |row: &Meets| {
            self.unsent.is_empty() || !self.unsent.contains(&canonical(self.table, &row.key))
        };
        let rows: Vec<Meets> = rows.into_iter().filter(is_sent).collect();
        if rows.is_empty() {
            return Ok(0);
        }
        let keys: Vec<Vec<SqlValue>> = rows.iter().map(|row| row.key.clone()).collect();
        let origins = Arc::clone(&desk.state.origins);
        let before = if self.is_alone {
            vec![RowRead::default(); keys.len()]
        } else {
            read_facts(&mut desk.conn, &origins, self.table, &keys).await?
        };
        let mut planned = Vec::with_capacity(rows.len());
        for (row, before) in rows.into_iter().zip(before) {
            let Some(mut row) = self.plan(desk, row, before) else { continue };
            if let Purpose::Repair { databases, .. } = &self.purpose {
                repair::compare(desk, self.table, &mut row, databases).await?;
            }
            if !row.is_idle() {
                planned.push(row.planned);
            }
        }
        let listed = write_plans(&mut desk.conn, &origins, self.table, &planned, self.at).await?;
        conflicts::note_listed(desk, listed).await?;
        let is_seen = |row: &&PlannedRow| row.visible() != Visible::Nothing;
        Ok(planned.iter().filter(is_seen).count() as u64)
    }

    /// What becomes of a row; none when it has to stay as it is.
    fn plan(&self, desk: &Desk, row: Meets, before: RowRead) -> Option<Planned> {
        let Meets { key, facts, values, is_whole, loser_values } = row;
        let known = match &self.purpose {
            Purpose::Take => desk.state.covered.known_of(&desk.state.vector, self.table, &key),
            Purpose::Repair { .. } => {
                // What one side lacks comes as a transaction.
                let ours = versions_of(&before.facts).all(|one| self.known.knows(&one.dot()));
                let theirs = facts.as_ref().is_none_or(|facts| {
                    versions_of(facts).all(|one| desk.state.vector.knows(&one.dot()))
                });
                if !ours || !theirs {
                    return None;
                }
                Arc::clone(&desk.state.vector)
            }
        };
        let theirs = TheirRow {
            facts: facts.as_ref(),
            columns: &self.numbers,
            table_columns: &self.table_columns,
            known: &self.known,
        };
        let is_here = before.facts.version.is_some() || !before.facts.losers.is_empty();
        let ours = is_here.then_some(&before.facts);
        let mut plan = desk.rules.join(ours, &known, &theirs);
        let listed = facts.as_ref().map_or(&[][..], |facts| &facts.losers);
        let adopted = plan
            .adopted
            .iter()
            .filter_map(|index| Some((*listed.get(*index)?, loser_values.get(*index)?.clone()?)));
        let adopted = adopted.collect();
        let needs_values = !plan.merge.write.is_empty()
            || plan.merge.lost_incoming.iter().any(|(index, _)| index.is_some());
        if !is_whole && needs_values {
            // Another piece has the values, or nobody can give them: here it is about losers alone.
            plan.merge = mesh_protocol::MergePlan::default();
            plan.forget = false;
            plan.defaulted = Vec::new();
        }
        let mut planned = PlannedRow {
            key,
            columns: self.numbers.clone(),
            values,
            before,
            plan: plan.merge,
            adopted,
            defaulted: plan.defaulted,
            forget: plan.forget,
        };
        if let Some(facts) = &facts {
            leave_defaults(&mut planned, facts);
        }
        Some(Planned { planned, theirs: facts, is_whole })
    }
}

/// Columns that nobody ever wrote show the default that they have here: the sender may have another one, until it
/// hears of an earlier definition.
fn leave_defaults(planned: &mut PlannedRow, theirs: &RowFacts) {
    let is_birth = planned.visible() == Visible::Birth;
    let was_written =
        |facts: &RowFacts, no: &u16| facts.cells.contains_key(no) || !facts.uncovered.contains(no);
    let PlannedRow { columns, before, plan, defaulted, .. } = planned;
    plan.write.retain(|index| {
        let Some(no) = columns.get(*index).filter(|no| !was_written(theirs, no)) else {
            return true;
        };
        if !is_birth && was_written(&before.facts, no) {
            defaulted.push(*no);
        }
        false
    });
}

/// A row that is about to be written.
pub(super) struct Planned {
    pub(super) planned: PlannedRow,
    /// What they know of it.
    pub(super) theirs: Option<RowFacts>,
    pub(super) is_whole: bool,
}

impl Planned {
    /// Whether nothing of it has to be written.
    fn is_idle(&self) -> bool {
        let PlannedRow { plan, adopted, defaulted, forget, .. } = &self.planned;
        *plan == mesh_protocol::MergePlan::default()
            && adopted.is_empty()
            && defaulted.is_empty()
            && !forget
    }
}

impl Meets {
    fn unknown(key: Vec<SqlValue>) -> Self {
        let (values, loser_values) = (Vec::new(), Vec::new());
        Self { key, facts: None, values, is_whole: true, loser_values }
    }
}

fn versions_of(facts: &RowFacts) -> impl Iterator<Item = &Version> {
    let losers = facts.losers.iter().map(|loser| &loser.version);
    facts.version.iter().chain(facts.cells.values()).chain(losers)
}

//! A database in memory that does with plans exactly what SQL would do with them, and checks after every
//! step that values and versions belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use mesh_protocol::{
    Dot, HybridClock, Incoming, JoinPlan, LoserFacts, MergePlan, OriginId, Readiness, RowFacts,
    TheirRow, TransactionHeader, UnixMillis, Version, VersionVector,
};
use mesh_sync::{admit, join, merge};

pub(crate) type Key = u8;
/// A value is the write that wrote it; none is the column's default.
pub(crate) type Value = Option<Version>;

/// Columns of the original definition; those above were added later.
pub(crate) const BASE_COLUMNS: u16 = 2;

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Put,
    Delete,
    Edit(BTreeSet<u16>),
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    pub(crate) version: Version,
    pub(crate) context: VersionVector,
    pub(crate) listed: Vec<(u16, Version)>,
}

#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) dot: Dot,
    pub(crate) header: TransactionHeader,
    pub(crate) columns: BTreeSet<u16>,
    pub(crate) changes: Vec<Change>,
    pub(crate) resolved: Vec<(Key, LoserFacts)>,
    pub(crate) context: VersionVector,
}

impl Transaction {
    /// The rows that it writes or settles conflicts of, with what its maker knew of them.
    fn touched(&self) -> BTreeMap<Key, &VersionVector> {
        let resolved = self.resolved.iter().map(|(key, _)| (*key, &self.context));
        resolved.chain(self.changes.iter().map(|change| (change.key, &change.context))).collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) version: Version,
    pub(crate) cells: BTreeMap<u16, Version>,
    pub(crate) values: BTreeMap<u16, Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) origin: OriginId,
    pub(crate) sequence: u64,
    clock: u64,
    pub(crate) known: VersionVector,
    pub(crate) columns: BTreeSet<u16>,
    coverage: BTreeMap<(u16, OriginId), u64>,
    pub(crate) rows: BTreeMap<Key, Row>,
    pub(crate) losers: BTreeMap<Key, Vec<(LoserFacts, Value)>>,
    pub(crate) parked: Vec<Rc<Transaction>>,
    /// Rows that a snapshot which is not complete has brought, with what its view knew.
    pub(crate) views: BTreeMap<Key, VersionVector>,
    /// What those who sent them had kept aside. Without it a hole that comes with a snapshot would stay one.
    brought: Vec<Rc<Transaction>>,
}

/// How far the clock of the first database is ahead.
const AHEAD: u64 = 1 << 20;

impl Database {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            origin: OriginId::from_bytes([number; 16]),
            sequence: 0,
            clock: if number == 1 { AHEAD } else { 0 },
            known: VersionVector::default(),
            columns: (0..BASE_COLUMNS).collect(),
            coverage: BTreeMap::new(),
            rows: BTreeMap::new(),
            losers: BTreeMap::new(),
            parked: Vec::new(),
            views: BTreeMap::new(),
            brought: Vec::new(),
        }
    }

    /// What is known of one row: more than elsewhere while a snapshot is taken in.
    pub(crate) fn known_of(&self, key: Key) -> VersionVector {
        let mut known = self.known.clone();
        if let Some(view) = self.views.get(&key) {
            known.join(view);
        }
        known
    }

    pub(crate) fn facts(&self, key: Key) -> RowFacts {
        let losers = self.losers.get(&key).into_iter().flatten().map(|(facts, _)| *facts).collect();
        let Some(row) = self.rows.get(&key) else {
            return RowFacts { losers, ..RowFacts::default() };
        };
        let uncovered = self.columns.iter().filter(|column| !self.covers(&row.version, **column));
        RowFacts {
            version: Some(row.version),
            cells: row.cells.clone(),
            uncovered: uncovered.copied().collect(),
            losers,
        }
    }

    fn covers(&self, version: &Version, column: u16) -> bool {
        let from = self.coverage.get(&(column, version.origin));
        column < BASE_COLUMNS || from.is_some_and(|from| *from <= version.sequence)
    }

    pub(crate) fn table_columns(&self) -> Vec<u16> {
        self.columns.iter().copied().collect()
    }

    fn note_coverage(&mut self, columns: &BTreeSet<u16>, dot: Dot) {
        for column in columns.iter().filter(|column| **column >= BASE_COLUMNS) {
            let from = self.coverage.entry((*column, dot.origin)).or_insert(dot.sequence);
            *from = dot.sequence.min(*from);
        }
    }
}

/// What the user does.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Put(Key),
    Delete(Key),
    Edit(Key, BTreeSet<u16>),
    AddColumn(u16),
    Resolve { loser: usize, restores: bool },
}

/// Writes of this database.
impl Database {
    pub(crate) fn write(&mut self, wishes: &[Wish], tick: u64) -> Option<Rc<Transaction>> {
        let dot = Dot { origin: self.origin, sequence: self.sequence + 1 };
        self.clock += 1 + tick;
        let (mut changes, mut resolved): (Vec<Change>, Vec<_>) = (Vec::new(), Vec::new());
        let mut needs = self.known.clone();
        let mut has_column = false;
        // Columns come before rows in a transaction.
        let is_row = |wish: &&Wish| !matches!(wish, Wish::AddColumn(_));
        let mut wishes: Vec<_> = wishes.iter().collect();
        wishes.sort_by_key(is_row);
        for wish in wishes {
            let change = match wish {
                Wish::Put(key) => Some((*key, Kind::Put)),
                Wish::Delete(key) => Some((*key, Kind::Delete)),
                Wish::Edit(key, columns) => Some((*key, Kind::Edit(columns & &self.columns)))
                    .filter(|_| !columns.is_empty()),
                Wish::AddColumn(column) => {
                    has_column |= self.add_column(*column);
                    None
                }
                Wish::Resolve { loser, restores } => {
                    self.resolve(*loser, *restores, &changes, &mut resolved)
                }
            };
            let Some((key, kind)) = change else { continue };
            if changes.iter().any(|change| change.key == key) {
                continue;
            }
            needs.join(&self.known_of(key));
            changes.extend(self.capture(key, kind, dot));
        }
        if changes.is_empty() && resolved.is_empty() && !has_column {
            return None;
        }
        resolved.iter().for_each(|(key, _)| needs.join(&self.known_of(*key)));
        let header = TransactionHeader {
            clock: HybridClock(self.clock),
            advanced: needs.origins().filter(|(origin, _)| *origin != self.origin).collect(),
            ..TransactionHeader::default()
        };
        let (columns, context) = (self.columns.clone(), needs);
        self.note_coverage(&columns, dot);
        self.sequence += 1;
        self.known.advance(self.origin, self.sequence);
        self.check();
        Some(Rc::new(Transaction { dot, header, columns, changes, resolved, context }))
    }

    fn add_column(&mut self, column: u16) -> bool {
        for row in self.rows.values_mut().filter(|row| row.version.is_alive()) {
            row.values.entry(column).or_insert(None);
        }
        self.columns.insert(column)
    }

    fn resolve(
        &mut self,
        loser: usize,
        restores: bool,
        changes: &[Change],
        resolved: &mut Vec<(Key, LoserFacts)>,
    ) -> Option<(Key, Kind)> {
        let all = self.losers.iter().flat_map(|(key, losers)| {
            losers.iter().map(|(facts, _)| (*key, *facts)).collect::<Vec<_>>()
        });
        let all: Vec<_> = all.collect();
        let (key, facts) = *all.get(loser % all.len().max(1))?;
        if changes.iter().any(|change| change.key == key) {
            return None;
        }
        self.remove_loser(key, &facts);
        resolved.push((key, facts));
        let is_alive = self.rows.get(&key).is_some_and(|row| row.version.is_alive());
        let kind = match facts.column {
            Some(column) if is_alive => Kind::Edit(BTreeSet::from([column])),
            Some(_) => Kind::Put,
            None => Kind::Delete,
        };
        restores.then_some((key, kind))
    }

    fn remove_loser(&mut self, key: Key, facts: &LoserFacts) {
        self.losers.entry(key).or_default().retain(|(loser, _)| loser != facts);
    }

    /// What triggers and sealing do.
    fn capture(&mut self, key: Key, kind: Kind, dot: Dot) -> Option<Change> {
        let old = self.rows.get(&key).map(|row| row.version);
        let old_life = old.map_or(0, |old| old.life);
        let is_alive = old_life % 2 == 1;
        let life = match kind {
            Kind::Put => old_life | 1,
            Kind::Delete if is_alive => old_life + 1,
            Kind::Edit(_) if is_alive => old_life,
            Kind::Delete | Kind::Edit(_) => return None,
        };
        let context = self.known_of(key);
        let written = match &kind {
            Kind::Put | Kind::Delete => self.columns.clone(),
            Kind::Edit(columns) => columns.clone(),
        };
        let replaced = self.rows.get(&key).filter(|row| row.version.life == life);
        let replaced = replaced.and_then(|row| {
            let cells = row.cells.iter().filter(|(column, _)| written.contains(column));
            cells.map(|(_, version)| version.clock.0).chain([row.version.clock.0]).max()
        });
        // Above what it replaces, even where that is above every clock of this database.
        let clock = HybridClock(replaced.map_or(0, |replaced| replaced + 1).max(self.clock));
        let version = Version { life, clock, origin: dot.origin, sequence: dot.sequence };
        let losers = self.losers.entry(key).or_default();
        let listed = written.iter().filter_map(|column| {
            let losers = losers.iter().filter(|(loser, _)| loser.column == Some(*column));
            Some((*column, losers.map(|(loser, _)| loser.version).max()?))
        });
        let listed = listed.collect();
        let whole = |columns: BTreeSet<u16>| Row {
            version,
            cells: BTreeMap::new(),
            values: columns.into_iter().map(|column| (column, Some(version))).collect(),
        };
        match &kind {
            Kind::Put | Kind::Delete => {
                losers.retain(|(loser, _)| loser.column.is_some());
                let columns = if life % 2 == 1 { written } else { BTreeSet::new() };
                self.rows.insert(key, whole(columns));
            }
            Kind::Edit(columns) => {
                let row = self.rows.get_mut(&key).unwrap();
                for column in columns {
                    row.cells.insert(*column, version);
                    row.values.insert(*column, Some(version));
                }
            }
        }
        Some(Change { key, kind, version, context, listed })
    }

    /// A deletion that everybody has applied is remembered no more.
    pub(crate) fn forget(&mut self, key: Key) {
        self.rows.remove(&key);
    }
}

/// What comes from elsewhere.
impl Database {
    pub(crate) fn deliver(&mut self, transaction: &Rc<Transaction>, is_ahead: bool) -> Readiness {
        let (now, ahead_max) = (UnixMillis(0), Duration::from_mins(1));
        let readiness = admit(&self.known, transaction.dot, &transaction.header, now, ahead_max);
        if readiness == Readiness::Apply {
            let Dot { origin, sequence } = transaction.dot;
            self.known.advance(origin, sequence);
            let can_park = transaction.columns == self.columns && is_ahead;
            if can_park || self.is_behind_parked(transaction) {
                self.known.add_hole(transaction.dot);
                self.parked.push(Rc::clone(transaction));
            } else {
                self.apply(transaction);
            }
            self.end_snapshot();
        }
        readiness
    }

    /// Tries again what was kept aside.
    pub(crate) fn unpark(&mut self, pick: usize) {
        if self.parked.is_empty() {
            return;
        }
        let transaction = self.parked.remove(pick % self.parked.len());
        if self.is_behind_parked(&transaction) {
            self.parked.push(transaction);
            return;
        }
        assert!(self.known.fill_hole(&transaction.dot));
        self.apply(&transaction);
        self.end_snapshot();
    }

    /// Whether it builds upon something that is kept aside, in a row that both touch.
    fn is_behind_parked(&self, transaction: &Transaction) -> bool {
        self.parked.iter().any(|parked| {
            let touched = parked.touched();
            transaction.touched().iter().any(|(key, context)| {
                let is_open = !self.known_of(*key).knows(&parked.dot);
                is_open && context.knows(&parked.dot) && touched.contains_key(key)
            })
        })
    }

    /// A clock that is too far ahead is nobody's but its owner's.
    fn adopt(&mut self, clock: u64) {
        if clock < self.clock + AHEAD / 2 {
            self.clock = self.clock.max(clock);
        }
    }

    fn apply(&mut self, transaction: &Transaction) {
        self.adopt(transaction.header.clock.0);
        for column in &transaction.columns {
            self.add_column(*column);
        }
        self.note_coverage(&transaction.columns, transaction.dot);
        for (key, facts) in &transaction.resolved {
            self.remove_loser(*key, facts);
        }
        for change in &transaction.changes {
            let is_in_view =
                self.views.get(&change.key).is_some_and(|view| view.knows(&transaction.dot));
            if !is_in_view {
                self.apply_change(transaction, change);
            }
        }
        self.check();
    }

    fn apply_change(&mut self, transaction: &Transaction, change: &Change) {
        let clock = change.version.clock;
        let written = match &change.kind {
            Kind::Put => transaction.columns.clone(),
            Kind::Delete => BTreeSet::new(),
            Kind::Edit(columns) => columns.clone(),
        };
        let columns: Vec<_> = written.into_iter().map(|column| (column, clock)).collect();
        let incoming = Incoming {
            dot: transaction.dot,
            context: &change.context,
            life: change.version.life,
            row_clock: (!matches!(change.kind, Kind::Edit(_))).then_some(clock),
            columns: &columns,
            table_columns: &self.table_columns(),
            listed: &change.listed,
        };
        let plan = merge(&self.facts(change.key), &incoming);
        let values: Vec<_> =
            columns.iter().map(|(column, _)| (*column, Some(change.version))).collect();
        self.perform(change.key, &plan, &values);
    }

    fn perform(&mut self, key: Key, plan: &MergePlan, incoming: &[(u16, Value)]) {
        let mut lost = Vec::new();
        for loser in &plan.lost_here {
            let value = loser.column.map(|column| self.rows[&key].values[&column]);
            lost.push((*loser, value.flatten()));
        }
        for (index, version) in &plan.lost_incoming {
            let column = index.map(|index| incoming[index].0);
            let value = index.and_then(|index| incoming[index].1);
            lost.push((LoserFacts { column, version: *version }, value));
        }
        let losers = self.losers.entry(key).or_default();
        let mut index = 0..;
        losers.retain(|_| !plan.settled.contains(&index.next().unwrap()));
        losers.extend(lost);
        if let Some(version) = plan.row {
            self.set_row(key, version);
        }
        let Some(row) = self.rows.get_mut(&key) else { return };
        for column in &plan.cells_cleared {
            row.cells.remove(column);
        }
        row.cells.extend(plan.cells_set.iter().copied());
        row.values.extend(plan.write.iter().map(|index| incoming[*index]));
    }

    fn set_row(&mut self, key: Key, version: Version) {
        let is_anew = self.rows.get(&key).is_none_or(|row| row.version.life < version.life)
            || !self.rows[&key].version.is_alive();
        let columns = self.columns.iter().filter(|_| version.is_alive());
        let values = columns.map(|column| (*column, None)).collect();
        let row = Row { version, cells: BTreeMap::new(), values };
        match self.rows.get_mut(&key) {
            Some(old) if !is_anew => old.version = version,
            Some(_) | None => drop(self.rows.insert(key, row)),
        }
    }
}

/// Snapshots.
impl Database {
    /// Takes some rows of `other`, as a piece of a snapshot does.
    pub(crate) fn join_rows(&mut self, other: &Self, keys: &BTreeSet<Key>) {
        for column in &other.columns {
            self.add_column(*column);
        }
        for (place, from) in &other.coverage {
            let ours = self.coverage.entry(*place).or_insert(*from);
            *ours = (*from).min(*ours);
        }
        self.adopt(other.clock);
        self.brought.extend(other.parked.iter().cloned());
        for key in keys {
            self.join_row(other, *key);
            self.views.entry(*key).or_default().join(&other.known);
        }
        self.check();
        self.end_snapshot();
    }

    fn join_row(&mut self, other: &Self, key: Key) {
        let (plan, incoming) = self.plan_join(other, key);
        self.perform(key, &plan.merge, &incoming);
        if plan.forget {
            self.rows.remove(&key);
        }
        for column in &plan.defaulted {
            self.rows.get_mut(&key).unwrap().values.insert(*column, None);
        }
        let adopted = plan.adopted.iter().map(|index| other.losers[&key][*index]);
        self.losers.entry(key).or_default().extend(adopted);
        let (again, _) = self.plan_join(other, key);
        assert_eq!(again, JoinPlan::default(), "a second time changes nothing");
    }

    fn plan_join(&self, other: &Self, key: Key) -> (JoinPlan, Vec<(u16, Value)>) {
        let facts = other.facts(key);
        let has_any = facts.version.is_some() || !facts.losers.is_empty();
        let row = other.rows.get(&key);
        let values = row.map(|row| row.values.clone()).unwrap_or_default();
        let columns = other.table_columns();
        let value = |column: &u16| (*column, values.get(column).copied().flatten());
        let incoming = columns.iter().map(value).collect();
        let theirs = TheirRow {
            facts: has_any.then_some(&facts),
            columns: &columns,
            table_columns: &self.table_columns(),
            known: &other.known,
        };
        let ours = self.facts(key);
        let ours = (ours != RowFacts::default()).then_some(&ours);
        (join(ours, &self.known_of(key), &theirs), incoming)
    }

    /// Once every row has come, what all views knew is known.
    pub(crate) fn end_snapshot(&mut self) {
        if self.views.len() < usize::from(super::world::KEYS) {
            return;
        }
        let mut views = self.views.values();
        let mut meet = views.next().unwrap().clone();
        views.for_each(|view| meet.meet(view));
        self.known.join(&meet);
        let known = &self.known;
        self.parked.retain(|parked| !known.knows(&parked.dot));
        for brought in std::mem::take(&mut self.brought) {
            let has = self.parked.iter().any(|parked| parked.dot == brought.dot);
            if !has && self.known.holes().contains(&brought.dot) {
                self.parked.push(brought);
            }
        }
        if self.views.values().all(|view| self.known.covers(view)) {
            self.views.clear();
        }
    }

    /// Values are what their versions wrote, versions of columns are as few as can be, and no loser is visible.
    fn check(&self) {
        for (key, row) in &self.rows {
            let facts = self.facts(*key);
            if !row.version.is_alive() {
                assert!(row.cells.is_empty() && row.values.is_empty());
                continue;
            }
            for column in &self.columns {
                let is_covered = !facts.uncovered.contains(column);
                let cell = row.cells.get(column).copied();
                let version = cell.or_else(|| is_covered.then_some(row.version));
                assert_eq!(row.values[column], version, "row {key} column {column}");
                assert!(!is_covered || cell != Some(row.version), "a cell too many");
                assert!(cell.is_none_or(|cell| cell.life == row.version.life));
                let is_loser = version.is_some_and(|version| {
                    facts.losers.contains(&LoserFacts { column: Some(*column), version })
                });
                assert!(!is_loser, "a loser is visible");
            }
        }
        for losers in self.losers.values() {
            for (place, (loser, value)) in losers.iter().enumerate() {
                assert!(losers.iter().skip(place + 1).all(|(other, _)| other != loser), "twice");
                assert_eq!(*value, loser.column.map(|_| loser.version));
            }
        }
    }
}

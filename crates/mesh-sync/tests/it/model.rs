//! What the rules mean: the set of all writes, each with what its maker knew. Slow and plain.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mesh_protocol::{Dot, Version, VersionVector};

use super::database::{Key, Kind, Transaction};

/// A register: a column of a row, or the row itself.
type Register = (Key, Option<u16>);

/// What everybody shows in the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Rows that are alive, and the columns that were ever written in this life.
    pub(crate) rows: BTreeMap<Key, (Version, BTreeMap<u16, Version>)>,
    pub(crate) listed: BTreeSet<(Key, Option<u16>, Version)>,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    writes: BTreeMap<Register, BTreeSet<Version>>,
    /// Which write was superseded or resolved by which transactions.
    superseded: BTreeMap<(Register, Version), Vec<Dot>>,
}

impl Model {
    /// Adds a transaction. Whatever its maker knew has been added before.
    pub(crate) fn add(&mut self, transaction: &Rc<Transaction>) {
        for change in &transaction.changes {
            let key = change.key;
            let replaced: Vec<(Option<u16>, Version)> = match &change.kind {
                Kind::Put => self.replaced(key, &transaction.columns, true, &change.context),
                Kind::Delete => self.replaced(key, &self.columns(), true, &change.context),
                Kind::Edit(columns) => self.replaced(key, columns, false, &change.context),
            };
            for (column, version) in replaced {
                self.supersede((key, column), version, transaction.dot);
            }
            let columns: Vec<Option<u16>> = match &change.kind {
                Kind::Put => transaction.columns.iter().copied().map(Some).chain([None]).collect(),
                Kind::Delete => vec![None],
                Kind::Edit(columns) => columns.iter().copied().map(Some).collect(),
            };
            for column in columns {
                self.writes.entry((key, column)).or_default().insert(change.version);
            }
        }
        for (key, loser) in &transaction.resolved {
            self.supersede((*key, loser.column), loser.version, transaction.dot);
        }
    }

    fn supersede(&mut self, register: Register, version: Version, by: Dot) {
        self.superseded.entry((register, version)).or_default().push(by);
    }

    fn columns(&self) -> BTreeSet<u16> {
        self.writes.keys().filter_map(|(_, column)| *column).collect()
    }

    /// What was visible in these registers to somebody who knew `known`. Whoever writes a row whole decides upon
    /// everything known of the row itself.
    fn replaced(
        &self,
        key: Key,
        columns: &BTreeSet<u16>,
        is_whole: bool,
        known: &VersionVector,
    ) -> Vec<(Option<u16>, Version)> {
        let columns = columns
            .iter()
            .filter_map(|column| Some((Some(*column), self.visible(key, *column, known)?)));
        let rows = self.heads((key, None), known).filter(|_| is_whole);
        columns.chain(rows.map(|version| (None, version))).collect()
    }

    fn heads(&self, register: Register, known: &VersionVector) -> impl Iterator<Item = Version> {
        let writes = self.writes.get(&register).into_iter().flatten();
        writes.copied().filter(move |version| {
            let by = self.superseded.get(&(register, *version));
            let is_superseded = by.is_some_and(|by| by.iter().any(|dot| known.knows(dot)));
            known.knows(&version.dot()) && !is_superseded
        })
    }

    fn row(&self, key: Key, known: &VersionVector) -> Option<Version> {
        self.heads((key, None), known).max()
    }

    fn visible(&self, key: Key, column: u16, known: &VersionVector) -> Option<Version> {
        let row = self.row(key, known).filter(Version::is_alive)?;
        let heads = self.heads((key, Some(column)), known);
        heads.filter(|version| version.life == row.life).max()
    }

    /// What somebody shows who knows `known`.
    pub(crate) fn state(&self, known: &VersionVector) -> State {
        let mut state = State::default();
        for (key, column) in self.writes.keys() {
            let row = self.row(*key, known);
            let shown = match column {
                Some(column) => self.visible(*key, *column, known),
                None => row,
            };
            let heads = self.heads((*key, *column), known);
            let listed = heads.filter(|version| Some(*version) != shown);
            let listed = listed.filter(|version| column.is_some() || !version.is_alive());
            state.listed.extend(listed.map(|version| (*key, *column, version)));
            let Some(row) = row.filter(Version::is_alive) else { continue };
            let (_, values) = state.rows.entry(*key).or_insert((row, BTreeMap::new()));
            values.extend(column.zip(shown));
        }
        state
    }
}

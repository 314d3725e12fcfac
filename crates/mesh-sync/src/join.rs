//! Two states of a row meet: a join of dotted version vectors, register by register (see `merge.rs` for
//! registers and heads).
//!
//! A head that the other side does not know stays. One that it knows and has as a head stays. One that it
//! knows and does not have as a head has been superseded or resolved over there: it goes. This is exact,
//! because whoever knows a transaction knows all that it was built upon.
//!
//! A side without memory of the row has no heads. If it knows ours, the row was deleted and the deletion has
//! been forgotten since: the row goes. Edits that it does not know stay as losers; there is no row for them
//! any more, here or anywhere.
//!
//! When each side knows the other's version of something and yet has another one, a file was altered behind
//! the bookkeeping: the greater version wins on both.

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{JoinPlan, LoserFacts, RowFacts, TheirRow, Version, VersionVector};

use crate::merge::{all_columns, visible};

type Register = (Option<u16>, Version);

/// Says what becomes of our row when their state of it comes in. `known` is what this database has applied.
/// Either side comes to the same result, and a second time changes nothing.
#[must_use]
pub fn join(row: Option<&RowFacts>, known: &VersionVector, theirs: &TheirRow<'_>) -> JoinPlan {
    let nothing = RowFacts::default();
    let ours = Side::of(row.unwrap_or(&nothing), known, None, theirs.table_columns);
    let facts = theirs.facts.unwrap_or(&nothing);
    let theirs = Side::of(facts, theirs.known, Some(theirs.columns), theirs.table_columns);
    Meeting { ours, theirs, plan: JoinPlan::default() }.run()
}

/// One of the two states.
struct Side<'a> {
    facts: &'a RowFacts,
    known: &'a VersionVector,
    /// Columns whose values can be had, with their indices; none: all of them.
    values: Option<BTreeMap<u16, usize>>,
    visible: BTreeMap<u16, Version>,
    losers: BTreeSet<Register>,
}

impl<'a> Side<'a> {
    fn of(
        facts: &'a RowFacts,
        known: &'a VersionVector,
        columns: Option<&[u16]>,
        table: &[u16],
    ) -> Self {
        let values = columns.map(|columns| {
            let numbered = columns.iter().enumerate().rev();
            numbered.map(|(index, column)| (*column, index)).collect::<BTreeMap<_, _>>()
        });
        let losers = facts.losers.iter().map(|loser| (loser.column, loser.version)).collect();
        let mut side = Self { facts, known, values, visible: BTreeMap::new(), losers };
        let columns = all_columns(table, facts).into_iter().filter(|column| side.has(*column));
        side.visible =
            columns.filter_map(|column| Some((column, visible(facts, column)?))).collect();
        side
    }

    fn has(&self, column: u16) -> bool {
        self.values.as_ref().is_none_or(|values| values.contains_key(&column))
    }

    fn covers(&self, column: u16, version: Version) -> bool {
        self.facts.version == Some(version)
            && self.has(column)
            && !self.facts.uncovered.contains(&column)
    }

    /// The column's visible version; for the row itself its deletion.
    fn shown(&self, column: Option<u16>) -> Option<Version> {
        match column {
            Some(column) => self.visible.get(&column).copied(),
            None => self.facts.version.filter(|version| !version.is_alive()),
        }
    }

    fn has_head(&self, head: &Register) -> bool {
        self.shown(head.0) == Some(head.1) || self.losers.contains(head)
    }

    /// Whether a head of the other side stays one.
    fn admits(&self, head: &Register) -> bool {
        !self.known.knows(&head.1.dot()) || self.has_head(head)
    }
}

struct Meeting<'a> {
    ours: Side<'a>,
    theirs: Side<'a>,
    plan: JoinPlan,
}

impl Meeting<'_> {
    fn run(mut self) -> JoinPlan {
        let row = self.row();
        if row != self.ours.facts.version {
            self.plan.merge.row = row;
            self.plan.forget = row.is_none();
        }
        let mut columns = BTreeSet::new();
        columns.extend(self.ours.visible.keys().chain(self.theirs.visible.keys()));
        columns.extend(self.ours.facts.cells.keys());
        let mut shown = BTreeSet::new();
        for column in columns {
            let winner = self.column(row, column);
            shown.extend(winner.map(|winner| (Some(column), winner)));
            self.set_column(row, column, winner);
        }
        shown.extend(row.filter(|row| !row.is_alive()).map(|row| (None, row)));
        self.list(&shown);
        self.plan
    }

    /// The row's version from now on; none when the row is forgotten.
    fn row(&self) -> Option<Version> {
        let (ours, theirs) = (self.ours.facts.version, self.theirs.facts.version);
        self.winner(None, ours, theirs)
    }

    /// Of the visible versions of both sides, the greater one that is a head.
    fn winner(
        &self,
        column: Option<u16>,
        ours: Option<Version>,
        theirs: Option<Version>,
    ) -> Option<Version> {
        if ours == theirs {
            return ours;
        }
        let kept = ours.filter(|version| self.theirs.admits(&(column, *version)));
        let taken = theirs.filter(|version| self.ours.admits(&(column, *version)));
        let is_altered = kept.is_none() && taken.is_none() && ours.is_some() && theirs.is_some();
        if is_altered { ours.max(theirs) } else { kept.max(taken) }
    }

    fn column(&self, row: Option<Version>, column: u16) -> Option<Version> {
        let row = row.filter(Version::is_alive)?;
        let of_this_life = |version: &Version| version.life == row.life;
        let ours = self.ours.shown(Some(column)).filter(of_this_life);
        let theirs = self.theirs.shown(Some(column)).filter(of_this_life);
        let is_covered = self.is_covered(row, column);
        self.winner(Some(column), ours, theirs).max(is_covered.then_some(row))
    }

    fn is_covered(&self, row: Version, column: u16) -> bool {
        self.ours.covers(column, row) || self.theirs.covers(column, row)
    }

    fn set_column(&mut self, row: Option<Version>, column: u16, winner: Option<Version>) {
        let plan = &mut self.plan;
        let ours = self.ours.shown(Some(column));
        if winner.is_some() && winner != ours {
            let values = self.theirs.values.as_ref();
            plan.merge.write.extend(values.and_then(|values| values.get(&column)));
        }
        let is_alive = row.is_some_and(|row| row.is_alive());
        if is_alive && winner.is_none() && ours.is_some() {
            plan.defaulted.push(column);
        }
        let cell = winner.filter(|_| winner != row);
        let had = self.ours.facts.cells.get(&column).copied();
        match cell {
            Some(cell) if had != Some(cell) => self.plan.merge.cells_set.push((column, cell)),
            None if had.is_some() => self.plan.merge.cells_cleared.push(column),
            Some(_) | None => {}
        }
    }

    /// Heads that are not `shown` are losers: those that are not yet listed here are, with their values from
    /// where these can be had.
    fn list(&mut self, shown: &BTreeSet<Register>) {
        let mut listed = shown.clone();
        for (index, loser) in self.ours.facts.losers.iter().enumerate() {
            let head = (loser.column, loser.version);
            if !self.theirs.admits(&head) || !listed.insert(head) {
                self.plan.merge.settled.push(index);
            }
        }
        for head in heads_shown(&self.ours) {
            if self.theirs.admits(&head) && listed.insert(head) {
                let (column, version) = head;
                self.plan.merge.lost_here.push(LoserFacts { column, version });
            }
        }
        for head in heads_shown(&self.theirs) {
            if self.ours.admits(&head) && listed.insert(head) {
                let values = self.theirs.values.as_ref();
                let index = head.0.and_then(|column| values?.get(&column).copied());
                self.plan.merge.lost_incoming.push((index, head.1));
            }
        }
        for (index, loser) in self.theirs.facts.losers.iter().enumerate() {
            let head = (loser.column, loser.version);
            if self.ours.admits(&head) && listed.insert(head) {
                self.plan.adopted.push(index);
            }
        }
    }
}

fn heads_shown(side: &Side<'_>) -> Vec<Register> {
    let columns = side.visible.iter().map(|(column, version)| (Some(*column), *version));
    columns.chain(side.shown(None).map(|version| (None, version))).collect()
}

//! One change meets one row.
//!
//! # Registers
//! Every column of a row is a register, and so is the row itself (is it alive?). A birth or a whole
//! replacement writes the row and the columns that it covers; a deletion writes the row and all columns; an
//! edit writes columns. Every write has a [`Version`], and versions are ordered by life, clock, origin. Within
//! one life of a row it is the columns that compete; a higher life takes them all.
//!
//! # Who supersedes whom
//! A write supersedes what it replaced knowingly: the write that was visible to its maker. For a receiver that
//! is every head that the write's context knows and that its maker did not have listed as a loser ([`Listed`]).
//! For the row itself the maker's knowledge alone counts: a birth or deletion decides upon the row, whatever
//! deletions were listed.
//!
//! - *Heads* of a register: writes that no known write supersedes and no known transaction resolved.
//! - *Visible*: the greatest head. For a column it has the life of the row: what was written in another life
//!   is dead, as is everything in a deleted row.
//! - *Listed*: the other heads. A deletion is listed once for the row; births and replacements are listed by
//!   column. A row of nothing but its key therefore lists no births.
//!
//! All of this depends on the *set* of known writes alone, so databases that know the same agree, whatever the
//! order in which they learned it. What a database keeps of a register is its heads; superseded writes are
//! forgotten. That suffices because changes are applied in a causal order: whoever supersedes comes after.
//!
//! # Forgetting deletions
//! A database may forget a deleted row when every member has applied the deletion, when it has itself applied
//! everything that the members had applied by then, and when it lists no loser of the row. The first because
//! edits of the row may be on their way; the second because a birth that comes after must know all that was
//! concurrent with the deletion; the third because lives start again at 1, below those of old losers.
//!
//! # Corners
//! - Within a life a write's version is above what it replaced, even where that clock was ahead and nobody adopted it.
//! - Versions never tie: one database gives one clock once per register. If two were equal in life and
//!   clock, origin decides, then sequence.
//! - A column that no write covers (it was added later) has no version: any edit wins. A replacement of the row
//!   that does not cover it leaves it its old version, as a cell.
//! - What a write knows it replaces even where its own version is lower: a row whose deletion has been
//!   forgotten everywhere starts again at life 1, and some still remember the deletion.
//! - An edit of a life that is not the row's, or of a row that is not there, is listed and changes nothing.
//!   Nobody can make up the rest of the row.
//! - Any input has some plan, which is no longer than the input.
//!
//! [`Listed`]: mesh_protocol::Listed

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{HybridClock, Incoming, LoserFacts, MergePlan, RowFacts, Version};

/// Says what becomes of `row` when `incoming` reaches it. An empty plan: it is there already.
#[must_use]
pub fn merge(row: &RowFacts, incoming: &Incoming<'_>) -> MergePlan {
    let meeting = Meeting { row, incoming, plan: MergePlan::default() };
    match incoming.row_clock.map(|clock| incoming.version(clock)) {
        Some(new) => meeting.with_whole(new),
        None => meeting.with_edit(),
    }
}

/// The version that a column has in `row`; none when it was never written in this life.
pub(crate) fn visible(row: &RowFacts, column: u16) -> Option<Version> {
    let whole = row.version.filter(Version::is_alive)?;
    let is_covered = !row.uncovered.contains(&column);
    row.cells.get(&column).copied().or_else(|| is_covered.then_some(whole))
}

/// Every column that is named anywhere.
pub(crate) fn all_columns(table: &[u16], row: &RowFacts) -> BTreeSet<u16> {
    table.iter().chain(row.cells.keys()).chain(&row.uncovered).copied().collect()
}

trait Write {
    fn version(&self, clock: HybridClock) -> Version;
    fn knows(&self, version: &Version) -> bool;
}

impl Write for Incoming<'_> {
    fn version(&self, clock: HybridClock) -> Version {
        let (origin, sequence) = (self.dot.origin, self.dot.sequence);
        Version { life: self.life, clock, origin, sequence }
    }

    fn knows(&self, version: &Version) -> bool {
        self.context.knows(&version.dot())
    }
}

struct Meeting<'a> {
    row: &'a RowFacts,
    incoming: &'a Incoming<'a>,
    plan: MergePlan,
}

impl Meeting<'_> {
    fn with_whole(mut self, new: Version) -> MergePlan {
        if self.row.version == Some(new) {
            return self.plan;
        }
        let old = self.row.version;
        let is_same_life = new.is_alive() && old.is_some_and(|old| old.life == new.life);
        let wins = old.is_none_or(|old| {
            let can_go_back = is_same_life || !old.is_alive();
            new > old || (can_go_back && self.incoming.knows(&old))
        });
        if wins {
            self.plan.row = Some(new);
            self.lose_deletion();
        } else if !new.is_alive() {
            self.plan.lost_incoming.push((None, new));
        }
        if is_same_life {
            self.contest_columns(new, wins);
        } else if wins {
            self.end_life();
            self.plan.write = self.written().into_values().collect();
        } else if new.is_alive() {
            let lost = self.written().into_values().map(|index| (Some(index), new));
            self.plan.lost_incoming.extend(lost);
        }
        self.settle();
        self.plan
    }

    fn with_edit(mut self) -> MergePlan {
        let is_same_life = (self.row.version)
            .is_some_and(|version| version.is_alive() && version.life == self.incoming.life);
        for (column, index) in self.written() {
            let Some((_, clock)) = self.incoming.columns.get(index) else { continue };
            let new = self.incoming.version(*clock);
            if !is_same_life {
                self.plan.lost_incoming.push((Some(index), new));
            } else if self.contest(column, index, new) == new
                && self.row.cells.get(&column) != Some(&new)
            {
                self.plan.cells_set.push((column, new));
            }
        }
        self.settle();
        self.plan
    }

    /// The incoming columns, each once, with their indices.
    fn written(&self) -> BTreeMap<u16, usize> {
        if self.is_deletion() {
            return BTreeMap::new();
        }
        let columns = self.incoming.columns.iter().enumerate().rev();
        columns.map(|(index, (column, _))| (*column, index)).collect()
    }

    const fn is_deletion(&self) -> bool {
        self.incoming.row_clock.is_some() && self.incoming.life.is_multiple_of(2)
    }

    /// The deletion that the row's version is may be beaten without its maker's knowing.
    fn lose_deletion(&mut self) {
        if let Some(old) = self.row.version
            && !old.is_alive()
            && !self.incoming.knows(&old)
        {
            self.plan.lost_here.push(LoserFacts { column: None, version: old });
        }
    }

    /// The row is deleted or born again: what its columns hold goes.
    fn end_life(&mut self) {
        if self.row.version.is_none() {
            return;
        }
        for column in all_columns(self.incoming.table_columns, self.row) {
            if let Some(version) = visible(self.row, column)
                && !self.incoming.knows(&version)
            {
                self.plan.lost_here.push(LoserFacts { column: Some(column), version });
            }
        }
        self.plan.cells_cleared = self.row.cells.keys().copied().collect();
    }

    /// Two whole rows of one life meet: each column is decided by itself.
    fn contest_columns(&mut self, new: Version, wins: bool) {
        let written = self.written();
        let mut columns = all_columns(self.incoming.table_columns, self.row);
        columns.extend(written.keys());
        for column in columns {
            let index = written.get(&column);
            let winner = match index {
                Some(index) => Some(self.contest(column, *index, new)),
                None => visible(self.row, column),
            };
            let row_version = if wins { Some(new) } else { self.row.version };
            let cell = winner.filter(|_| winner != row_version);
            let had = self.row.cells.get(&column).copied();
            match cell {
                Some(cell) if had != Some(cell) => self.plan.cells_set.push((column, cell)),
                None if had.is_some() => self.plan.cells_cleared.push(column),
                Some(_) | None => {}
            }
        }
    }

    /// Two writes of one column in one life meet. Gives the visible one.
    fn contest(&mut self, column: u16, index: usize, new: Version) -> Version {
        let Some(old) = visible(self.row, column).filter(|old| *old != new) else {
            if visible(self.row, column).is_none() {
                self.plan.write.push(index);
            }
            return new;
        };
        let is_known = self.incoming.knows(&old);
        if !is_known && old > new {
            self.plan.lost_incoming.push((Some(index), new));
            return old;
        }
        if !is_known {
            self.plan.lost_here.push(LoserFacts { column: Some(column), version: old });
        }
        self.plan.write.push(index);
        new
    }

    /// What the maker saw as the visible value, and what is a loser here, is replaced knowingly.
    fn settle(&mut self) {
        let written = self.written();
        let losers = self.row.losers.iter().enumerate();
        let settled = losers.filter(|(_, loser)| {
            let is_replaced = match loser.column {
                None => self.incoming.row_clock.is_some(),
                Some(column) => {
                    (self.is_deletion() || written.contains_key(&column))
                        && !self.was_listed(column, &loser.version)
                }
            };
            is_replaced && self.incoming.knows(&loser.version)
        });
        self.plan.settled = settled.map(|(index, _)| index).collect();
    }

    fn was_listed(&self, column: u16, version: &Version) -> bool {
        let mut listed = self.incoming.listed.iter();
        listed.any(|(of, greatest)| *of == column && version <= greatest)
    }
}

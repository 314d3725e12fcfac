//! The words in which a database asks how two writes come together, and is answered. The rules themselves
//! are in the sync engine, the rows in the database; neither knows the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dot, HybridClock, OriginHave, Version};
use crate::OriginId;

/// Which transactions somebody has applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector {
    upto: BTreeMap<OriginId, u64>,
    holes: BTreeSet<Dot>,
}

impl VersionVector {
    /// What the origins of `have` add up to.
    #[must_use]
    pub fn of(have: &[OriginHave]) -> Self {
        let mut vector = Self::default();
        for origin in have {
            vector.advance(origin.origin, origin.upto);
            let holes = origin.holes.iter();
            vector.holes.extend(holes.map(|hole| Dot { origin: origin.origin, sequence: *hole }));
        }
        vector
    }

    /// Whether a transaction has been applied.
    #[must_use]
    pub fn knows(&self, dot: &Dot) -> bool {
        dot.sequence <= self.upto(&dot.origin) && !self.holes.contains(dot)
    }

    /// The last number of an origin; 0 when there is none.
    #[must_use]
    pub fn upto(&self, origin: &OriginId) -> u64 {
        self.upto.get(origin).copied().unwrap_or(0)
    }

    /// Every origin with its last number.
    pub fn origins(&self) -> impl Iterator<Item = (OriginId, u64)> {
        self.upto.iter().map(|(origin, upto)| (*origin, *upto))
    }

    /// What lies below those numbers and was not applied.
    #[must_use]
    pub const fn holes(&self) -> &BTreeSet<Dot> {
        &self.holes
    }

    /// Everything of `origin` up to `upto` is there; what was a hole stays one.
    pub fn advance(&mut self, origin: OriginId, upto: u64) {
        if upto > 0 {
            let known = self.upto.entry(origin).or_insert(0);
            *known = upto.max(*known);
        }
    }

    /// A transaction is kept aside.
    pub fn add_hole(&mut self, dot: Dot) {
        self.holes.insert(dot);
    }

    /// A transaction that was kept aside has been applied. Says whether it was one.
    pub fn fill_hole(&mut self, dot: &Dot) -> bool {
        self.holes.remove(dot)
    }

    /// Sets what is known of one origin, be it less than before.
    pub fn set(&mut self, origin: OriginId, upto: u64, holes: impl IntoIterator<Item = u64>) {
        self.upto.remove(&origin);
        self.advance(origin, upto);
        self.holes.retain(|hole| hole.origin != origin);
        self.holes.extend(holes.into_iter().map(|sequence| Dot { origin, sequence }));
    }

    /// Adds everything that `other` has.
    pub fn join(&mut self, other: &Self) {
        let holes: BTreeSet<Dot> = (self.holes.iter().filter(|hole| !other.knows(hole)))
            .chain(other.holes.iter().filter(|hole| !self.knows(hole)))
            .copied()
            .collect();
        for (origin, upto) in other.origins() {
            self.advance(origin, upto);
        }
        self.holes = holes;
    }

    /// Keeps what both have.
    pub fn meet(&mut self, other: &Self) {
        self.upto.retain(|origin, upto| {
            *upto = other.upto(origin).min(*upto);
            *upto > 0
        });
        self.holes.extend(&other.holes);
        let Self { upto, holes } = self;
        holes.retain(|hole| upto.get(&hole.origin).is_some_and(|upto| hole.sequence <= *upto));
    }

    /// Whether everything that `other` has is here too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.origins().all(|(origin, upto)| other.has_only_holes(origin, self.upto(&origin), upto))
            && self.holes.iter().all(|hole| !other.knows(hole))
    }

    /// Whether nothing was applied of what comes behind `after`, up to `upto`.
    fn has_only_holes(&self, origin: OriginId, after: u64, upto: u64) -> bool {
        let first = Dot { origin, sequence: after.saturating_add(1) };
        let last = Dot { origin, sequence: upto };
        upto <= after || self.holes.range(first..=last).count() as u64 == upto - after
    }
}

/// A loser of a conflict, as far as the rules need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoserFacts {
    /// The column; none for a deletion.
    pub column: Option<u16>,
    /// The write.
    pub version: Version,
}

/// What a database has of one row. Columns are named by their numbers in this database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFacts {
    /// The row's version; none when there never was such a row.
    pub version: Option<Version>,
    /// Columns with versions of their own.
    pub cells: BTreeMap<u16, Version>,
    /// Columns that the row's version does not cover, because they were added later than the write was
    /// made. They were never written, unless they have a version of their own.
    pub uncovered: BTreeSet<u16>,
    /// Losers of conflicts of this row.
    pub losers: Vec<LoserFacts>,
}

/// A change that comes from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its transaction.
    pub dot: Dot,
    /// What its maker had applied when it was made; its own earlier transactions included.
    pub context: &'a VersionVector,
    /// Births and deaths with it.
    pub life: u64,
    /// Clock of a row that was written whole or deleted; none when only some columns were written.
    pub row_clock: Option<HybridClock>,
    /// The columns that are written, with their clocks, in the order of their values. None for a deletion,
    /// which writes every column there is.
    pub columns: &'a [(u16, HybridClock)],
    /// All columns beside the key that the table has here.
    pub table_columns: &'a [u16],
    /// Columns that had losers when it was made, each with the greatest of them: see
    /// [`Listed`](super::Listed).
    pub listed: &'a [(u16, Version)],
}

/// What should become of a row. All versions are complete: nothing has to be compared again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergePlan {
    /// The row's new version. An even life deletes the row; a life above the one before starts it anew:
    /// columns that are not written get their default, versions of columns go.
    pub row: Option<Version>,
    /// Indices of the incoming columns whose values are written.
    pub write: Vec<usize>,
    /// Versions that columns have of their own from now on.
    pub cells_set: Vec<(u16, Version)>,
    /// Columns that have no version of their own any more.
    pub cells_cleared: Vec<u16>,
    /// Values in the database that lose, by column; none for a deletion.
    pub lost_here: Vec<LoserFacts>,
    /// Incoming values that lose: the index of the incoming column (none for a deletion), and the write.
    pub lost_incoming: Vec<(Option<usize>, Version)>,
    /// Indices of losers that are losers no more.
    pub settled: Vec<usize>,
}

/// The state of a row at somebody else's, in the columns of this database.
#[derive(Clone, Copy, Debug)]
pub struct TheirRow<'a> {
    /// What is in it; none when they have no memory of such a row.
    pub facts: Option<&'a RowFacts>,
    /// Their columns, in the order of their values.
    pub columns: &'a [u16],
    /// All columns beside the key that the table has here.
    pub table_columns: &'a [u16],
    /// What they had applied.
    pub known: &'a VersionVector,
}

/// What should become of a row when two states come together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinPlan {
    /// As for a single change; incoming columns are [`TheirRow::columns`].
    pub merge: MergePlan,
    /// The row goes with its versions: they know of its deletion and everybody has passed it. Losers stay,
    /// but for those that are settled, and others may come: they do not need a row.
    pub forget: bool,
    /// Columns that go back to their default: what was in them is superseded by nothing that is remembered.
    pub defaulted: Vec<u16>,
    /// Indices of their losers that are losers here as well from now on.
    pub adopted: Vec<usize>,
}

/// Whether a transaction can be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Apply,
    /// It has been applied, or is kept aside.
    Duplicate,
    /// One before it is missing, of its origin or of one that it builds upon.
    Missing,
    /// Its clock is ahead by so many milliseconds: it is kept aside until then.
    Ahead {
        /// How far.
        millis: u64,
    },
}

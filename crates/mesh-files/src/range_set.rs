use std::collections::BTreeMap;

use mesh_protocol::{ChunkRange, ChunkRanges};

/// Most ranges that a [`RangeSet`] keeps: two MiB of them.
pub const RANGES_MAX: usize = 65_536;

/// A set of numbers of chunks, kept as ranges: small as long as chunks come about in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// First → end. They neither meet nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds numbers. Says whether they were taken: not when there would be more than [`RANGES_MAX`] ranges.
    pub fn insert(&mut self, range: ChunkRange) -> bool {
        let (mut first, mut end) = (range.first, range.end());
        if first >= end {
            return true;
        }
        if let Some((before, before_end)) = self.ranges.range(..=first).next_back()
            && *before_end >= first
        {
            (first, end) = (*before, end.max(*before_end));
        }
        let met: Vec<u64> = self.ranges.range(first..=end).map(|(first, _)| *first).collect();
        if met.is_empty() && self.ranges.len() >= RANGES_MAX {
            return false;
        }
        for other in met {
            end = end.max(self.ranges.remove(&other).unwrap_or(end));
        }
        self.ranges.insert(first, end);
        true
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.covers(ChunkRange { first: number, count: 1 })
    }

    /// Whether every number of `range` is in it.
    #[must_use]
    pub fn covers(&self, range: ChunkRange) -> bool {
        let holder = self.ranges.range(..=range.first).next_back();
        range.count == 0 || holder.is_some_and(|(_, end)| *end >= range.end())
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ChunkRange> {
        self.ranges.iter().map(|(first, end)| ChunkRange { first: *first, count: end - first })
    }

    /// How many numbers are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().map(|range| range.count).fold(0, u64::saturating_add)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl Extend<ChunkRange> for RangeSet {
    /// Adds what fits.
    fn extend<I: IntoIterator<Item = ChunkRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

/// Takes ascending numbers, a message's worth at a time.
pub(crate) fn pack(numbers: impl IntoIterator<Item = u64>) -> Vec<ChunkRanges> {
    let mut packed: Vec<ChunkRanges> = Vec::new();
    for first in numbers {
        let range = ChunkRange { first, count: 1 };
        if !packed.last_mut().is_some_and(|ranges| ranges.push(range)) {
            let mut ranges = ChunkRanges::default();
            ranges.push(range);
            packed.push(ranges);
        }
    }
    packed
}

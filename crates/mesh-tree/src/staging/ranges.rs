//! Sets of numbers as ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// How many ranges one staging remembers: a file of the largest number of chunks, every second of which came.
pub(super) const RANGES_MAX: usize = 512 << 10;

/// Ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((first, last)) = self.0.range(..=end).next_back().map(|(a, b)| (*a, *b)) {
            if last < start {
                break;
            }
            self.0.remove(&first);
            start = start.min(first);
            end = end.max(last);
        }
        self.0.insert(start, end);
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some((start, end)) = self.0.range(..=number).next_back().map(|(a, b)| (*a, *b)) else {
            return;
        };
        if end <= number {
            return;
        }
        self.0.remove(&start);
        self.add(start..number);
        self.add(number + 1..end);
    }

    pub(super) fn holds(&self, range: Range<u64>) -> bool {
        range.is_empty()
            || self.0.range(..=range.start).next_back().is_some_and(|(_, end)| *end >= range.end)
    }

    /// Returns the first stretch of `within` that is not in here.
    pub(super) fn next_gap(&self, within: Range<u64>) -> Option<Range<u64>> {
        let before = self.0.range(..=within.start).next_back().map_or(0, |(_, end)| *end);
        let start = within.start.max(before);
        // Ranges do not touch, so the first one behind `start` leaves a gap before it.
        let end = self.0.range(start..).next().map_or(within.end, |(start, _)| *start);
        Some(start..end.min(within.end)).filter(|gap| !gap.is_empty())
    }
}

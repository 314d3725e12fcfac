use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::CHUNK_RANGES_MAX;
use crate::codec::list;

/// Chunks that follow one another, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRange {
    /// The first one.
    pub first: u64,
    /// How many, at least one.
    pub count: u64,
}

impl ChunkRange {
    /// The number behind the last one.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

/// Ranges in ascending order that neither meet nor touch: equal sets have one form. At most
/// [`CHUNK_RANGES_MAX`] of them. They travel as the gap before each and its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkRanges(Vec<ChunkRange>);

impl ChunkRanges {
    /// Adds a range behind those that are there, or at the end of the last one. Says whether it was taken:
    /// not when it is empty, lies elsewhere, or would be one too many.
    pub fn push(&mut self, range: ChunkRange) -> bool {
        if range.count == 0 || range.first.checked_add(range.count).is_none() {
            return false;
        }
        let is_full = self.0.len() == CHUNK_RANGES_MAX;
        match self.0.last_mut() {
            Some(last) if range.first < last.end() => return false,
            Some(last) if range.first == last.end() => last.count += range.count,
            Some(_) if is_full => return false,
            Some(_) | None => self.0.push(range),
        }
        true
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ChunkRange> {
        self.0.iter().copied()
    }

    /// How many ranges there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many chunks they are together.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.0.iter().map(|range| range.count).fold(0, u64::saturating_add)
    }
}

impl Serialize for ChunkRanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut end = 0;
        serializer.collect_seq(self.0.iter().map(|range| {
            let gap = range.first - end;
            end = range.end();
            (gap, range.count)
        }))
    }
}

impl<'de> Deserialize<'de> for ChunkRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs: Vec<(u64, u64)> = list::<_, _, CHUNK_RANGES_MAX>(deserializer)?;
        let mut ranges = Self::default();
        let mut end = 0_u64;
        for (gap, count) in pairs {
            let first = end.checked_add(gap).filter(|_| gap > 0 || ranges.is_empty());
            let range = first.map(|first| ChunkRange { first, count });
            if !range.is_some_and(|range| ranges.push(range)) {
                return Err(D::Error::custom("ranges that are not in order"));
            }
            end = ranges.0.last().map_or(0, ChunkRange::end);
        }
        Ok(ranges)
    }
}

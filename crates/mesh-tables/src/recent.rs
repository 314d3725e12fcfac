//! The newest entries of the log, in memory: whoever follows it closely needs no look into the database.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_protocol::{Dot, Section, TableId, VersionVector};

use crate::log::{LogBatch, LogCursor, is_aimed_at};

/// Bytes of entries that are held, and what an entry takes besides its body.
const BYTES_MAX: usize = 512 << 10;
const ENTRY_BYTES: usize = 128;

/// An entry of the log as it is about to be written.
pub(crate) struct NewEntry {
    pub(crate) dot: Dot,
    pub(crate) is_last: bool,
    pub(crate) body: Vec<u8>,
    /// Whose rows it writes.
    pub(crate) tables: Box<[TableId]>,
}

/// The tables of the sections of an entry.
pub(crate) fn tables_of(sections: &[Section]) -> Box<[TableId]> {
    let mut tables: Vec<TableId> = sections.iter().map(|section| section.table).collect();
    tables.dedup();
    tables.into()
}

/// Entries whose numbers follow each other, the oldest first, of a bounded size.
#[derive(Default)]
struct Run {
    /// The number of the first one.
    first: i64,
    entries: VecDeque<Arc<NewEntry>>,
    bytes: usize,
}

impl NewEntry {
    fn bytes(&self) -> usize {
        self.body.len() + size_of_val(&*self.tables) + ENTRY_BYTES
    }
}

impl Run {
    /// The number behind the last one.
    fn end(&self) -> i64 {
        self.first + i64::try_from(self.entries.len()).unwrap_or(i64::MAX)
    }

    /// Adds an entry; one that had its number, and what followed that, had been taken back.
    fn add(&mut self, id: i64, entry: Arc<NewEntry>) {
        while self.end() > id
            && let Some(taken_back) = self.entries.pop_back()
        {
            self.bytes -= taken_back.bytes();
        }
        if self.end() != id || self.entries.is_empty() {
            *self = Self { first: id, ..Self::default() };
        }
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.bytes > BYTES_MAX && self.drop_oldest() {}
    }

    /// False when there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.entries.pop_front() else { return false };
        self.bytes -= oldest.bytes();
        self.first += 1;
        true
    }
}

/// The newest entries of the log that were committed.
#[derive(Clone, Default)]
pub(crate) struct Recent {
    run: Arc<Mutex<Run>>,
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

/// Entries of the transaction that is open.
#[derive(Default)]
pub(crate) struct Uncommitted {
    run: Run,
}

impl Uncommitted {
    /// Notes an entry under its number.
    pub(crate) fn add(&mut self, id: i64, entry: NewEntry) {
        self.run.add(id, Arc::new(entry));
    }

    pub(crate) fn forget(&mut self) {
        self.run = Run::default();
    }
}

impl Recent {
    /// Takes over what was committed, which ends at `head`.
    pub(crate) fn commit(&self, uncommitted: &mut Uncommitted, head: i64) {
        let Run { first, entries, .. } = std::mem::take(&mut uncommitted.run);
        if entries.is_empty() {
            return;
        }
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, entry) in (first..=head).zip(entries) {
            run.add(id, entry);
        }
    }

    /// Forgets entries that the log has no more.
    pub(crate) fn forget_upto(&self, id: i64) {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        while run.first <= id && run.drop_oldest() {}
    }

    /// Forgets everything: entries were written anew.
    pub(crate) fn forget(&self) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Run::default();
    }

    /// What [`Tables::read_log`](crate::Tables::read_log) answers, if everything from `from` up to `head` is
    /// here.
    pub(crate) fn read(
        &self,
        from: LogCursor,
        head: i64,
        have: &VersionVector,
        goal: &VersionVector,
        bytes_max: usize,
    ) -> Option<LogBatch> {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = usize::try_from(from.0 + 1 - run.first).ok()?;
        if run.end() <= head || run.entries.len() < passed {
            return None;
        }
        let mut batch = LogBatch { cursor: from, is_done: true, ..LogBatch::default() };
        let mut bytes = 0;
        for (id, entry) in (from.0 + 1..=head).zip(run.entries.iter().skip(passed)) {
            let NewEntry { dot, is_last, body, tables: _ } = &**entry;
            let is_lacked = dot.sequence > have.upto(&dot.origin);
            if is_lacked && !goal.knows(dot) {
                if is_aimed_at(dot, have, goal) {
                    batch.skipped.get_or_insert(batch.cursor);
                }
            } else if is_lacked {
                if !batch.bodies.is_empty() && bytes + body.len() > bytes_max {
                    batch.is_done = false;
                    break;
                }
                bytes += body.len();
                batch.bodies.push(body.clone());
                if *is_last {
                    batch.sent.push((dot.origin, dot.sequence));
                }
            }
            batch.cursor = LogCursor(id);
        }
        Some(batch)
    }

    /// The first entry from `from` up to `head` that may write another table than such as `is_passed` knows; the
    /// one behind `head` if there is none. What is not here may.
    pub(crate) fn pass(&self, from: i64, head: i64, is_passed: impl Fn(&TableId) -> bool) -> i64 {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(before) = usize::try_from(from - run.first) else { return from };
        let entries = (from..=head).zip(run.entries.iter().skip(before));
        let passed = entries.take_while(|(_, entry)| entry.tables.iter().all(&is_passed));
        passed.last().map_or(from, |(id, _)| id + 1)
    }
}

#[cfg(test)]
mod tests;

//! Small files, read on several threads: opening one takes longer than hashing it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use mesh_tree::{Kind, TreeError, Walked};

use super::reading::{FileRead, read_small};
use super::scanning::Scanners;

/// Entries that a thread takes at once: waking it for each takes longer than it works.
const BATCH_MAX: usize = 64;
/// Batches that a thread has, at work and waiting.
const WAITING_MAX: usize = 2;
const THREADS_MAX: usize = 4;

/// An entry that was come across; of a file, what it is, or why it was not read.
pub(super) struct Taken {
    pub(super) walked: Walked,
    pub(super) read: Option<Result<FileRead, TreeError>>,
}

struct Worker {
    batches: SyncSender<Vec<Walked>>,
    done: Receiver<Vec<Taken>>,
}

/// Reads small files, and gives them back in the order in which they came.
pub(super) struct Crew<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    scanners: &'env Scanners,
    workers: Vec<Worker>,
    workers_max: usize,
    batch: Vec<Walked>,
    /// Which worker has the next batch to be given back, and those behind it.
    pending: VecDeque<usize>,
}

impl<'scope, 'env> Crew<'scope, 'env> {
    /// Threads start when there is work for them, and end when this is dropped.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, scanners: &'env Scanners) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            scope,
            scanners,
            workers: Vec::new(),
            workers_max: threads.min(THREADS_MAX),
            batch: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    /// Takes an entry, and gives back earlier ones when there are enough of them.
    pub(super) fn take(&mut self, walked: Walked) -> Vec<Taken> {
        self.batch.push(walked);
        if self.batch.len() < BATCH_MAX {
            return Vec::new();
        }
        let is_full = self.pending.len() >= self.workers_max * WAITING_MAX;
        let done = if is_full { self.next_done() } else { Vec::new() };
        self.hand_over();
        done
    }

    /// Gives back the next of all that were taken; nothing when there is nothing left.
    pub(super) fn settle(&mut self) -> Vec<Taken> {
        self.hand_over();
        self.next_done()
    }

    fn hand_over(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let last = self.pending.back().copied();
        let next = last.map_or(0, |last| (last + 1) % self.workers_max);
        if next >= self.workers.len() {
            self.workers.push(self.start());
        }
        let batch = std::mem::take(&mut self.batch);
        if let Some(worker) = self.workers.get(next)
            && worker.batches.send(batch).is_ok()
        {
            self.pending.push_back(next);
        }
    }

    fn start(&self) -> Worker {
        let (batches, waiting) = sync_channel(WAITING_MAX);
        let (tell, done) = sync_channel(WAITING_MAX);
        let scanners = self.scanners;
        let _ended_by_the_scope = self.scope.spawn(move || read_each(scanners, &waiting, &tell));
        Worker { batches, done }
    }

    fn next_done(&mut self) -> Vec<Taken> {
        let worker = self.pending.pop_front().and_then(|next| self.workers.get(next));
        // A thread that ended early panics once more where it is joined.
        worker.and_then(|worker| worker.done.recv().ok()).unwrap_or_default()
    }
}

fn read_each(scanners: &Scanners, batches: &Receiver<Vec<Walked>>, tell: &SyncSender<Vec<Taken>>) {
    let mut buffer = Vec::new();
    while let Ok(batch) = batches.recv() {
        let read = |walked: Walked| {
            let read = (walked.facts.kind == Kind::File).then(|| {
                let file = walked.open()?;
                read_small(&file, &mut buffer, scanners.begin(&walked.path))
            });
            Taken { walked, read }
        };
        if tell.send(batch.into_iter().map(read).collect()).is_err() {
            return;
        }
    }
}

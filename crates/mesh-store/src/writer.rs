//! The one task that writes.
//!
//! Operations wait in a queue. The frequent ones (append to the outbox, commit to the inbox, acknowledge,
//! and everything lazy) are merged: whatever waits when the last commit is done goes into the next
//! one, so the more callers wait, the more of them share an fsync, and a lone caller never waits for a
//! timer. Lazy writes ride along when several rows are committed, and otherwise get a commit of their
//! own after the configured delay. Rare operations (records, keys, tokens, …) run in a transaction of
//! their own, which isolates them from their neighbours without savepoints.
//!
//! When a merged commit fails through one operation, it is rolled back and each is tried by itself, so
//! that only the faulty one fails. When the disk is at fault, all of them fail at once.
//!
//! What a commit changes in the writer's memory (`State`) is applied after it succeeded.

mod desk;
mod lanes;
mod lazies;
mod op;
mod plan;
mod state;

use std::fs::File;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Sleep;

pub(crate) use self::desk::Desk;
use self::lanes::Lanes;
use self::lazies::Urgency;
pub(crate) use self::lazies::{Attempt, Lazies, LazyBatch};
pub(crate) use self::op::{HotOp, Op, Reply};
use self::plan::{Outcome, Plan};
pub(crate) use self::plan::{Step, StepKind, insert_steps};
pub(crate) use self::state::{Floor, FloorKey, Gauges, Seen, State};
use crate::StoreError;
use crate::readers::Readers;
use crate::statements::statements;

/// Operations in the queue; further callers wait.
pub(crate) const OPS_WAITING_MAX: usize = 1024;

/// Most rows in one merged commit, unless a single operation has more.
const GROUP_ROWS_MAX: usize = 1024;

/// Most bytes of bodies in one merged commit, unless a single operation has more.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Peers' heartbeats are no reason to write to the disk twenty times a second.
const HEARTBEATS_PER_DELAY: u32 = 100;

/// By how many ids a sender may exceed its bound before they are forgotten, all at once.
const FORGET_SLACK_MAX: u64 = 1024;

/// Wait after a failed lazy commit.
const RETRY_DELAY: Duration = Duration::from_secs(1);

enum Wake {
    Op(Op),
    Lazy,
    Gone,
}

statements! {
    CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)";
}

pub(crate) const ALL_STATEMENTS: [&[&str]; 4] =
    [STATEMENTS, desk::STATEMENTS, lanes::STATEMENTS, state::STATEMENTS];

pub(crate) struct Writer {
    desk: Desk,
    lock: File,
    ops: mpsc::Receiver<Op>,
    lazies: Arc<Lazies>,
    gauges: Arc<Gauges>,
    readers: Arc<Readers>,
    /// Taken from the queue, but not for the last commit.
    carried: Option<Op>,
    timer: Option<(Urgency, Pin<Box<Sleep>>)>,
    did_lazies_fail: bool,
}

impl Writer {
    pub(crate) fn new(
        desk: Desk,
        lock: File,
        ops: mpsc::Receiver<Op>,
        lazies: Arc<Lazies>,
        gauges: Arc<Gauges>,
        readers: Arc<Readers>,
    ) -> Self {
        gauges.publish(&desk.state);
        let (carried, timer) = (None, None);
        Self { desk, lock, ops, lazies, gauges, readers, carried, timer, did_lazies_fail: false }
    }

    pub(crate) async fn run(mut self) {
        let closer = loop {
            match self.wake().await {
                Wake::Op(op) => match self.handle(op).await {
                    ControlFlow::Continue(()) => {}
                    ControlFlow::Break(reply) => break Some(reply),
                },
                Wake::Lazy => {
                    self.timer = None;
                    // Whoever waits by now shares the commit. Its failure was logged, and it is tried again.
                    let group = self.gather_waiting();
                    let batch = self.lazies.take();
                    drop(self.commit(group, batch).await);
                }
                Wake::Gone => break None,
            }
            self.gauges.publish(&self.desk.state);
            self.forget_wal().await;
        };
        self.finish(closer).await;
    }

    async fn wake(&mut self) -> Wake {
        if let Some(op) = self.carried.take() {
            return Wake::Op(op);
        }
        loop {
            self.set_timer();
            let timer = self.timer.as_mut().map(|(_, sleep)| sleep.as_mut());
            tokio::select! {
                biased;
                // In front, so that busy callers cannot put it off.
                () = maybe(timer) => return Wake::Lazy,
                op = self.ops.recv() => return op.map_or(Wake::Gone, Wake::Op),
                () = self.lazies.changed() => {}
            }
        }
    }

    /// Starts the timer of what waits lazily, or a shorter one when something urgent has come.
    fn set_timer(&mut self) {
        let Some(urgency) = self.lazies.urgency() else {
            self.timer = None;
            return;
        };
        if self.timer.as_ref().is_some_and(|(set, _)| *set >= urgency) {
            return;
        }
        let delay = self.desk.config.lazy_delay;
        let delay = match urgency {
            _ if self.did_lazies_fail => RETRY_DELAY,
            Urgency::Heartbeat => delay * HEARTBEATS_PER_DELAY,
            Urgency::Soon => delay,
        };
        self.timer = Some((urgency, Box::pin(tokio::time::sleep(delay))));
    }

    async fn handle(&mut self, op: Op) -> ControlFlow<Reply<()>> {
        match op {
            Op::Hot(first) => {
                if first.fits_inbox(&self.desk.state, &self.desk.config, (0, 0)) {
                    let group = self.gather(first);
                    // A lone caller, who gains nothing from others, does not pay for them either.
                    let is_lone = group.iter().map(HotOp::rows).sum::<usize>() == 1;
                    let batch = if is_lone { LazyBatch::default() } else { self.lazies.take() };
                    drop(self.commit(group, batch).await);
                } else {
                    self.commit_tight(first).await;
                }
            }
            Op::Alone(job) => job(&mut self.desk).await,
            Op::Flush(reply) => {
                let flushed = self.flush().await;
                drop(reply.send(flushed));
            }
            Op::Close(reply) => return ControlFlow::Break(reply),
        }
        self.forget_early().await;
        ControlFlow::Continue(())
    }

    /// Collects what waits, if it begins with something that can be merged.
    fn gather_waiting(&mut self) -> Vec<HotOp> {
        match self.ops.try_recv() {
            Ok(Op::Hot(first)) if first.fits_inbox(&self.desk.state, &self.desk.config, (0, 0)) => {
                self.gather(first)
            }
            Ok(op) => {
                self.carried = Some(op);
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Collects what waits behind `first`, up to the first operation that cannot be merged.
    fn gather(&mut self, first: HotOp) -> Vec<HotOp> {
        let (mut rows, mut bytes) = (first.rows(), first.body_bytes());
        let mut load = first.inbox_load();
        let mut group = vec![first];
        while let Ok(op) = self.ops.try_recv() {
            let op = match op {
                Op::Hot(op) => op,
                Op::Alone(_) | Op::Flush(_) | Op::Close(_) => {
                    self.carried = Some(op);
                    break;
                }
            };
            rows += op.rows();
            bytes += op.body_bytes();
            let fits = op.fits_inbox(&self.desk.state, &self.desk.config, load);
            if rows > GROUP_ROWS_MAX || bytes > GROUP_BYTES_MAX || !fits {
                self.carried = Some(Op::Hot(op));
                break;
            }
            let (messages, body_bytes) = op.inbox_load();
            load = (load.0 + messages, load.1 + body_bytes);
            group.push(op);
        }
        group
    }

    /// Commits `group` and `batch`; answers everybody.
    async fn commit(&mut self, group: Vec<HotOp>, batch: LazyBatch) -> Result<(), StoreError> {
        let (ops, lazy) = (group.len(), batch.len());
        if ops + lazy == 0 {
            return Ok(());
        }
        let result = self.commit_or_split(group, batch).await;
        if lazy > 0 {
            self.did_lazies_fail = result.is_err();
            self.lazies.settle();
        }
        result
    }

    async fn commit_or_split(
        &mut self,
        group: Vec<HotOp>,
        batch: LazyBatch,
    ) -> Result<(), StoreError> {
        let (ops, lazy) = (group.len(), batch.len());
        match self.try_commit(&group, &batch).await {
            Ok(outcomes) => {
                tracing::trace!(ops, lazy, "committed");
                for (op, outcome) in group.into_iter().zip(outcomes) {
                    op.answer(outcome);
                }
                Ok(())
            }
            Err(error) if error.is_of_the_disk() || ops + usize::from(lazy > 0) == 1 => {
                tracing::error!(ops, lazy, error = %Chain(&error), "a commit failed");
                self.keep_lazies(batch, &error);
                for op in group {
                    op.fail(error.clone());
                }
                Err(error)
            }
            Err(error) => {
                tracing::warn!(ops, error = %Chain(&error), "a commit failed, trying its parts");
                self.commit_one_by_one(group, batch).await
            }
        }
    }

    async fn commit_one_by_one(
        &mut self,
        group: Vec<HotOp>,
        batch: LazyBatch,
    ) -> Result<(), StoreError> {
        for op in group {
            let alone = std::slice::from_ref(&op);
            match self.try_commit(alone, &LazyBatch::default()).await {
                Ok(outcomes) => {
                    // One operation has one outcome.
                    if let Some(outcome) = outcomes.into_iter().next() {
                        op.answer(outcome);
                    }
                }
                Err(error) => op.fail(error),
            }
        }
        if batch.len() == 0 {
            return Ok(());
        }
        let done = self.try_commit(&[], &batch).await.map(drop);
        if let Err(error) = &done {
            self.keep_lazies(batch, error);
        }
        done
    }

    /// Keeps what could not be written for want of a disk. What failed by itself is given up: it would
    /// fail again, and lazy writes are those whose loss only costs a repeat.
    fn keep_lazies(&self, batch: LazyBatch, error: &StoreError) {
        if batch.len() == 0 {
            return;
        }
        if error.is_of_the_disk() {
            self.lazies.put_back(batch);
        } else {
            tracing::error!(error = %Chain(error), lost = batch.len(), "lazy writes were given up");
        }
    }

    async fn try_commit(
        &mut self,
        group: &[HotOp],
        batch: &LazyBatch,
    ) -> Result<Vec<Outcome>, StoreError> {
        let plan = Plan::of(&mut self.desk.state, &self.desk.config, group, batch);
        let results = self.desk.run_steps(plan.steps).await?;
        Ok(plan.effects.apply(&mut self.desk.state, &results))
    }

    /// Commits messages one by one, because the inbox may not have room for all of them.
    async fn commit_tight(&mut self, op: HotOp) {
        let HotOp::Inbox { rows, reply } = op else { return };
        let result = self
            .desk
            .transaction(move |desk| Box::pin(crate::inbox::commit_tight(desk, rows)))
            .await;
        drop(reply.send(result));
    }

    /// Forgets ids of senders that have more of them than they may. Some slack makes this rare.
    async fn forget_early(&mut self) {
        let ids_max = self.desk.config.seen_per_sender_max;
        let slack = (ids_max / 16).min(FORGET_SLACK_MAX);
        while let Some((sender, surplus)) = self.desk.state.surplus(ids_max + slack) {
            let surplus = surplus + slack;
            let evicted = self
                .desk
                .transaction(move |desk| Box::pin(crate::prune::evict(desk, sender, surplus)))
                .await;
            if let Err(error) = evicted {
                tracing::warn!(error = %Chain(&error), "seen ids cannot be forgotten");
                return;
            }
        }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        while self.lazies.urgency().is_some() {
            let batch = self.lazies.take();
            self.commit(Vec::new(), batch).await?;
        }
        Ok(())
    }

    /// Destroyed keys still lie in the WAL. Emptying it has to wait until nobody reads from it.
    async fn forget_wal(&mut self) {
        if self.desk.is_wal_tainted && self.readers.are_idle() {
            match crate::query::fetch_all(&mut self.desk.conn, CHECKPOINT, []).await {
                Ok(_) => self.desk.is_wal_tainted = false,
                Err(error) => tracing::warn!(error = %Chain(&error), "the WAL cannot be emptied"),
            }
        }
    }

    async fn finish(mut self, closer: Option<Reply<()>>) {
        self.ops.close();
        let flushed = self.flush().await;
        let noted = self.desk.note_counters().await;
        self.readers.close().await;
        let closed = self.desk.close().await;
        drop(self.lock);
        let result = flushed.and(noted).and(closed);
        if let Err(error) = &result {
            tracing::error!(error = %Chain(error), "the database did not close cleanly");
        }
        if let Some(reply) = closer {
            drop(reply.send(result));
        }
    }
}

async fn maybe(timer: Option<Pin<&mut Sleep>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

/// Shows an error with everything below it.
struct Chain<'e>(&'e dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut below = self.0.source();
        while let Some(error) = below {
            write!(f, ": {error}")?;
            below = error.source();
        }
        Ok(())
    }
}

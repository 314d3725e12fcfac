//! Applies what other databases wrote: transactions whole or not at all, in a causal order.
//!
//! A batch is one SQL transaction, each transaction of it in a savepoint of its own, so that one that cannot be
//! applied is kept aside and takes nothing with it. Large ones come in parts, which wait in `mesh_spool` until
//! the last one is there.

mod batch;
mod content;
mod spool;

use std::sync::Arc;

use futures_util::FutureExt as _;
use mesh_protocol::{Dot, PeerId, Readiness, TransactionHeader, TransactionPart, UnixMillis};

pub(crate) use self::batch::{Batch, TooLarge, context_of};
pub(crate) use self::content::{Bodies, Transaction, attempt};
pub(crate) use self::spool::{BYTES_SQL, drop_parts, forget_passed, keep, read};
use crate::desk::{Desk, Last};
use crate::durable::Durability;
use crate::parked::{self, ParkReason};
use crate::snapshot::covered::forget_caught_up;
use crate::sql::execute;
use crate::{Tables, TablesError, accepted, seal};

/// A part of a transaction as it came in.
#[derive(Clone)]
pub struct IncomingPart {
    /// The encoded [`TransactionPart`].
    pub body: Vec<u8>,
    /// Who sent it.
    pub member: PeerId,
}

impl std::fmt::Debug for IncomingPart {
    /// Shows its size: what it says is the user's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingPart")
            .field("bytes", &self.body.len())
            .field("member", &self.member)
            .finish()
    }
}

/// A transaction that is kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedNow {
    /// Which one.
    pub dot: Dot,
    /// Why.
    pub reason: ParkReason,
    /// The table, the column or what SQLite said.
    pub detail: String,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Transactions that were applied, in this order; some may have been kept aside before.
    pub applied: Vec<Dot>,
    /// Parts of transactions that had come before.
    pub duplicates: u64,
    /// The first transaction that is missing before one that came, of each origin concerned.
    pub missing: Vec<Dot>,
    /// Transactions that are kept aside.
    pub parked: Vec<ParkedNow>,
    /// Parts that wait for the rest of their transaction.
    pub spooled: u64,
    /// Transactions for which there is no room at the moment: they were not taken.
    pub refused: Vec<Dot>,
    /// Who sent something that is no part of a transaction.
    pub malformed: Vec<PeerId>,
}

impl Tables {
    /// Applies what came in, in this order. Repeats are harmless; what cannot be applied at all is kept aside.
    /// It is committed when this returns, and on the disk when [`Tables::have`] says so.
    ///
    /// # Errors
    /// [`TablesError`]; nothing has been applied then.
    pub async fn apply(
        &self,
        incoming: impl Into<Arc<Vec<IncomingPart>>>,
        at: UnixMillis,
    ) -> Result<Applied, TablesError> {
        let incoming = incoming.into();
        let too_large = TooLarge::default();
        loop {
            let count = too_large.count();
            let (incoming, found) = (Arc::clone(&incoming), too_large.clone());
            let outcome = self.at_desk(move |desk| {
                let work = async move |desk: &mut Desk| apply(desk, incoming, at, found).await;
                desk.transaction_begun_by(Durability::Later, work).boxed()
            });
            let outcome = outcome.await;
            if !is_to_begin_anew(&outcome, &too_large, count) {
                return outcome;
            }
        }
    }
}

/// Whether a batch failed because there was too little memory for one more transaction than before.
pub(crate) fn is_to_begin_anew<T>(
    outcome: &Result<T, TablesError>,
    too_large: &TooLarge,
    before: usize,
) -> bool {
    let is_new = outcome.as_ref().is_err_and(content::is_of_memory) && too_large.count() > before;
    if is_new {
        tracing::warn!("too little memory for a transaction: it is left out for now");
    }
    is_new
}

/// Begins a transaction and applies what came in.
async fn apply(
    desk: &mut Desk,
    incoming: Arc<Vec<IncomingPart>>,
    at: UnixMillis,
    too_large: TooLarge,
) -> Result<Applied, TablesError> {
    if desk.state.in_snapshot {
        // A part of the rows is ahead of the rest: it is sent again when they are all here.
        desk.begin().await?;
        return Ok(Applied::default());
    }
    let is_bold = desk.state.vector.holes().is_empty();
    // What was captured until now was made without knowing any of this.
    seal::begin_sealed(desk, at, Batch::first(is_bold)).await?;
    let mut batch = Batch::new(at, is_bold, too_large.clone());
    if batch.is_bold {
        let before = desk.state.clone();
        take_all(desk, &mut batch, &incoming).await?;
        if batch.has_failed {
            execute(&mut desk.conn, "ROLLBACK TO mesh_apply;RELEASE mesh_apply", []).await?;
            desk.state = before;
            batch = Batch::new(at, false, too_large);
        }
    }
    if !batch.is_bold {
        take_all(desk, &mut batch, &incoming).await?;
    }
    let (applied, last) = batch.finish(desk).await?;
    desk.write_last(last);
    Ok(applied)
}

async fn take_all(
    desk: &mut Desk,
    batch: &mut Batch,
    incoming: &[IncomingPart],
) -> Result<(), TablesError> {
    for part in incoming {
        match TransactionPart::decode(&part.body) {
            Ok(decoded) => take_part(desk, batch, decoded, part.body.clone()).await?,
            Err(error) => {
                tracing::debug!(%error, member = %part.member, "not a part of a transaction");
                batch.applied.malformed.push(part.member);
            }
        }
        if batch.has_failed {
            break;
        }
    }
    Ok(())
}

/// Runs `work` as a batch of its own, without anything coming in.
pub(crate) async fn retry(desk: &mut Desk, at: UnixMillis) -> Result<Applied, TablesError> {
    retry_without(desk, at, TooLarge::default()).await
}

/// Like [`retry`], leaving out what there was too little memory for.
pub(crate) async fn retry_without(
    desk: &mut Desk,
    at: UnixMillis,
    too_large: TooLarge,
) -> Result<Applied, TablesError> {
    if desk.state.in_snapshot {
        return Ok(Applied::default());
    }
    seal::seal_if_dirty(desk, at).await?;
    execute(&mut desk.conn, Batch::first(false), []).await?;
    let mut batch = Batch::new(at, false, too_large);
    parked::retry(desk, &mut batch).await?;
    let (applied, last) = batch.finish(desk).await?;
    desk.write(last).await?;
    Ok(applied)
}

async fn take_part(
    desk: &mut Desk,
    batch: &mut Batch,
    mut part: TransactionPart,
    body: Vec<u8>,
) -> Result<(), TablesError> {
    let dot = part.dot;
    if dot.sequence <= desk.state.vector.upto(&dot.origin) {
        batch.applied.duplicates += 1;
        return Ok(());
    }
    if batch.too_large.has(&dot) {
        if !batch.applied.refused.contains(&dot) {
            batch.applied.refused.push(dot);
        }
        return drop_parts(desk, dot).await;
    }
    if !desk.state.has_room_for(&dot.origin) {
        batch.applied.refused.push(dot);
        return Ok(());
    }
    if part.part == 0 && part.is_last {
        // It is whole: parts of another form of it are none of it.
        drop_parts(desk, dot).await?;
        let header = part.header.take().unwrap_or_default();
        return take(desk, batch, Transaction { dot, header, bodies: Bodies::One(part, body) })
            .await;
    }
    match spool::add(desk, batch, part, body).await? {
        Some(transaction) => take(desk, batch, transaction).await,
        None => Ok(()),
    }
}

async fn take(
    desk: &mut Desk,
    batch: &mut Batch,
    mut transaction: Transaction,
) -> Result<(), TablesError> {
    let Transaction { dot, header, .. } = &transaction;
    let is_doubted = accepted::is_doubted(desk, header.clock, batch.at).await?;
    match desk.rules.admit(&desk.state.vector, *dot, header, batch.at) {
        Readiness::Apply => {}
        Readiness::Ahead { .. } if !is_doubted => {}
        Readiness::Duplicate => {
            batch.applied.duplicates += 1;
            return drop_parts(desk, *dot).await;
        }
        Readiness::Missing => {
            report_missing(desk, batch, *dot, Some(header));
            return drop_parts(desk, *dot).await;
        }
        Readiness::Ahead { .. } if batch.is_bold => {
            batch.has_failed = true;
            return Ok(());
        }
        Readiness::Ahead { millis } => {
            let detail = format!("{millis} ms ahead");
            return parked::park(desk, batch, transaction, ParkReason::ClockSkew, detail).await;
        }
    }
    batch.name_origins(desk, &transaction).await?;
    let context = context_of(&desk.state, transaction.dot, &transaction.header);
    if let Some(before) = parked::is_behind(desk, &transaction, &context, None).await? {
        let detail = format!("{}:{}", before.origin, before.sequence);
        return parked::park(desk, batch, transaction, ParkReason::BehindParked, detail).await;
    }
    match attempt(desk, batch, &mut transaction, &context).await? {
        Ok(()) => {}
        Err(_) if batch.is_bold => {
            batch.has_failed = true;
            return Ok(());
        }
        Err((reason, detail)) => {
            return parked::park(desk, batch, transaction, reason, detail).await;
        }
    }
    let Transaction { dot, header, .. } = transaction;
    batch.taken(&mut desk.state, dot, &header);
    batch.applied.applied.push(dot);
    if header.schema.is_empty() { Ok(()) } else { parked::retry(desk, batch).await }
}

/// Notes what has to come first.
fn report_missing(desk: &Desk, batch: &mut Batch, dot: Dot, header: Option<&TransactionHeader>) {
    let vector = &desk.state.vector;
    let next = |origin| Dot { origin, sequence: vector.upto(&origin) + 1 };
    let mut missing = Vec::new();
    if dot.sequence > next(dot.origin).sequence {
        missing.push(next(dot.origin));
    }
    let advanced = header.map_or(&[][..], |header| &header.advanced);
    let lacking = advanced.iter().filter(|(origin, upto)| *upto > vector.upto(origin));
    missing.extend(lacking.map(|(origin, _)| next(*origin)));
    if missing.is_empty() {
        // Another part of the same transaction has to come first.
        missing.push(dot);
    }
    for dot in missing {
        if !batch.applied.missing.contains(&dot) {
            batch.applied.missing.push(dot);
        }
    }
}

impl Batch {
    /// The statements in front of it. A bold one begins behind a savepoint.
    const fn first(is_bold: bool) -> &'static str {
        if is_bold {
            "UPDATE mesh_state SET applying = 1 WHERE id = 1;SAVEPOINT mesh_apply"
        } else {
            "UPDATE mesh_state SET applying = 1 WHERE id = 1"
        }
    }

    /// What became of it, and the statements that end it.
    async fn finish(mut self, desk: &mut Desk) -> Result<(Applied, Last), TablesError> {
        forget_caught_up(desk).await?;
        let last = self.flush(desk).await?;
        Ok((self.applied, last))
    }
}

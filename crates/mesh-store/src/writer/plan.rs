//! From operations to the statements of one commit, and from their results back to answers.

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{MessageId, PeerId};
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns, Value};
use crate::inbox::InboxOutcome;
use crate::statements::ROWS_PER_INSERT;
use crate::writer::desk::{StepResult, counters_step};
use crate::writer::{FloorKey, HotOp, LazyBatch, Seen, State};
use crate::{StoreConfig, StoreError, audit, custody, inbox, outbox, peers};

/// What the results of a step mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// Nothing that anybody needs to know.
    #[default]
    Other,
    /// The changes are outbox rows that are gone.
    OutboxDelete,
    /// The rows are the ids of inbox rows that were new.
    InboxInsert,
    /// The change, if there is one, is the inbox row of this id.
    InboxInsertOne(i64),
    /// The rows are inbox rows that are gone: message id, sender, bytes.
    InboxDelete,
    /// The rows are parcels that are gone: sender, bytes.
    CustodyDelete,
}

/// One statement of a commit.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Value>,
}

/// Spreads `rows` of `width` values over as few statements as possible: `one` takes one row, `many` up to
/// [`ROWS_PER_INSERT`].
pub(crate) fn insert_steps(
    one: &'static str,
    many: &'static str,
    width: usize,
    rows: Vec<Vec<Value>>,
) -> Vec<Step> {
    let mut steps = Vec::with_capacity(rows.len().div_ceil(ROWS_PER_INSERT));
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk: Vec<Vec<Value>> = rows.by_ref().take(ROWS_PER_INSERT).collect();
        let (sql, size) =
            if chunk.len() == 1 { (one, width) } else { (many, width * ROWS_PER_INSERT) };
        let mut values: Vec<Value> = chunk.into_iter().flatten().collect();
        values.resize(size, Value::Null);
        steps.push(Step { kind: StepKind::Other, sql, values });
    }
    steps
}

/// What an operation is answered.
#[derive(Debug)]
pub(super) enum Outcome {
    Appended(Vec<u64>),
    Inbox(Vec<InboxOutcome>),
    Acked(u64),
}

/// A row that was sent to the inbox.
#[derive(Clone, Copy, Debug)]
struct Offered {
    inbox_id: i64,
    lane: FloorKey,
    sequence: u64,
    bytes: u64,
}

#[derive(Debug)]
enum Planned {
    Append(Vec<u64>),
    /// None for a message that a floor recognised.
    Inbox(Vec<Option<Offered>>),
    Ack(Vec<MessageId>),
}

/// What is to be done in memory once the statements are committed.
#[derive(Debug, Default)]
pub(super) struct Effects {
    notes: Option<(u64, u64)>,
    new_senders: BTreeMap<PeerId, i64>,
    appended: u64,
    planned: Vec<Planned>,
}

/// The statements of one commit, and what follows from them.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) effects: Effects,
}

impl Plan {
    /// Plans a commit of `group` and `batch`. Only numbers are drawn from `state`.
    pub(super) fn of(
        state: &mut State,
        config: &StoreConfig,
        group: &[HotOp],
        batch: &LazyBatch,
    ) -> Self {
        let mut effects = Effects::default();
        let (mut outbox_rows, mut inbox_rows, mut acked) = (Vec::new(), Vec::new(), Vec::new());
        for op in group {
            let planned = match op {
                HotOp::Append { rows, .. } => {
                    let sequences: Vec<u64> = rows.iter().map(|_| state.sequences.draw()).collect();
                    let values = sequences.iter().zip(rows);
                    outbox_rows
                        .extend(values.map(|(sequence, row)| outbox::values(*sequence, row)));
                    effects.appended += sequences.len() as u64;
                    Planned::Append(sequences)
                }
                HotOp::Inbox { rows, .. } => {
                    let rows = rows.iter();
                    Planned::Inbox(
                        rows.map(|row| effects.offer(state, row, &mut inbox_rows)).collect(),
                    )
                }
                HotOp::Ack { ids, .. } => {
                    acked.extend_from_slice(ids);
                    Planned::Ack(ids.clone())
                }
            };
            effects.planned.push(planned);
        }
        effects.notes = state.notes();

        let mut steps = Vec::new();
        steps.extend(effects.notes.map(|(sequence, inbox_id)| counters_step(sequence, inbox_id)));
        let new_senders = effects.new_senders.iter();
        steps.extend(new_senders.map(|(peer, sender)| inbox::sender_step(peer, *sender)));
        steps.extend(outbox::finish_steps(&batch.finished));
        steps.extend(outbox::attempt_step(&batch.attempts));
        steps.extend(custody::finish_step(&batch.custody));
        steps.extend(peers::seen_step(&batch.seen));
        steps.extend(audit::insert_steps(&batch.audit, config.audit_rows_max));
        steps.extend(outbox::insert_steps(outbox_rows));
        steps.extend(inbox::insert_steps(inbox_rows));
        steps.extend(inbox::ack_steps(&acked));
        Self { steps, effects }
    }
}

impl Effects {
    /// Adds a message to the rows of the commit, unless a floor recognises it.
    fn offer(
        &mut self,
        state: &mut State,
        row: &inbox::NewInbox,
        rows: &mut Vec<Vec<Value>>,
    ) -> Option<Offered> {
        let known = state.senders.get(&row.from).map(|seen| seen.sender);
        let sender = known.or_else(|| self.new_senders.get(&row.from).copied());
        let sender = sender.unwrap_or_else(|| {
            let sender = state.next_sender() + self.new_senders.len() as i64;
            self.new_senders.insert(row.from, sender);
            sender
        });
        let lane = FloorKey { sender, stream: row.stream, priority: row.priority };
        if state.is_below_floor(&lane, row.sequence) {
            return None;
        }
        let inbox_id = state.inbox_ids.draw().cast_signed();
        rows.push(inbox::values(inbox_id, sender, row));
        let (sequence, bytes) = (row.sequence, row.body.len() as u64);
        Some(Offered { inbox_id, lane, sequence, bytes })
    }

    /// Brings `state` in line with what was committed and finds the answers.
    ///
    /// Cannot fail: an operation that was committed must never be tried again. The rows are those that
    /// this crate's own statements return, so there is none that cannot be read.
    pub(super) fn apply(self, state: &mut State, results: &[StepResult]) -> Vec<Outcome> {
        let mut stored = BTreeSet::new();
        let mut gone: BTreeMap<MessageId, u64> = BTreeMap::new();
        if let Some((sequence, inbox_id)) = self.notes {
            state.set_noted(sequence, inbox_id);
        }
        for (peer, sender) in self.new_senders {
            state.senders.insert(peer, Seen { sender, ids: 0 });
        }
        state.outbox += self.appended;
        for result in results {
            match result.kind {
                StepKind::Other => {}
                StepKind::OutboxDelete => {
                    state.outbox = state.outbox.saturating_sub(result.changes);
                }
                StepKind::InboxInsert => {
                    stored.extend(result.rows.iter().flat_map(|row| Columns::of(row).int()));
                }
                StepKind::InboxInsertOne(inbox_id) => {
                    stored.extend((result.changes > 0).then_some(inbox_id));
                }
                StepKind::InboxDelete => {
                    for (message_id, sender, bytes) in result.rows.iter().flat_map(read_gone) {
                        *gone.entry(message_id).or_default() += 1;
                        state.forget_unacked(sender, bytes);
                    }
                }
                StepKind::CustodyDelete => {
                    for (from, bytes) in result.rows.iter().flat_map(custody::read_gone) {
                        state.custody.remove(&from, bytes);
                    }
                }
            }
        }
        let outcome = |planned| match planned {
            Planned::Append(sequences) => Outcome::Appended(sequences),
            Planned::Inbox(offered) => {
                let offered = offered.into_iter();
                Outcome::Inbox(offered.map(|row| inbox_outcome(state, &stored, row)).collect())
            }
            // A message that two operations name was acknowledged by the first of them.
            Planned::Ack(ids) => Outcome::Acked(ids.iter().filter_map(|id| gone.remove(id)).sum()),
        };
        self.planned.into_iter().map(outcome).collect()
    }
}

fn read_gone(row: &SqliteRow) -> Result<(MessageId, i64, u64), StoreError> {
    let mut columns = Columns::of(row);
    Ok((columns.message_id()?, columns.int()?, columns.count("length")?))
}

fn inbox_outcome(
    state: &mut State,
    stored: &BTreeSet<i64>,
    offered: Option<Offered>,
) -> InboxOutcome {
    match offered {
        Some(Offered { inbox_id, lane, sequence, bytes }) if stored.contains(&inbox_id) => {
            state.count_unacked(bytes);
            state.lanes.note(lane, sequence, inbox_id);
            InboxOutcome::Stored { inbox_id }
        }
        Some(_) | None => InboxOutcome::Duplicate,
    }
}

#[cfg(test)]
mod tests;

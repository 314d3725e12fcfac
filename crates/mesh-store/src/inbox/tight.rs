//! The way into an inbox that may not have room for a whole batch.

use super::{INSERT_ONE, InboxOutcome, NewInbox, SELECT_KNOWN, sender_step, values};
use crate::StoreError;
use crate::columns::Value;
use crate::query::{execute, fetch_optional};
use crate::writer::{Desk, FloorKey, Seen};

/// Commits messages one after the other until one does not fit; everything behind it is full as well,
/// or order would be lost.
pub(crate) async fn commit_tight(
    desk: &mut Desk,
    rows: Vec<NewInbox>,
) -> Result<Vec<InboxOutcome>, StoreError> {
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut is_full = false;
    for row in rows {
        let outcome =
            if is_full { InboxOutcome::Full } else { commit_one_tight(desk, &row).await? };
        is_full |= outcome == InboxOutcome::Full;
        outcomes.push(outcome);
    }
    if let Some((sequence, inbox_id)) = desk.state.notes() {
        desk.note_numbers(sequence, inbox_id).await?;
    }
    Ok(outcomes)
}

async fn commit_one_tight(desk: &mut Desk, row: &NewInbox) -> Result<InboxOutcome, StoreError> {
    let known = desk.state.senders.get(&row.from).map(|seen| seen.sender);
    if let Some(sender) = known {
        let lane = FloorKey { sender, stream: row.stream, priority: row.priority };
        let values = [Value::blob(row.message_id.as_bytes()), Value::Int(sender)];
        if desk.state.is_below_floor(&lane, row.sequence)
            || fetch_optional(&mut desk.conn, SELECT_KNOWN, values).await?.is_some()
        {
            return Ok(InboxOutcome::Duplicate);
        }
    }
    let bytes = row.body.len() as u64;
    if !desk.state.has_inbox_room(&desk.config, 1, bytes) {
        return Ok(InboxOutcome::Full);
    }
    let sender = known.unwrap_or_else(|| desk.state.next_sender());
    if known.is_none() {
        let step = sender_step(&row.from, sender);
        execute(&mut desk.conn, step.sql, step.values).await?;
        desk.state.senders.insert(row.from, Seen { sender, ids: 0 });
    }
    let inbox_id = desk.state.inbox_ids.draw().cast_signed();
    execute(&mut desk.conn, INSERT_ONE, values(inbox_id, sender, row)).await?;
    desk.state.count_unacked(bytes);
    let lane = FloorKey { sender, stream: row.stream, priority: row.priority };
    desk.state.lanes.note(lane, row.sequence, inbox_id);
    Ok(InboxOutcome::Stored { inbox_id })
}

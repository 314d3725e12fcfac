//! Housekeeping: what has served its time goes.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_protocol::UnixMillis;

use crate::columns::{Columns, Value};
use crate::query::{execute, fetch_all};
use crate::statements::statements;
use crate::writer::{Desk, Floor, FloorKey};
use crate::{Store, StoreError, custody};

/// How long messages that ended undelivered can be looked at.
const ENDED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a token can be looked at after its time.
const TOKENS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Most ids that one transaction forgets: commits that somebody waits for come in between.
const IDS_PER_TRANSACTION: u64 = 1024;

/// Most floors per sender. A sender needs one per priority of its outbox, and anew when it loses its
/// database; beyond the bound the one that soonest stands for nothing is given up.
const FLOORS_PER_SENDER_MAX: usize = 64;

/// What a [`Store::prune`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids of acknowledged messages that expired.
    pub seen_expired: u64,
    /// Ids that were forgotten early, because a sender had too many; floors stand for them.
    pub seen_evicted: u64,
    /// Parcels of others that expired.
    pub custody_expired: u64,
    /// Messages that had ended undelivered a week ago.
    pub outbox_ended: u64,
    /// Join tokens whose time was over a month ago.
    pub tokens: u64,
    /// Secrets shared with peers.
    pub pair_keys: u64,
    /// Sealing keys of this node.
    pub sealing_keys: u64,
}

statements! {
    DELETE_EXPIRED = "DELETE FROM inbox_seen WHERE inbox_id IN
            (SELECT inbox_id FROM inbox_seen WHERE expires_at <= ? LIMIT ?)
        RETURNING sender";
    // By arrival: a message id holds the time of its sender's clock, which may be wrong and corrected.
    DELETE_OLDEST = "DELETE FROM inbox_seen WHERE inbox_id IN
            (SELECT inbox_id FROM inbox_seen WHERE sender = ? ORDER BY inbox_id LIMIT ?)
        RETURNING stream, priority, sequence, expires_at";
    UPSERT_FLOOR = "INSERT INTO inbox_floors (sender, stream, priority, sequence, expires_at)
        VALUES (?, ?, ?, ?, ?) ON CONFLICT (sender, stream, priority)
        DO UPDATE SET sequence = excluded.sequence, expires_at = excluded.expires_at";
    DELETE_FLOOR = "DELETE FROM inbox_floors WHERE sender = ? AND stream = ? AND priority = ?";
    NOTE_ENDED = "UPDATE outbox_ended SET ended_at = ? WHERE ended_at IS NULL";
    DELETE_ENDED = "DELETE FROM outbox_ended WHERE ended_at <= ?";
    DELETE_TOKENS = "DELETE FROM join_tokens WHERE expires_at <= ?";
}

impl Store {
    /// Removes what has served its time: ids that expired, ids beyond the bound per sender, parcels of
    /// others that expired, messages that ended long ago, old tokens, keys that are to be destroyed. To be
    /// called every minute or so.
    ///
    /// Messages that the application has not acknowledged are never touched.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused; what was removed before is gone.
    pub async fn prune(&self, now: UnixMillis) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        loop {
            let expired = self.write(move |desk| Box::pin(expire(desk, now))).await?;
            pruned.seen_expired += expired;
            if expired < IDS_PER_TRANSACTION {
                break;
            }
        }
        loop {
            let evicted = self.write(|desk| Box::pin(evict_any(desk))).await?;
            pruned.seen_evicted += evicted;
            if evicted == 0 {
                break;
            }
        }
        loop {
            let expired = self.write(move |desk| Box::pin(custody::expire(desk, now))).await?;
            pruned.custody_expired += expired;
            if expired < custody::EXPIRED_PER_TRANSACTION {
                break;
            }
        }
        let (outbox_ended, tokens) =
            self.write(move |desk| Box::pin(delete_old(desk, now))).await?;
        pruned.outbox_ended = outbox_ended;
        pruned.tokens = tokens;
        pruned.pair_keys = self.destroy_pair_keys(now).await?;
        pruned.sealing_keys = self.destroy_sealing_keys(now).await?;
        Ok(pruned)
    }
}

async fn expire(desk: &mut Desk, now: UnixMillis) -> Result<u64, StoreError> {
    let values = [Value::time(now), Value::count(IDS_PER_TRANSACTION)];
    let rows = fetch_all(&mut desk.conn, DELETE_EXPIRED, values).await?;
    for row in &rows {
        let sender = Columns::of(row).int()?;
        desk.state.count_seen(sender, |ids| ids.saturating_sub(1));
    }
    let floors = &mut desk.state.floors;
    let over = floors.extract_if(.., |_, floor| floor.expires_at <= now);
    let over: Vec<FloorKey> = over.map(|(key, _)| key).collect();
    for key in over {
        delete_floor(desk, &key).await?;
    }
    Ok(rows.len() as u64)
}

async fn evict_any(desk: &mut Desk) -> Result<u64, StoreError> {
    match desk.state.surplus(desk.config.seen_per_sender_max) {
        Some((sender, surplus)) => evict(desk, sender, surplus).await,
        None => Ok(0),
    }
}

/// Forgets up to `surplus` of the ids of `sender` that came first, and raises the floors that stand for
/// them. None stands for ids that are among the newest of their lane: a repeat of one of these would be
/// stored again, which is better than to lose a message that comes late.
pub(crate) async fn evict(desk: &mut Desk, sender: i64, surplus: u64) -> Result<u64, StoreError> {
    desk.state.lanes.learn(&mut desk.conn, sender).await?;
    let values = [Value::Int(sender), Value::count(surplus.min(IDS_PER_TRANSACTION))];
    let rows = fetch_all(&mut desk.conn, DELETE_OLDEST, values).await?;
    let mut raised = BTreeSet::new();
    for row in &rows {
        let mut columns = Columns::of(row);
        let key =
            FloorKey { sender, stream: columns.bits()?, priority: columns.small("priority")? };
        let (sequence, expires_at) = (columns.bits()?, columns.time()?);
        // Messages that come from no outbox are in no lane: they have no order that a floor could stand for.
        if desk.state.lanes.floor_max(&key).is_none_or(|floor_max| sequence > floor_max) {
            continue;
        }
        let floor = desk.state.floors.entry(key).or_insert(Floor { sequence, expires_at });
        floor.sequence = floor.sequence.max(sequence);
        floor.expires_at = floor.expires_at.max(expires_at);
        raised.insert(key);
    }
    for key in raised {
        let Some(floor) = desk.state.floors.get(&key) else { continue };
        let values = [
            Value::Int(key.sender),
            Value::bits(key.stream),
            Value::Int(key.priority.into()),
            Value::bits(floor.sequence),
            Value::time(floor.expires_at),
        ];
        execute(&mut desk.conn, UPSERT_FLOOR, values).await?;
    }
    let evicted = rows.len() as u64;
    desk.state.count_seen(sender, |ids| ids.saturating_sub(evicted));
    drop_surplus_floors(desk, sender).await?;
    Ok(evicted)
}

async fn drop_surplus_floors(desk: &mut Desk, sender: i64) -> Result<(), StoreError> {
    loop {
        let of_sender = desk.state.floors.iter().filter(|(key, _)| key.sender == sender);
        let (count, first_over) = of_sender.fold((0, None), |(count, first), (key, floor)| {
            let over = (floor.expires_at, *key);
            (count + 1, Some(first.map_or(over, |first| over.min(first))))
        });
        match first_over {
            Some((_, key)) if count > FLOORS_PER_SENDER_MAX => {
                desk.state.floors.remove(&key);
                delete_floor(desk, &key).await?;
            }
            Some(_) | None => return Ok(()),
        }
    }
}

async fn delete_floor(desk: &mut Desk, key: &FloorKey) -> Result<(), StoreError> {
    let values = [Value::Int(key.sender), Value::bits(key.stream), Value::Int(key.priority.into())];
    execute(&mut desk.conn, DELETE_FLOOR, values).await.map(drop)
}

async fn delete_old(desk: &mut Desk, now: UnixMillis) -> Result<(u64, u64), StoreError> {
    let before = |kept: Duration| {
        let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        Value::count(now.0.saturating_sub(kept))
    };
    let conn = &mut desk.conn;
    execute(conn, NOTE_ENDED, [Value::time(now)]).await?;
    let ended = execute(conn, DELETE_ENDED, [before(ENDED_KEPT)]).await?;
    let tokens = execute(conn, DELETE_TOKENS, [before(TOKENS_KEPT)]).await?;
    Ok((ended, tokens))
}

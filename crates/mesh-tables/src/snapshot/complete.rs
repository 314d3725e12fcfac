//! The last piece of a snapshot is in: what this database has applied from now on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_protocol::{
    Dot, ORIGIN_CONTEXTS_MAX, OriginContext, OriginId, SqlValue, UnixMillis, VersionVector,
};

use super::covered::{Part, forget_caught_up};
use super::join::refused;
use crate::desk::Desk;
use crate::sql::{Columns, execute, fetch_optional, number};
use crate::{TablesError, apply};

/// Two origins and a number.
const CONTEXT_BYTES: usize = 40;

/// What each origin had applied of the others.
type OfOrigins = BTreeMap<OriginId, VersionVector>;

#[derive(Debug, Default)]
struct Contexts {
    /// At the last of its transactions that a view has.
    last: OfOrigins,
    /// At the first one that a view keeps aside, of the origins of which it keeps any.
    aside: OfOrigins,
}

/// Keeps what the origins had applied, as a view says, until the snapshot is complete.
pub(super) async fn add_contexts(
    desk: &mut Desk,
    no: i64,
    contexts: Vec<OriginContext>,
) -> Result<(), TablesError> {
    if contexts.is_empty() {
        return Ok(());
    }
    let mut bytes = read_contexts(desk, no).await?;
    for OriginContext { origin, other, upto } in contexts {
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(other.as_bytes());
        bytes.extend_from_slice(&upto.to_be_bytes());
    }
    if bytes.len() > ORIGIN_CONTEXTS_MAX * CONTEXT_BYTES {
        return Err(refused("a snapshot says too much of what others had applied"));
    }
    let sql = "UPDATE mesh_snapshot SET contexts = ? WHERE no = ?";
    execute(&mut desk.conn, sql, [SqlValue::Blob(bytes), SqlValue::Integer(no)]).await.map(drop)
}

async fn read_contexts(desk: &mut Desk, no: i64) -> Result<Vec<u8>, TablesError> {
    let sql = "SELECT contexts FROM mesh_snapshot WHERE no = ?";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Integer(no)]).await?;
    row.map_or_else(|| Ok(Vec::new()), |row| Columns::of(&row).blob())
}

/// Of an origin of which something is kept aside each pair stands twice, first as of the first of that.
fn decode_contexts(bytes: &[u8]) -> Contexts {
    let mut said = BTreeMap::<(OriginId, OriginId), (u64, Option<u64>)>::new();
    for context in bytes.as_chunks::<CONTEXT_BYTES>().0 {
        let Some((origin, rest)) = context.split_first_chunk::<16>() else { continue };
        let Some((other, rest)) = rest.split_first_chunk::<16>() else { continue };
        let Some((upto, _)) = rest.split_first_chunk::<8>() else { continue };
        let (origin, other) = (OriginId::from_bytes(*origin), OriginId::from_bytes(*other));
        let upto = u64::from_be_bytes(*upto);
        said.entry((origin, other))
            .and_modify(|(_, again)| *again = Some(upto))
            .or_insert((upto, None));
    }
    let mut contexts = Contexts::default();
    for ((origin, other), (first, again)) in said {
        if again.is_some() {
            contexts.aside.entry(origin).or_default().advance(other, first);
        }
        contexts.last.entry(origin).or_default().advance(other, again.unwrap_or(first));
    }
    contexts
}

/// Notes that everything that all views had applied is applied here. Rows of the later views are ahead of
/// that; which these are stays known until this database has caught up.
pub(super) async fn complete(desk: &mut Desk) -> Result<(), TablesError> {
    let parts = desk.state.covered.of_this_snapshot().filter(|part| !part.is_empty());
    let parts: Vec<Arc<Part>> = parts.cloned().collect();
    let (mut meet, mut contexts) = (None::<VersionVector>, None::<Contexts>);
    for part in &parts {
        match &mut meet {
            Some(meet) => meet.meet(&part.known),
            None => meet = Some(part.known.clone()),
        }
        let of_view = decode_contexts(&read_contexts(desk, part.no).await?);
        contexts = Some(match contexts {
            Some(contexts) => meet_contexts(contexts, of_view),
            None => of_view,
        });
    }
    let aside = first_of(parts.iter().flat_map(|part| part.known.holes()));
    let (joined, limited) = joined(desk, meet.unwrap_or_default(), &aside);
    let mut contexts = contexts.unwrap_or_default();
    let before = std::mem::take(&mut contexts.aside).into_iter();
    contexts.last.extend(before.filter(|(origin, _)| limited.contains(origin)));
    advance(desk, joined, &contexts.last).await?;
    end(desk).await
}

/// Takes the snapshot as ended. Which rows came from which view stays known until this database has caught up with it.
pub(super) async fn end(desk: &mut Desk) -> Result<(), TablesError> {
    let Desk { conn, state, .. } = &mut *desk;
    let covered = Arc::make_mut(&mut state.covered);
    covered.forget(conn, |part| !part.is_done && part.is_empty()).await?;
    let parts: Vec<Arc<Part>> = covered.of_this_snapshot().cloned().collect();
    for part in parts {
        covered.put(conn, Part { is_done: true, ..Part::clone(&part) }).await?;
    }
    execute(conn, "UPDATE mesh_snapshot SET contexts = x''", []).await?;
    state.in_snapshot = false;
    forget_caught_up(desk).await
}

/// What an origin had applied at the earliest of the transactions at which the views stood.
fn meet_contexts(contexts: Contexts, mut other: Contexts) -> Contexts {
    let last = contexts.last.into_iter().filter_map(|(origin, mut context)| {
        context.meet(other.last.get(&origin)?);
        Some((origin, context))
    });
    let last = last.collect();
    // What only one of them keeps aside is not here either.
    let mut aside = contexts.aside;
    for (origin, context) in &mut aside {
        if let Some(other) = other.aside.remove(origin) {
            context.meet(&other);
        }
    }
    aside.extend(other.aside);
    Contexts { last, aside }
}

/// What is here and what the views have in common, and of which origins that is less than what the views have.
///
/// What they keep aside (`aside` is the first of each origin) is not here: of its origin only what comes before counts,
/// so that it is sent. What comes after it comes once more, to rows that are known to have it. Where something of the
/// origin is kept aside here as well, or is known here alone, nobody has said what the origin had applied just before
/// the next: nothing of it counts but what is here.
fn joined(
    desk: &Desk,
    mut meet: VersionVector,
    aside: &BTreeMap<OriginId, u64>,
) -> (VersionVector, BTreeSet<OriginId>) {
    let own = &desk.state.vector;
    let me = desk.state.me;
    // Nobody knows more of this database than itself, or it is not the one it takes itself for.
    meet.set(me, own.upto(&me), []);
    let mut joined = VersionVector::clone(own);
    joined.join(&meet);
    let limits = first_of(joined.holes().difference(own.holes()));
    for (origin, first) in &limits {
        let is_first = aside.get(origin) == Some(first);
        let limit = if is_first { first.saturating_sub(1) } else { 0 };
        let upto = limit.max(own.upto(origin));
        let kept: Vec<u64> = (joined.holes().iter())
            .filter(|hole| hole.origin == *origin && hole.sequence <= upto)
            .map(|hole| hole.sequence)
            .collect();
        joined.set(*origin, upto, kept);
    }
    (joined, limits.into_keys().collect())
}

/// The first of each origin.
fn first_of<'h>(holes: impl Iterator<Item = &'h Dot>) -> BTreeMap<OriginId, u64> {
    let mut first = BTreeMap::<OriginId, u64>::new();
    for hole in holes {
        let of_origin = first.entry(hole.origin).or_insert(hole.sequence);
        *of_origin = hole.sequence.min(*of_origin);
    }
    first
}

async fn advance(
    desk: &mut Desk,
    joined: VersionVector,
    contexts: &OfOrigins,
) -> Result<(), TablesError> {
    const VECTOR: &str = "INSERT INTO mesh_vector (origin, upto, floor) VALUES (?1, ?2, ?2) \
                          ON CONFLICT (origin) DO UPDATE SET upto = ?2, floor = ?2";
    const CONTEXT: &str = "INSERT INTO mesh_contexts (origin, other, upto) VALUES (?1, ?2, ?3) \
                           ON CONFLICT (origin, other) DO UPDATE SET upto = max(upto, ?3)";
    let filled: Vec<Dot> = desk.state.vector.holes().difference(joined.holes()).copied().collect();
    for dot in filled {
        let origin = desk.state.origin_no(&mut desk.conn, dot.origin).await?;
        let values = [SqlValue::Integer(origin), number(dot.sequence)];
        let rows = "DELETE FROM mesh_parked_rows WHERE parked = \
                    (SELECT id FROM mesh_parked WHERE origin = ? AND sequence = ?)";
        execute(&mut desk.conn, rows, values.clone()).await?;
        let sql = "DELETE FROM mesh_parked WHERE origin = ? AND sequence = ?";
        execute(&mut desk.conn, sql, values).await?;
    }
    for (origin, upto) in joined.origins() {
        if upto <= desk.state.vector.upto(&origin) {
            continue;
        }
        let no = desk.state.origin_no(&mut desk.conn, origin).await?;
        execute(&mut desk.conn, VECTOR, [SqlValue::Integer(no), number(upto)]).await?;
        Arc::make_mut(&mut desk.state.floors).insert(origin, upto);
        for (other, upto) in contexts.get(&origin).into_iter().flat_map(VersionVector::origins) {
            let other_no = desk.state.origin_no(&mut desk.conn, other).await?;
            let values = [SqlValue::Integer(no), SqlValue::Integer(other_no), number(upto)];
            execute(&mut desk.conn, CONTEXT, values).await?;
            let contexts = Arc::make_mut(&mut desk.state.contexts);
            contexts.entry(origin).or_default().advance(other, upto);
        }
    }
    desk.state.vector = Arc::new(joined);
    apply::forget_passed(desk).await
}

/// What is kept aside may be possible with the tables that have come.
pub(super) async fn retry_parked(desk: &mut Desk, at: UnixMillis) -> Result<(), TablesError> {
    let sql = "SELECT 1 FROM mesh_parked LIMIT 1";
    if fetch_optional(&mut desk.conn, sql, []).await?.is_some() {
        apply::retry(desk, at).await?;
    }
    Ok(())
}

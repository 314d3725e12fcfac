//! Which rows came from which view of another database's state, and what that view had applied.
//!
//! A snapshot is read from several views, each newer than the one before. When it is complete this database
//! has applied what all of them had (the vector). Rows of the later views are ahead of that: a change
//! that such a view had applied is in its rows already, and comes once more from the log.

use std::sync::Arc;

use mesh_protocol::{Dot, OriginHave, PeerId, SnapshotRequest, SqlValue, VersionVector};
use sqlx::SqliteConnection;

use super::place::Place;
use crate::TablesError;
use crate::catalog::Table;
use crate::desk::Desk;
use crate::sql::{Columns, execute, fetch_all};
use crate::state::State;

/// What was read from one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its number; views are numbered in the order in which they were read.
    pub(crate) no: i64,
    pub(crate) member: PeerId,
    /// The view; 0 as long as none has answered.
    pub(crate) session: u64,
    pub(crate) have: Vec<OriginHave>,
    /// The same as a vector.
    pub(crate) known: VersionVector,
    pub(crate) begins: Place,
    /// Where it ends, or where the next piece begins.
    pub(crate) next: Place,
    /// Whether its snapshot is complete.
    pub(crate) is_done: bool,
}

impl Part {
    /// A view of `member` that has not answered yet.
    pub(crate) fn begin(no: i64, member: PeerId, begins: Place) -> Self {
        let (have, known) = (Vec::new(), VersionVector::default());
        let next = begins.clone();
        Self { no, member, session: 0, have, known, begins, next, is_done: false }
    }

    /// Whether no row was read from the view.
    pub(crate) fn is_empty(&self) -> bool {
        self.begins.is_same(&self.next)
    }

    fn holds(&self, table: &Table, key: &[SqlValue]) -> bool {
        self.begins.is_before(table, key) && !self.next.is_before(table, key)
    }
}

/// All that is remembered of snapshots. Empty unless one is being taken, or was taken a moment ago.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covered {
    parts: Vec<Arc<Part>>,
}

impl Covered {
    /// Reads what is noted. A snapshot of which nothing had come was not begun.
    pub(crate) async fn load(conn: &mut SqliteConnection) -> Result<Self, TablesError> {
        const SQL: &str = "SELECT no, member, session, have, begins, next, is_done \
                           FROM mesh_snapshot ORDER BY no";
        let mut parts = Vec::new();
        for row in fetch_all(conn, SQL, []).await? {
            let mut columns = Columns::of(&row);
            let no = columns.int()?;
            let member = PeerId::from_bytes(columns.array("member")?);
            let session = columns.int()?.cast_unsigned();
            let have = decode_have(&columns.blob()?)?;
            parts.push(Arc::new(Part {
                no,
                member,
                session,
                known: VersionVector::of(&have),
                have,
                begins: Place::decode(&columns.blob()?)?,
                next: Place::decode(&columns.blob()?)?,
                is_done: columns.flag()?,
            }));
        }
        let mut covered = Self { parts };
        if !covered.in_progress() {
            covered.forget(conn, |part| !part.is_done).await?;
        }
        Ok(covered)
    }

    /// Whether a part of a snapshot is here, and the rest is not.
    pub(crate) fn in_progress(&self) -> bool {
        self.of_this_snapshot().any(|part| !part.is_empty())
    }

    /// The view that is being read.
    pub(crate) fn current(&self) -> Option<&Arc<Part>> {
        self.parts.last().filter(|part| !part.is_done)
    }

    /// The views of the snapshot that is being taken.
    pub(crate) fn of_this_snapshot(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.parts.iter().filter(|part| !part.is_done)
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The number of the next view.
    pub(crate) fn next_no(&self) -> i64 {
        self.parts.last().map_or(1, |part| part.no + 1)
    }

    /// What is to be asked for next.
    pub(crate) fn request(&self) -> Option<(PeerId, SnapshotRequest)> {
        let part = self.current()?;
        let position = match &part.next {
            Place::Start | Place::End => None,
            Place::At(position) => Some(position.clone()),
        };
        let request =
            SnapshotRequest { request_id: 0, session: part.session, position, buckets: Vec::new() };
        Some((part.member, request))
    }

    /// Whether a view that the row came from had applied a transaction.
    fn knows(&self, table: &Table, key: &[SqlValue], dot: &Dot) -> bool {
        self.parts.iter().any(|part| part.known.knows(dot) && part.holds(table, key))
    }

    /// Everything that is known of one row: `known` by the whole database, and the views it came from.
    pub(crate) fn known_of(
        &self,
        known: &Arc<VersionVector>,
        table: &Table,
        key: &[SqlValue],
    ) -> Arc<VersionVector> {
        let mut known = Arc::clone(known);
        for part in self.parts.iter().filter(|part| part.holds(table, key)) {
            if !known.covers(&part.known) {
                Arc::make_mut(&mut known).join(&part.known);
            }
        }
        known
    }

    /// Remembers a view, or what changed of it, here and in the database.
    pub(crate) async fn put(
        &mut self,
        conn: &mut SqliteConnection,
        part: Part,
    ) -> Result<(), TablesError> {
        const SQL: &str = "INSERT INTO mesh_snapshot \
             (no, member, session, have, contexts, begins, next, is_done) \
             VALUES (?1, ?2, ?3, ?4, x'', ?5, ?6, ?7) \
             ON CONFLICT (no) DO UPDATE SET member = ?2, session = ?3, have = ?4, begins = ?5, \
             next = ?6, is_done = ?7";
        let values = [
            SqlValue::Integer(part.no),
            SqlValue::Blob(part.member.as_bytes().to_vec()),
            SqlValue::Integer(part.session.cast_signed()),
            SqlValue::Blob(encode_have(&part.have)),
            SqlValue::Blob(part.begins.encode()),
            SqlValue::Blob(part.next.encode()),
            SqlValue::Integer(part.is_done.into()),
        ];
        execute(conn, SQL, values).await?;
        self.parts.retain(|known| known.no != part.no);
        self.parts.push(Arc::new(part));
        self.parts.sort_by_key(|part| part.no);
        Ok(())
    }

    /// Forgets the views that `is_past` names.
    pub(crate) async fn forget(
        &mut self,
        conn: &mut SqliteConnection,
        is_past: impl Fn(&Part) -> bool,
    ) -> Result<(), TablesError> {
        for part in self.parts.iter().filter(|part| is_past(part)) {
            let sql = "DELETE FROM mesh_snapshot WHERE no = ?";
            execute(conn, sql, [SqlValue::Integer(part.no)]).await?;
        }
        self.parts.retain(|part| !is_past(part));
        Ok(())
    }
}

/// Whether a change is in the row already, because the row came with a snapshot whose view had applied
/// the change's transaction, although this database as a whole has not.
///
/// Who applies a transaction asks this for every row that it writes, and leaves out those for which it is
/// true; the rest of the transaction is applied as always. Costs nothing when no snapshot was taken lately.
pub(crate) fn already_known(state: &State, table: &Table, key: &[SqlValue], dot: &Dot) -> bool {
    state.covered.knows(table, key, dot)
}

/// Forgets views of snapshots that this database has caught up with. To be called when the vector has
/// grown; costs nothing when no snapshot was taken lately.
pub(crate) async fn forget_caught_up(desk: &mut Desk) -> Result<(), TablesError> {
    let Desk { conn, state, .. } = desk;
    let State { covered, vector, .. } = state;
    let is_past = |part: &Part| part.is_done && vector.covers(&part.known);
    if covered.parts.iter().any(|part| is_past(part)) {
        Arc::make_mut(covered).forget(conn, is_past).await?;
    }
    Ok(())
}

/// Origin, number, floor, count of holes, holes; numbers in eight bytes.
fn encode_have(have: &[OriginHave]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for OriginHave { origin, upto, holes, floor } in have {
        bytes.extend_from_slice(origin.as_bytes());
        for number in [*upto, *floor, holes.len() as u64].iter().chain(holes) {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
    bytes
}

fn decode_have(bytes: &[u8]) -> Result<Vec<OriginHave>, TablesError> {
    let mut rest = bytes;
    let mut have = Vec::new();
    while !rest.is_empty() {
        let origin = read_origin_have(&mut rest);
        have.push(origin.ok_or(TablesError::Malformed { what: "view of a snapshot" })?);
    }
    Ok(have)
}

fn read_origin_have(rest: &mut &[u8]) -> Option<OriginHave> {
    let (origin, left) = rest.split_first_chunk::<16>()?;
    *rest = left;
    let mut number = || {
        let (number, left) = rest.split_first_chunk::<8>()?;
        *rest = left;
        Some(u64::from_be_bytes(*number))
    };
    let (upto, floor, count) = (number()?, number()?, number()?);
    let holes = (0..count).map(|_| number()).collect::<Option<_>>()?;
    Some(OriginHave { origin: mesh_protocol::OriginId::from_bytes(*origin), upto, holes, floor })
}

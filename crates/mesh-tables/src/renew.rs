//! A new origin for a database that may not go on under its old one.
//!
//! What others are known to have stays as it is: it is the same wherever it is known. What nobody is known
//! to have moves to the new origin, with its clocks. Should somebody have it after all, they have it twice,
//! as equal values written at the same time.
//!
//! Of two versions with one clock the greater origin wins, and what was decided here stays decided: the new
//! origin takes the place of the old one among all others.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_protocol::{HybridClock, OriginId, SqlValue, TransactionPart, Version, VersionVector};

use crate::desk::Desk;
use crate::durable::Durability;
use crate::key;
use crate::sql::{Columns, execute, fetch_all, number, quoted};
use crate::state::State;
use crate::{Tables, TablesError};

/// The tables of the bookkeeping in which a transaction is named, beside those of rows.
const NAMED_IN: [&str; 3] = ["mesh_tables", "mesh_columns", "mesh_indexes"];

impl Tables {
    /// Continues under a new origin, `fresh` but for its first bytes: for a database that was rolled back or
    /// copied, so that others have transactions of its origin that it does not have. Its own up to
    /// `shared_upto` are those that others have as well; later ones move to the new origin, as its first
    /// ones. Where the log does not reach back that far everybody has them, and they do not move.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be read or written; nothing has changed then.
    pub async fn renew_origin(&self, shared_upto: u64, fresh: OriginId) -> Result<(), TablesError> {
        self.transact(move |desk| Box::pin(renew(desk, shared_upto, fresh))).await
    }
}

/// Gives a new origin to a database that was restored from a backup.
///
/// Everything that it has of its former origin was sealed before the backup was made: it is the same
/// wherever it is known, so it stays. Only what was captured and not sealed moves.
pub(crate) async fn after_restore(desk: &mut Desk, fresh: OriginId) -> Result<(), TablesError> {
    let sql = "SELECT origin IS NULL FROM mesh_state WHERE id = 1";
    let rows = fetch_all(&mut desk.conn, sql, []).await?;
    let row = rows.first().ok_or(TablesError::Malformed { what: "state" })?;
    if Columns::of(row).flag()? {
        let at_once = Durability::AtOnce;
        desk.transaction(at_once, move |desk| Box::pin(renew(desk, u64::MAX, fresh))).await?;
    }
    Ok(())
}

/// What becomes of the old origin's transactions.
struct Move {
    old: OriginId,
    old_no: i64,
    fresh: OriginId,
    fresh_no: i64,
    /// Those behind this one move.
    shared: u64,
    /// How many they are.
    count: u64,
}

async fn renew(desk: &mut Desk, shared_upto: u64, fresh: OriginId) -> Result<(), TablesError> {
    let (old, old_no) = (desk.state.me, desk.state.my_no);
    let fresh = beside(&old, &fresh);
    let upto = desk.state.vector.upto(&old);
    let floor = desk.state.floors.get(&old).copied().unwrap_or(0);
    let shared = shared_upto.max(floor).min(upto);
    let fresh_no = desk.state.own_origin_no(&mut desk.conn, fresh).await?;
    let mover = Move { old, old_no, fresh, fresh_no, shared, count: upto - shared };
    let context = mover.shared_context(desk).await?;
    mover.move_versions(desk).await?;
    mover.move_losers(desk).await?;
    mover.move_coverage(desk).await?;
    mover.move_log(desk, &context).await?;
    mover.write_context(desk, &context).await?;
    let member = "UPDATE mesh_origins SET member = (SELECT member FROM mesh_origins WHERE id = ?1) \
                  WHERE id = ?2";
    mover.execute(desk, member).await?;
    let state = "UPDATE mesh_state SET origin = ?2, former = NULL, sequence = ?4 + 1 WHERE id = 1";
    mover.execute(desk, state).await?;
    desk.state = State::load(&mut desk.conn, fresh).await?;
    // Should this not be committed after all, the database has them still.
    desk.recent.forget();
    desk.uncommitted.forget();
    tracing::info!(moved = mover.count, kept = shared, "the database has a new origin");
    Ok(())
}

/// How many first bytes an origin keeps when it becomes another one: enough that hardly any other database has the
/// same, and few enough that people tell the two apart by the digits that they are shown.
const KEPT_BYTES: usize = 2;

/// `fresh` with the first bytes of `old`, which decide who is greater among all but those that share them.
fn beside(old: &OriginId, fresh: &OriginId) -> OriginId {
    let mut bytes = *fresh.as_bytes();
    let first = bytes.iter_mut().zip(old.as_bytes()).take(KEPT_BYTES);
    first.for_each(|(to, from)| *to = *from);
    OriginId::from_bytes(bytes)
}

impl Move {
    /// Runs a statement; the parameters are the old origin, the new one, the last number that stays, and
    /// how many move.
    async fn execute(&self, desk: &mut Desk, sql: impl Into<String>) -> Result<(), TablesError> {
        let values = [
            SqlValue::Integer(self.old_no),
            SqlValue::Integer(self.fresh_no),
            number(self.shared),
            number(self.count),
        ];
        execute(&mut desk.conn, sql, values).await.map(drop)
    }

    /// A version as it is called from now on.
    fn rename(&self, version: &mut Version) {
        if version.origin == self.old && version.sequence > self.shared {
            version.origin = self.fresh;
            version.sequence -= self.shared;
        }
    }

    /// What the old origin had applied of others when it made its last transaction that stays.
    ///
    /// What it had at its very last one is known. Where a transaction that moves says that it had more of
    /// somebody, the log tells how much it had before: entries stand in the order in which they came.
    async fn shared_context(&self, desk: &mut Desk) -> Result<VersionVector, TablesError> {
        let mut context = VersionVector::default();
        let last = desk.state.contexts.get(&self.old).cloned().unwrap_or_default();
        let grown = self.grown(desk).await?;
        for (other, upto) in last.origins().filter(|(other, _)| *other != self.old) {
            let before =
                if grown.contains(&other) { self.upto_before(desk, other).await? } else { upto };
            context.advance(other, before.min(upto));
        }
        Ok(context)
    }

    /// The last transaction of `other` that was applied before the first one that moves was made.
    async fn upto_before(&self, desk: &mut Desk, other: OriginId) -> Result<u64, TablesError> {
        let floor = desk.state.floors.get(&other).copied().unwrap_or(0);
        let Some(no) = desk.state.origins.no(&other) else { return Ok(0) };
        let sql = "SELECT max(sequence) FROM mesh_log WHERE origin = ?1 AND id < \
                   (SELECT min(id) FROM mesh_log WHERE origin = ?2 AND sequence > ?3)";
        let values = [SqlValue::Integer(no), SqlValue::Integer(self.old_no), number(self.shared)];
        let rows = fetch_all(&mut desk.conn, sql, values).await?;
        let found = rows.first().map(|row| Columns::of(row).int_or_none()).transpose()?.flatten();
        // Dropped entries came before all that are kept.
        Ok(found.and_then(|found| u64::try_from(found).ok()).unwrap_or(floor))
    }

    /// Of whom the transactions that move say that there was more.
    async fn grown(&self, desk: &mut Desk) -> Result<BTreeSet<OriginId>, TablesError> {
        let sql =
            "SELECT id FROM mesh_log WHERE origin = ? AND sequence > ? AND part = 0 ORDER BY id";
        let values = [SqlValue::Integer(self.old_no), number(self.shared)];
        let mut grown = BTreeSet::new();
        for row in fetch_all(&mut desk.conn, sql, values).await? {
            let part = read_part(desk, Columns::of(&row).int()?).await?;
            let advanced = part.header.unwrap_or_default().advanced;
            grown.extend(advanced.into_iter().map(|(other, _)| other));
        }
        Ok(grown)
    }

    /// Rows, columns and tables.
    async fn move_versions(&self, desk: &mut Desk) -> Result<(), TablesError> {
        let catalog = Arc::clone(&desk.state.catalog);
        for table in catalog.tables.values() {
            for shadow in [table.row_table(), table.cell_table()] {
                let shadow = quoted(&shadow);
                let sql = format!(
                    "UPDATE {shadow} SET origin = ?2, seq = seq - ?3 WHERE origin = ?1 AND seq > ?3"
                );
                self.execute(desk, sql).await?;
            }
        }
        for table in NAMED_IN {
            let sql = format!(
                "UPDATE {table} SET origin = ?2, sequence = sequence - ?3 \
                 WHERE origin = ?1 AND sequence > ?3"
            );
            self.execute(desk, sql).await?;
        }
        Ok(())
    }

    /// Losers of conflicts, whose names tell of which transaction they are.
    async fn move_losers(&self, desk: &mut Desk) -> Result<(), TablesError> {
        let catalog = Arc::clone(&desk.state.catalog);
        let sql = "SELECT id, table_no, key, column, life, clock, sequence FROM mesh_conflicts \
                   WHERE origin = ? AND sequence > ?";
        let values = [SqlValue::Integer(self.old_no), number(self.shared)];
        for row in fetch_all(&mut desk.conn, sql, values).await? {
            let mut columns = Columns::of(&row);
            let (id, table_no) = (columns.text()?, columns.int()?);
            let found = key::decode_values(&columns.blob()?)?;
            let column = columns.int_or_none()?.and_then(|no| u16::try_from(no).ok());
            let (life, clock) = (columns.count()?, HybridClock(columns.count()?));
            let sequence = columns.count()?.saturating_sub(self.shared);
            let version = Version { life, clock, origin: self.fresh, sequence };
            let table = catalog.tables.values().find(|table| table.no == table_no);
            let Some(table) = table else { continue };
            let column = column.and_then(|no| table.columns.iter().find(|column| column.no == no));
            let column = column.map(|column| column.name.as_str());
            let name = key::loser_id(table, &found, column, &version);
            let sql = "UPDATE mesh_conflicts SET id = ?2, origin = ?3, sequence = ?4 WHERE id = ?1";
            let values = [
                SqlValue::Text(id),
                SqlValue::Text(name),
                SqlValue::Integer(self.fresh_no),
                number(version.sequence),
            ];
            execute(&mut desk.conn, sql, values).await?;
        }
        Ok(())
    }

    /// What whole rows of the old origin cover, those that move cover as well.
    async fn move_coverage(&self, desk: &mut Desk) -> Result<(), TablesError> {
        let add = "INSERT OR REPLACE INTO mesh_coverage (table_no, column, origin, sequence) \
                   SELECT table_no, column, ?2, max(1, sequence - ?3) FROM mesh_coverage WHERE origin = ?1";
        self.execute(desk, add).await?;
        self.execute(desk, "DELETE FROM mesh_coverage WHERE origin = ?1 AND sequence > ?3").await
    }

    /// Rewrites the entries in their places, and moves the old origin's end.
    async fn move_log(&self, desk: &mut Desk, context: &VersionVector) -> Result<(), TablesError> {
        let sql = "SELECT id FROM mesh_log WHERE origin = ? AND sequence > ? ORDER BY id";
        let values = [SqlValue::Integer(self.old_no), number(self.shared)];
        for row in fetch_all(&mut desk.conn, sql, values).await? {
            let id = Columns::of(&row).int()?;
            let mut part = read_part(desk, id).await?;
            self.rewrite(&mut part, context);
            let body = part.encode().map_err(|_| TablesError::Malformed { what: "transaction" })?;
            let sql = "UPDATE mesh_log SET origin = ?2, sequence = ?3, body = ?4 WHERE id = ?1";
            let values = [
                SqlValue::Integer(id),
                SqlValue::Integer(self.fresh_no),
                number(part.dot.sequence),
                SqlValue::Blob(body),
            ];
            execute(&mut desk.conn, sql, values).await?;
        }
        let end = "UPDATE mesh_vector SET upto = ?3 WHERE origin = ?1";
        self.execute(desk, end).await?;
        if self.count > 0 {
            let begin = "INSERT INTO mesh_vector (origin, upto, floor) VALUES (?2, ?4, 0)";
            self.execute(desk, begin).await?;
        }
        Ok(())
    }

    /// The first transaction of the new origin builds upon everything that the old one had until then.
    fn rewrite(&self, part: &mut TransactionPart, context: &VersionVector) {
        part.dot.origin = self.fresh;
        part.dot.sequence = part.dot.sequence.saturating_sub(self.shared);
        if let Some(header) = &mut part.header {
            if part.dot.sequence == 1 {
                let mut before = context.clone();
                before.advance(self.old, self.shared);
                for (other, upto) in &header.advanced {
                    before.advance(*other, *upto);
                }
                header.advanced = before.origins().collect();
            }
            header.resolved.iter_mut().for_each(|resolved| self.rename(&mut resolved.version));
        }
        for listed in part.sections.iter_mut().flat_map(|section| &mut section.listed) {
            self.rename(&mut listed.version);
        }
    }

    /// Notes what either origin had applied of others.
    async fn write_context(
        &self,
        desk: &mut Desk,
        context: &VersionVector,
    ) -> Result<(), TablesError> {
        if self.count == 0 {
            // The new origin has said nothing: its first transaction tells everything.
            return Ok(());
        }
        let take = "UPDATE mesh_contexts SET origin = ?2 WHERE origin = ?1";
        self.execute(desk, take).await?;
        let builds_upon =
            "INSERT INTO mesh_contexts (origin, other, upto) SELECT ?2, ?1, ?3 WHERE ?3 > 0";
        self.execute(desk, builds_upon).await?;
        for (other, upto) in context.origins() {
            let no = desk.state.origin_no(&mut desk.conn, other).await?;
            let sql = "INSERT INTO mesh_contexts (origin, other, upto) VALUES (?, ?, ?)";
            let values = [SqlValue::Integer(self.old_no), SqlValue::Integer(no), number(upto)];
            execute(&mut desk.conn, sql, values).await?;
        }
        Ok(())
    }
}

async fn read_part(desk: &mut Desk, id: i64) -> Result<TransactionPart, TablesError> {
    let sql = "SELECT body FROM mesh_log WHERE id = ?";
    let rows = fetch_all(&mut desk.conn, sql, [SqlValue::Integer(id)]).await?;
    let row = rows.first().ok_or(TablesError::Malformed { what: "transaction" })?;
    let body = Columns::of(row).blob()?;
    TransactionPart::decode(&body).map_err(|_| TablesError::Malformed { what: "transaction" })
}

//! Clocks that are ahead and were let in: an operator accepted them, or a snapshot brought them.
//!
//! They are adopted by nobody, and yet whoever replaces such a write has to come after it. The triggers give that write
//! the next clock (see [`above`](crate::triggers::above)), which is of the same millisecond. Who has accepted the one
//! does not keep the other aside.

use std::collections::BTreeSet;

use mesh_protocol::{HybridClock, RowChange, UnixMillis};

use crate::TablesError;
use crate::desk::Desk;
use crate::rows::portions;
use crate::sql::{Columns, execute, fetch_optional, number, placeholders};

/// How long a moment is remembered after it.
const KEPT_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Whether a clock is further ahead than is believed, and neither accepted nor behind that of this database, which may
/// be ahead itself.
pub(crate) async fn is_doubted(
    desk: &mut Desk,
    clock: HybridClock,
    at: UnixMillis,
) -> Result<bool, TablesError> {
    if !desk.is_ahead(clock, at) {
        return Ok(false);
    }
    let sql = "SELECT clock >> 16 < ?1 AND NOT EXISTS (SELECT 1 FROM mesh_accepted WHERE millis = ?1) \
               FROM mesh_state WHERE id = 1";
    let row = fetch_optional(&mut desk.conn, sql, [number(clock.time().0)]).await?;
    row.map_or(Ok(true), |row| Columns::of(&row).flag())
}

/// Whether any clock that was ahead has been let in lately.
pub(crate) async fn is_any(desk: &mut Desk) -> Result<bool, TablesError> {
    let sql = "SELECT 1 FROM mesh_accepted LIMIT 1";
    Ok(fetch_optional(&mut desk.conn, sql, []).await?.is_some())
}

/// Whether a clock is of an accepted moment.
pub(crate) async fn has(desk: &mut Desk, clock: HybridClock) -> Result<bool, TablesError> {
    let sql = "SELECT 1 FROM mesh_accepted WHERE millis = ?";
    let row = fetch_optional(&mut desk.conn, sql, [number(clock.time().0)]).await?;
    Ok(row.is_some())
}

/// Notes those of `clocks` that are ahead, and forgets what is ahead no more.
pub(crate) async fn note(
    desk: &mut Desk,
    clocks: impl Iterator<Item = HybridClock>,
    at: UnixMillis,
) -> Result<(), TablesError> {
    let ahead = clocks.filter(|clock| desk.is_ahead(*clock, at));
    let millis: BTreeSet<u64> = ahead.map(|clock| clock.time().0).collect();
    if millis.is_empty() {
        return Ok(());
    }
    // Longer than needed, should this clock be set back meanwhile.
    let sql = "DELETE FROM mesh_accepted WHERE millis < ?";
    execute(&mut desk.conn, sql, [number(at.0.saturating_sub(KEPT_MILLIS))]).await?;
    for portion in portions(&millis.into_iter().collect::<Vec<_>>(), 1) {
        let sql = format!(
            "INSERT OR IGNORE INTO mesh_accepted (millis) VALUES {}",
            placeholders(portion.len(), 1)
        );
        let values = portion.iter().map(|millis| number(*millis));
        execute(&mut desk.conn, sql, values).await?;
    }
    Ok(())
}

/// Every clock in a change.
pub(crate) fn clocks(change: &RowChange) -> Vec<HybridClock> {
    match change {
        RowChange::Put { clock, .. } | RowChange::Delete { clock, .. } => vec![*clock],
        RowChange::Edit { cells, .. } => cells.iter().map(|cell| cell.clock).collect(),
    }
}

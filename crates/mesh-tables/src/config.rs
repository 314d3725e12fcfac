use std::time::Duration;

use mesh_protocol::HOLES_MAX;

/// Bounds of the replicated tables. All of them have a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablesConfig {
    /// Largest size of the database file. Beyond it writes fail as they do on a full disk.
    pub database_bytes_max: u64,
    /// Connections that answer queries at the same time.
    pub readers: u32,
    /// Longest time that a query may run.
    pub query_time_max: Duration,
    /// Most rows that a query may return.
    pub query_rows_max: u64,
    /// Longest time that the statements of one write may run. There is one writer: everything else that
    /// writes waits for it.
    pub write_time_max: Duration,
    /// Bytes that SQLite may allocate for everything it does in this process, from the first query on. A
    /// query that needs more fails. SQLite can lower such a bound and not raise it again; 0 sets none.
    pub heap_bytes_max: u64,
    /// Furthest that the clock of another member's write may be ahead; beyond it the write is kept aside.
    pub clock_ahead_max: Duration,
    /// Bytes of transactions that are kept for members who were away. Beyond it the oldest go, and who
    /// lacks them is served from the state.
    pub log_bytes_max: u64,
    /// Longest time that transactions are kept for members who were away.
    pub log_age_max: Duration,
    /// Bytes of transactions that are kept for watchers that come back, even when every member has them.
    pub log_bytes_kept: u64,
    /// Longest time that losers of conflicts, and tombstones of members who stay away, are kept.
    pub retention: Duration,
    /// Most losers of conflicts; beyond it the oldest go.
    pub conflicts_max: u64,
    /// Most transactions that are kept aside, of which members can be told of [`HOLES_MAX`]. Beyond it they
    /// are not taken, and so asked for again later.
    pub parked_max: u64,
    /// Most bytes of transactions that are kept aside or incomplete.
    pub spool_bytes_max: u64,
    /// Longest that one view of the state is held open for a snapshot, so that the WAL can be emptied.
    pub snapshot_view_max: Duration,
}

impl Default for TablesConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            database_bytes_max: 64 << 30,
            readers: 4,
            query_time_max: Duration::from_secs(30),
            query_rows_max: 1_000_000,
            write_time_max: Duration::from_secs(60),
            heap_bytes_max: 256 << 20,
            clock_ahead_max: Duration::from_secs(60),
            log_bytes_max: 1 << 30,
            log_age_max: DAY * 7,
            log_bytes_kept: 2 << 20,
            retention: DAY * 30,
            conflicts_max: 100_000,
            parked_max: HOLES_MAX as u64,
            spool_bytes_max: 1 << 30,
            snapshot_view_max: Duration::from_secs(30),
        }
    }
}

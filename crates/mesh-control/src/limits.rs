//! Every bound on what one request asks or one answer brings of the tables, of the configuration and of pushes.

/// Most rows in one answer; `sql/rows` has no such bound.
pub const SQL_ROWS_MAX: usize = 100_000;

/// Most bytes of values in the rows of one answer, as [`SqlValue::bytes`](mesh_protocol::SqlValue::bytes)
/// counts them; `sql/rows` has no such bound.
pub const SQL_BYTES_MAX: usize = 16 << 20;

/// Rows are put together until an item of `sql/rows` has about this many bytes of values.
pub const SQL_BATCH_BYTES_TARGET: usize = 64 << 10;

/// Most statements in one transaction.
pub const STATEMENTS_MAX: usize = 100_000;

/// Largest item of a stream as JSON: the largest row of a replicated table, with every byte escaped.
pub const STREAM_ITEM_BYTES_MAX: usize = 16 << 20;

/// Most entries in one answer about the configuration; its document is whole all the same.
pub const CONFIG_ENTRIES_MAX: usize = 10_000;

/// Changes of keys that are shown when nobody says how many.
pub const CONFIG_HISTORY_DEFAULT: usize = 100;

/// Most changes of keys that can be asked for.
pub const CONFIG_HISTORY_MAX: usize = 10_000;

/// Most keys in each list of differences with a member.
pub const CONFIG_DIFFERENCES_MAX: usize = 1_000;

/// Pushes that are shown when nobody says how many.
pub const PUSHES_DEFAULT: u64 = 20;

/// Most pushes that can be asked for.
pub const PUSHES_MAX: u64 = 1_000;

/// What a connection speaks that carries git: in the header `Upgrade`.
pub(crate) const GIT_UPGRADE: &str = "mesh-git";

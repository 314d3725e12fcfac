//! What to do about errors of the replicated tables, for the hints of [`ApiError`](crate::ApiError)s.

/// For `statement_invalid`.
pub const STATEMENT_INVALID: &str = "`mesh-ctl table list` shows the tables and their columns";

/// For `statement_refused`.
pub const STATEMENT_REFUSED: &str = "tables are made with `mesh-ctl table create` and dropped with `mesh-ctl table drop`; \
     docs/control-api.md lists the statements that are taken";

/// For `constraint_failed`.
pub const CONSTRAINT_FAILED: &str =
    "nothing of the transaction was written; correct the values and repeat it";

/// For `unknown_table`.
pub const UNKNOWN_TABLE: &str = "`mesh-ctl table list` shows the tables";

/// For `unknown_conflict`.
pub const UNKNOWN_CONFLICT: &str = "`mesh-ctl conflicts list` shows those that are not settled";

/// For `position_gone`.
pub const POSITION_GONE: &str = "read the table (`mesh-ctl sql`), then watch it without a position";

/// For `query_too_long`.
pub const QUERY_TOO_LONG: &str =
    "narrow the query, or read a backup of the database (`mesh-ctl backup`)";

/// For `too_many_rows`.
pub const TOO_MANY_ROWS: &str = "narrow the query with WHERE or LIMIT, or read it as a stream (`mesh-ctl sql`, POST /v1/sql/rows)";

/// For `disk_full`.
pub const DISK_FULL: &str = "nothing was written; make room on the disk of the data directory, and the agent goes on by itself";

/// For `read_only`.
pub const READ_ONLY: &str =
    "nothing was written; make the file system of the data directory writable (`mesh-ctl doctor`)";

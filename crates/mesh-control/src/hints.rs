//! What to do about errors of the replicated tables, of the configuration and of pushes, for the hints of [`ApiError`](crate::ApiError)s.

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

/// For `config_key_invalid`.
pub const CONFIG_KEY_INVALID: &str = "a key is names joined by dots, such as agents.oak.webhook; a name with other characters than \
     letters, digits, _ and - is written in double quotes: agents.\"a.b\".webhook";

/// For `config_key_local`.
pub const CONFIG_KEY_LOCAL: &str =
    "it never leaves this machine: write it into the file mesh-config.json of the data directory";

/// For `config_too_large`.
pub const CONFIG_TOO_LARGE: &str =
    "nothing was changed; change it in smaller parts, and keep large data in a replicated table";

/// For `schema_invalid` of a configuration.
pub const CONFIG_SCHEMA_INVALID: &str =
    "nothing was changed; `mesh-ctl config get mesh.schema` shows the rules that this mesh added";

/// For `secret_found` of a configuration.
pub const CONFIG_SECRET_FOUND: &str = "nothing was changed; seal it to those who need it (`mesh-ctl config set --sealed KEY --to HOST`), \
     or name a file that holds it (token_file)";

/// For `unknown_key`.
pub const UNKNOWN_KEY: &str = "`mesh-ctl config get` shows the keys";

/// For `unknown_version`.
pub const UNKNOWN_VERSION: &str = "`mesh-ctl config history` shows the changes that are kept";

/// For `ambiguous_version`.
pub const AMBIGUOUS_VERSION: &str =
    "say whose change is meant, as in 17@oak; `mesh-ctl config history` shows who made which";

/// For `changed_since`.
pub const CHANGED_SINCE: &str = "nothing was changed; `mesh-ctl config history KEY` shows the changes since, --force undoes it all the same";

/// For `sealed_unreadable`.
pub const SEALED_UNREADABLE: &str = "only the members that it is sealed to can read it; one of them can seal it anew to others as well";

/// For `unknown_push`.
pub const UNKNOWN_PUSH: &str =
    "`mesh-ctl pushes` lists those that this agent made or received and still remembers";

/// For `ambiguous_push`.
pub const AMBIGUOUS_PUSH: &str =
    "write more digits of its id; `mesh-ctl pushes --json` has them all";

/// For `unknown_root`.
pub const UNKNOWN_ROOT: &str = "roots are opened in the configuration file of the agent that receives, under [[roots]]; `default` is always there";

/// For `unknown_repository`.
pub const UNKNOWN_REPOSITORY: &str = "repositories are opened in the configuration file of the agent that has them, under [[repositories]]";

/// For `secret_found` of a push.
pub const PUSH_SECRET_FOUND: &str = "nothing left this machine; take the secret out of the file, or have .meshignore leave the file out: \
     `mesh-ctl scan PATH` names every place";

/// For `path_refused` of a push.
pub const PUSH_PATH_REFUSED: &str = "nothing left this machine; a destination is names with / between them, beneath the receivers' root: \
     no .., no / at the start";

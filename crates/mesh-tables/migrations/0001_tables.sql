-- Bookkeeping of the replicated tables. It lies beside them, so that a change and what is known of it
-- commit together. Clocks are hybrid: Unix milliseconds << 16 | counter. Origins are numbers of mesh_origins.

-- "MESD": tells this database from any other SQLite file.
PRAGMA application_id = 1296388932;

-- One row. Triggers read and write it, so every SQLite client can be a writer.
CREATE TABLE mesh_state (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    -- This database among those of the members. NULL in a backup: what is restored takes a new one.
    origin   INTEGER,
    -- In a backup: the database that it was made of.
    former   INTEGER,
    -- Number of the transaction that is being captured.
    sequence INTEGER NOT NULL,
    -- The latest clock that was given out or seen.
    clock    INTEGER NOT NULL,
    -- Whether something was captured that has not been sealed into a transaction.
    dirty    INTEGER NOT NULL,
    -- Whether the agent applies what others wrote: nothing is captured then.
    applying INTEGER NOT NULL,
    -- Whether the agent writes the tables that it alone writes.
    agent_writes INTEGER NOT NULL DEFAULT 0
);
INSERT INTO mesh_state (id, origin, former, sequence, clock, dirty, applying) VALUES (1, NULL, NULL, 1, 0, 0, 0);

CREATE TABLE mesh_origins (
    id     INTEGER PRIMARY KEY,
    origin BLOB NOT NULL UNIQUE CHECK (length(origin) = 16),
    -- The member whose database it is or was; NULL when not known.
    member BLOB
);

-- What has been applied of each origin: everything up to a number, but for what is parked. The log holds
-- everything above `floor`.
CREATE TABLE mesh_vector (
    origin INTEGER PRIMARY KEY,
    upto   INTEGER NOT NULL,
    floor  INTEGER NOT NULL
);

-- What each origin had applied of the others at its latest transaction.
CREATE TABLE mesh_contexts (
    origin INTEGER NOT NULL,
    other  INTEGER NOT NULL,
    upto   INTEGER NOT NULL,
    PRIMARY KEY (origin, other)
) WITHOUT ROWID;

-- Transactions in the order in which they were applied here, in the form in which they travel.
CREATE TABLE mesh_log (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    part     INTEGER NOT NULL,
    is_last  INTEGER NOT NULL,
    -- Unix milliseconds of the commit here.
    at       INTEGER NOT NULL,
    body     BLOB NOT NULL,
    -- What readers saw of it, where that is less than what it says (something lost); NULL when it is the same.
    effect   BLOB
);
CREATE UNIQUE INDEX mesh_log_dot ON mesh_log (origin, sequence, part);

-- Tables whose rows changed without an entry of the log, because the state of another member was taken over.
-- Numbered with the entries: every number is an entry, one of these, or dropped.
CREATE TABLE mesh_resyncs (
    id       INTEGER PRIMARY KEY,
    table_no INTEGER NOT NULL
);

-- Parts of transactions that are not whole yet, and whole ones that are kept aside.
CREATE TABLE mesh_spool (
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    part     INTEGER NOT NULL,
    is_last  INTEGER NOT NULL,
    body     BLOB NOT NULL,
    PRIMARY KEY (origin, sequence, part)
) WITHOUT ROWID;

-- Whole transactions that cannot be applied. Their parts are in mesh_spool.
CREATE TABLE mesh_parked (
    -- In the order in which they came.
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- 'clock_skew', 'unknown_table', 'unknown_column', 'constraint', 'behind_parked'
    reason   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    -- The latest clock in it.
    clock    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    -- Set by an operator: a clock that is ahead is no reason any more.
    accepted INTEGER NOT NULL DEFAULT 0,
    -- What its maker had applied, encoded: 16 bytes of an origin and 8 of a number, each.
    context  BLOB NOT NULL,
    UNIQUE (origin, sequence)
);

-- Rows that parked transactions write.
CREATE TABLE mesh_parked_rows (
    parked   INTEGER NOT NULL,
    table_id BLOB NOT NULL,
    -- Digest of the key.
    key      BLOB NOT NULL,
    PRIMARY KEY (table_id, key, parked)
) WITHOUT ROWID;

CREATE TABLE mesh_tables (
    no       INTEGER PRIMARY KEY,
    table_id BLOB NOT NULL UNIQUE CHECK (length(table_id) = 16),
    name     TEXT NOT NULL,
    -- The statement that creates it.
    sql      TEXT NOT NULL,
    -- 'live'; 'dropped'; 'aside': another definition of the same name was made earlier, and this one's rows
    -- are kept under another name.
    state    TEXT NOT NULL,
    -- The table that holds its rows; NULL when dropped.
    stored_as TEXT,
    replaces BLOB,
    clock    INTEGER NOT NULL,
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL
);

CREATE TABLE mesh_columns (
    table_no   INTEGER NOT NULL,
    -- Never used again for another column of the table.
    no         INTEGER NOT NULL,
    name       TEXT NOT NULL,
    -- Place in the primary key from 1, or 0.
    key_place  INTEGER NOT NULL,
    -- What follows ADD COLUMN; NULL for columns of the original definition.
    definition TEXT,
    clock      INTEGER NOT NULL,
    origin     INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    PRIMARY KEY (table_no, no)
) WITHOUT ROWID;

-- From which transaction of an origin on its whole rows cover a column that was added. Without an entry they
-- do not.
CREATE TABLE mesh_coverage (
    table_no INTEGER NOT NULL,
    column   INTEGER NOT NULL,
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (table_no, column, origin)
) WITHOUT ROWID;

CREATE TABLE mesh_indexes (
    table_no INTEGER NOT NULL,
    name     TEXT NOT NULL,
    sql      TEXT NOT NULL,
    clock    INTEGER NOT NULL,
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (table_no, name)
) WITHOUT ROWID;

-- Definitions of columns and indexes that do not hold their name, because another one was made earlier. Only
-- told: which one holds it is in mesh_columns and mesh_indexes.
CREATE TABLE mesh_set_aside (
    table_no   INTEGER NOT NULL,
    -- 'column' or 'index'
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (table_no, kind, name, definition)
) WITHOUT ROWID;

-- Writes that lost against concurrent ones and were not decided upon since.
CREATE TABLE mesh_conflicts (
    -- The same on every peer: digest of table, key, column and write.
    id        TEXT PRIMARY KEY,
    table_no  INTEGER NOT NULL,
    -- Digest of the key.
    key_hash  BLOB NOT NULL,
    -- The key columns, encoded.
    key       BLOB NOT NULL,
    -- NULL for a deletion that lost.
    column    INTEGER,
    life      INTEGER NOT NULL,
    clock     INTEGER NOT NULL,
    origin    INTEGER NOT NULL,
    sequence  INTEGER NOT NULL,
    -- What it wrote, encoded.
    value     BLOB NOT NULL,
    -- When it was listed here, Unix milliseconds.
    listed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX mesh_conflicts_row ON mesh_conflicts (table_no, key_hash);
CREATE INDEX mesh_conflicts_listed ON mesh_conflicts (listed_at, id);

-- Rows that are too large to travel, and whatever else this database keeps to itself.
CREATE TABLE mesh_unsent (
    table_no INTEGER NOT NULL,
    key      BLOB NOT NULL,
    reason   TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (table_no, key)
) WITHOUT ROWID;

-- Snapshots that are being taken in, or were taken a moment ago: one row per view of a member's state, in the
-- order in which they were read. Goes when this database has applied what the view had.
CREATE TABLE mesh_snapshot (
    no       INTEGER PRIMARY KEY,
    -- From which member.
    member   BLOB NOT NULL,
    -- The member's number for the view; 0 when none has answered yet.
    session  INTEGER NOT NULL,
    -- What had been applied in the view, and what each origin had applied of the others, encoded.
    have     BLOB NOT NULL,
    contexts BLOB NOT NULL,
    -- Where the view's part begins, and where the next piece begins, encoded.
    begins   BLOB NOT NULL,
    next     BLOB NOT NULL,
    -- Whether the last piece of the snapshot is in.
    is_done  INTEGER NOT NULL
);

-- The members as the agent sees them, for joins with the tables.
CREATE TABLE mesh_members (
    peer_id            TEXT PRIMARY KEY,
    hostname           TEXT NOT NULL,
    status             TEXT NOT NULL,
    last_seen_at       INTEGER,
    joined_at          INTEGER NOT NULL,
    tailscale_ip       TEXT,
    tailscale_hostname TEXT,
    -- JSON array of "host:port".
    addresses          TEXT NOT NULL,
    version            TEXT NOT NULL,
    is_self            INTEGER NOT NULL
) WITHOUT ROWID;
CREATE VIEW agent_peers AS
    SELECT hostname, peer_id, status, last_seen_at, joined_at, tailscale_ip, tailscale_hostname, addresses,
           version, is_self
    FROM mesh_members;

-- Pushes that this node makes, and those that it is a target of; of a rollback it may be both. Numbered by
-- arrival, because the times in an offer are its sender's.
CREATE TABLE pushes (
    push_row    INTEGER PRIMARY KEY,
    push_id     BLOB NOT NULL CHECK (length(push_id) = 16),
    is_sender   INTEGER NOT NULL,
    by_peer     BLOB NOT NULL CHECK (length(by_peer) = 32),
    -- The push that this one takes back.
    rollback_of BLOB CHECK (length(rollback_of) = 16),
    made_at     INTEGER NOT NULL,
    is_open     INTEGER NOT NULL,
    -- Bytes that travelled for it, in both directions.
    wire_bytes  INTEGER NOT NULL,
    -- As it travels.
    offer       BLOB NOT NULL,
    -- What the sender was asked to do; empty at a target.
    request     BLOB NOT NULL,
    UNIQUE (push_id, is_sender)
) STRICT;
CREATE INDEX pushes_by_state ON pushes (is_open);

-- What happened to them, in order.
CREATE TABLE push_events (
    event_id INTEGER PRIMARY KEY,
    push_row INTEGER NOT NULL REFERENCES pushes ON DELETE CASCADE,
    event    BLOB NOT NULL
) STRICT;
CREATE INDEX push_events_by_push ON push_events (push_row);

-- Which references of shared repositories others have moved.
CREATE TABLE git_audit (
    git_audit_id INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    peer_id      BLOB NOT NULL CHECK (length(peer_id) = 32),
    repository   TEXT NOT NULL,
    reference    TEXT NOT NULL,
    -- Ids of commits; of zeros where there is none.
    old_id       TEXT NOT NULL,
    new_id       TEXT NOT NULL
) STRICT;

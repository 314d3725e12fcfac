-- Times are Unix milliseconds. Ids, keys and digests are raw bytes. Secrets arrive sealed.

-- "MESH": tells this database from any other SQLite file.
PRAGMA application_id = 1296388936;

-- One row. A number up to the one noted here may have been given out, so the next start goes on above it.
CREATE TABLE counters (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    -- Names this outbox to receivers. NULL in a backup: what is restored from it must number anew.
    outbox_stream   INTEGER,
    outbox_sequence INTEGER NOT NULL,
    inbox_id        INTEGER NOT NULL
) STRICT;
INSERT INTO counters (id, outbox_stream, outbox_sequence, inbox_id) VALUES (1, NULL, 0, 0);

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    position  INTEGER PRIMARY KEY,
    record_id BLOB NOT NULL UNIQUE CHECK (length(record_id) = 32),
    signer    BLOB NOT NULL CHECK (length(signer) = 32),
    body      BLOB NOT NULL,
    signature BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;

CREATE TABLE agent_peers (
    public_key         BLOB NOT NULL PRIMARY KEY CHECK (length(public_key) = 32),
    hostname           TEXT NOT NULL UNIQUE,
    status             TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
    last_seen_at       INTEGER,
    joined_at          INTEGER NOT NULL,
    tailscale_ip       TEXT,
    tailscale_hostname TEXT,
    -- JSON array of "host:port", the preferred address first.
    addresses          TEXT NOT NULL CHECK (json_valid(addresses)),
    version            TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE peer_keys (
    peer          BLOB NOT NULL CHECK (length(peer) = 32),
    key_id        BLOB NOT NULL CHECK (length(key_id) = 16),
    -- Sealed under the key file.
    shared_secret BLOB NOT NULL,
    algorithm     TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    is_confirmed  INTEGER NOT NULL DEFAULT 0,
    destroy_at    INTEGER,
    PRIMARY KEY (peer, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealing_keys (
    key_id        BLOB NOT NULL PRIMARY KEY CHECK (length(key_id) = 16),
    -- Sealed under the key file.
    sealed_secret BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    destroy_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE join_tokens (
    token_id   BLOB NOT NULL PRIMARY KEY CHECK (length(token_id) = 16),
    -- A hash of the token's secret; the token itself is never stored.
    token      BLOB NOT NULL CHECK (length(token) = 32),
    issuer     BLOB NOT NULL CHECK (length(issuer) = 32),
    note       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    used       INTEGER NOT NULL GENERATED ALWAYS AS (used_by IS NOT NULL) VIRTUAL,
    used_by    BLOB CHECK (length(used_by) = 32),
    used_at    INTEGER,
    CHECK ((used_by IS NULL) = (used_at IS NULL))
) STRICT, WITHOUT ROWID;

-- Append-only apart from deletion, and without an index: a commit writes one page.
CREATE TABLE outbox (
    sequence     INTEGER PRIMARY KEY,
    message_id   BLOB NOT NULL CHECK (length(message_id) = 16),
    to_peer      BLOB NOT NULL CHECK (length(to_peer) = 32),
    is_broadcast INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    is_sealed    INTEGER NOT NULL,
    app_type     TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    body         BLOB NOT NULL
) STRICT;

-- Beside the outbox, because an update there would write the whole body again.
CREATE TABLE outbox_attempts (
    sequence        INTEGER PRIMARY KEY REFERENCES outbox (sequence) ON DELETE CASCADE,
    attempts        INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    reason          TEXT
) STRICT;

-- Messages that were not delivered, kept for people to see.
CREATE TABLE outbox_ended (
    sequence     INTEGER PRIMARY KEY,
    message_id   BLOB NOT NULL,
    to_peer      BLOB NOT NULL,
    is_broadcast INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    is_sealed    INTEGER NOT NULL,
    app_type     TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    body_bytes   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('expired', 'refused')),
    code         TEXT,
    -- Noted by the first prune after the end: the store has no clock.
    ended_at     INTEGER
) STRICT;

-- A small number in the place of a 32-byte key in every inbox row.
CREATE TABLE inbox_senders (
    sender     INTEGER PRIMARY KEY,
    public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 32)
) STRICT;

-- What the application has not acknowledged. The body comes last, so that lists need not read it.
CREATE TABLE inbox (
    inbox_id     INTEGER PRIMARY KEY,
    sender       INTEGER NOT NULL REFERENCES inbox_senders (sender),
    message_id   BLOB NOT NULL CHECK (length(message_id) = 16),
    stream       INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    is_broadcast INTEGER NOT NULL,
    is_sealed    INTEGER NOT NULL,
    payload_kind INTEGER NOT NULL,
    app_type     TEXT,
    timestamp    INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    body         BLOB NOT NULL,
    -- By sender: a member that learns the id of another's message must not be able to take its place.
    UNIQUE (message_id, sender)
) STRICT;

-- What it has acknowledged, without bodies: the ids that a repeat is recognised by, until they expire.
CREATE TABLE inbox_seen (
    inbox_id     INTEGER PRIMARY KEY,
    sender       INTEGER NOT NULL REFERENCES inbox_senders (sender),
    message_id   BLOB NOT NULL,
    stream       INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    is_broadcast INTEGER NOT NULL,
    is_sealed    INTEGER NOT NULL,
    payload_kind INTEGER NOT NULL,
    app_type     TEXT,
    timestamp    INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    UNIQUE (sender, message_id)
) STRICT;
CREATE INDEX inbox_seen_by_expiry ON inbox_seen (expires_at);

-- What is left of ids that were forgotten before they expired: everything up to the sequence was seen.
CREATE TABLE inbox_floors (
    sender     INTEGER NOT NULL REFERENCES inbox_senders (sender),
    stream     INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (sender, stream, priority)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    actor    BLOB,
    detail   TEXT NOT NULL
) STRICT;

-- Sealed parcels that this member keeps for others until their receivers are back. Nobody here can read
-- them. The parcel comes last, so that lists need not read it.
CREATE TABLE custody (
    custody_id  INTEGER PRIMARY KEY,
    from_peer   BLOB NOT NULL CHECK (length(from_peer) = 32),
    to_peer     BLOB NOT NULL CHECK (length(to_peer) = 32),
    message_id  BLOB NOT NULL CHECK (length(message_id) = 16),
    priority    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    -- Length of the parcel: what quotas count.
    bytes       INTEGER NOT NULL,
    parcel      BLOB NOT NULL,
    -- A broadcast is one message id to many receivers.
    UNIQUE (from_peer, message_id, to_peer)
) STRICT;
CREATE INDEX custody_by_expiry ON custody (expires_at);

-- Members that a message came through, 32 bytes each, in order; NULL for a link.
ALTER TABLE inbox ADD COLUMN via BLOB;
ALTER TABLE inbox_seen ADD COLUMN via BLOB;

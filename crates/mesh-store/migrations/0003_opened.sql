-- Values of the shared configuration that were sealed to this node, themselves sealed: the keys that they
-- came under are destroyed after some weeks, and they are still to be read.
CREATE TABLE opened_values (
    -- Of the envelope that the value came in.
    digest       BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    sealed_value BLOB NOT NULL
) STRICT;

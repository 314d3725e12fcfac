//! Every bound on what a peer may send. Sizes are bytes of the encoded form.

/// Largest encoded message (header and payload). Larger ones are refused with `message_too_large`
/// before they are buffered: bulk data travels as files or streams, not as one message.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Largest frame body. Fits one message of the largest size, or a batch, with its bookkeeping.
pub const FRAME_BODY_BYTES_MAX: usize = 2 << 20;

/// Length of the frame header: magic, version, kind, body length.
pub const FRAME_HEADER_BYTES: usize = 12;

/// Most messages in one [`Deliver`](crate::Deliver) frame.
pub const DELIVER_ITEMS_MAX: usize = 512;

/// The least urgent priority of a [`DeliverItem`](crate::DeliverItem): 0 urgent, 1 normal, 2 bulk.
pub const PRIORITY_MAX: u8 = 2;

/// Largest encoded membership record.
pub const RECORD_BYTES_MAX: usize = 8 << 10;

/// Most records in one [`Records`](crate::Records) frame; more go in several frames.
pub const RECORDS_PER_FRAME_MAX: usize = 128;

/// Most record ids in one [`RecordIds`](crate::RecordIds) frame (2 MiB / 32 bytes, with room to spare).
pub const RECORD_IDS_MAX: usize = 32_768;

/// Most records in a [`JoinReply`](crate::JoinReply), which carries a mesh whole.
pub const JOIN_RECORDS_MAX: usize = 16_384;

/// Largest body that the join port accepts from a stranger.
pub const JOIN_BODY_BYTES_MAX: usize = 64 << 10;

/// Most addresses in a profile or a join token.
pub const ADDRESSES_MAX: usize = 16;

/// Longest host part of an address (a DNS name).
pub const ADDRESS_HOST_BYTES_MAX: usize = 253;

/// Longest hostname label of a member (RFC 1123 label length).
pub const HOSTNAME_BYTES_MAX: usize = 63;

/// Most former hostnames that a profile keeps alive.
pub const FORMER_HOSTNAMES_MAX: usize = 8;

/// Most record ids named by a removal or admission (standing records, overridden removals).
pub const RECORD_REFERENCES_MAX: usize = 128;

/// Most members whose word a mesh may want for a removal: their removals, and the admissions that give
/// them a vote, fit in one frame with everything else that proves a membership.
pub const REMOVE_QUORUM_MAX: u8 = 16;

/// Longest application type of a custom JSON message.
pub const APP_TYPE_BYTES_MAX: usize = 128;

/// Deepest nesting of a JSON document in a message. The usual parsers stop at 128, and a document is
/// shown inside others: one that cannot be shown must not get in.
pub const JSON_DEPTH_MAX: u32 = 64;

/// Longest free text (reason of a removal, text of an error, version string, note).
pub const TEXT_BYTES_MAX: usize = 1024;

/// Longest time a message may live, and the longest time a receiver remembers its id: 30 days.
pub const MESSAGE_TTL_MILLIS_MAX: u64 = 30 * 24 * 3600 * 1000;

/// Most links that a frame takes from its origin to its destination.
pub const HOPS_MAX: usize = 8;

/// Most links of one peer that others hear of.
pub const NEIGHBOURS_MAX: usize = 128;

/// Largest encoded [`LinkState`](crate::LinkState).
pub const LINK_STATE_BYTES_MAX: usize = 8 << 10;

/// Most link states in one [`LinkStates`](crate::LinkStates) frame; more go in several frames.
pub const LINK_STATES_PER_FRAME_MAX: usize = 64;

/// Most names in one [`LinkStateVersions`](crate::LinkStateVersions) frame: one per member.
pub const LINK_STATE_VERSIONS_MAX: usize = 4096;

/// Most parcels or receipts in one frame.
pub const PARCELS_PER_FRAME_MAX: usize = 512;

/// Largest encoded [`WireMessage`](crate::WireMessage) in a parcel: the envelope around a message of the
/// largest size. Whoever takes a parcel can keep it and pass it on, whatever the frame it came in.
pub const PARCEL_MESSAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1025;

/// Largest piece of liveness gossip: what fits one datagram, although it travels inside links.
pub const SWIM_BYTES_MAX: usize = 1400;

/// Largest encoded [`TransactionPart`](crate::TransactionPart). A part holds at least one row, so a row may
/// be somewhat smaller than this and no larger.
pub const DATA_PART_BYTES_MAX: usize = (2 << 20) - 4096;

/// Rows are put together until a part has about this many bytes.
pub const DATA_PART_BYTES_TARGET: usize = 256 << 10;

/// Most changes in one section of a transaction's part, and most rows in a piece of a snapshot.
pub const CHANGES_PER_PART_MAX: usize = 16_384;

/// Most sections in one part of a transaction.
pub const SECTIONS_PER_PART_MAX: usize = 1024;

/// Most parts in one [`SyncParts`](crate::SyncParts) frame.
pub const PARTS_PER_FRAME_MAX: usize = 512;

/// Most columns of a replicated table (SQLite's own bound is 2,000).
pub const COLUMNS_MAX: usize = 512;

/// Most replicated tables. The digests of so many fit one frame.
pub const TABLES_MAX: usize = 500;

/// Longest name of a table, column or index.
pub const SQL_NAME_BYTES_MAX: usize = 256;

/// Longest statement or column definition that a change of tables carries.
pub const SQL_BYTES_MAX: usize = 64 << 10;

/// Most databases, past ones included, that members may know of.
pub const ORIGINS_MAX: usize = 4096;

/// Most transactions of others that a transaction's header or a member names as not applied.
pub const HOLES_MAX: usize = 1024;

/// Most changes of tables in one transaction, and in the description of all tables.
pub const SCHEMA_CHANGES_MAX: usize = 16_384;

/// Most conflicts that one transaction settles.
pub const RESOLVED_MAX: usize = 4096;

/// Most entries in a snapshot's account of what origins had applied of each other.
pub const ORIGIN_CONTEXTS_MAX: usize = ORIGINS_MAX * 16;

/// Most losers of conflicts in one piece of a snapshot.
pub const LOSERS_PER_CHUNK_MAX: usize = 65_536;

/// Largest encoded [`SnapshotChunk`](crate::SnapshotChunk).
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = (2 << 20) - 4096;

/// Ranges of key digests that a table is compared by.
pub const DIGEST_BUCKETS: usize = 256;

/// Ranges of keys that the shared configuration is compared by.
pub const CONFIG_RANGES: usize = 256;

/// Longest key of the shared configuration.
pub const CONFIG_KEY_BYTES_MAX: usize = 512;

/// Most keys in one answer about the shared configuration: so many of the longest fit one frame.
pub const CONFIG_KEYS_PER_FRAME_MAX: usize = 2048;

/// Most entries of agents that are no members in one answer.
pub const CONFIG_STALE_MAX: usize = 256;

/// Most findings in one answer.
pub const CONFIG_FINDINGS_MAX: usize = 64;

/// Longest word for the state of a file or the kind of a finding.
pub const CONFIG_WORD_BYTES_MAX: usize = 32;

/// Longest name of a root.
pub const ROOT_NAME_BYTES_MAX: usize = 64;

/// Longest relative path, separators included.
pub const PATH_BYTES_MAX: usize = 4096;

/// Longest component of a path.
pub const PATH_COMPONENT_BYTES_MAX: usize = 255;

/// Most components of a path.
pub const PATH_DEPTH_MAX: usize = 1024;

/// Files up to this size are one chunk, which has the file's own digest for its name.
pub const WHOLE_FILE_BYTES_MAX: u64 = 64 << 10;

/// Every chunk of a file but its last one has at least this size, so a file has a bounded number of them.
pub const CHUNK_BYTES_MIN: u32 = 16 << 10;

/// Largest chunk.
pub const CHUNK_BYTES_MAX: u32 = 4 << 20;

/// Largest encoded [`ManifestPage`](crate::ManifestPage).
pub const PAGE_BYTES_MAX: usize = 256 << 10;

/// Most items of a page. The smallest ones would not fill it.
pub const PAGE_ITEMS_MAX: usize = 16_384;

/// Most page names in one [`PageIds`](crate::PageIds).
pub const PAGE_IDS_MAX: usize = 4096;

/// Most ranges that one message of a push's stream names.
pub const CHUNK_RANGES_MAX: usize = 4096;

/// Most targets of one push.
pub const PUSH_TARGETS_MAX: usize = 1024;

/// Most bytes that are kept of what a test printed.
pub const TEST_OUTPUT_BYTES_MAX: usize = 32 << 10;

/// Header of a message on a push's stream: kind and length of the body.
pub const PUSH_HEADER_BYTES: usize = 5;

/// Largest body of a message on a push's stream, but for chunks.
pub const PUSH_BODY_BYTES_MAX: usize = PAGE_BYTES_MAX + 16;

/// What stands in front of a chunk's bytes.
pub const CHUNK_HEAD_BYTES: usize = 13;

/// Largest encoded [`PushEvent`](crate::PushEvent).
pub const PUSH_EVENT_BYTES_MAX: usize = 64 << 10;

/// Largest piece of what git says to a service, or a service to git.
pub const GIT_PIECE_BYTES_MAX: usize = 64 << 10;

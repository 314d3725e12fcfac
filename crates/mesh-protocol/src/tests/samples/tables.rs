//! What replicated tables tell each other.

use serde_bytes::ByteBuf;

use super::{BAULDER, NOON};
use crate::{
    CellState, CellWrite, Coverage, Dot, Frame, HybridClock, Listed, LoserState, OriginContext,
    OriginHave, OriginId, OriginOwners, Resolved, RowChange, RowState, SchemaChange, Section,
    SnapshotChunk, SnapshotPosition, SnapshotRequest, SqlValue, SyncHave, SyncParts, TableDigest,
    TableDigests, TableId, TransactionHeader, TransactionPart, Version,
};

/// Baulder's database.
pub(crate) const HERE: OriginId = OriginId::from_bytes([0xb0; 16]);
/// Another member's.
pub(crate) const THERE: OriginId = OriginId::from_bytes([0x30; 16]);
pub(crate) const AGENTS: TableId = TableId::from_bytes([0xa9; 16]);

const CREATE: &str = "CREATE TABLE agents (name TEXT PRIMARY KEY NOT NULL, port INTEGER, note)";

pub(crate) fn clock(counter: u64) -> HybridClock {
    HybridClock(HybridClock::at(NOON).0 + counter)
}

pub(crate) fn version(life: u64, counter: u64) -> Version {
    Version { life, clock: clock(counter), origin: THERE, sequence: 7 }
}

pub(crate) fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

fn columns() -> Vec<String> {
    ["port", "note"].map(str::to_owned).to_vec()
}

fn schema() -> Vec<SchemaChange> {
    vec![
        SchemaChange::CreateTable {
            table: AGENTS,
            name: "agents".to_owned(),
            sql: CREATE.to_owned(),
            replaces: Some(TableId::from_bytes([0xa8; 16])),
        },
        SchemaChange::AddColumn {
            table: AGENTS,
            column: "site".to_owned(),
            definition: "site TEXT DEFAULT 'home'".to_owned(),
        },
        SchemaChange::CreateIndex {
            table: AGENTS,
            name: "agents_port".to_owned(),
            sql: "CREATE INDEX agents_port ON agents (port)".to_owned(),
        },
        SchemaChange::DropTable {
            table: TableId::from_bytes([0xa8; 16]),
            name: "agents".to_owned(),
        },
    ]
}

/// A transaction in two parts, with one of everything.
pub(crate) fn parts() -> Vec<(&'static str, TransactionPart)> {
    let dot = Dot { origin: HERE, sequence: 41 };
    let header = TransactionHeader {
        clock: clock(300),
        advanced: vec![(THERE, 70_000)],
        holes: vec![Dot { origin: THERE, sequence: 69_999 }],
        schema: schema(),
        resolved: vec![Resolved {
            table: AGENTS,
            key: vec![text("elm")],
            column: Some("port".to_owned()),
            version: version(1, 2),
        }],
    };
    let put = RowChange::Put {
        key: vec![text("oak")],
        life: 1,
        clock: clock(1),
        values: vec![SqlValue::Integer(8080), SqlValue::Null],
    };
    let edit = RowChange::Edit {
        key: vec![text("elm")],
        life: 3,
        cells: vec![
            CellWrite { column: 0, clock: clock(2), value: SqlValue::Integer(-1) },
            CellWrite { column: 1, clock: clock(3), value: SqlValue::Real(-0.0) },
        ],
    };
    let delete = RowChange::Delete { key: vec![text("ash")], life: 2, clock: clock(300) };
    let odd = RowChange::Put {
        key: vec![SqlValue::Blob(vec![0xb1, 0x0b])],
        life: 5,
        clock: clock(4),
        values: vec![SqlValue::Integer(i64::MIN), SqlValue::RawText(vec![0xff, 0xfe])],
    };
    let listed = vec![Listed { change: 1, column: 0, version: version(1, 2) }];
    let section =
        |changes| Section { table: AGENTS, columns: columns(), changes, listed: Vec::new() };
    let first = TransactionPart {
        dot,
        part: 0,
        is_last: false,
        header: Some(header),
        sections: vec![Section { listed, ..section(vec![put, edit]) }],
    };
    let last = TransactionPart {
        dot,
        part: 1,
        is_last: true,
        header: None,
        sections: vec![section(vec![delete, odd])],
    };
    vec![("transaction_part_first", first), ("transaction_part_last", last)]
}

pub(crate) fn have() -> Vec<OriginHave> {
    vec![
        OriginHave { origin: HERE, upto: 41, holes: vec![], floor: 12 },
        OriginHave { origin: THERE, upto: 70_000, holes: vec![7, 69_999], floor: 0 },
    ]
}

fn position(key: Option<&str>) -> SnapshotPosition {
    SnapshotPosition { table: AGENTS, after: key.map(|key| vec![text(key)]), sent: 7 }
}

pub(crate) fn chunk() -> SnapshotChunk {
    let alive = RowState {
        key: vec![text("elm")],
        version: version(3, 1),
        values: vec![SqlValue::Integer(-1), SqlValue::Real(1.5)],
        cells: vec![CellState { column: 1, version: version(3, 9) }],
    };
    let deleted =
        RowState { key: vec![text("oak")], version: version(2, 5), values: vec![], cells: vec![] };
    let loser = LoserState {
        key: vec![text("elm")],
        column: Some("port".to_owned()),
        version: version(3, 0),
        value: Some(SqlValue::Integer(9090)),
    };
    SnapshotChunk {
        request_id: 12,
        session: 3,
        have: have(),
        contexts: vec![OriginContext { origin: HERE, other: THERE, upto: 65_000 }],
        schema: schema().into_iter().map(|change| (version(1, 0), change)).collect(),
        coverage: vec![Coverage {
            table: AGENTS,
            column: "site".to_owned(),
            from: Dot { origin: HERE, sequence: 40 },
        }],
        from: Some(position(None)),
        columns: columns(),
        rows: vec![alive, deleted],
        losers: vec![loser],
        is_table_end: false,
        next: Some(position(Some("oak"))),
        progress: (2, 100_000),
    }
}

pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    let have = SyncHave {
        member: BAULDER,
        database: HERE,
        revision: NOON.0,
        origins: have(),
        wants_answer: true,
        is_whole: false,
        wants_changes: true,
    };
    let parts = parts().into_iter().map(|(_, part)| ByteBuf::from(part.encode().unwrap()));
    let request = SnapshotRequest {
        request_id: 12,
        session: 3,
        position: Some(position(Some("elm"))),
        buckets: vec![0, 255],
    };
    let digest = TableDigest { table: AGENTS, rows: 2, buckets: vec![[0xd1; 16], [0xd2; 16]] };
    let digests = TableDigests { request_id: 13, tables: Some(vec![digest]) };
    let owners = OriginOwners { unknown: vec![THERE], known: vec![(HERE, BAULDER)] };
    vec![
        ("sync_have", Frame::SyncHave(have)),
        ("sync_parts", Frame::SyncParts(SyncParts { parts: parts.collect() })),
        ("snapshot_request", Frame::SnapshotRequest(request)),
        ("snapshot_chunk", Frame::SnapshotChunk(ByteBuf::from(chunk().encode().unwrap()))),
        ("table_digests", Frame::TableDigests(digests)),
        ("origin_owners", Frame::OriginOwners(owners)),
    ]
}

/// What stands in frames, the log and the spool, under the names of the golden files.
pub(crate) fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    let parts = parts().into_iter().map(|(name, part)| (name, part.encode().unwrap()));
    parts.chain([("snapshot_chunk", chunk().encode().unwrap())]).collect()
}

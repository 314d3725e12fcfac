//! Bounds of what replicated tables tell each other.

use serde_bytes::ByteBuf;

use super::{List, check_list};
use crate::tests::samples::tables::{AGENTS, HERE, chunk, parts, text, version};
use crate::tests::{decode_frame, samples};
use crate::{
    CHANGES_PER_PART_MAX, COLUMNS_MAX, CellState, Coverage, DATA_PART_BYTES_MAX, DIGEST_BUCKETS,
    DecodeError, Dot, EncodeError, FRAME_BODY_BYTES_MAX, Frame, HOLES_MAX, LOSERS_PER_CHUNK_MAX,
    ORIGIN_CONTEXTS_MAX, ORIGINS_MAX, OriginContext, OriginHave, OriginOwners, PARTS_PER_FRAME_MAX,
    RESOLVED_MAX, RowChange, SCHEMA_CHANGES_MAX, SECTIONS_PER_PART_MAX, SNAPSHOT_CHUNK_BYTES_MAX,
    SQL_BYTES_MAX, SQL_NAME_BYTES_MAX, SchemaChange, Section, SnapshotChunk, SnapshotPosition,
    SnapshotRequest, SqlValue, SyncHave, SyncParts, TABLES_MAX, TableDigest, TableDigests,
    TransactionHeader, TransactionPart,
};

fn have(holes: usize) -> OriginHave {
    OriginHave { origin: HERE, upto: 1, holes: vec![1; holes], floor: 0 }
}

fn sync_have(origins: Vec<OriginHave>) -> Frame {
    Frame::SyncHave(SyncHave {
        member: samples::BAULDER,
        database: HERE,
        revision: 1,
        origins,
        wants_answer: false,
        is_whole: true,
        wants_changes: true,
    })
}

fn request(position: Option<SnapshotPosition>, buckets: usize) -> Frame {
    let buckets = vec![7; buckets];
    Frame::SnapshotRequest(SnapshotRequest { request_id: 1, session: 2, position, buckets })
}

fn behind(columns: usize) -> SnapshotPosition {
    SnapshotPosition { table: AGENTS, after: Some(vec![SqlValue::Null; columns]), sent: 0 }
}

fn digests(tables: usize, buckets: usize) -> Frame {
    let digest = TableDigest { table: AGENTS, rows: 0, buckets: vec![[7; 16]; buckets] };
    Frame::TableDigests(TableDigests { request_id: 1, tables: Some(vec![digest; tables]) })
}

#[test]
fn a_member_names_so_many_databases_and_holes() {
    // Member, database, revision.
    let origins_at = 32 + 16 + 8;
    let origins = List { count_at: origins_at, tail_bytes: 3, element: &[7, 0, 0].repeat(0) };
    // Origin, number, no holes, floor.
    let element = [&[7; 16][..], &[0; 24]].concat();
    let origins = List { element: &element, ..origins };
    origins.check(ORIGINS_MAX, |count| sync_have(vec![have(0); count]));
    // Behind the holes: floor, three answers.
    let holes = List {
        count_at: origins_at + 8 + 16 + 8,
        tail_bytes: 8 + 3,
        element: &1_u64.to_le_bytes(),
    };
    holes.check(HOLES_MAX, |count| sync_have(vec![have(count)]));
    let beyond = sync_have(vec![OriginHave { upto: u64::MAX, ..have(0) }]);
    assert_eq!(beyond.encode(), Err(EncodeError::FieldTooLarge { what: "sequence" }));
}

#[test]
fn so_many_databases_are_asked_for_and_named_at_once() {
    let asked = List { count_at: 0, tail_bytes: 8, element: &[7; 16] };
    asked.check(ORIGINS_MAX, |count| {
        Frame::OriginOwners(OriginOwners { unknown: vec![HERE; count], ..OriginOwners::default() })
    });
    let named = List { count_at: 8, tail_bytes: 0, element: &[7; 48] };
    named.check(ORIGINS_MAX, |count| {
        let known = vec![(HERE, samples::BAULDER); count];
        Frame::OriginOwners(OriginOwners { known, ..OriginOwners::default() })
    });
}

#[test]
fn a_frame_holds_so_many_parts_and_one_of_the_largest_size() {
    check_list(PARTS_PER_FRAME_MAX, 0, &[0; 8], |count| {
        Frame::SyncParts(SyncParts { parts: vec![ByteBuf::new(); count] })
    });
    let part = |bytes| Frame::SyncParts(SyncParts { parts: vec![ByteBuf::from(vec![7; bytes])] });
    let largest = part(DATA_PART_BYTES_MAX);
    assert_eq!(decode_frame(&largest.encode().unwrap()).unwrap(), largest);
    check_list(DATA_PART_BYTES_MAX, 8, &[7], part);
}

#[test]
fn a_frame_holds_one_piece_of_a_snapshot() {
    check_list(SNAPSHOT_CHUNK_BYTES_MAX, 0, &[7], |bytes| {
        Frame::SnapshotChunk(ByteBuf::from(vec![7; bytes]))
    });
}

#[test]
fn a_request_names_so_many_ranges_and_key_columns() {
    // Request, session, a position with a table, no key and a count.
    check_list(DIGEST_BUCKETS, 8 + 8 + 1 + 16 + 1 + 8, &7_u16.to_le_bytes(), |count| {
        request(Some(SnapshotPosition::start_of(AGENTS)), count)
    });
    let key =
        List { count_at: 8 + 8 + 1 + 16 + 1, tail_bytes: 8 + 8, element: &0_u32.to_le_bytes() };
    key.check(COLUMNS_MAX, |count| request(Some(behind(count)), 0));
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let refuse = |frame: Frame, what| {
        assert_eq!(frame.encode(), Err(EncodeError::FieldTooLarge { what }));
        let Frame::SnapshotRequest(body) = &frame else { panic!("no request") };
        let mut bytes = request(None, 0).encode().unwrap();
        bytes.truncate(crate::FRAME_HEADER_BYTES);
        crate::codec::encode_into(body, FRAME_BODY_BYTES_MAX, &mut bytes).unwrap();
        crate::tests::fix_body_length(&mut bytes);
        assert_eq!(decode_frame(&bytes), Err(DecodeError::Malformed { what }));
    };
    refuse(request(Some(behind(0)), 0), "key");
    refuse(request(None, 1), "ranges of keys");
    let buckets = vec![u16::try_from(DIGEST_BUCKETS).unwrap()];
    let position = Some(behind(1));
    let beyond = SnapshotRequest { request_id: 1, session: 2, position, buckets };
    refuse(Frame::SnapshotRequest(beyond), "ranges of keys");
}

#[test]
fn digests_are_of_so_many_tables_and_ranges_and_fit_a_frame() {
    // Request, some; an element is a table, its rows, no digests.
    let element = [&[7; 16][..], &[0; 16]].concat();
    check_list(TABLES_MAX, 8 + 1, &element, |count| digests(count, 0));
    check_list(DIGEST_BUCKETS, 8 + 1 + 8 + 16 + 8, &[7; 16], |count| digests(1, count));
    digests(TABLES_MAX, DIGEST_BUCKETS).encode().unwrap();
}

/// A value with `max` elements is written and read; one with more is refused by the writer, and by the
/// reader when another writer has made it.
fn check_compact<T: serde::Serialize + PartialEq + std::fmt::Debug>(
    max: usize,
    value: impl Fn(usize) -> T,
    encode: fn(&T) -> Result<Vec<u8>, EncodeError>,
    decode: fn(&[u8]) -> Result<T, DecodeError>,
) {
    let largest = value(max);
    assert_eq!(decode(&encode(&largest).unwrap()).unwrap(), largest);
    let beyond = value(max + 1);
    assert!(matches!(encode(&beyond), Err(EncodeError::FieldTooLarge { .. })));
    let bytes = crate::codec::compact::encode(&beyond, usize::MAX).unwrap();
    assert!(matches!(decode(&bytes), Err(DecodeError::Malformed { .. })));
}

fn check_part(max: usize, value: impl Fn(usize) -> TransactionPart) {
    check_compact(max, value, TransactionPart::encode, TransactionPart::decode);
}

fn check_header(max: usize, fill: impl Fn(&mut TransactionHeader, usize)) {
    check_part(max, |count| {
        let mut part = parts().swap_remove(0).1;
        fill(part.header.as_mut().unwrap(), count);
        part
    });
}

fn check_sections(max: usize, sections: impl Fn(usize) -> Vec<Section>) {
    check_part(max, |count| {
        let sections = sections(count);
        TransactionPart { sections, ..parts().swap_remove(1).1 }
    });
}

fn check_chunk(max: usize, fill: impl Fn(&mut SnapshotChunk, usize)) {
    let value = |count| {
        let mut chunk = chunk();
        fill(&mut chunk, count);
        chunk
    };
    check_compact(max, value, SnapshotChunk::encode, SnapshotChunk::decode);
}

fn drop_table(name: usize) -> SchemaChange {
    SchemaChange::DropTable { table: AGENTS, name: "n".repeat(name) }
}

#[test]
fn a_header_holds_so_much_of_everything() {
    let origin = |header: &TransactionHeader| header.advanced[0];
    check_header(ORIGINS_MAX, |header, count| header.advanced = vec![origin(header); count]);
    let hole = Dot { origin: HERE, sequence: 1 };
    check_header(HOLES_MAX, |header, count| header.holes = vec![hole; count]);
    check_header(SCHEMA_CHANGES_MAX, |header, count| header.schema = vec![drop_table(1); count]);
    check_header(RESOLVED_MAX, |header, count| {
        header.resolved = vec![header.resolved[0].clone(); count];
    });
    check_header(COLUMNS_MAX, |header, count| {
        header.resolved[0].key = vec![SqlValue::Null; count];
    });
}

#[test]
fn a_part_holds_so_many_sections_changes_and_columns() {
    check_sections(CHANGES_PER_PART_MAX, |count| {
        let mut sections = parts().swap_remove(0).1.sections;
        sections[0].listed = vec![sections[0].listed[0]; count];
        sections
    });
    let deletion = |key| RowChange::Delete { key, life: 2, clock: crate::HybridClock(1) };
    let section = |columns: usize, changes| {
        let columns = (0..columns).map(|column| column.to_string()).collect();
        Section { table: AGENTS, columns, changes, listed: vec![] }
    };
    check_sections(SECTIONS_PER_PART_MAX, |count| vec![section(0, vec![]); count]);
    check_sections(CHANGES_PER_PART_MAX, |count| {
        vec![section(0, vec![deletion(vec![SqlValue::Integer(0)]); count])]
    });
    check_sections(COLUMNS_MAX, |count| vec![section(count, vec![])]);
    check_sections(COLUMNS_MAX, |count| {
        vec![section(0, vec![deletion(vec![SqlValue::Integer(0); count])])]
    });
    check_sections(COLUMNS_MAX, |count| {
        let clock = crate::HybridClock(1);
        let (key, values) = (vec![SqlValue::Integer(0)], vec![SqlValue::Null; count]);
        vec![section(count, vec![RowChange::Put { key, life: 1, clock, values }])]
    });
    check_sections(COLUMNS_MAX, |count| {
        let cell = |column| crate::CellWrite {
            column: u16::try_from(column).unwrap(),
            clock: crate::HybridClock(1),
            value: SqlValue::Null,
        };
        let (key, cells) = (vec![SqlValue::Integer(0)], (0..count).map(cell).collect());
        vec![section(count, vec![RowChange::Edit { key, life: 1, cells }])]
    });
}

#[test]
fn names_and_statements_have_their_length() {
    let name = |bytes| "n".repeat(bytes);
    check_header(SQL_NAME_BYTES_MAX, |header, bytes| header.schema = vec![drop_table(bytes)]);
    check_header(SQL_NAME_BYTES_MAX, |header, bytes| {
        header.resolved[0].column = Some(name(bytes));
    });
    check_sections(SQL_NAME_BYTES_MAX, |bytes| {
        vec![Section { table: AGENTS, columns: vec![name(bytes)], changes: vec![], listed: vec![] }]
    });
    let create = |name, sql| SchemaChange::CreateTable { table: AGENTS, name, sql, replaces: None };
    let column = |column, definition| SchemaChange::AddColumn { table: AGENTS, column, definition };
    let index = |name, sql| SchemaChange::CreateIndex { table: AGENTS, name, sql };
    let kinds: [&dyn Fn(String, String) -> SchemaChange; 3] = [&create, &column, &index];
    for kind in kinds {
        check_header(SQL_NAME_BYTES_MAX, |header, bytes| {
            header.schema = vec![kind(name(bytes), String::new())];
        });
        check_header(SQL_BYTES_MAX, |header, bytes| {
            header.schema = vec![kind(String::new(), name(bytes))];
        });
    }
    check_chunk(SQL_NAME_BYTES_MAX, |chunk, bytes| chunk.schema[0].1 = drop_table(bytes));
    check_chunk(SQL_NAME_BYTES_MAX, |chunk, bytes| chunk.coverage[0].column = name(bytes));
    check_chunk(SQL_NAME_BYTES_MAX, |chunk, bytes| chunk.columns[0] = name(bytes));
    check_chunk(SQL_NAME_BYTES_MAX, |chunk, bytes| chunk.losers[0].column = Some(name(bytes)));
}

#[test]
fn a_part_ends_below_two_mebibytes_with_room_for_its_frame() {
    let part = |bytes| {
        let mut part = parts().swap_remove(1).1;
        let RowChange::Delete { key, .. } = &mut part.sections[0].changes[0] else {
            panic!("no deletion")
        };
        key[0] = SqlValue::Blob(vec![7; bytes]);
        part
    };
    // The length takes five bytes, whatever it is between 64 KiB and 4 GiB.
    let around = part(1 << 20).encode().unwrap().len() - (1 << 20);
    let bytes = part(DATA_PART_BYTES_MAX - around).encode().unwrap();
    assert_eq!(bytes.len(), DATA_PART_BYTES_MAX);
    Frame::SyncParts(SyncParts { parts: vec![ByteBuf::from(bytes)] }).encode().unwrap();
    let refused = part(DATA_PART_BYTES_MAX - around + 1).encode();
    assert_eq!(refused, Err(EncodeError::TooLarge { bytes_max: DATA_PART_BYTES_MAX }));
    let refused = TransactionPart::decode(&vec![0; DATA_PART_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(DecodeError::TooLarge { .. })));
}

#[test]
fn a_piece_of_a_snapshot_holds_so_much_of_everything() {
    check_chunk(ORIGINS_MAX, |chunk, count| chunk.have = vec![have(0); count]);
    check_chunk(HOLES_MAX, |chunk, count| chunk.have = vec![have(count)]);
    check_chunk(SCHEMA_CHANGES_MAX, |chunk, count| {
        chunk.schema = vec![(version(1, 1), drop_table(1)); count];
    });
    let coverage = |column: &str| Coverage {
        table: AGENTS,
        column: column.to_owned(),
        from: Dot { origin: HERE, sequence: 1 },
    };
    check_chunk(SCHEMA_CHANGES_MAX, |chunk, count| chunk.coverage = vec![coverage(""); count]);
    let key = |count| vec![SqlValue::Integer(0); count];
    check_chunk(COLUMNS_MAX, |chunk, count| chunk.next = Some(behind(count)));
    check_chunk(COLUMNS_MAX, |chunk, count| chunk.from = Some(behind(count)));
    check_chunk(COLUMNS_MAX, |chunk, count| chunk.rows[0].key = key(count));
    check_chunk(COLUMNS_MAX, |chunk, count| chunk.losers[0].key = key(count));
    check_chunk(CHANGES_PER_PART_MAX, |chunk, count| {
        chunk.rows[1].key = vec![text("k")];
        chunk.rows = vec![chunk.rows[1].clone(); count];
    });
    check_chunk(COLUMNS_MAX, |chunk, count| {
        chunk.columns = (0..count).map(|column| column.to_string()).collect();
        chunk.rows.truncate(1);
        chunk.rows[0].values = vec![SqlValue::Null; count];
        let columns = (0..count).map(|column| u16::try_from(column).unwrap());
        let cells = columns.map(|column| CellState { column, version: version(3, 1) });
        chunk.rows[0].cells = cells.collect();
    });
}

#[test]
fn what_never_fits_a_piece_of_a_snapshot_is_refused_by_its_size_or_its_count() {
    let context = OriginContext { origin: HERE, other: HERE, upto: 1 };
    let mut crowded = chunk();
    crowded.contexts = vec![context; ORIGIN_CONTEXTS_MAX];
    assert!(matches!(crowded.encode(), Err(EncodeError::TooLarge { .. })));
    crowded.contexts.push(crowded.contexts[0].clone());
    assert_eq!(crowded.encode(), Err(EncodeError::FieldTooLarge { what: "contexts" }));
    let mut crowded = chunk();
    crowded.losers = vec![crowded.losers[0].clone(); LOSERS_PER_CHUNK_MAX];
    assert!(matches!(crowded.encode(), Err(EncodeError::TooLarge { .. })));
    crowded.losers.push(crowded.losers[0].clone());
    assert_eq!(crowded.encode(), Err(EncodeError::FieldTooLarge { what: "losers" }));
    let refused = SnapshotChunk::decode(&vec![0; SNAPSHOT_CHUNK_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(DecodeError::TooLarge { .. })));
}

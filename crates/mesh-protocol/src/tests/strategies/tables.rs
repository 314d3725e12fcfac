//! What replicated tables tell each other.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_bytes::ByteBuf;

use super::{array16, bytes, peer_id, text};
use crate::{
    CellState, CellWrite, Coverage, DIGEST_BUCKETS, Dot, Frame, HybridClock, Listed, LoserState,
    OriginContext, OriginHave, OriginId, OriginOwners, Resolved, RowChange, RowState, SchemaChange,
    Section, SnapshotChunk, SnapshotPosition, SnapshotRequest, SqlValue, SyncHave, SyncParts,
    TableDigest, TableDigests, TableId, TransactionHeader, TransactionPart, Version,
};

/// Any number that SQLite can hold.
fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0..300_u64, 0..=HybridClock::MAX.0]
}

fn clock() -> impl Strategy<Value = HybridClock> + Clone {
    number().prop_map(HybridClock)
}

fn origin() -> impl Strategy<Value = OriginId> + Clone {
    array16().prop_map(OriginId::from_bytes)
}

fn table() -> impl Strategy<Value = TableId> + Clone {
    array16().prop_map(TableId::from_bytes)
}

fn dot() -> impl Strategy<Value = Dot> + Clone {
    (origin(), number().prop_map(|sequence| sequence.max(1)))
        .prop_map(|(origin, sequence)| Dot { origin, sequence })
}

fn version() -> impl Strategy<Value = Version> + Clone {
    (1..=LIFE_MAX, clock(), dot()).prop_map(|(life, clock, dot)| Version {
        life,
        clock,
        origin: dot.origin,
        sequence: dot.sequence,
    })
}

/// More than any row has.
const LIFE_MAX: u64 = 1 << 48;

fn value() -> impl Strategy<Value = SqlValue> + Clone {
    let bytes = || vec(any::<u8>(), 0..40);
    prop_oneof![
        Just(SqlValue::Null),
        any::<i64>().prop_map(SqlValue::Integer),
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("a number", |real| !real.is_nan())
            .prop_map(SqlValue::Real),
        "\\PC{0,20}".prop_map(SqlValue::Text),
        bytes().prop_map(SqlValue::Blob),
        bytes().prop_map(|rest| SqlValue::RawText([&[0xff], &rest[..]].concat())),
    ]
}

fn key() -> impl Strategy<Value = Vec<SqlValue>> + Clone {
    vec(value().prop_filter("a key is not NULL", |value| *value != SqlValue::Null), 1..4)
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_ é]{0,20}"
}

fn columns(range: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    btree_set("[a-z_é]{0,9}", range).prop_map(Vec::from_iter)
}

fn schema_change() -> impl Strategy<Value = SchemaChange> {
    prop_oneof![
        (table(), name(), text(), option::of(table())).prop_map(|(table, name, sql, replaces)| {
            SchemaChange::CreateTable { table, name, sql, replaces }
        }),
        (table(), name(), text()).prop_map(|(table, column, definition)| {
            SchemaChange::AddColumn { table, column, definition }
        }),
        (table(), name(), text()).prop_map(|(table, name, sql)| SchemaChange::CreateIndex {
            table,
            name,
            sql
        }),
        (table(), name()).prop_map(|(table, name)| SchemaChange::DropTable { table, name }),
    ]
}

/// Ascending columns of so many, each with something.
fn some_columns<T: std::fmt::Debug + Clone + 'static>(
    count: usize,
    with: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Vec<(u16, T)>> {
    vec(option::of(with), count).prop_map(|columns| {
        let numbered = (0_u16..).zip(columns);
        numbered.filter_map(|(column, with)| Some((column, with?))).collect()
    })
}

fn change(columns: usize) -> impl Strategy<Value = RowChange> {
    let odd = || (1..LIFE_MAX).prop_map(|life| life | 1);
    let even = (2..=LIFE_MAX).prop_map(|life| life & !1);
    let put = (key(), odd(), clock(), vec(value(), columns));
    let edit = (key(), odd(), some_columns(columns, (clock(), value())));
    prop_oneof![
        put.prop_map(|(key, life, clock, values)| RowChange::Put { key, life, clock, values }),
        (key(), even, clock()).prop_map(|(key, life, clock)| RowChange::Delete {
            key,
            life,
            clock
        }),
        edit.prop_map(|(key, life, cells)| {
            let cells = cells.into_iter();
            let cells =
                cells.map(|(column, (clock, value))| CellWrite { column, clock, value }).collect();
            RowChange::Edit { key, life, cells }
        }),
    ]
}

fn section() -> impl Strategy<Value = Section> {
    (table(), columns(0..4)).prop_flat_map(|(table, columns)| {
        let changes = vec(change(columns.len()), 0..4);
        (changes, vec((any::<[Index; 2]>(), version()), 0..3)).prop_map(move |(changes, listed)| {
            let is_empty = changes.is_empty() || columns.is_empty();
            let listed = listed.into_iter().filter(|_| !is_empty);
            let listed = listed.map(|([change, column], version)| Listed {
                change: u32::try_from(change.index(changes.len())).unwrap(),
                column: u16::try_from(column.index(columns.len())).unwrap(),
                version,
            });
            let listed = listed.collect();
            Section { table, columns: columns.clone(), changes, listed }
        })
    })
}

fn header() -> impl Strategy<Value = TransactionHeader> {
    let resolved = (table(), key(), option::of(name()), version())
        .prop_map(|(table, key, column, version)| Resolved { table, key, column, version });
    let upto = number().prop_map(|upto| upto.max(1));
    let advanced = vec((origin(), upto), 0..4);
    (clock(), advanced, vec(dot(), 0..4), vec(schema_change(), 0..3), vec(resolved, 0..3)).prop_map(
        |(clock, advanced, holes, schema, resolved)| TransactionHeader {
            clock,
            advanced,
            holes,
            schema,
            resolved,
        },
    )
}

pub(crate) fn part() -> impl Strategy<Value = TransactionPart> {
    (dot(), any::<u32>(), any::<bool>(), option::of(header()), vec(section(), 0..3)).prop_map(
        |(dot, part, is_last, header, sections)| {
            let part = if header.is_some() { 0 } else { part.max(1) };
            let mut whole = TransactionPart { dot, part, is_last, header, sections };
            let latest = whole.clock();
            if let Some(header) = &mut whole.header {
                header.clock = header.clock.max(latest);
            }
            whole
        },
    )
}

fn have() -> impl Strategy<Value = Vec<OriginHave>> {
    let one = (origin(), number(), vec(number(), 0..4), number())
        .prop_map(|(origin, upto, holes, floor)| OriginHave { origin, upto, holes, floor });
    vec(one, 0..4)
}

fn position() -> impl Strategy<Value = SnapshotPosition> {
    (table(), option::of(key()), any::<u64>()).prop_map(|(table, after, sent)| SnapshotPosition {
        table,
        after,
        sent,
    })
}

fn row(columns: usize) -> impl Strategy<Value = RowState> {
    let cells = some_columns(columns, version());
    // What has no values counts for its losers alone.
    let values = prop_oneof![9 => vec(value(), columns), 1 => Just(vec![])];
    (key(), version(), values, cells).prop_map(|(key, version, values, cells)| {
        if !version.is_alive() {
            return RowState { key, version, values: vec![], cells: vec![] };
        }
        let of_this_life = |own| Version { life: version.life, ..own };
        let cells = cells.into_iter();
        let cells =
            cells.map(|(column, own)| CellState { column, version: of_this_life(own) }).collect();
        RowState { key, version, values, cells }
    })
}

pub(crate) fn chunk() -> impl Strategy<Value = SnapshotChunk> {
    let loser = (key(), option::of(name()), version(), option::of(value()))
        .prop_map(|(key, column, version, value)| LoserState { key, column, version, value });
    let coverage =
        (table(), name(), dot()).prop_map(|(table, column, from)| Coverage { table, column, from });
    let context = (origin(), origin(), number()).prop_map(|(origin, other, upto)| OriginContext {
        origin,
        other,
        upto,
    });
    let first = (vec(context, 0..3), vec((version(), schema_change()), 0..3), vec(coverage, 0..3));
    let rows = columns(0..4).prop_flat_map(|columns| {
        vec(row(columns.len()), 0..4).prop_map(move |rows| (columns.clone(), rows))
    });
    let place = (position(), option::of(position()), any::<bool>(), any::<(u64, u64)>());
    (any::<(u64, u64)>(), have(), first, rows, vec(loser, 0..3), place).prop_map(
        |(ids, have, first, (columns, rows), losers, place)| SnapshotChunk {
            request_id: ids.0,
            session: ids.1,
            have,
            contexts: first.0,
            schema: first.1,
            coverage: first.2,
            from: Some(place.0),
            columns,
            rows,
            losers,
            is_table_end: place.2,
            next: place.1,
            progress: place.3,
        },
    )
}

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let have = (peer_id(), origin(), any::<u64>(), have(), any::<[bool; 3]>()).prop_map(
        |(member, database, revision, origins, [wants_answer, is_whole, wants_changes])| SyncHave {
            member,
            database,
            revision,
            origins,
            wants_answer,
            is_whole,
            wants_changes,
        },
    );
    // A frame carries parts and pieces unread, so any bytes will do.
    let unread = || bytes().prop_map(ByteBuf::from);
    let request = (any::<(u64, u64)>(), option::of((position(), vec(0..256_u16, 0..4)))).prop_map(
        |((request_id, session), place)| {
            let (position, buckets) = place.unzip();
            let buckets = buckets.unwrap_or_default();
            SnapshotRequest { request_id, session, position, buckets }
        },
    );
    let digest = (table(), any::<u64>(), vec(array16(), 0..=DIGEST_BUCKETS))
        .prop_map(|(table, rows, buckets)| TableDigest { table, rows, buckets });
    let digests = (any::<u64>(), option::of(vec(digest, 0..3)))
        .prop_map(|(request_id, tables)| TableDigests { request_id, tables });
    let owners = (vec(origin(), 0..4), vec((origin(), peer_id()), 0..4))
        .prop_map(|(unknown, known)| OriginOwners { unknown, known });
    prop_oneof![
        have.prop_map(Frame::SyncHave),
        vec(unread(), 0..4).prop_map(|parts| Frame::SyncParts(SyncParts { parts })),
        request.prop_map(Frame::SnapshotRequest),
        unread().prop_map(Frame::SnapshotChunk),
        digests.prop_map(Frame::TableDigests),
        owners.prop_map(Frame::OriginOwners),
    ]
}

//! What is within every bound and yet not sound: each rule, broken once.

use super::samples::tables::{AGENTS, HERE, chunk, clock, parts, text, version};
use crate::{
    CellState, DecodeError, EncodeError, HybridClock, RowChange, SnapshotChunk, SnapshotPosition,
    SqlValue, TransactionPart, UnixMillis, Version,
};

const LARGE: u64 = HybridClock::MAX.0 + 1;

/// The bytes that a writer without scruples would make.
fn unchecked<T: serde::Serialize>(value: &T) -> Vec<u8> {
    crate::codec::compact::encode(value, usize::MAX).unwrap()
}

/// Breaks the first part, or the last one, and sees it refused by writer and reader.
fn broken_part(what: &'static str, which: usize, change: impl FnOnce(&mut TransactionPart)) {
    let mut part = parts().swap_remove(which).1;
    change(&mut part);
    assert_eq!(part.encode(), Err(EncodeError::FieldTooLarge { what }));
    let refused = TransactionPart::decode(&unchecked(&part));
    assert_eq!(refused, Err(DecodeError::Malformed { what }));
}

/// Breaks a change: of the first part 0 the put and 1 the edit, of the last 2 the deletion.
fn broken_change(what: &'static str, which: usize, change: impl FnOnce(&mut RowChange)) {
    broken_part(what, which / 2, |part| change(&mut part.sections[0].changes[which % 2]));
}

fn broken_chunk(what: &'static str, change: impl FnOnce(&mut SnapshotChunk)) {
    let mut chunk = chunk();
    change(&mut chunk);
    assert_eq!(chunk.encode(), Err(EncodeError::FieldTooLarge { what }));
    let refused = SnapshotChunk::decode(&unchecked(&chunk));
    assert_eq!(refused, Err(DecodeError::Malformed { what }));
}

/// A version and each way in which it can be none.
fn broken_versions() -> [(&'static str, Version); 5] {
    let sound = version(1, 1);
    [
        ("life", Version { life: 0, ..sound }),
        ("life", Version { life: LARGE, ..sound }),
        ("clock", Version { clock: HybridClock(LARGE), ..sound }),
        ("sequence", Version { sequence: 0, ..sound }),
        ("sequence", Version { sequence: LARGE, ..sound }),
    ]
}

#[test]
fn a_transaction_is_numbered_from_one() {
    for sequence in [0, LARGE] {
        broken_part("sequence", 0, |part| part.dot.sequence = sequence);
    }
}

#[test]
fn a_header_stands_in_part_zero_alone() {
    broken_part("header", 0, |part| part.header = None);
    broken_part("header", 0, |part| part.part = 1);
    broken_part("header", 1, |part| part.part = 0);
    broken_part("header", 1, |part| part.header = Some(crate::TransactionHeader::default()));
}

#[test]
fn no_change_is_later_than_its_transaction() {
    broken_part("clock", 0, |part| part.header.as_mut().unwrap().clock = clock(2));
    broken_part("clock", 0, |part| {
        part.header.as_mut().unwrap().clock = HybridClock(LARGE);
    });
    // Later parts do not know the header; they say what it must allow.
    let [(_, first), (_, last)] = parts().try_into().unwrap();
    assert_eq!((first.clock(), last.clock()), (clock(3), clock(300)));
}

#[test]
fn a_header_names_numbers_that_can_be_kept() {
    let header = |what, change: &dyn Fn(&mut crate::TransactionHeader)| {
        broken_part(what, 0, |part| change(part.header.as_mut().unwrap()));
    };
    header("sequence", &|header| header.advanced[0].1 = LARGE);
    header("sequence", &|header| header.holes[0].sequence = LARGE);
    header("sequence", &|header| header.holes[0].sequence = 0);
    header("key", &|header| header.resolved[0].key.clear());
    for (what, version) in broken_versions() {
        header(what, &|header| header.resolved[0].version = version);
    }
}

#[test]
fn a_section_names_each_column_once() {
    broken_part("columns", 0, |part| part.sections[0].columns[1] = "Port".to_owned());
    broken_chunk("columns", |chunk| chunk.columns[1] = "PORT".to_owned());
}

#[test]
fn losers_are_listed_of_changes_and_columns_that_there_are() {
    broken_part("listed", 0, |part| part.sections[0].listed[0].change = 2);
    broken_part("listed", 0, |part| part.sections[0].listed[0].column = 2);
    for (what, version) in broken_versions() {
        broken_part(what, 0, |part| part.sections[0].listed[0].version = version);
    }
}

#[test]
fn a_change_has_a_key_and_a_life_of_its_kind() {
    for which in [0, 1, 2] {
        broken_change("key", which, |change| match change {
            RowChange::Put { key, .. }
            | RowChange::Delete { key, .. }
            | RowChange::Edit { key, .. } => {
                key.clear();
            }
        });
        for lives in [[0, 2, LARGE + 1], [0, 1, LARGE]] {
            let of_kind = |life: &u64| *life == 0 || life.is_multiple_of(2) == (which != 2);
            for broken in lives.into_iter().filter(|life| of_kind(life) || *life > LARGE - 1) {
                broken_change("life", which, |change| match change {
                    RowChange::Put { life, .. }
                    | RowChange::Delete { life, .. }
                    | RowChange::Edit { life, .. } => *life = broken,
                });
            }
        }
    }
}

#[test]
fn a_whole_row_has_a_value_for_every_column() {
    broken_change("values", 0, |change| {
        let RowChange::Put { values, .. } = change else { panic!("no whole row") };
        values.pop();
    });
    broken_change("values", 0, |change| {
        let RowChange::Put { values, .. } = change else { panic!("no whole row") };
        values.push(SqlValue::Null);
    });
}

#[test]
fn an_edit_names_columns_that_there_are_in_order() {
    let edit = |columns: [u16; 2]| {
        broken_change("cells", 1, |change| {
            let RowChange::Edit { cells, .. } = change else { panic!("no edit") };
            [cells[0].column, cells[1].column] = columns;
        });
    };
    edit([0, 2]);
    edit([1, 0]);
    edit([1, 1]);
}

#[test]
fn a_clock_fits_an_integer_of_sqlite() {
    // Part 1, because part 0 compares with its header first.
    broken_change("clock", 2, |change| {
        let RowChange::Delete { clock, .. } = change else { panic!("no deletion") };
        *clock = HybridClock(LARGE);
    });
    assert_eq!(HybridClock::at(UnixMillis(u64::MAX)), HybridClock::MAX);
    assert_eq!(HybridClock::at(UnixMillis(7)).time(), UnixMillis(7));
    let latest = HybridClock::MAX.time();
    assert!(HybridClock::at(latest) <= HybridClock::MAX);
}

#[test]
fn a_value_has_one_form() {
    let refused = |value: SqlValue| {
        let mut part = parts().swap_remove(1).1;
        let RowChange::Delete { key, .. } = &mut part.sections[0].changes[0] else {
            panic!("no deletion")
        };
        key[0] = value;
        let refused = TransactionPart::decode(&unchecked(&part));
        assert_eq!(refused, Err(DecodeError::Malformed { what: "transaction" }));
    };
    refused(SqlValue::Real(f64::NAN));
    refused(SqlValue::RawText(b"text".to_vec()));
    refused(SqlValue::RawText(vec![]));

    assert_ne!(SqlValue::Integer(1), SqlValue::Real(1.0));
    assert_ne!(SqlValue::Real(0.0), SqlValue::Real(-0.0));
    assert_ne!(SqlValue::Blob(vec![0xff]), SqlValue::RawText(vec![0xff]));
    assert_ne!(SqlValue::Null, text(""));
}

#[test]
fn a_piece_of_a_snapshot_has_versions_that_can_be_kept() {
    for (what, version) in broken_versions() {
        broken_chunk(what, |chunk| chunk.schema[0].0 = version);
        broken_chunk(what, |chunk| chunk.losers[0].version = version);
        broken_chunk(what, |chunk| {
            chunk.rows.truncate(1);
            chunk.rows[0].cells.clear();
            if version.life == 0 {
                chunk.rows[0].values.clear();
            }
            chunk.rows[0].version = version;
        });
    }
    broken_chunk("sequence", |chunk| chunk.coverage[0].from.sequence = 0);
    broken_chunk("sequence", |chunk| chunk.contexts[0].upto = LARGE);
    broken_chunk("sequence", |chunk| chunk.have[0].upto = LARGE);
    broken_chunk("sequence", |chunk| chunk.have[0].floor = LARGE);
    broken_chunk("sequence", |chunk| chunk.have[1].holes[0] = LARGE);
}

#[test]
fn a_row_of_a_snapshot_is_whole_or_gone() {
    broken_chunk("values", |chunk| chunk.rows[0].values.truncate(1));
    broken_chunk("values", |chunk| chunk.rows[1].values.push(SqlValue::Null));
    broken_chunk("key", |chunk| chunk.rows[0].key.clear());
    broken_chunk("key", |chunk| chunk.losers[0].key.clear());
    let cell = |column, version| CellState { column, version };
    broken_chunk("cells", |chunk| chunk.rows[1].cells.push(cell(0, version(2, 1))));
    broken_chunk("cells", |chunk| chunk.rows[0].cells[0].column = 2);
    broken_chunk("cells", |chunk| chunk.rows[0].cells.push(cell(0, version(3, 1))));
    broken_chunk("life", |chunk| chunk.rows[0].cells[0].version.life = 1);
    broken_chunk("sequence", |chunk| chunk.rows[0].cells[0].version.sequence = 0);
}

#[test]
fn rows_of_a_snapshot_are_rows_of_a_table() {
    broken_chunk("rows", |chunk| chunk.from = None);
    broken_chunk("rows", |chunk| {
        chunk.rows.clear();
        chunk.from = None;
    });
    let nowhere = || Some(SnapshotPosition { table: AGENTS, after: Some(vec![]), sent: 0 });
    broken_chunk("key", |chunk| chunk.from = nowhere());
    broken_chunk("key", |chunk| chunk.next = nowhere());
    let mut empty = chunk();
    (empty.from, empty.rows, empty.losers) = (None, vec![], vec![]);
    assert_eq!(SnapshotChunk::decode(&empty.encode().unwrap()).unwrap(), empty);
}

#[test]
fn no_change_shows_what_it_says() {
    let mut chunk = chunk();
    chunk.rows[0].values[0] = text("cellar");
    chunk.losers[0].value = Some(text("cellar"));
    let (_, mut part) = parts().swap_remove(0);
    let RowChange::Put { key, .. } = &mut part.sections[0].changes[0] else { panic!("no row") };
    key[0] = text("cellar");
    let bytes = || serde_bytes::ByteBuf::from(b"cellar".to_vec());
    let frames = [
        crate::Frame::SnapshotChunk(bytes()),
        crate::Frame::SyncParts(crate::SyncParts { parts: vec![bytes()] }),
    ];
    let shown = format!("{chunk:?} {part:?} {frames:?}");
    assert!(!shown.contains("cellar") && !shown.contains("99, 101"), "{shown}");
    assert!(shown.contains("SnapshotChunk(6 bytes)"), "{shown}");
    assert!(format!("{HERE:?}").contains("b0b0b0b0"));
}

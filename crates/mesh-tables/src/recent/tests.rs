use mesh_protocol::{Dot, OriginId, TableId, VersionVector};

use super::{BYTES_MAX, NewEntry, Recent, Uncommitted};
use crate::log::{LogBatch, LogCursor};

const ORIGIN: OriginId = OriginId::from_bytes([7; 16]);

fn entry(sequence: u64, bytes: usize) -> NewEntry {
    let dot = Dot { origin: ORIGIN, sequence };
    let tables = Box::new([TableId::from_bytes([u8::try_from(sequence).unwrap(); 16])]);
    NewEntry { dot, is_last: true, body: vec![0; bytes], tables }
}

fn upto(sequence: u64) -> VersionVector {
    let mut vector = VersionVector::default();
    vector.advance(ORIGIN, sequence);
    vector
}

/// Commits transactions, each an entry whose number is its sequence.
fn committed(sequences: std::ops::RangeInclusive<u64>, bytes: usize) -> Recent {
    let recent = Recent::default();
    for sequence in sequences {
        let mut uncommitted = Uncommitted::default();
        let id = i64::try_from(sequence).unwrap();
        uncommitted.add(id, entry(sequence, bytes));
        recent.commit(&mut uncommitted, id);
    }
    recent
}

fn sequences(batch: LogBatch) -> Vec<u64> {
    batch.sent.into_iter().map(|(_, sequence)| sequence).collect()
}

#[test]
fn entries_behind_a_cursor_are_served_from_memory() {
    let recent = committed(1..=5, 10);
    let batch = recent.read(LogCursor(2), 5, &upto(2), &upto(4), 1000).unwrap();
    assert_eq!((batch.cursor, batch.is_done), (LogCursor(5), true));
    assert_eq!(sequences(batch), [3, 4]);
}

#[test]
fn a_batch_ends_where_its_bytes_are_used_up() {
    let recent = committed(1..=5, 10);
    let batch = recent.read(LogCursor(0), 5, &upto(0), &upto(5), 25).unwrap();
    assert_eq!((batch.cursor, batch.is_done), (LogCursor(2), false));
    assert_eq!(sequences(batch), [1, 2]);
}

#[test]
fn what_is_not_all_there_is_left_to_the_database() {
    assert!(committed(3..=5, 10).read(LogCursor(1), 5, &upto(0), &upto(5), 1000).is_none());
    assert!(committed(1..=5, 10).read(LogCursor(1), 6, &upto(0), &upto(6), 1000).is_none());
    assert!(Recent::default().read(LogCursor(0), 1, &upto(0), &upto(1), 1000).is_none());
}

#[test]
fn an_entry_that_was_taken_back_makes_room_for_the_one_with_its_number() {
    let recent = committed(1..=2, 10);
    let mut uncommitted = Uncommitted::default();
    uncommitted.add(3, entry(30, 10));
    uncommitted.add(4, entry(31, 10));
    uncommitted.add(3, entry(3, 10));
    recent.commit(&mut uncommitted, 3);
    let batch = recent.read(LogCursor(0), 3, &upto(0), &upto(9), 1000).unwrap();
    assert_eq!(sequences(batch), [1, 2, 3]);
}

#[test]
fn what_is_taken_back_at_the_end_is_not_served() {
    let recent = committed(1..=2, 10);
    let mut uncommitted = Uncommitted::default();
    uncommitted.add(3, entry(3, 10));
    uncommitted.add(4, entry(4, 10));
    recent.commit(&mut uncommitted, 3);
    let batch = recent.read(LogCursor(0), 3, &upto(0), &upto(9), 1000).unwrap();
    assert_eq!(sequences(batch), [1, 2, 3]);
}

#[test]
fn after_a_number_that_is_no_entry_what_was_before_it_is_left_to_the_database() {
    let recent = committed(1..=2, 10);
    let mut uncommitted = Uncommitted::default();
    uncommitted.add(4, entry(3, 10));
    recent.commit(&mut uncommitted, 4);
    assert!(recent.read(LogCursor(1), 4, &upto(0), &upto(9), 1000).is_none());
    assert!(recent.read(LogCursor(3), 4, &upto(0), &upto(9), 1000).is_some());
}

#[test]
fn only_a_bounded_size_is_held() {
    let recent = committed(1..=20, BYTES_MAX / 4);
    assert!(recent.read(LogCursor(15), 20, &upto(0), &upto(20), 1000).is_none());
    assert!(recent.read(LogCursor(18), 20, &upto(0), &upto(20), 1000).is_some());
    let large = committed(1..=1, BYTES_MAX);
    assert!(large.read(LogCursor(0), 1, &upto(0), &upto(1), 1000).is_none());
}

#[test]
fn what_the_log_has_dropped_is_not_served_from_memory_either() {
    let recent = committed(1..=5, 10);
    recent.forget_upto(3);
    assert!(recent.read(LogCursor(2), 5, &upto(0), &upto(5), 1000).is_none());
    assert!(recent.read(LogCursor(3), 5, &upto(0), &upto(5), 1000).is_some());
    recent.forget_upto(9);
    assert!(recent.read(LogCursor(4), 5, &upto(0), &upto(5), 1000).is_none());
}

#[test]
fn entries_are_passed_up_to_the_first_that_writes_another_table() {
    let recent = committed(3..=8, 10);
    let is_below = |table: &TableId, number: u8| table.as_bytes().iter().all(|byte| *byte < number);
    assert_eq!(recent.pass(3, 8, |table| is_below(table, 6)), 6);
    assert_eq!(recent.pass(6, 8, |table| is_below(table, 6)), 6);
    assert_eq!(recent.pass(4, 7, |_| true), 8, "what is behind the end is not looked at");
    assert_eq!(recent.pass(4, 12, |_| true), 9, "what is not there is not passed");
    assert_eq!(recent.pass(2, 8, |_| true), 2, "nor what was dropped");
    assert_eq!(recent.pass(9, 8, |_| true), 9);
    assert_eq!(Recent::default().pass(1, 1, |_| true), 1);
}

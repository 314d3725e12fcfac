//! The corners of the rules, one by one.

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{
    HybridClock, Incoming, JoinPlan, LoserFacts, MergePlan, OriginId, RowFacts, TheirRow, Version,
    VersionVector,
};
use mesh_sync::{join, merge};

const TABLE: [u16; 2] = [0, 1];

const fn version(life: u64, clock: u64, number: u8) -> Version {
    let origin = OriginId::from_bytes([number; 16]);
    Version { life, clock: HybridClock(clock), origin, sequence: clock }
}

fn row(version: Version) -> RowFacts {
    RowFacts { version: Some(version), ..RowFacts::default() }
}

fn knows(versions: &[Version]) -> VersionVector {
    let mut known = VersionVector::default();
    versions.iter().for_each(|version| known.advance(version.origin, version.sequence));
    known
}

fn loser(column: Option<u16>, version: Version) -> LoserFacts {
    LoserFacts { column, version }
}

/// What becomes of `row` when `new` reaches it: the whole row, or some columns of it.
fn meet(row: &RowFacts, new: Version, columns: Option<&[u16]>, known: &[Version]) -> MergePlan {
    let is_deletion = !new.is_alive();
    let written = columns.unwrap_or(if is_deletion { &[] } else { &TABLE });
    let written: Vec<_> = written.iter().map(|column| (*column, new.clock)).collect();
    let context = knows(known);
    let incoming = Incoming {
        dot: new.dot(),
        context: &context,
        life: new.life,
        row_clock: columns.is_none().then_some(new.clock),
        columns: &written,
        table_columns: &TABLE,
        listed: &[],
    };
    merge(row, &incoming)
}

fn take(
    ours: Option<&RowFacts>,
    known: &[Version],
    facts: Option<&RowFacts>,
    their: &[Version],
) -> JoinPlan {
    let their_known = knows(their);
    let theirs = TheirRow { facts, columns: &TABLE, table_columns: &TABLE, known: &their_known };
    join(ours, &knows(known), &theirs)
}

#[test]
fn of_two_births_of_one_clock_the_greater_origin_is_visible_and_the_other_one_listed() {
    let (small, great) = (version(1, 5, 1), version(1, 5, 2));
    let plan = meet(&row(small), great, None, &[]);
    assert_eq!((plan.row, plan.write), (Some(great), vec![0, 1]));
    assert_eq!(plan.lost_here, [loser(Some(0), small), loser(Some(1), small)]);
    let plan = meet(&row(great), small, None, &[]);
    assert_eq!((plan.row, plan.write), (None, vec![]));
    assert_eq!(plan.lost_incoming, [(Some(0), small), (Some(1), small)]);
}

#[test]
fn two_columns_of_one_row_edited_at_once_are_both_kept() {
    let (birth, one, other) = (version(1, 1, 1), version(1, 2, 1), version(1, 3, 2));
    let facts = RowFacts { cells: BTreeMap::from([(0, one)]), ..row(birth) };
    let plan = meet(&facts, other, Some(&[1]), &[birth]);
    let expected =
        MergePlan { write: vec![0], cells_set: vec![(1, other)], ..MergePlan::default() };
    assert_eq!(plan, expected);
}

#[test]
fn a_deletion_beats_an_edit_that_its_maker_did_not_know_and_the_edit_is_listed() {
    let (birth, edit, deletion) = (version(1, 1, 1), version(1, 9, 1), version(2, 2, 2));
    let facts = RowFacts { cells: BTreeMap::from([(0, edit)]), ..row(birth) };
    let plan = meet(&facts, deletion, None, &[birth]);
    assert_eq!((plan.row, plan.lost_here), (Some(deletion), vec![loser(Some(0), edit)]));
    assert_eq!(plan.cells_cleared, [0]);
    let plan = meet(&row(deletion), edit, Some(&[0]), &[birth]);
    let expected = MergePlan { lost_incoming: vec![(Some(0), edit)], ..MergePlan::default() };
    assert_eq!(plan, expected);
}

#[test]
fn a_later_birth_beats_a_deletion_that_it_did_not_know_and_the_deletion_is_listed() {
    let (known, unknown, birth) = (version(2, 2, 1), version(2, 3, 2), version(3, 4, 1));
    let facts = RowFacts { losers: vec![loser(None, known)], ..row(unknown) };
    let plan = meet(&facts, birth, None, &[known]);
    assert_eq!((plan.row, plan.write), (Some(birth), vec![0, 1]));
    assert_eq!((plan.lost_here, plan.settled), (vec![loser(None, unknown)], vec![0]));
}

#[test]
fn a_later_life_beats_whatever_an_earlier_one_holds() {
    let (birth, edit, reborn) = (version(1, 1, 1), version(1, 90, 3), version(3, 4, 2));
    let facts = RowFacts { cells: BTreeMap::from([(1, edit)]), ..row(birth) };
    let plan = meet(&facts, reborn, None, &[birth]);
    assert_eq!((plan.row, plan.write), (Some(reborn), vec![0, 1]));
    assert_eq!((plan.lost_here, plan.cells_cleared), (vec![loser(Some(1), edit)], vec![1]));
}

#[test]
fn an_edit_of_a_life_that_is_not_there_is_listed_and_changes_nothing() {
    let edit = version(3, 9, 2);
    let listed = MergePlan { lost_incoming: vec![(Some(0), edit)], ..MergePlan::default() };
    for facts in [RowFacts::default(), row(version(1, 1, 1)), row(version(4, 1, 1))] {
        assert_eq!(meet(&facts, edit, Some(&[1]), &[]), listed);
    }
}

#[test]
fn a_column_that_no_write_covers_takes_any_edit_and_survives_a_replacement_that_lacks_it() {
    let (birth, edit, put) = (version(1, 9, 1), version(1, 2, 2), version(1, 10, 3));
    let facts = RowFacts { uncovered: BTreeSet::from([1]), ..row(birth) };
    let plan = meet(&facts, edit, Some(&[1]), &[]);
    assert_eq!((plan.write, plan.cells_set), (vec![0], vec![(1, edit)]));
    let facts = row(birth);
    let context = knows(&[birth]);
    let incoming = Incoming {
        dot: put.dot(),
        context: &context,
        life: 1,
        row_clock: Some(put.clock),
        columns: &[(0, put.clock)],
        table_columns: &TABLE,
        listed: &[],
    };
    let expected = MergePlan {
        row: Some(put),
        write: vec![0],
        cells_set: vec![(1, birth)],
        ..MergePlan::default()
    };
    assert_eq!(merge(&facts, &incoming), expected);
}

#[test]
fn a_loser_goes_when_its_reader_writes_and_stays_when_its_maker_had_it_listed() {
    let (birth, lost, next) = (version(1, 9, 1), version(1, 3, 2), version(1, 10, 3));
    let facts = RowFacts { losers: vec![loser(Some(0), lost)], ..row(birth) };
    let context = knows(&[lost]);
    for (listed, settled) in
        [(vec![], vec![0]), (vec![(0, lost)], vec![]), (vec![(1, lost)], vec![0])]
    {
        let incoming = Incoming {
            dot: next.dot(),
            context: &context,
            life: 1,
            row_clock: None,
            columns: &[(0, next.clock)],
            table_columns: &TABLE,
            listed: &listed,
        };
        let plan = merge(&facts, &incoming);
        assert_eq!((plan.settled, plan.lost_here), (settled, vec![loser(Some(0), birth)]));
    }
}

#[test]
fn a_row_whose_deletion_is_forgotten_starts_again_where_the_deletion_is_remembered() {
    let (deletion, birth) = (version(2, 5, 1), version(1, 8, 2));
    let plan = meet(&row(deletion), birth, None, &[deletion]);
    assert_eq!((plan.row, plan.lost_here), (Some(birth), vec![]));
    let plan = take(Some(&row(deletion)), &[deletion], Some(&row(birth)), &[deletion, birth]);
    assert_eq!((plan.merge.row, plan.merge.write, plan.forget), (Some(birth), vec![0, 1], false));
}

#[test]
fn a_row_that_is_alive_is_never_taken_back_to_an_earlier_life() {
    let (alive, earlier) = (version(3, 5, 1), version(1, 8, 2));
    let plan = meet(&row(alive), earlier, None, &[alive]);
    assert_eq!((plan.row, plan.write), (None, vec![]));
    assert_eq!(plan.lost_incoming, [(Some(0), earlier), (Some(1), earlier)]);
}

#[test]
fn a_row_that_others_know_and_do_not_have_is_forgotten_but_for_what_they_do_not_know() {
    let (birth, edit) = (version(1, 1, 1), version(1, 2, 2));
    let facts = RowFacts { cells: BTreeMap::from([(0, edit)]), ..row(birth) };
    let plan = take(Some(&facts), &[birth, edit], None, &[birth]);
    assert!(plan.forget);
    assert_eq!(plan.merge.lost_here, [loser(Some(0), edit)]);
    // The other side, and whoever gets the edit alone, comes to the same.
    let plan = take(None, &[birth], Some(&facts), &[birth, edit]);
    assert_eq!((plan.merge.row, plan.merge.lost_incoming), (None, vec![(Some(0), edit)]));
    let plan = meet(&RowFacts::default(), edit, Some(&[0]), &[birth]);
    assert_eq!((plan.row, plan.lost_incoming), (None, vec![(Some(0), edit)]));
    let plan = take(Some(&row(birth)), &[birth], None, &[]);
    assert_eq!(plan, JoinPlan::default());
}

#[test]
fn a_loser_that_others_know_and_do_not_list_was_settled_there() {
    let (birth, lost) = (version(1, 9, 1), version(1, 3, 2));
    let listing = RowFacts { losers: vec![loser(Some(0), lost)], ..row(birth) };
    let both = [birth, lost];
    let plan = take(Some(&listing), &both, Some(&row(birth)), &both);
    assert_eq!(plan.merge.settled, [0]);
    let plan = take(Some(&row(birth)), &both, Some(&listing), &both);
    assert_eq!(plan, JoinPlan::default());
    let plan = take(Some(&row(birth)), &[birth], Some(&listing), &both);
    assert_eq!(plan.adopted, [0]);
}

#[test]
fn a_column_whose_last_write_is_gone_takes_its_default() {
    let (old, edit, new) = (version(3, 5, 1), version(3, 6, 1), version(1, 8, 2));
    let ours = RowFacts { cells: BTreeMap::from([(1, edit)]), ..row(old) };
    let theirs = RowFacts { uncovered: BTreeSet::from([1]), ..row(new) };
    let plan = take(Some(&ours), &[edit], Some(&theirs), &[edit, new]);
    assert_eq!((plan.merge.row, plan.merge.write), (Some(new), vec![0]));
    assert_eq!((plan.merge.cells_cleared, plan.defaulted), (vec![1], vec![1]));
}

#[test]
fn states_that_contradict_each_other_come_to_the_same_on_both_sides() {
    let (small, great) = (version(1, 5, 1), version(1, 6, 2));
    let both = [small, great];
    let plan = take(Some(&row(small)), &both, Some(&row(great)), &both);
    assert_eq!((plan.merge.row, plan.merge.write), (Some(great), vec![0, 1]));
    let plan = take(Some(&row(great)), &both, Some(&row(small)), &both);
    assert_eq!(plan, JoinPlan::default());
}

#[test]
fn a_row_of_one_version_that_covers_a_column_on_one_side_covers_it() {
    let birth = version(1, 5, 1);
    let bare = RowFacts { uncovered: BTreeSet::from([1]), ..row(birth) };
    let plan = take(Some(&row(birth)), &[birth], Some(&bare), &[birth]);
    assert_eq!(plan, JoinPlan::default());
    let plan = take(Some(&bare), &[birth], Some(&row(birth)), &[birth]);
    assert_eq!((plan.merge.write, plan.merge.cells_set, plan.defaulted), (vec![1], vec![], vec![]));
}

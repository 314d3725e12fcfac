use super::desk::Desk;
use super::*;

fn floored(database: u8, upto: u64, floor: u64) -> OriginHave {
    OriginHave { floor, ..origin(database, upto) }
}

#[test]
fn who_lacks_what_others_have_forgotten_takes_a_snapshot_from_the_one_with_the_most() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.engine.link_up(id(1), desk.now);
    desk.engine.link_up(id(2), desk.now);
    desk.outputs();
    desk.whole(1, &[floored(7, 5, 3)]);
    assert_eq!(desk.snapshots(), [id(1)]);
    desk.whole(2, &[floored(7, 9, 3)]);
    assert_eq!(desk.snapshots(), [], "one at a time");
    desk.engine.snapshot_ended(id(1), false, desk.now);
    assert_eq!(desk.snapshots(), [id(2)], "the other one, for the first has failed");
}

#[test]
fn changes_are_not_wanted_from_the_wish_for_a_snapshot_to_its_end() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.linked(1, &[floored(7, 5, 3)]);
    let wants: Vec<bool> = desk.told(1).iter().map(|have| have.wants_changes).collect();
    assert_eq!(wants, [true, false]);
    desk.snapshot_begins(&[origin(8, 1)]);
    desk.engine.snapshot_ended(id(1), true, desk.now);
    assert_eq!(desk.told(1), [], "the database has not told what it has");
    desk.own(&[origin(8, 1), floored(7, 5, 5)]);
    let told = desk.told(1);
    assert!(told[0].is_whole && told[0].wants_changes);
    assert_eq!(told[0].origins.len(), 2);
}

#[test]
fn the_database_may_tell_of_a_whole_snapshot_before_its_end_is_told() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.linked(1, &[floored(7, 5, 3)]);
    desk.snapshot_begins(&[origin(8, 1)]);
    desk.own(&[origin(8, 1), floored(7, 5, 5)]);
    desk.outputs();
    desk.engine.snapshot_ended(id(1), true, desk.now);
    assert!(desk.told(1)[0].wants_changes);
}

#[test]
fn a_snapshot_goes_on_with_another_peer_when_the_link_breaks() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.linked(1, &[floored(7, 5, 3)]);
    desk.linked(2, &[floored(7, 4, 3)]);
    desk.snapshot_begins(&[origin(8, 1)]);
    assert_eq!(desk.snapshots(), [id(1)]);
    desk.engine.link_down(id(1), desk.now);
    assert_eq!(desk.snapshots(), [id(2)]);
    desk.engine.link_down(id(2), desk.now);
    assert_eq!(desk.snapshots(), []);
    desk.linked(3, &[]);
    assert_eq!(
        desk.snapshots(),
        [id(3)],
        "one that was begun has to be ended, after a restart too"
    );
}

#[test]
fn no_snapshot_is_needed_while_another_peer_can_send_what_is_missing() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.linked(2, &[origin(7, 5), origin(8, 1)]);
    desk.linked(1, &[floored(7, 5, 3)]);
    assert_eq!(desk.snapshots(), []);
    desk.pass(seconds(29));
    desk.engine.applied_from(&[(db(7), 1)], id(2));
    desk.own(&[origin(8, 1), origin(7, 1)]);
    desk.pass(seconds(29));
    assert_eq!(desk.snapshots(), [], "it gets on");
    desk.pass(seconds(1));
    assert_eq!(desk.snapshots(), [id(1)], "it does not");
}

#[test]
fn a_peer_that_can_send_what_is_missing_is_given_the_time_from_when_another_forgot_it() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.linked(1, &[origin(8, 1)]);
    desk.linked(2, &[origin(8, 1)]);
    desk.pass(seconds(100));
    desk.whole(2, &[origin(7, 5), origin(8, 1)]);
    desk.whole(1, &[floored(7, 5, 3)]);
    assert_eq!(desk.snapshots(), [], "until now nothing was missing");
    desk.pass(seconds(29));
    assert_eq!(desk.snapshots(), []);
    desk.pass(seconds(1));
    assert_eq!(desk.snapshots(), [id(1)]);
}

#[test]
fn of_two_that_can_give_a_snapshot_the_one_with_more_does() {
    for (one, two, giver) in [(9, 5, 1), (5, 9, 2)] {
        let mut desk = Desk::new();
        desk.own(&[origin(8, 1)]);
        desk.linked(3, &[floored(7, 4, 3)]);
        desk.linked(1, &[floored(7, one, 3)]);
        desk.linked(2, &[floored(7, two, 3)]);
        assert_eq!(desk.snapshots(), [id(3)]);
        desk.engine.link_down(id(3), desk.now);
        assert_eq!(desk.snapshots(), [id(giver)]);
    }
}

#[test]
fn a_newcomer_takes_a_snapshot_of_much_and_the_transactions_of_little() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 3)]);
    desk.linked(1, &[origin(7, 9_999)]);
    assert_eq!(desk.snapshots(), []);
    desk.whole(1, &[origin(7, 9_999), origin(6, 1)]);
    assert_eq!(desk.snapshots(), [id(1)]);
    let mut desk = Desk::new();
    desk.own(&[origin(0, 3), origin(6, 1)]);
    desk.linked(1, &[origin(7, 20_000)]);
    assert_eq!(desk.snapshots(), [], "it is none");
}

#[test]
fn no_snapshot_is_taken_from_a_peer_that_takes_one_itself() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.engine.link_up(id(1), desk.now);
    desk.said(1, &[floored(7, 5, 3)], |have| have.wants_changes = false);
    assert_eq!(desk.snapshots(), []);
    desk.whole(1, &[floored(7, 5, 3)]);
    assert_eq!(desk.snapshots(), [id(1)]);
}

#[test]
fn a_snapshot_that_one_peer_spoils_is_ended_at_once_by_one_that_has_just_given_a_whole_one() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.linked(1, &[origin(8, 1)]);
    desk.linked(2, &[floored(7, 9, 9)]);
    for round in 0..3 {
        assert_eq!(desk.snapshots(), [id(2)], "nobody else says that it has as much");
        desk.snapshot_begins(&[origin(8, 1)]);
        desk.engine.snapshot_ended(id(2), false, desk.now);
        assert_eq!(desk.snapshots(), [id(1)]);
        desk.engine.snapshot_ended(id(1), true, desk.now);
        desk.own(&[origin(8, 1)]);
        desk.pass(seconds(2 << round));
    }
}

#[test]
fn snapshots_that_do_not_help_become_rare() {
    let mut desk = Desk::new();
    desk.own(&[origin(8, 1)]);
    desk.linked(1, &[floored(7, u64::MAX, u64::MAX)]);
    let mut count = 0;
    for _ in 0..3600 {
        if !desk.snapshots().is_empty() {
            count += 1;
            desk.engine.snapshot_ended(id(1), true, desk.now);
        }
        desk.pass(seconds(1));
    }
    assert!((4..=8).contains(&count), "{count} in an hour");
}

#[test]
fn snapshots_that_help_do_not() {
    for is_told_first in [true, false] {
        let mut desk = Desk::new();
        desk.own(&[origin(8, 1)]);
        desk.linked(1, &[origin(8, 1)]);
        for upto in 1..10 {
            desk.pass(seconds(30));
            desk.whole(1, &[floored(7, upto, upto)]);
            assert_eq!(desk.snapshots(), [id(1)]);
            desk.snapshot_begins(&[origin(8, 1)]);
            if !is_told_first {
                desk.engine.snapshot_ended(id(1), true, desk.now);
            }
            desk.own(&[origin(8, 1), floored(7, upto, upto)]);
            if is_told_first {
                desk.engine.snapshot_ended(id(1), true, desk.now);
            }
        }
    }
}

#[test]
fn a_database_that_is_opened_in_the_middle_of_a_snapshot_goes_on_with_it() {
    let now = some_instant();
    let mut engine = Exchange::new(ME, ExchangeConfig::default(), 1, UnixMillis(0));
    engine.members([id(1)].into(), now);
    engine.link_up(id(1), now);
    let mut desk = Desk::new();
    desk.engine = engine;
    desk.whole(1, &[]);
    assert_eq!(desk.snapshots(), []);
    desk.snapshot_begins(&[]);
    assert_eq!(desk.snapshots(), [id(1)]);
}

/// In a mesh of this node and the peers 1 and 2, in the middle of a snapshot from peer 1, whose link is gone.
fn deserted() -> Desk {
    let mut desk = Desk::new();
    desk.engine.members([ME, id(1), id(2)].into(), desk.now);
    desk.own(&[origin(8, 1)]);
    desk.linked(1, &[floored(7, 5, 3)]);
    desk.snapshot_begins(&[origin(8, 1)]);
    desk.engine.link_down(id(1), desk.now);
    desk.outputs();
    desk
}

fn takes_itself(desk: &mut Desk, peer: u8) {
    desk.engine.link_up(id(peer), desk.now);
    desk.said(peer, &[floored(7, 5, 3)], |have| have.wants_changes = false);
}

fn times_abandoned(desk: &mut Desk) -> usize {
    let is_it = |output: &ExchangeOutput| *output == ExchangeOutput::AbandonSnapshot;
    desk.outputs().into_iter().filter(is_it).count()
}

#[test]
fn where_everybody_is_in_the_middle_of_a_snapshot_it_is_abandoned() {
    let mut desk = deserted();
    takes_itself(&mut desk, 1);
    desk.pass(seconds(100));
    assert_eq!(times_abandoned(&mut desk), 0, "peer 2 was not heard of");
    takes_itself(&mut desk, 2);
    desk.pass(seconds(10));
    takes_itself(&mut desk, 2);
    desk.pass(seconds(19));
    assert_eq!(times_abandoned(&mut desk), 0, "one of them may have come to its end");
    desk.pass(seconds(1));
    assert_eq!(times_abandoned(&mut desk), 1);
    desk.pass(seconds(30));
    assert_eq!(times_abandoned(&mut desk), 1, "the database has not done it");
    desk.own(&[origin(8, 1)]);
    assert!(desk.told(1)[0].wants_changes, "others can take it from here");
    desk.pass(seconds(100));
    assert_eq!(times_abandoned(&mut desk), 0);
}

#[test]
fn what_was_begun_is_not_abandoned_where_one_who_is_away_may_be_whole() {
    let mut desk = deserted();
    takes_itself(&mut desk, 2);
    desk.pass(seconds(100));
    assert_eq!(times_abandoned(&mut desk), 0, "peer 1 was whole when it was last heard of");
    desk.engine.members([ME, id(2)].into(), desk.now);
    desk.pass(seconds(30));
    assert_eq!(times_abandoned(&mut desk), 1, "it is none of the mesh any more");
}

#[test]
fn a_snapshot_is_not_abandoned_when_somebody_becomes_whole_before_it_is_time() {
    let mut desk = deserted();
    takes_itself(&mut desk, 1);
    takes_itself(&mut desk, 2);
    desk.pass(seconds(29));
    desk.whole(1, &[floored(7, 5, 3)]);
    assert_eq!(desk.snapshots(), [id(1)]);
    desk.engine.snapshot_ended(id(1), false, desk.now);
    takes_itself(&mut desk, 1);
    desk.pass(seconds(29));
    assert_eq!(times_abandoned(&mut desk), 0, "it is waited for anew");
}

#[test]
fn of_two_that_both_need_the_other_s_state_the_one_with_the_smaller_id_begins() {
    for (me, waits) in [(0, false), (2, true)] {
        let mut desk = Desk::new();
        desk.engine = Exchange::new(id(me), ExchangeConfig::default(), 1, UnixMillis(1_000_000));
        desk.engine.members([id(me), id(1)].into(), desk.now);
        desk.own(&[floored(8, 5, 5)]);
        desk.linked(1, &[floored(7, 5, 3)]);
        assert_eq!(desk.snapshots().is_empty(), waits);
        desk.pass(seconds(29));
        assert_eq!(desk.snapshots(), []);
        desk.pass(seconds(1));
        assert_eq!(!desk.snapshots().is_empty(), waits, "the other one does not begin");
    }
}

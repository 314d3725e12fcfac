use super::desk::Desk;
use super::*;

const fn feed(peer: u8) -> ExchangeOutput {
    ExchangeOutput::Feed { peer: id(peer) }
}

#[test]
fn nothing_is_sent_before_the_peer_has_said_what_it_has() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 3)]);
    desk.engine.link_up(id(1), desk.now);
    assert_eq!(desk.engine.feed_of(id(1)), None);
    desk.acknowledged(1, &[]);
    assert_eq!(desk.engine.feed_of(id(1)), None, "not everything was said");
    desk.outputs();
    desk.whole(1, &[origin(0, 1)]);
    assert_eq!(desk.outputs(), [feed(1)]);
    assert_eq!(desk.feed(1), [(0, 2), (0, 3)]);
}

#[test]
fn own_commits_go_to_everybody_at_once() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.linked(2, &[]);
    desk.neighbours(&[(1, 2)]);
    desk.outputs();
    desk.own(&[origin(0, 1)]);
    assert_eq!(desk.outputs(), [feed(1), feed(2)]);
    assert_eq!(desk.feed(2), [(0, 1)]);
}

#[test]
fn commits_of_others_go_on_to_those_who_cannot_have_them_otherwise() {
    let mut desk = Desk::new();
    (1..=4).for_each(|peer| desk.linked(peer, &[]));
    // 1 is linked with 2; 5 with 3. What 5 made comes from 1.
    desk.neighbours(&[(1, 2), (5, 3), (5, 1)]);
    desk.relayed(1, 5, 1, &[]);
    desk.outputs();
    desk.engine.applied_from(&[(db(5), 1)], id(1));
    desk.own(&[origin(5, 1)]);
    assert_eq!(desk.outputs(), [feed(4)]);
    assert_eq!((desk.feed(1), desk.feed(2), desk.feed(3)), (vec![], vec![], vec![]));
    assert_eq!(desk.feed(4), [(5, 1)]);
}

#[test]
fn a_link_that_only_one_end_states_does_not_count() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.linked(2, &[]);
    desk.engine.neighbours(id(2), [id(1)].into());
    desk.engine.applied_from(&[(db(1), 1)], id(1));
    desk.own(&[origin(1, 1)]);
    assert_eq!(desk.feed(2), [(1, 1)]);
}

#[test]
fn when_two_others_lose_their_link_they_are_sent_what_they_left_to_each_other() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.linked(2, &[]);
    desk.neighbours(&[(1, 2)]);
    desk.engine.applied_from(&[(db(1), 1)], id(1));
    desk.own(&[origin(1, 1)]);
    desk.outputs();
    assert_eq!(desk.feed(2), []);
    desk.engine.neighbours(id(1), BTreeSet::new());
    assert_eq!(desk.outputs(), [feed(2)]);
    assert_eq!(desk.feed(2), [(1, 1)]);
}

#[test]
fn a_comparison_sends_everything_but_what_has_only_just_come() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.linked(2, &[]);
    desk.neighbours(&[(1, 2)]);
    desk.engine.applied_from(&[(db(2), 1)], id(2));
    desk.own(&[origin(2, 1)]);
    desk.pass(seconds(3));
    desk.engine.applied_from(&[(db(2), 2)], id(2));
    desk.own(&[origin(2, 2)]);
    assert_eq!(desk.feed(1), []);
    desk.whole(1, &[]);
    assert_eq!(desk.feed(1), [(2, 1)]);
    desk.pass(seconds(3));
    desk.whole(1, &[origin(2, 1)]);
    assert_eq!(desk.feed(1), [(2, 2)]);
}

#[test]
fn under_steady_commits_a_comparison_sends_what_is_a_while_old() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.linked(2, &[]);
    desk.neighbours(&[(1, 2)]);
    for sequence in 1..=15 {
        desk.engine.applied_from(&[(db(2), sequence)], id(2));
        desk.own(&[origin(2, sequence)]);
        desk.pass(millis(300));
    }
    desk.whole(1, &[]);
    let last = desk.feed(1).last().copied().unwrap();
    assert!(((2, 8)..=(2, 12)).contains(&last), "{last:?}");
}

#[test]
fn a_peer_is_never_sent_its_own_database() {
    let mut desk = Desk::new();
    desk.own(&[origin(1, 5), origin(2, 5)]);
    desk.linked(1, &[]);
    assert_eq!(desk.feed(1).first(), Some(&(2, 1)));
    desk.said(1, &[], |have| have.database = db(7));
    assert_eq!(desk.feed(1).first(), Some(&(1, 1)), "it has a new one");
}

#[test]
fn what_a_peer_sent_is_not_sent_back() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.engine.applied_from(&[(db(7), 4)], id(1));
    desk.own(&[origin(7, 4)]);
    desk.pass(seconds(2));
    // It has said this before it got what it sent.
    desk.whole(1, &[origin(7, 2)]);
    assert_eq!(desk.feed(1), []);
}

#[test]
fn words_that_cross_with_what_was_sent_send_nothing_twice() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 4)]);
    desk.linked(1, &[]);
    desk.fed(1, &[(0, 1), (0, 2), (0, 3), (0, 4)]);
    assert_eq!(desk.engine.feed_of(id(1)), None);
    desk.whole(1, &[origin(0, 2)]);
    assert_eq!(desk.engine.feed_of(id(1)), None);
    desk.pass(seconds(11));
    desk.outputs();
    desk.whole(1, &[origin(0, 3)]);
    assert_eq!(desk.engine.feed_of(id(1)), None, "it gets on");
    desk.pass(seconds(11));
    desk.whole(1, &[origin(0, 3)]);
    assert_eq!(desk.feed(1), [(0, 4)], "it was lost");
    desk.fed(1, &[(0, 4)]);
    desk.pass(seconds(11));
    desk.whole(1, &[origin(0, 3)]);
    assert_eq!(desk.feed(1), [], "the second time it is given twice the time");
    desk.pass(seconds(11));
    desk.whole(1, &[origin(0, 3)]);
    assert_eq!(desk.feed(1), [(0, 4)]);
    desk.own(&[origin(0, 6)]);
    desk.fed(1, &[(0, 4), (0, 5), (0, 6)]);
    desk.whole(1, &[origin(0, 4)]);
    desk.pass(seconds(11));
    desk.whole(1, &[origin(0, 4)]);
    assert_eq!(desk.feed(1), [(0, 5), (0, 6)], "it got on, and patience is what it was");
}

#[test]
fn what_has_not_gone_once_more_yet_has_not_been_lost_once_more() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 1)]);
    desk.linked(1, &[]);
    desk.fed(1, &[(0, 1)]);
    desk.pass(seconds(11));
    desk.whole(1, &[]);
    assert_eq!(desk.feed(1), [(0, 1)], "it was lost");
    // The link is slow, and its feeder takes nothing for a while.
    for _ in 0..10 {
        desk.pass(seconds(60));
        desk.whole(1, &[]);
    }
    desk.fed(1, &[(0, 1)]);
    desk.pass(seconds(21));
    desk.whole(1, &[]);
    assert_eq!(desk.feed(1), [(0, 1)], "it was given twice the time, not sixty-four times");
}

#[test]
fn a_new_link_forgets_what_was_under_way_on_the_old_one() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 2)]);
    desk.linked(1, &[]);
    desk.fed(1, &[(0, 1), (0, 2)]);
    desk.engine.link_down(id(1), desk.now);
    assert_eq!(desk.engine.feed_of(id(1)), None);
    desk.engine.link_up(id(1), desk.now);
    desk.own(&[origin(0, 3)]);
    assert_eq!(desk.engine.feed_of(id(1)), None, "it may have lost what it had");
    desk.whole(1, &[origin(0, 1)]);
    assert_eq!(desk.feed(1), [(0, 2), (0, 3)]);
}

#[test]
fn what_is_sent_out_of_order_leaves_no_gap() {
    let mut desk = Desk::new();
    desk.own(&[origin(2, 4)]);
    desk.linked(1, &[origin(2, 1)]);
    desk.fed(1, &[(2, 3)]);
    assert_eq!(desk.feed(1), [(2, 2), (2, 4)]);
    desk.fed(1, &[(2, 4)]);
    assert_eq!(desk.feed(1), [(2, 2)]);
    desk.fed(1, &[(2, 2)]);
    assert_eq!(desk.engine.feed_of(id(1)), None);
}

#[test]
fn gaps_close_when_the_peer_has_what_was_left_out() {
    let gap = || {
        let mut desk = Desk::new();
        desk.own(&[origin(2, 4)]);
        desk.linked(1, &[origin(2, 1)]);
        desk.fed(1, &[(2, 3)]);
        desk
    };
    let mut said = gap();
    said.acknowledged(1, &[origin(2, 2)]);
    assert_eq!(said.feed(1), [(2, 4)]);
    let mut sent = gap();
    sent.engine.applied_from(&[(db(2), 2)], id(1));
    assert_eq!(sent.feed(1), [(2, 4)]);
    let mut lost = gap();
    lost.pass(seconds(11));
    lost.whole(1, &[origin(2, 1)]);
    lost.fed(1, &[(2, 2)]);
    assert_eq!(lost.feed(1), [(2, 3), (2, 4)]);
}

#[test]
fn what_a_peer_keeps_aside_is_not_sent_again() {
    let mut desk = Desk::new();
    desk.own(&[origin(2, 4)]);
    desk.linked(1, &[OriginHave { holes: vec![2], ..origin(2, 3) }]);
    assert_eq!(desk.feed(1), [(2, 4)]);
}

#[test]
fn what_is_kept_aside_here_holds_back_what_follows_until_it_is_applied() {
    let mut desk = Desk::new();
    desk.own(&[OriginHave { holes: vec![3], ..origin(2, 5) }]);
    desk.linked(1, &[origin(2, 1)]);
    assert_eq!(desk.feed(1), [(2, 2)]);
    desk.fed(1, &[(2, 2)]);
    assert_eq!(desk.engine.feed_of(id(1)), None);
    desk.linked(3, &[origin(2, 3)]);
    assert_eq!(desk.feed(3), [(2, 4), (2, 5)], "it has what is kept aside here");
    desk.outputs();
    desk.own(&[origin(2, 5)]);
    assert_eq!(desk.outputs(), [feed(1), feed(3)]);
    assert_eq!(desk.feed(1), [(2, 3), (2, 4), (2, 5)]);
}

#[test]
fn a_peer_that_lacks_what_is_forgotten_here_is_sent_nothing() {
    let mut desk = Desk::new();
    desk.own(&[OriginHave { floor: 3, ..origin(2, 5) }, origin(0, 1)]);
    desk.linked(1, &[origin(2, 2)]);
    assert_eq!(desk.engine.feed_of(id(1)), None);
    desk.whole(1, &[origin(2, 3)]);
    assert_eq!(desk.feed(1), [(0, 1), (2, 4), (2, 5)]);
    // Its own database matters to it alone.
    desk.said(1, &[origin(2, 2)], |have| have.database = db(2));
    assert_eq!(desk.feed(1), [(0, 1)]);
}

#[test]
fn a_peer_that_takes_a_snapshot_is_sent_nothing() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 1)]);
    desk.linked(1, &[]);
    desk.said(1, &[], |have| have.wants_changes = false);
    assert_eq!(desk.engine.feed_of(id(1)), None);
    desk.whole(1, &[]);
    assert_eq!(desk.feed(1), [(0, 1)]);
}

#[test]
fn each_commit_has_its_own_source() {
    let mut desk = Desk::new();
    (1..=3).for_each(|peer| desk.linked(peer, &[]));
    desk.neighbours(&[(1, 2)]);
    desk.engine.applied_from(&[(db(7), 1)], id(1));
    desk.own(&[origin(7, 1)]);
    desk.engine.applied_from(&[(db(7), 2)], id(3));
    desk.own(&[origin(7, 2)]);
    assert_eq!(desk.feed(2), [(7, 1), (7, 2)]);
    // Without a source it goes to everybody: it was kept aside here until then, or came with a snapshot.
    desk.own(&[origin(7, 2), origin(8, 1)]);
    assert_eq!(desk.feed(1).last(), Some(&(8, 1)));
}

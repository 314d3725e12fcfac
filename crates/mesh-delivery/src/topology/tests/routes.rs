//! Which way is the best.

use super::*;

#[test]
fn a_direct_link_counts_at_once_and_without_the_other_end() {
    let mut desk = Desk::new();
    desk.up(1);
    assert!(desk.outputs().contains(&changed(1, Some(&[]))));
    desk.measured(1, 3);
    let route = Route { via: vec![], rtt: Some(Duration::from_millis(3)) };
    assert_eq!(desk.engine.route(&id(1)), Some(&route));
    desk.down(1);
    assert_eq!(desk.outputs(), [changed(1, None)]);
    // The other end has not noticed yet, which changes nothing.
    desk.receive(2, &[state(1, 1, &[0])]);
    assert_eq!(desk.route(1), None);
}

#[test]
fn a_link_of_others_counts_when_both_ends_state_it() {
    let mut desk = Desk::linked(&[1]);
    desk.receive(1, &[state(1, 1, &[0, 2])]);
    assert_eq!(desk.route(2), None);
    desk.receive(1, &[state(2, 1, &[1])]);
    assert_eq!(desk.route(2), Some(vec![id(1)]));
    desk.receive(1, &[state(1, 2, &[0])]);
    assert_eq!(desk.route(2), None);
    desk.outputs();
    desk.receive(1, &[state(1, 3, &[0, 2])]);
    assert!(desk.outputs().contains(&changed(2, Some(&[1]))));
}

#[test]
fn fewer_links_beat_a_shorter_round_trip() {
    let mut desk = Desk::linked(&[1, 2]);
    desk.measured(1, 500);
    desk.measured(2, 1);
    desk.receive(
        1,
        &[
            state_with_rtts(1, 1, &[(0, 500), (4, 500)]),
            state_with_rtts(2, 1, &[(0, 1), (3, 1)]),
            state_with_rtts(3, 1, &[(2, 1), (4, 1)]),
            state_with_rtts(4, 1, &[(1, 500), (3, 1)]),
        ],
    );
    let route = Route { via: vec![id(1)], rtt: Some(Duration::from_secs(1)) };
    assert_eq!(desk.engine.route(&id(4)), Some(&route));
    assert_eq!(desk.route(3), Some(vec![id(2)]));
}

#[test]
fn of_equally_many_links_the_shorter_round_trip_is_taken_then_the_smaller_ids() {
    let mut desk = Desk::linked(&[1, 2, 3]);
    let links = |first, second, third| {
        [
            state_with_rtts(1, first, &[(0, 0), (4, 0)]),
            state_with_rtts(2, second, &[(0, 0), (4, 0)]),
            state_with_rtts(3, third, &[(0, 0), (4, 0)]),
            state_with_rtts(4, 1, &[(1, 0), (2, 0), (3, 0)]),
        ]
    };
    desk.receive(1, &links(1, 1, 1));
    assert_eq!(desk.route(4), Some(vec![id(1)]), "all unknown");
    assert_eq!(desk.engine.route(&id(4)).unwrap().rtt, None);
    // 60 ms and an unknown one are worse than two unknown ones, 40 ms and an unknown one are better.
    desk.measured(1, 60);
    assert_eq!(desk.route(4), Some(vec![id(2)]));
    desk.measured(3, 40);
    let route = Route { via: vec![id(3)], rtt: Some(Duration::from_millis(40)) };
    assert_eq!(desk.engine.route(&id(4)), Some(&route));
    // One end that knows the round trip is enough.
    desk.receive(1, &[state_with_rtts(2, 2, &[(0, 0), (4, 30)])]);
    assert_eq!(desk.route(4), Some(vec![id(2)]));
    let rtt = Some(Duration::from_millis(30));
    assert_eq!(desk.engine.route(&id(4)), Some(&Route { via: vec![id(2)], rtt }));
}

#[test]
fn ids_decide_from_the_first_member_of_the_way_on() {
    let mut desk = Desk::linked(&[1, 2]);
    desk.receive(
        1,
        &[
            state(1, 1, &[0, 9]),
            state(2, 1, &[0, 3]),
            state(3, 1, &[2, 5]),
            state(9, 1, &[1, 5]),
            state(5, 1, &[3, 9]),
        ],
    );
    assert_eq!(desk.route(5), Some(vec![id(1), id(9)]));
}

#[test]
fn a_way_has_no_more_links_than_a_frame_may_take() {
    let mut desk = Desk::linked(&[1]);
    desk.members(0..20);
    let chain: Vec<LinkState> = (1..19).map(|peer| state(peer, 1, &[peer - 1, peer + 1])).collect();
    desk.receive(1, &chain);
    let longest: Vec<PeerId> = (1..8).map(id).collect();
    assert_eq!(desk.route(8), Some(longest));
    assert_eq!(desk.route(9), None);
}

#[test]
fn nobody_who_left_is_on_a_way() {
    let mut desk = Desk::linked(&[1, 2]);
    desk.receive(1, &[state(1, 1, &[0, 3]), state(2, 1, &[0, 3]), state(3, 1, &[1, 2])]);
    desk.outputs();
    assert_eq!(desk.route(3), Some(vec![id(1)]));
    desk.members([0, 2, 3]);
    assert_eq!(desk.outputs(), [changed(3, Some(&[2])), changed(1, None)]);
}

#[test]
fn a_round_trip_alone_is_no_change_of_the_way() {
    let mut desk = Desk::linked(&[1]);
    desk.receive(1, &[state(1, 1, &[0, 2]), state(2, 1, &[1])]);
    desk.outputs();
    desk.measured(1, 10);
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.engine.route(&id(2)).unwrap().rtt, Some(Duration::from_millis(10)));
}

#[test]
fn this_node_need_not_be_a_member_and_has_no_way_to_itself() {
    let mut desk = Desk::new();
    desk.members(1..10);
    desk.up(1);
    desk.up(0);
    desk.receive(1, &[state(1, 1, &[0, 2]), state(2, 1, &[0, 1])]);
    assert_eq!(desk.route(2), Some(vec![id(1)]));
    assert_eq!(desk.route(0), None);
}

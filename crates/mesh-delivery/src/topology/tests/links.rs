//! When this node states its links, and what it states.

use super::*;

const RTT_EVERY: Duration = Duration::from_secs(30);

const DELAY: Duration = Duration::from_millis(200);

fn asked(desk: &mut Desk) -> Vec<LinkState> {
    let asked = desk.outputs().into_iter().filter_map(|output| match output {
        TopologyOutput::Publish(state) => Some(state),
        TopologyOutput::SendStates { .. }
        | TopologyOutput::SendVersions { .. }
        | TopologyOutput::RouteChanged { .. }
        | TopologyOutput::Announced { .. } => None,
    });
    asked.collect()
}

#[test]
fn changes_that_come_together_are_published_together() {
    let mut desk = Desk::new();
    desk.up(2);
    desk.pass(DELAY / 2);
    desk.up(1);
    desk.measured(1, 3);
    desk.pass(DELAY - Duration::from_nanos(1));
    assert_eq!(asked(&mut desk), []);
    desk.pass(Duration::from_nanos(1));
    let expected =
        LinkState { incarnation: INCARNATION, ..state_with_rtts(0, 1, &[(1, 3), (2, 0)]) };
    assert_eq!(asked(&mut desk), [expected]);
    assert_eq!(desk.engine.version(), 1);
    desk.pass(DELAY * 10);
    assert_eq!(asked(&mut desk), []);
}

#[test]
fn changes_that_never_cease_are_published_after_a_second() {
    let mut desk = Desk::new();
    let start = desk.now;
    for peer in [1, 2].into_iter().cycle() {
        desk.up(peer);
        desk.down(3 - peer);
        desk.pass(DELAY / 2);
        if !asked(&mut desk).is_empty() {
            break;
        }
    }
    assert_eq!(desk.now - start, Duration::from_secs(1));
}

#[test]
fn what_was_signed_goes_to_every_linked_member() {
    let mut desk = Desk::new();
    desk.up(2);
    desk.up(1);
    desk.up(77);
    let state = desk.publish().unwrap();
    assert_eq!(state.neighbours.len(), 2, "only members count");
    let sent = [id(1), id(2)].map(|to| (to, vec![state.version()]));
    assert_eq!(desk.sent(), sent);
}

#[test]
fn a_signature_under_a_statement_that_was_overtaken_is_not_sent() {
    let mut desk = Desk::new();
    desk.up(1);
    desk.pass(DELAY);
    let first = asked(&mut desk).remove(0);
    desk.up(2);
    desk.pass(DELAY);
    let second = asked(&mut desk).remove(0);
    desk.input(TopologyInput::Published(signed(&first)));
    assert_eq!(desk.sent(), []);
    desk.input(TopologyInput::Published(signed(&second)));
    assert_eq!(desk.sent().len(), 2);
}

#[test]
fn a_link_that_is_back_before_it_was_missed_is_not_told() {
    let mut desk = Desk::linked(&[1]);
    desk.down(1);
    desk.up(1);
    assert_eq!(desk.publish(), None);
    desk.down(1);
    let state = desk.publish().unwrap();
    assert_eq!((state.version, state.neighbours), (2, vec![]));
}

#[test]
fn a_round_trip_is_told_anew_when_it_changed_by_the_factor_and_the_step() {
    let mut desk = Desk::linked(&[1]);
    for (millis, is_told) in [
        (20, true),
        (39, false),
        (40, true),
        (21, false),
        (20, true),
        (4, true),
        (9, false),
        (10, true),
    ] {
        // Until nothing shorter is remembered.
        (0..8).for_each(|_| desk.measured(1, millis));
        desk.now += RTT_EVERY;
        assert_eq!(desk.publish().is_some(), is_told, "{millis}");
    }
    desk.measured(9, 1000);
    desk.now += RTT_EVERY;
    assert_eq!(desk.publish(), None);
}

#[test]
fn a_round_trip_that_was_long_for_once_is_not_told() {
    let mut desk = Desk::linked(&[1]);
    desk.measured(1, 2);
    desk.now += RTT_EVERY;
    assert!(desk.publish().is_some());
    (0..7).for_each(|_| desk.measured(1, 200));
    desk.now += RTT_EVERY;
    assert_eq!(desk.publish(), None);
}

#[test]
fn round_trips_alone_are_told_seldom_and_together_with_changes_of_links() {
    let mut desk = Desk::linked(&[1, 2]);
    desk.measured(1, 90);
    assert_eq!(desk.publish(), None, "the last statement is too young");
    desk.up(3);
    let state = desk.publish().unwrap();
    assert_eq!(state.neighbours.iter().map(|n| n.rtt_micros).collect::<Vec<_>>(), [90_000, 0, 0]);
    desk.measured(2, 40);
    assert_eq!(desk.publish(), None);
    desk.now += RTT_EVERY;
    assert!(desk.publish().is_some());
}

#[test]
fn a_statement_of_an_earlier_life_is_outranked() {
    let mut desk = Desk::linked(&[1, 2]);
    let earlier = LinkState { incarnation: INCARNATION, ..state(0, 41, &[1]) };
    assert!(desk.engine.is_news(&earlier.version()));
    desk.receive(1, std::slice::from_ref(&earlier));
    assert_eq!(desk.outputs(), [], "it is not passed on");
    let next = desk.publish().unwrap();
    // Far above it: later statements of that life may be about, and none has the version of this one.
    assert!(next.incarnation == INCARNATION && next.version > 1_000_000);
    assert!(!desk.engine.is_news(&LinkState { version: 42, ..earlier.clone() }.version()));
    assert!(!desk.engine.is_news(&earlier.version()));
    // The clock went back: the earlier start has the higher number.
    desk.receive(1, &[LinkState { incarnation: 9, ..state(0, 7, &[]) }]);
    let next = desk.publish().unwrap();
    assert!(next.incarnation == 9 && next.version > 1_000_000);
    desk.receive(1, &[next]);
    assert_eq!(desk.publish(), None);
}

#[test]
fn no_more_links_are_stated_than_a_statement_holds() {
    let mut desk = Desk::new();
    desk.members(0..=200);
    for peer in 1..=200 {
        desk.up(peer);
    }
    let state = desk.publish().unwrap();
    assert_eq!(state.neighbours.len(), mesh_protocol::NEIGHBOURS_MAX);
    assert!(state.encode().is_ok());
    assert_eq!(desk.route(200), Some(vec![]));
}

#[test]
fn another_mesh_begins_with_nothing() {
    let mut desk = Desk::linked(&[1]);
    desk.receive(1, &[state(1, 1, &[0, 2]), state(2, 1, &[1])]);
    desk.outputs();
    desk.engine.set_mesh(MESH);
    assert_eq!(desk.outputs(), []);
    let other = MeshId::from_bytes([8; 32]);
    desk.engine.set_mesh(other);
    assert_eq!(desk.outputs(), [changed(1, None), changed(2, None)]);
    assert_eq!(desk.engine.poll_timeout(), None);
    assert_eq!(desk.engine.reached_by(&id(2)), []);
    desk.members(0..10);
    desk.up(1);
    let next = desk.publish().unwrap();
    assert_eq!((next.mesh_id, next.version), (other, 2), "versions go on growing");
}

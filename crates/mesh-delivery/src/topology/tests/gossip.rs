//! How the statements of others are kept, passed on and compared.

use mesh_protocol::LINK_STATES_PER_FRAME_MAX;

use super::*;

const EVERY: Duration = Duration::from_secs(30);

fn compared(desk: &mut Desk) -> Vec<(PeerId, Vec<LinkStateVersion>, bool)> {
    let compared = desk.outputs().into_iter().filter_map(|output| match output {
        TopologyOutput::SendVersions { to, versions, wants_answer } => {
            Some((to, versions, wants_answer))
        }
        TopologyOutput::SendStates { .. }
        | TopologyOutput::Publish(_)
        | TopologyOutput::RouteChanged { .. }
        | TopologyOutput::Announced { .. } => None,
    });
    compared.collect()
}

#[test]
fn news_goes_to_all_who_do_not_have_it_from_others() {
    let mut desk = Desk::linked(&[1, 2, 3, 4, 5]);
    let news = state(3, 1, &[0, 4]);
    desk.receive(1, std::slice::from_ref(&news));
    let states = vec![signed(&news)];
    let to = |peer| TopologyOutput::SendStates { to: id(peer), states: states.clone() };
    // Not to 1, which sent it; not to 3, whose word it is; not to 4, which 3 states to reach.
    assert_eq!(desk.outputs(), [to(2), to(5)]);
}

#[test]
fn a_statement_is_a_sign_of_life_when_an_older_one_was_here() {
    let mut desk = Desk::linked(&[1]);
    let restarted = LinkState { incarnation: 2, ..state(3, 1, &[2]) };
    let alive = |incarnation| vec![TopologyOutput::Announced { peer: id(3), incarnation }];
    for (news, expected) in [
        (state(3, 5, &[2]), vec![]),
        (state(3, 6, &[2]), alive(1)),
        (state(3, 6, &[2]), vec![]),
        (state(3, 5, &[2]), vec![]),
        (restarted, alive(2)),
    ] {
        desk.receive(1, &[news]);
        assert_eq!(desk.outputs(), expected);
    }
    // What is known of a member goes with it.
    desk.members(0..3);
    desk.members(0..10);
    desk.outputs();
    desk.receive(1, &[state(3, 9, &[2])]);
    assert_eq!(desk.outputs(), []);
}

#[test]
fn only_what_is_newer_counts() {
    let mut desk = Desk::linked(&[1, 2]);
    let restarted = LinkState { incarnation: 2, ..state(3, 1, &[2]) };
    for (news, is_news) in [
        (state(3, 5, &[1]), true),
        (state(3, 5, &[2]), false),
        (state(3, 4, &[2]), false),
        (state(3, 6, &[1]), true),
        (restarted, true),
        (state(3, 7, &[2]), false),
    ] {
        assert_eq!(desk.engine.is_news(&news.version()), is_news);
        desk.receive(1, &[news]);
        assert_eq!(!desk.outputs().is_empty(), is_news);
    }
}

#[test]
fn the_word_of_strangers_and_of_other_meshes_is_ignored() {
    let mut desk = Desk::linked(&[1, 2]);
    let foreign = LinkState { mesh_id: MeshId::from_bytes([8; 32]), ..state(3, 1, &[1]) };
    assert!(!desk.engine.is_news(&state(77, 1, &[1]).version()));
    desk.receive(1, &[foreign, state(77, 1, &[1])]);
    assert_eq!(desk.outputs(), []);
    desk.versions(77, &[], true);
    assert_eq!(desk.outputs(), []);
}

#[test]
fn one_statement_is_kept_per_member_and_none_of_who_left() {
    let mut desk = Desk::linked(&[1]);
    for version in 1..1000 {
        for origin in 1..20 {
            desk.receive(1, &[state(origin, version, &[1])]);
        }
    }
    assert_eq!(desk.engine.states.len(), 9);
    assert_eq!(desk.engine.reached_by(&id(1)).len(), 9);
    desk.members(0..5);
    assert_eq!(desk.engine.states.len(), 4);
    assert_eq!(desk.engine.reached_by(&id(1)), [1, 2, 3, 4].map(id));
    desk.members(0..10);
    assert!(desk.engine.is_news(&state(7, 1, &[1]).version()));
}

#[test]
fn eight_statements_of_a_member_are_taken_at_once_and_two_per_second_after_them() {
    let mut desk = Desk::linked(&[1]);
    let taken = |desk: &mut Desk, versions: std::ops::Range<u64>| {
        for version in versions {
            desk.receive(1, &[state(3, version, &[1])]);
        }
        desk.outputs();
        desk.engine.states[&id(3)].state.version
    };
    assert_eq!(taken(&mut desk, 1..100), 8);
    desk.pass(Duration::from_millis(499));
    assert_eq!(taken(&mut desk, 100..200), 8);
    desk.pass(Duration::from_millis(1));
    assert_eq!(taken(&mut desk, 200..300), 200);
    desk.pass(Duration::from_secs(3600));
    assert_eq!(taken(&mut desk, 300..400), 307);
    // What was not taken is still news, and others are not held back.
    assert!(desk.engine.is_news(&state(3, 399, &[1]).version()));
    desk.receive(1, &[state(3, 399, &[1]), state(4, 1, &[1])]);
    assert!(!desk.engine.is_news(&state(4, 1, &[1]).version()));
    desk.pass(Duration::from_millis(500));
    assert_eq!(taken(&mut desk, 399..400), 399);
}

#[test]
fn whoever_claims_over_and_over_to_know_nothing_is_told_everything_every_two_seconds() {
    let mut desk = Desk::linked(&[1, 2]);
    desk.receive(2, &[state(3, 1, &[2])]);
    desk.outputs();
    let mut answers = 0;
    for _ in 0..1000 {
        desk.versions(1, &[], true);
        answers += desk.outputs().len();
        desk.pass(Duration::from_millis(10));
        desk.outputs();
    }
    assert_eq!(answers, 5);
    // Nor does it help to claim news.
    desk.pass(Duration::from_secs(2));
    desk.outputs();
    for version in 0..9 {
        desk.versions(1, &[state(3, 2 + version, &[]).version()], true);
    }
    assert_eq!(compared(&mut desk).len(), 1);
    // Others are not held back, nor is the same peer when it has a new link: it may have restarted.
    desk.versions(2, &[], true);
    assert_eq!(desk.sent().len(), 1);
    desk.down(1);
    desk.up(1);
    desk.outputs();
    desk.versions(1, &[], true);
    assert_eq!(desk.sent().len(), 1);
    desk.members([0]);
    assert!(desk.engine.answered.is_empty());
}

#[test]
fn the_end_with_the_smaller_id_compares_when_a_link_comes_up() {
    let mut desk = Desk::linked(&[]);
    desk.up(1);
    assert_eq!(compared(&mut desk), [(id(1), vec![], true)]);
    let mut other = Desk::new();
    other.engine = Topology::new(id(9), MESH, INCARNATION, TopologyConfig::default());
    other.members(0..10);
    other.up(1);
    assert_eq!(compared(&mut other), []);
    other.input(TopologyInput::CompareNow);
    assert_eq!(compared(&mut other), [(id(1), vec![], true)], "whoever asks begins");
}

#[test]
fn a_linked_peer_is_met_when_it_becomes_a_member() {
    let mut desk = Desk::new();
    desk.up(77);
    assert_eq!(desk.outputs(), []);
    desk.members((0..10).chain([77]));
    assert_eq!(
        desk.outputs(),
        [
            TopologyOutput::SendVersions { to: id(77), versions: vec![], wants_answer: true },
            changed(77, Some(&[])),
        ]
    );
    desk.members(0..10);
    assert_eq!(desk.outputs(), [changed(77, None)]);
}

#[test]
fn versions_are_compared_with_every_peer_from_time_to_time_and_not_all_at_once() {
    let mut desk = Desk::linked(&[1, 2, 3]);
    let mut moments: Vec<(Duration, PeerId)> = Vec::new();
    let start = desk.now;
    while desk.now < start + EVERY * 4 {
        desk.pass(desk.engine.poll_timeout().unwrap() - desk.now);
        let at = desk.now - start;
        moments.extend(compared(&mut desk).into_iter().map(|(to, _, _)| (at, to)));
    }
    for peer in [1, 2, 3].map(id) {
        let of: Vec<Duration> =
            moments.iter().filter(|(_, to)| *to == peer).map(|(at, _)| *at).collect();
        assert!(of.len() >= 4, "{of:?}");
        assert!(of[0] <= EVERY && of.windows(2).all(|pair| pair[1] - pair[0] == EVERY));
    }
    assert!(moments.windows(2).all(|pair| pair[0].0 != pair[1].0), "{moments:?}");
    for peer in 1..4 {
        desk.down(peer);
    }
    desk.publish();
    assert_eq!(desk.engine.poll_timeout(), None);
}

#[test]
fn a_comparison_brings_what_is_newer_and_asks_for_what_is_older() {
    let mut desk = Desk::linked(&[1]);
    let (two, three) = (state(2, 4, &[1]), state(3, 4, &[1]));
    desk.receive(1, &[two.clone(), three.clone()]);
    desk.outputs();
    let own = LinkStateVersion { origin: ME, incarnation: INCARNATION, version: 1 };
    let same = [own, two.version(), three.version()];
    desk.versions(1, &same, true);
    assert_eq!(desk.outputs(), []);
    // The other end lacks this node's word and has an older one of 2.
    desk.versions(1, &[state(2, 3, &[]).version(), three.version()], true);
    assert_eq!(desk.sent(), [(id(1), vec![own, two.version()])]);
    desk.pass(Duration::from_secs(2));
    desk.outputs();
    // It has a newer one of 3: it learns what is here, and sends it.
    let newer = [own, two.version(), state(3, 5, &[]).version()];
    desk.versions(1, &newer, true);
    assert_eq!(compared(&mut desk), [(id(1), same.to_vec(), false)]);
    desk.versions(1, &newer, false);
    assert_eq!(desk.outputs(), []);
}

#[test]
fn many_statements_are_sent_in_frames_of_bounded_size() {
    let mut desk = Desk::linked(&[1, 2]);
    desk.members(0..=250);
    let states: Vec<LinkState> = (3..=250).map(|origin| state(origin, 1, &[1])).collect();
    desk.receive(1, &states);
    let passed_on = desk.sent();
    desk.versions(1, &[], false);
    for sent in [passed_on, desk.sent()] {
        assert_eq!(sent.len(), 4);
        assert!(sent.iter().all(|(_, states)| states.len() <= LINK_STATES_PER_FRAME_MAX));
        assert!(sent.iter().map(|(_, states)| states.len()).sum::<usize>() >= states.len());
    }
}

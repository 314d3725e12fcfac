//! A mesh that is too large for links between all.

use super::*;

/// A mesh of 65: this node and 64 others.
const LARGE: std::ops::Range<u8> = 101..165;

fn peers(bytes: impl IntoIterator<Item = u8>) -> BTreeSet<PeerId> {
    bytes.into_iter().map(peer).collect()
}

fn large() -> BTreeSet<PeerId> {
    peers(LARGE)
}

fn mine() -> BTreeSet<PeerId> {
    neighbours(ME, &large(), 8)
}

fn others() -> Vec<PeerId> {
    large().difference(&mine()).copied().collect()
}

fn dialled(outputs: &[LinkOutput]) -> BTreeSet<PeerId> {
    let dialled = outputs.iter().filter_map(|output| match output {
        LinkOutput::Dial { peer } => Some(*peer),
        LinkOutput::Ping { .. }
        | LinkOutput::CloseSilent { .. }
        | LinkOutput::CutRemoved { .. } => None,
    });
    dialled.collect()
}

fn in_large_mesh() -> Bench {
    let mut bench = Bench::new();
    let outputs = bench.input(LinkInput::MembersChanged(large()));
    assert_eq!(dialled(&outputs), mine());
    bench
}

#[test]
fn up_to_the_bound_everybody_is_dialled_and_above_it_the_neighbours() {
    let mut bench = Bench::new();
    let small = peers(101..164);
    let outputs = bench.input(LinkInput::MembersChanged(small.clone()));
    assert_eq!(dialled(&outputs), small);
    assert!((2..=8).contains(&mine().len()));
    in_large_mesh();
    let with_me = &large() | &BTreeSet::from([ME]);
    let outputs = Bench::new().input(LinkInput::MembersChanged(with_me));
    assert_eq!(dialled(&outputs), mine(), "this node may be named or not");
}

#[test]
fn a_member_that_is_no_neighbour_may_link_but_is_never_dialled() {
    let mut bench = in_large_mesh();
    let other = others()[0];
    for input in [
        LinkInput::AddressesChanged { peer: other },
        LinkInput::DialNow { peer: other },
        LinkInput::StateChanged { peer: other, is_inactive: false },
        LinkInput::Woke,
        LinkInput::LinkUp { peer: other },
    ] {
        assert_eq!(bench.input(input.clone()), [], "{input:?}");
    }
    assert_eq!(bench.next(), (ms(5000), vec![LinkOutput::Ping { peer: other }]), "kept alive");
    assert_eq!(bench.input(LinkInput::LinkDown { peer: other }), []);
    assert_eq!(bench.planner.poll_timeout(), None);
}

#[test]
fn who_is_no_neighbour_any_more_is_dialled_no_more() {
    let mut bench = Bench::new();
    bench.input(LinkInput::MembersChanged(peers(101..164)));
    let (waiting, dialling, linked) = (others()[0], others()[1], others()[2]);
    bench.input(LinkInput::DialFailed { peer: waiting });
    bench.input(LinkInput::LinkUp { peer: linked });
    bench.input(LinkInput::MembersChanged(large()));
    bench.input(LinkInput::AddressesChanged { peer: dialling });
    assert_eq!(bench.input(LinkInput::DialFailed { peer: dialling }), []);
    assert_eq!(bench.input(LinkInput::DialNow { peer: waiting }), []);
    let pinged = bench.after(ms(5000));
    assert_eq!(pinged, [LinkOutput::Ping { peer: linked }], "a link stays while it lives");
    bench.input(LinkInput::LinkDown { peer: linked });
    assert_eq!(bench.planner.poll_timeout(), None);
}

#[test]
fn who_becomes_a_neighbour_is_dialled() {
    let mut bench = in_large_mesh();
    let outputs = bench.input(LinkInput::MembersChanged(peers(101..164)));
    let expected: BTreeSet<PeerId> = peers(101..164).difference(&mine()).copied().collect();
    assert_eq!(dialled(&outputs), expected);
}

#[test]
fn a_removed_member_that_was_no_neighbour_leaves_nothing_behind() {
    let mut bench = in_large_mesh();
    let other = others()[0];
    bench.input(LinkInput::LinkUp { peer: other });
    assert_eq!(bench.members(&[]), [LinkOutput::CutRemoved { peer: other }]);
    bench.input(LinkInput::LinkDown { peer: other });
    for peer in mine() {
        bench.input(LinkInput::DialFailed { peer });
    }
    assert!(bench.planner.contacts.is_empty());
}

#[test]
fn there_are_never_more_links_than_a_link_state_lists() {
    let config =
        LinkConfig { full_mesh_max: usize::MAX, degree: usize::MAX, ..LinkConfig::default() };
    let mut planner = LinkPlanner::new(ME, config, 0);
    let members: BTreeSet<PeerId> = (1..=255).map(peer).collect();
    planner.handle_input(LinkInput::MembersChanged(members), start());
    planner.handle_timeout(start() + GRACE);
    let outputs: Vec<LinkOutput> = std::iter::from_fn(|| planner.poll_output()).collect();
    let count = dialled(&outputs).len();
    assert!((64..=mesh_protocol::NEIGHBOURS_MAX).contains(&count), "{count}");
}

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chance::Chance;

type Links = BTreeMap<PeerId, BTreeSet<PeerId>>;

fn members(count: usize, seed: u64) -> BTreeSet<PeerId> {
    let mut chance = Chance::new(seed);
    let mut random_peer = || {
        let mut bytes = [0; 32];
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&chance.draw().to_be_bytes());
        }
        PeerId::from_bytes(bytes)
    };
    (0..count).map(|_| random_peer()).collect()
}

fn links(members: &BTreeSet<PeerId>, degree: usize) -> Links {
    members.iter().map(|peer| (*peer, neighbours(*peer, members, degree))).collect()
}

fn pairs(links: &Links) -> BTreeSet<(PeerId, PeerId)> {
    links.iter().flat_map(|(a, beside)| beside.iter().map(|b| (*a.min(b), *a.max(b)))).collect()
}

/// How many links the farthest member is away from the smallest one; none when it is not connected.
fn eccentricity(links: &Links) -> Option<usize> {
    let mut reached = BTreeSet::from([*links.keys().next()?]);
    let mut edge = reached.clone();
    let mut steps = 0;
    while reached.len() < links.len() {
        edge = edge.iter().flat_map(|peer| &links[peer]).copied().collect();
        edge.retain(|peer| reached.insert(*peer));
        if edge.is_empty() {
            return None;
        }
        steps += 1;
    }
    Some(steps)
}

fn check(members: &BTreeSet<PeerId>, degree: usize) -> Links {
    let links = links(members, degree);
    for (peer, beside) in &links {
        assert!(!beside.contains(peer));
        assert!(beside.is_subset(members));
        assert!(beside.len() <= degree.max(2), "{} links", beside.len());
        assert!(beside.iter().all(|other| links[other].contains(peer)), "not symmetric");
    }
    assert!(eccentricity(&links).is_some(), "not connected");
    links
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mesh_is_connected_with_few_links_each_and_changes_little(
        count in 65_usize..1000,
        degree in 2_usize..12,
        seed in any::<u64>(),
    ) {
        let mut members = members(count, seed);
        let before = pairs(&check(&members, degree));
        let left = *members.iter().nth(count / 2).unwrap();
        members.remove(&left);
        let after = pairs(&check(&members, degree));
        let changes = before.symmetric_difference(&after).count();
        prop_assert!(changes <= 3 * (degree / 2), "{changes} links changed");
    }
}

#[test]
fn a_thousand_members_are_a_few_links_apart() {
    let links = check(&members(1000, 1), 8);
    assert!(eccentricity(&links).unwrap() <= 6);
    let total: usize = links.values().map(BTreeSet::len).sum();
    assert!(total > 7900, "{total} of 8000 possible ends");
}

#[test]
fn the_mesh_stays_connected_when_every_fourth_member_is_down() {
    let mut links = links(&members(400, 2), 8);
    let down: BTreeSet<PeerId> = links.keys().step_by(4).copied().collect();
    links.retain(|peer, _| !down.contains(peer));
    for beside in links.values_mut() {
        beside.retain(|peer| !down.contains(peer));
    }
    assert!(eccentricity(&links).is_some());
}

#[test]
fn small_sets_and_odd_wishes_are_served() {
    let set = members(3, 3);
    let mut all = set.iter().copied();
    let (a, b) = (all.next().unwrap(), all.next().unwrap());
    assert_eq!(neighbours(a, &BTreeSet::new(), 8), BTreeSet::new());
    assert_eq!(neighbours(a, &BTreeSet::from([a]), 8), BTreeSet::new());
    assert_eq!(neighbours(a, &BTreeSet::from([a, b]), 8), BTreeSet::from([b]));
    assert_eq!(neighbours(a, &BTreeSet::from([b]), 8), BTreeSet::from([b]), "me counts anyway");
    assert_eq!(neighbours(a, &set, 8).len(), 2);
    let many = members(200, 4);
    let one = *many.iter().next().unwrap();
    assert_eq!(neighbours(one, &many, 0).len(), 2);
    assert_eq!(neighbours(one, &many, 3).len(), 2);
    assert!(neighbours(one, &many, usize::MAX).len() <= NEIGHBOURS_MAX);
}

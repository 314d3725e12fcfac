use std::collections::BTreeSet;

use mesh_protocol::Hostname;

use super::world::peer;
use crate::judge::closed_groups;
use crate::names::{Claim, assign_names};

fn groups(edges: &[(u8, u8)], nodes: u8) -> Vec<Vec<u8>> {
    let next = |node: u8| -> Vec<u8> {
        edges.iter().filter(|(from, _)| *from == node).map(|(_, to)| *to).collect()
    };
    let mut groups: Vec<Vec<u8>> = closed_groups(&(0..nodes).collect::<BTreeSet<u8>>(), next)
        .into_iter()
        .map(|group| group.into_iter().collect())
        .collect();
    groups.sort();
    groups
}

#[test]
fn closed_groups_reach_each_other_and_nothing_else() {
    assert_eq!(groups(&[], 2), [[0], [1]]);
    assert_eq!(groups(&[(0, 1)], 2), [[1]]);
    assert_eq!(groups(&[(0, 1), (1, 0)], 2), [[0, 1]]);
    assert_eq!(groups(&[(0, 1), (1, 0), (1, 2)], 3), [[2]]);
    // Two circles that share a node are one group; a third circle leads into it and is not closed.
    let edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 2), (5, 6), (6, 5), (6, 0), (7, 7)];
    assert_eq!(groups(&edges, 8), [vec![0, 1, 2, 3, 4], vec![7]]);
}

#[test]
fn every_member_gets_a_name_however_they_are_squatted() {
    let base: Hostname = "m".repeat(63).parse().unwrap();
    // Peers 0 to 15 share their first eight digits, so their variants collide as well.
    let claims: Vec<Claim<'_>> = (0..16)
        .map(|number| Claim { peer: peer(0), hostname: (number % 2 == 0).then_some(&base) })
        .collect();
    let names = assign_names(claims);
    assert_eq!(names.len(), 16);
    assert!(names.keys().all(|name| name.as_str().len() <= 63));
}

//! A version vector is a set of transactions, written shortly.

use std::collections::BTreeSet;

use mesh_protocol::{Dot, OriginHave, OriginId, VersionVector};
use proptest::prelude::*;

const SEQUENCE_MAX: u64 = 8;

fn origin(number: u8) -> OriginId {
    OriginId::from_bytes([number; 16])
}

fn have() -> impl Strategy<Value = OriginHave> {
    let holes = prop::collection::vec(1..SEQUENCE_MAX, 0..4);
    (0..3_u8, 0..SEQUENCE_MAX, holes).prop_map(|(number, upto, holes)| OriginHave {
        origin: origin(number),
        upto,
        holes,
        floor: 0,
    })
}

fn vector() -> impl Strategy<Value = VersionVector> {
    prop::collection::vec(have(), 0..4).prop_map(|have| VersionVector::of(&have))
}

fn every_dot() -> impl Iterator<Item = Dot> {
    let of = |number| (1..=SEQUENCE_MAX).map(move |sequence| (number, sequence));
    (0..3).flat_map(of).map(|(number, sequence)| Dot { origin: origin(number), sequence })
}

fn set(vector: &VersionVector) -> BTreeSet<Dot> {
    every_dot().filter(|dot| vector.knows(dot)).collect()
}

proptest! {
    #[test]
    fn joining_two_vectors_unites_the_sets(one in vector(), other in vector()) {
        let mut joined = one.clone();
        joined.join(&other);
        prop_assert_eq!(set(&joined), &set(&one) | &set(&other));
        prop_assert!(joined.covers(&one) && joined.covers(&other));
    }

    #[test]
    fn meeting_two_vectors_intersects_the_sets(one in vector(), other in vector()) {
        let mut met = one.clone();
        met.meet(&other);
        prop_assert_eq!(set(&met), &set(&one) & &set(&other));
        prop_assert!(one.covers(&met) && other.covers(&met));
    }

    #[test]
    fn a_vector_covers_another_one_when_its_set_does(one in vector(), other in vector()) {
        prop_assert_eq!(one.covers(&other), set(&one).is_superset(&set(&other)));
    }

    #[test]
    fn what_is_set_of_one_origin_leaves_the_others(
        before in vector(),
        upto in 0..SEQUENCE_MAX,
        holes in prop::collection::btree_set(1..SEQUENCE_MAX, 0..4),
    ) {
        let mut after = before.clone();
        after.set(origin(0), upto, holes.iter().copied());
        let expected = every_dot().filter(|dot| match dot.origin == origin(0) {
            true => dot.sequence <= upto && !holes.contains(&dot.sequence),
            false => before.knows(dot),
        });
        prop_assert_eq!(set(&after), expected.collect::<BTreeSet<_>>());
        prop_assert!(after.origins().all(|(_, upto)| upto > 0));
    }

    #[test]
    fn a_hole_that_is_filled_is_known(vector in vector()) {
        for hole in vector.holes() {
            let mut filled = vector.clone();
            prop_assert!(!filled.knows(hole));
            prop_assert!(filled.fill_hole(hole) && !filled.fill_hole(hole));
            filled.advance(hole.origin, hole.sequence);
            prop_assert!(filled.knows(hole));
        }
    }
}

//! Meshes in which one member alone removes nobody.

use mesh_membership::{Membership, Pending};
use mesh_protocol::VerifiedRecord;
use proptest::prelude::*;

use crate::world::World;

/// The founder and `members` more that it admitted.
fn star(world: &World, members: usize) -> Vec<VerifiedRecord> {
    (1..=members).map(|member| world.admit(0, member, 1)).collect()
}

fn with<'a>(base: &'a [VerifiedRecord], more: &[&'a VerifiedRecord]) -> Vec<&'a VerifiedRecord> {
    base.iter().chain(more.iter().copied()).collect()
}

#[test]
fn one_of_two_votes_is_shown_and_the_second_removes() {
    let world = World::with_quorum(4, 2);
    let base = star(&world, 3);
    let first = world.remove(1, 3, 5, &[]);
    let asked = with(&base, &[&first]);
    assert_eq!(world.members(&asked), [0, 1, 2, 3]);
    let membership = world.membership(&asked);
    let pending = Pending { by: vec![world.id(1)], needed: 2 };
    assert_eq!(membership.verdict().pending_removal_of(&world.id(3)), Some(&pending));
    assert_eq!(membership.verdict().removal_of(&world.id(3)), None);

    let second = world.remove(2, 3, 6, &[]);
    let removed = with(&base, &[&first, &second]);
    assert_eq!(world.members(&removed), [0, 1, 2]);
    let membership = world.membership(&removed);
    assert_eq!(membership.verdict().pending_removal_of(&world.id(3)), None);
    assert!(membership.verdict().removal_of(&world.id(3)).is_some());
}

#[test]
fn a_member_has_one_vote_however_often_it_asks() {
    let world = World::with_quorum(4, 2);
    let base = star(&world, 3);
    let votes: Vec<_> = (2..12).map(|at| world.remove(1, 3, at, &[])).collect();
    assert_eq!(world.members(&with(&base, &votes.iter().collect::<Vec<_>>())), [0, 1, 2, 3]);
}

#[test]
fn whom_a_member_admits_has_no_vote() {
    let world = World::with_quorum(7, 2);
    let base = star(&world, 3);
    let puppets = [world.admit(3, 4, 2), world.admit(3, 5, 2), world.admit(4, 6, 2)];
    let votes: Vec<_> = [3, 4, 5, 6]
        .iter()
        .flat_map(|by| [0, 1, 2].map(|of| world.remove(*by, of, 3, &[])))
        .collect();
    let all: Vec<_> = puppets.iter().chain(&votes).collect();
    assert_eq!(world.members(&with(&base, &all)), [0, 1, 2, 3, 4, 5, 6]);
    let membership = world.membership(&with(&base, &all));
    assert!(!membership.plan_removal(&world.id(1), &world.id(5)).has_vote);
    // With the liar go its puppets; what it and they asked for is void.
    let removals = [world.remove(0, 3, 9, &[]), world.remove(1, 3, 9, &[])];
    let all: Vec<_> = all.into_iter().chain(&removals).collect();
    assert_eq!(world.members(&with(&base, &all)), [0, 1, 2]);
}

#[test]
fn an_act_falls_when_as_many_votes_leave_it_out_as_it_takes() {
    let world = World::with_quorum(6, 2);
    let base = star(&world, 3);
    let (known, unknown) = (world.admit(3, 4, 2), world.admit(3, 5, 2));
    let (first, second) = (world.remove(1, 3, 5, &[&known]), world.remove(2, 3, 6, &[]));
    let records = with(&base, &[&known, &unknown, &first, &second]);
    assert_eq!(world.members(&records), [0, 1, 2, 4], "one vote lets it stand");
}

#[test]
fn a_peer_decides_about_itself_alone() {
    let world = World::with_quorum(4, 3);
    let base = star(&world, 3);
    let leaves = world.remove(2, 2, 5, &[]);
    assert_eq!(world.members(&with(&base, &[&leaves])), [0, 1, 3]);
}

#[test]
fn a_mesh_with_too_few_voters_takes_all_that_there_are() {
    let world = World::with_quorum(4, 3);
    let two = star(&world, 1);
    let removal = world.remove(0, 1, 5, &[]);
    assert_eq!(world.members(&with(&two, &[&removal])), [0]);
    let three = star(&world, 2);
    assert_eq!(world.members(&with(&three, &[&removal])), [0, 1, 2]);
    let second = world.remove(2, 1, 5, &[]);
    assert_eq!(world.members(&with(&three, &[&removal, &second])), [0, 2]);
    // No removal makes the next one easier: of the three that may ask, one is out.
    let four = star(&world, 3);
    let votes =
        [world.remove(0, 1, 5, &[]), world.remove(2, 1, 5, &[]), world.remove(3, 1, 5, &[])];
    let next = [world.remove(0, 2, 6, &[]), world.remove(3, 2, 6, &[])];
    let all: Vec<_> = votes.iter().chain(&next).collect();
    assert_eq!(world.members(&with(&four, &all)), [0, 2, 3]);
}

#[test]
fn who_came_back_is_removed_by_new_votes_alone() {
    let world = World::with_quorum(4, 2);
    let base = star(&world, 3);
    let votes = [world.remove(1, 3, 5, &[]), world.remove(2, 3, 5, &[])];
    let back = world.readmit(0, 3, 7, &[&votes[0], &votes[1]]);
    let again = world.remove(2, 3, 8, &[]);
    let records = with(&base, &[&votes[0], &votes[1], &back, &again]);
    assert_eq!(world.members(&records), [0, 1, 2, 3]);
    let pending = Pending { by: vec![world.id(2)], needed: 2 };
    let membership = world.membership(&records);
    assert_eq!(membership.verdict().pending_removal_of(&world.id(3)), Some(&pending));
    let last = world.remove(0, 3, 9, &[]);
    let records = with(&base, &[&votes[0], &votes[1], &back, &again, &last]);
    assert_eq!(world.members(&records), [0, 1, 2]);
}

#[test]
fn two_pairs_that_remove_each_other_are_parted_by_seniority() {
    let world = World::with_quorum(6, 2);
    let base = star(&world, 5);
    // Each needs a vote of the one whom the other removes.
    let (a, b) = (world.remove(1, 2, 5, &[]), world.remove(3, 2, 5, &[]));
    let (c, d) = (world.remove(2, 1, 5, &[]), world.remove(4, 1, 5, &[]));
    assert_eq!(world.members(&with(&base, &[&a, &b, &c, &d])), [0, 1, 3, 4, 5]);
}

#[test]
fn what_a_planned_vote_lists_does_not_keep_votes_of_the_removed() {
    let world = World::with_quorum(5, 2);
    let mut membership = world.membership(&with(&star(&world, 4), &[]));
    membership.insert(world.remove(4, 1, 5, &[]));
    membership.insert(world.remove(4, 2, 5, &[]));
    for remover in [1, 2] {
        let plan = membership.plan_removal(&world.id(4), &world.id(remover));
        membership.insert(world.remove_listing(remover, 4, 6, plan.standing));
    }
    assert_eq!(world.members_of(membership.verdict()), [0, 1, 2, 3]);
    membership.insert(world.remove(3, 1, 7, &[]));
    let pending = Pending { by: vec![world.id(3)], needed: 2 };
    assert_eq!(membership.verdict().pending_removal_of(&world.id(1)), Some(&pending));
}

/// Who signs (a liar or one of its guests), whether it is an admission, about whom, when.
type Lie = (usize, bool, usize, u64);

fn lies() -> impl Strategy<Value = Vec<Lie>> {
    prop::collection::vec((0..4_usize, any::<bool>(), 0..8_usize, 0_u64..6), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two guests are whom the liars bring along; what both sign comes in any order and with any date.
    #[test]
    fn fewer_liars_than_it_takes_remove_nobody(lies in lies(), quorum in 2_u8..4, first in 1..4_usize) {
        let world = World::with_quorum(8, quorum);
        let liars: Vec<usize> = (first..).take(usize::from(quorum) - 1).collect();
        let mut records = star(&world, 5);
        for (who, is_admission, subject, at) in lies {
            let guests = [6, 7];
            let signer = if who < 2 { liars[who % liars.len()] } else { guests[who % 2] };
            let overridden: Vec<&VerifiedRecord> = records.iter().collect();
            let record = if is_admission {
                world.readmit(signer, subject, at, &overridden[..overridden.len().min(100)])
            } else {
                world.remove(signer, subject, at, &[])
            };
            records.push(record);
        }
        let mut membership = Membership::new(world.founding.clone()).unwrap();
        for record in records {
            membership.insert(record);
        }
        for honest in (0..6).filter(|peer| !liars.contains(peer)) {
            prop_assert!(membership.verdict().is_member(&world.id(honest)), "{honest} is out");
        }
    }
}

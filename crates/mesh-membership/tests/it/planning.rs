//! What is about to be signed, and what is shown to strangers.

use mesh_crypto::Verifier;
use mesh_membership::Membership;
use mesh_protocol::{RECORD_REFERENCES_MAX, RECORDS_PER_FRAME_MAX, RecordId};

use crate::world::{World, ids};

#[test]
fn a_planned_removal_keeps_what_its_subject_did_in_good_faith() {
    let world = World::new(6);
    let base = [world.admit(0, 1, 0), world.admit(1, 2, 0), world.admit(1, 3, 0)];
    let by_one = world.remove(1, 3, 0, &[]);
    let mut membership = world.membership(&base.iter().chain([&by_one]).collect::<Vec<_>>());
    let plan = membership.plan_removal(&world.id(1), &world.id(0));
    let mut expected = ids(&[&base[1], &base[2], &by_one]);
    expected.sort();
    let mut standing = plan.standing.clone();
    standing.sort();
    assert_eq!(standing, expected);
    assert_eq!((plan.lost, plan.is_effective, plan.is_contestable), (vec![], true, false));
    membership.insert(world.remove_listing(0, 1, 0, plan.standing));
    assert_eq!(world.members_of(membership.verdict()), [0, 2]);
    assert!(membership.verdict().removal_of(&world.id(3)).is_some());
}

#[test]
fn a_planned_removal_leaves_out_what_is_void_and_what_names_the_remover() {
    let world = World::new(5);
    let (a, b, c) = (world.admit(0, 1, 0), world.admit(0, 2, 0), world.admit(1, 3, 0));
    let first = world.remove(0, 1, 0, &[]);
    let membership = world.membership(&[&a, &b, &c, &first]);
    assert_eq!(membership.plan_removal(&world.id(1), &world.id(2)).standing, [] as [RecordId; 0]);

    // Each removes the other: whoever contests does not list the other's removal.
    let by_two = world.remove(2, 1, 0, &[&c]);
    let membership = world.membership(&[&a, &b, &c, &by_two]);
    let plan = membership.plan_removal(&world.id(2), &world.id(1));
    assert_eq!(plan.standing, [] as [RecordId; 0]);
    assert!(plan.is_effective, "1 is senior to 2");
    let contest = world.remove_listing(1, 2, 0, plan.standing);
    assert_eq!(world.members(&[&a, &b, &c, &by_two, &contest]), [0, 1, 3]);
}

#[test]
fn a_plan_says_when_it_can_be_contested_or_has_no_effect() {
    let world = World::new(4);
    let (a, b) = (world.admit(0, 1, 0), world.admit(1, 2, 0));
    let membership = world.membership(&[&a, &b]);
    let plan = membership.plan_removal(&world.id(1), &world.id(2));
    assert!(plan.is_effective && plan.is_contestable);
    assert_eq!(plan.standing, ids(&[&b]), "what the remover stands on");
    assert!(!membership.plan_removal(&world.id(1), &world.id(3)).is_effective, "a stranger");
}

#[test]
fn members_that_the_list_cannot_hold_are_named_and_can_be_kept() {
    let admitted = RECORD_REFERENCES_MAX + 2;
    let world = World::new(u16::try_from(admitted + 2).unwrap());
    let sponsor = world.admit(0, 1, 0);
    let admissions: Vec<_> = (2..admitted + 2).map(|peer| world.admit(1, peer, 0)).collect();
    let records: Vec<_> = [&sponsor].into_iter().chain(&admissions).collect();
    let mut membership = world.membership(&records);
    let plan = membership.plan_removal(&world.id(1), &world.id(0));
    assert_eq!((plan.standing.len(), plan.lost.len()), (RECORD_REFERENCES_MAX, 2));
    for peer in &plan.lost {
        membership.insert(world.admit(0, world.number(peer), 0));
    }
    let plan = membership.plan_removal(&world.id(1), &world.id(0));
    let lost: Vec<_> = plan.lost.clone();
    membership.insert(world.remove_listing(0, 1, 0, plan.standing));
    let members = membership.verdict().members().len();
    assert_eq!(members, admitted + 1 - lost.len());
    assert_eq!(lost, []);
}

#[test]
fn a_planned_admission_overrides_every_known_removal() {
    let world = World::new(4);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let (first, second) = (world.remove(0, 1, 0, &[]), world.remove(2, 1, 0, &[]));
    let by_stranger = world.remove(3, 1, 0, &[]);
    let membership = world.membership(&[&a, &b, &first, &second, &by_stranger]);
    let mut expected = ids(&[&first, &second]);
    expected.sort();
    expected.push(by_stranger.id());
    assert_eq!(membership.plan_admission(&world.id(1)), expected, "those that count first");
    assert_eq!(membership.plan_admission(&world.id(2)), []);
}

#[test]
fn a_proof_convinces_a_stranger_and_leads_from_the_founder_to_the_peer() {
    let world = World::new(6);
    let base = [
        world.admit(0, 1, 0),
        world.admit(1, 2, 0),
        world.admit(2, 3, 0),
        world.admit(0, 4, 0),
        world.profile(3, 1, "mint"),
        world.profile(4, 1, "sage"),
    ];
    let removal = world.remove(0, 2, 0, &[&base[2]]);
    let membership = world.membership(&base.iter().chain([&removal]).collect::<Vec<_>>());
    let proof = membership.proof_of(&world.id(3));
    let expected = [&world.founding, &base[0], &base[1], &base[2], &removal, &base[4]];
    let expected: Vec<_> = expected.iter().map(|record| record.signed().clone()).collect();
    assert_eq!(proof, expected);
    let mut records = proof.into_iter().map(|record| record.verify(&Verifier).unwrap());
    let mut stranger = Membership::new(records.next().unwrap()).unwrap();
    records.for_each(|record| {
        stranger.insert(record);
    });
    assert!(stranger.verdict().is_member(&world.id(3)));
}

#[test]
fn a_proof_fits_into_one_frame() {
    let peers = 200;
    let world = World::new(peers);
    let mut records: Vec<_> = (1..usize::from(peers)).map(|peer| world.admit(0, peer, 0)).collect();
    records.extend((2..usize::from(peers)).map(|sponsor| world.admit(sponsor, 1, 0)));
    records.push(world.profile(1, 1, "mint"));
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    let proof = membership.proof_of(&world.id(1));
    assert_eq!(proof.len(), RECORDS_PER_FRAME_MAX);
    assert_eq!(proof.first(), Some(world.founding.signed()));
    assert_eq!(proof.last(), records.last().map(|record| record.signed()));
    assert_eq!(membership.proof_of(&world.id(0)).first(), Some(world.founding.signed()));
}

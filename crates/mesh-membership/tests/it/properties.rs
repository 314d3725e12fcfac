//! What must hold of any set of records.

use mesh_crypto::Verifier;
use mesh_membership::{Inserted, Membership};
use mesh_protocol::{PeerId, Record, RecordId, SignedRecord, VerifiedRecord};
use proptest::prelude::*;

use crate::reference;
use crate::world::World;

const PEERS: usize = 6;

/// One record to be signed: by whom, about whom, when, and which earlier records it names.
#[derive(Clone, Debug)]
struct Step {
    kind: u8,
    signer: usize,
    subject: usize,
    at: u64,
    named: u32,
}

fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    // Admissions are a little less likely than removals: the contests are what is hard.
    let step = (0_u8..10, 0..PEERS, 0..PEERS, 0_u64..6, any::<u32>());
    let step = step.prop_map(|(kind, signer, subject, at, named)| Step {
        kind,
        signer,
        subject,
        at,
        named,
    });
    prop::collection::vec(step, 0..count)
}

/// Every peer is admitted by one with a smaller number, so that random acts have a voice to lose.
fn tree() -> impl Strategy<Value = Vec<usize>> {
    (1..PEERS).map(|peer| 0..peer).collect::<Vec<_>>()
}

fn base(world: &World, tree: &[usize]) -> Vec<VerifiedRecord> {
    let pairs = tree.iter().zip(1..);
    pairs.map(|(sponsor, subject)| world.admit(*sponsor, subject, 1)).collect()
}

/// Signs the steps one after the other, each naming some of those before it that it could mean.
fn play(world: &World, records: &mut Vec<VerifiedRecord>, steps: &[Step]) {
    for step in steps {
        let subject = world.id(step.subject);
        let named = |is_meant: &dyn Fn(&Record) -> bool| -> Vec<RecordId> {
            let meant = records.iter().filter(|record| is_meant(record.record()));
            let chosen = meant.enumerate().filter(|(bit, _)| step.named >> (bit % 32) & 1 == 1);
            chosen.map(|(_, record)| record.id()).take(20).collect()
        };
        let record = match step.kind {
            0..=3 => {
                let overridden = named(
                    &|record| matches!(record, Record::Removal(removal) if removal.subject == subject),
                );
                let overridden: Vec<&VerifiedRecord> =
                    records.iter().filter(|record| overridden.contains(&record.id())).collect();
                world.readmit(step.signer, step.subject, step.at, &overridden)
            }
            4..=8 => {
                let standing = named(&|record| record.signer() == subject);
                world.remove_listing(step.signer, step.subject, step.at, standing)
            }
            _ => world.profile(step.signer, step.at, ["mint", "sage"][step.subject % 2]),
        };
        records.push(record);
    }
}

/// Signs the steps as removals among members, as planned but for what `named` leaves out of the list, and
/// only those that cannot be contested.
fn play_orderly(world: &World, records: &mut Vec<VerifiedRecord>, steps: &[Step]) {
    for step in steps {
        let (remover, subject) = (world.id(step.signer), world.id(step.subject));
        let known = membership(world, records);
        let is_member = |peer| known.verdict().is_member(peer);
        let plan = known.plan_removal(&subject, &remover);
        let is_orderly = remover != subject && is_member(&remover) && is_member(&subject);
        if is_orderly && !plan.is_contestable {
            let kept = plan.standing.into_iter().enumerate();
            let kept = kept.filter(|(bit, _)| step.named >> bit & 1 == 1).map(|(_, id)| id);
            let removal = world.remove_listing(step.signer, step.subject, step.at, kept.collect());
            records.push(removal);
        }
    }
}

fn membership(world: &World, records: &[VerifiedRecord]) -> Membership {
    let mut membership = Membership::new(world.founding.clone()).unwrap();
    for record in records {
        membership.insert(record.clone());
    }
    membership
}

fn records_and_order() -> impl Strategy<Value = (Vec<usize>, Vec<Step>, Vec<usize>)> {
    (tree(), steps(16)).prop_flat_map(|(tree, steps)| {
        let order: Vec<usize> = (0..PEERS - 1 + steps.len()).collect();
        (Just(tree), Just(steps), Just(order).prop_shuffle())
    })
}

fn verified(records: Vec<SignedRecord>) -> Vec<VerifiedRecord> {
    records.into_iter().map(|record| record.verify(&Verifier).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, max_global_rejects: 1 << 16, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_follows_the_rule((tree, steps, _) in records_and_order(), quorum in 1_u8..4) {
        let world = World::with_quorum(6, quorum);
        let mut records = base(&world, &tree);
        play(&world, &mut records, &steps);
        let membership = membership(&world, &records);
        let members: Vec<PeerId> = membership.verdict().members().keys().copied().collect();
        let expected: Vec<PeerId> = reference::members(world.id(0), quorum, &records).into_iter().collect();
        prop_assert_eq!(members, expected);
    }

    #[test]
    fn order_and_repetition_do_not_matter(
        (tree, steps, order) in records_and_order(), quorum in 1_u8..4,
    ) {
        let world = World::with_quorum(6, quorum);
        let mut records = base(&world, &tree);
        play(&world, &mut records, &steps);
        let straight = membership(&world, &records);
        let mut shuffled = Membership::new(world.founding.clone()).unwrap();
        for index in &order {
            shuffled.insert(records[*index].clone());
            // Asking in between must leave no trace.
            let _ = shuffled.verdict();
            let again = shuffled.insert(records[*index].clone());
            prop_assert!(matches!(again, Inserted::Known | Inserted::Outdated));
        }
        prop_assert_eq!(straight.verdict(), shuffled.verdict());
        prop_assert_eq!(straight.record_ids(), shuffled.record_ids());
    }

    #[test]
    fn two_halves_agree_once_they_have_exchanged(
        (tree, steps, order) in records_and_order(), quorum in 1_u8..4,
    ) {
        let world = World::with_quorum(6, quorum);
        let mut records = base(&world, &tree);
        play(&world, &mut records, &steps);
        let half = |parity| -> Vec<VerifiedRecord> {
            let chosen = order.iter().enumerate().filter(|(place, _)| place % 2 == parity);
            chosen.map(|(_, index)| records[*index].clone()).collect()
        };
        let (mut one, mut other) = (membership(&world, &half(0)), membership(&world, &half(1)));
        for record in verified(one.missing_from(&other.record_ids())) {
            other.insert(record);
        }
        for record in verified(other.missing_from(&one.record_ids())) {
            one.insert(record);
        }
        prop_assert_eq!(one.record_ids(), other.record_ids());
        prop_assert_eq!(one.verdict(), other.verdict());
        let whole = membership(&world, &records);
        prop_assert_eq!(one.verdict(), whole.verdict());
    }

    #[test]
    fn records_of_another_mesh_change_nothing(tree in tree(), steps in steps(12)) {
        let (world, other) = (World::new(6), World::with_nonce(6, 1));
        let mut records = base(&world, &tree);
        play(&world, &mut records, &steps);
        let mut foreign = vec![other.founding.clone()];
        play(&other, &mut foreign, &steps);
        let mut membership = membership(&world, &records);
        let before = membership.clone();
        for record in foreign {
            prop_assert!(matches!(membership.insert(record), Inserted::Refused(_)));
        }
        prop_assert_eq!(before.verdict(), membership.verdict());
        prop_assert_eq!(before.record_ids(), membership.record_ids());
    }

    #[test]
    fn forged_records_never_get_as_far_as_the_set(steps in steps(6), forger in 0..PEERS, byte: u8) {
        let world = World::new(6);
        let mut records = Vec::new();
        play(&world, &mut records, &steps);
        for record in &records {
            let mut stolen = record.signed().clone();
            stolen.signer = world.id(forger);
            prop_assert!(stolen.signer == record.record().signer() || stolen.verify(&Verifier).is_err());
            let mut altered = record.signed().clone();
            let place = usize::from(byte) % altered.body.len();
            altered.body[place] ^= 1;
            prop_assert!(altered.verify(&Verifier).is_err());
        }
    }

    /// Back-dated or not: whoever was removed by seniors has no say any more, nor has anybody it admits.
    #[test]
    fn what_the_removed_sign_changes_nothing(
        tree in tree(), removals in steps(5), noise in steps(12), guests in steps(4),
    ) {
        // Two more peers than the mesh has: guests that the removed bring along.
        let world = World::new(8);
        let mut records = base(&world, &tree);
        play_orderly(&world, &mut records, &removals);
        let before = membership(&world, &records);
        let removed: Vec<usize> =
            (0..PEERS).filter(|peer| before.verdict().removal_of(&world.id(*peer)).is_some()).collect();
        prop_assume!(!removed.is_empty());
        let by_removed = |step: &Step, subject| {
            Step { signer: removed[step.signer % removed.len()], subject, ..step.clone() }
        };
        let mut later: Vec<Step> = noise.iter().map(|step| by_removed(step, step.subject)).collect();
        for (index, guest) in guests.iter().enumerate() {
            later.push(Step { kind: 0, ..by_removed(guest, PEERS + index % 2) });
            later.push(Step { signer: PEERS + index % 2, ..guest.clone() });
        }
        play(&world, &mut records, &later);
        let after = membership(&world, &records);
        prop_assert_eq!(before.verdict(), after.verdict());
    }

    #[test]
    fn a_proof_is_enough_to_see_that_a_member_belongs(
        tree in tree(), steps in steps(16), quorum in 1_u8..4,
    ) {
        let world = World::with_quorum(6, quorum);
        let mut records = base(&world, &tree);
        play(&world, &mut records, &steps);
        let membership = membership(&world, &records);
        for peer in membership.verdict().members().keys() {
            let mut proof = verified(membership.proof_of(peer)).into_iter();
            let mut stranger = Membership::new(proof.next().unwrap()).unwrap();
            proof.for_each(|record| { stranger.insert(record); });
            prop_assert!(stranger.verdict().is_member(peer));
        }
    }

    #[test]
    fn a_planned_removal_does_what_it_says(
        tree in tree(), steps in steps(10), remover in 0..PEERS, subject in 0..PEERS,
        quorum in 1_u8..4,
    ) {
        let world = World::with_quorum(6, quorum);
        let mut records = base(&world, &tree);
        play(&world, &mut records, &steps);
        let mut membership = membership(&world, &records);
        let (remover_id, subject_id) = (world.id(remover), world.id(subject));
        let plan = membership.plan_removal(&subject_id, &remover_id);
        let before: Vec<PeerId> = membership.verdict().members().keys().copied().collect();
        membership.insert(world.remove_listing(remover, subject, 9, plan.standing));
        let after = membership.verdict();
        prop_assert_eq!(plan.is_effective, !after.is_member(&subject_id));
        let lost = before.into_iter().filter(|peer| *peer != subject_id && !after.is_member(peer));
        prop_assert_eq!(plan.lost, lost.collect::<Vec<_>>());
    }

    #[test]
    fn a_planned_admission_brings_a_removed_member_back(
        tree in tree(), steps in steps(10), sponsor in 0..PEERS, subject in 0..PEERS,
        quorum in 1_u8..4,
    ) {
        let world = World::with_quorum(6, quorum);
        let mut records = base(&world, &tree);
        play_orderly(&world, &mut records, &steps);
        let mut membership = membership(&world, &records);
        let is_member = membership.verdict().is_member(&world.id(sponsor));
        prop_assume!(is_member && sponsor != subject);
        let overrides = membership.plan_admission(&world.id(subject));
        let overrides: Vec<&VerifiedRecord> =
            records.iter().filter(|record| overrides.contains(&record.id())).collect();
        let at = membership.date_for(&world.id(sponsor), mesh_protocol::UnixMillis(9));
        membership.insert(world.readmit(sponsor, subject, at.0, &overrides));
        prop_assert!(membership.verdict().is_member(&world.id(subject)));
    }
}

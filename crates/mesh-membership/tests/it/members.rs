//! Who belongs when nobody contests anything.

use mesh_crypto::Verifier;
use mesh_membership::{InsertError, Inserted, Membership, RefuseReason};
use mesh_protocol::{Record, RecordError, UnixMillis};

use crate::world::{FOUNDED_AT, World};

#[test]
fn a_new_mesh_has_its_founder() {
    let world = World::new(1);
    let membership = world.membership(&[]);
    let founder = membership.verdict().member(&world.id(0)).unwrap();
    assert_eq!((founder.depth, founder.sponsor, founder.revision), (0, None, 0));
    assert_eq!(founder.joined_at, UnixMillis(FOUNDED_AT));
    assert_eq!(founder.hostname.as_str(), format!("peer-{}", world.id(0).short()));
    assert_eq!(founder.claimed_hostname, founder.hostname);
    assert_eq!(founder.sealing_key, None);
    assert_eq!(membership.mesh_id(), world.mesh_id());
    assert_eq!(membership.record_ids(), [world.founding.id()]);
}

#[test]
fn a_membership_starts_with_a_founding_record_only() {
    let world = World::new(2);
    let admission = world.admit(0, 1, 2_000);
    let error = Membership::new(admission.clone()).unwrap_err();
    assert_eq!(error, InsertError::NotFounding { id: admission.id() });
}

#[test]
fn admissions_lead_from_the_founder_to_each_member() {
    let world = World::new(4);
    let records = [world.admit(0, 3, 2_000), world.admit(3, 1, 1_500), world.admit(1, 2, 4_000)];
    let records: Vec<_> = records.iter().collect();
    assert_eq!(world.members(&records), [0, 1, 2, 3]);
    let membership = world.membership(&records);
    let member = |peer| membership.verdict().member(&world.id(peer)).unwrap();
    assert_eq!((member(2).depth, member(2).sponsor), (3, Some(world.id(1))));
    assert_eq!(member(1).joined_at, UnixMillis(2_000), "nobody is older than its sponsor");
    assert_eq!(member(2).joined_at, UnixMillis(4_000));
}

#[test]
fn a_second_voucher_can_only_bring_a_member_nearer() {
    let world = World::new(3);
    let records = [world.admit(0, 1, 2_000), world.admit(1, 2, 3_000), world.admit(0, 2, 9_000)];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    let member = membership.verdict().member(&world.id(2)).unwrap();
    assert_eq!((member.depth, member.joined_at), (1, UnixMillis(3_000)));
    assert_eq!(member.sponsor, Some(world.id(1)));
}

#[test]
fn circles_of_admissions_give_nobody_membership() {
    let world = World::new(5);
    let circle = [world.admit(1, 2, 0), world.admit(2, 3, 0), world.admit(3, 1, 0)];
    let own = world.admit(4, 4, 0);
    let mut records: Vec<_> = circle.iter().chain([&own]).collect();
    assert_eq!(world.members(&records), [0]);
    let way_in = world.admit(0, 2, 0);
    records.push(&way_in);
    assert_eq!(world.members(&records), [0, 1, 2, 3]);
}

#[test]
fn a_removed_member_is_out_and_those_it_admitted_stay_when_listed() {
    let world = World::new(4);
    let (a, b, c) = (world.admit(0, 1, 0), world.admit(1, 2, 0), world.admit(1, 3, 0));
    let removal = world.remove(0, 1, 5_000, &[&b]);
    let records = [&a, &b, &c, &removal];
    assert_eq!(world.members(&records), [0, 2]);
    let membership = world.membership(&records);
    let verdict = membership.verdict();
    assert_eq!(verdict.removal_of(&world.id(1)).unwrap().removed_at, UnixMillis(5_000));
    assert_eq!(verdict.removal_of(&world.id(3)), None, "not removed, only not admitted any more");
    assert_eq!(verdict.member(&world.id(2)).unwrap().depth, 2);
}

#[test]
fn only_what_every_removal_lists_stands() {
    let world = World::new(5);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let (c, d) = (world.admit(2, 3, 0), world.admit(2, 4, 0));
    let first = world.remove(0, 2, 0, &[&c, &d]);
    let second = world.remove(1, 2, 0, &[&d]);
    assert_eq!(world.members(&[&a, &b, &c, &d, &first, &second]), [0, 1, 4]);
}

#[test]
fn what_a_removed_member_signed_is_void_whatever_date_it_bears() {
    let world = World::new(5);
    let (a, b) = (world.admit(0, 1, 2_000), world.admit(0, 2, 2_000));
    let removal = world.remove(0, 1, 5_000, &[]);
    let late_guest = world.admit(1, 3, 9_000);
    let early_guest = world.admit(1, 4, 0);
    let revenge = world.remove(1, 2, 0, &[]);
    let revenge_on_founder = world.remove(1, 0, 0, &[]);
    let guests_guest = world.admit(4, 3, 0);
    let guests_revenge = world.remove(4, 2, 0, &[]);
    let all = [
        &a,
        &b,
        &removal,
        &late_guest,
        &early_guest,
        &revenge,
        &revenge_on_founder,
        &guests_guest,
        &guests_revenge,
    ];
    assert_eq!(world.members(&all), [0, 2]);
}

#[test]
fn a_juniors_removal_silences_a_senior_that_does_not_contest_it() {
    let world = World::new(4);
    let (a, b, c) = (world.admit(0, 1, 0), world.admit(1, 2, 0), world.admit(0, 3, 0));
    let removal = world.remove(2, 1, 0, &[&b]);
    let back_dated = world.remove(1, 3, 0, &[]);
    assert_eq!(world.members(&[&a, &b, &c, &removal, &back_dated]), [0, 2, 3]);
}

#[test]
fn removals_by_strangers_are_void() {
    let world = World::new(3);
    let a = world.admit(0, 1, 0);
    let removal = world.remove(2, 1, 0, &[]);
    assert_eq!(world.members(&[&a, &removal]), [0, 1]);
}

#[test]
fn a_removed_member_comes_back_only_by_an_admission_that_overrides_the_removal() {
    let world = World::new(4);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let removal = world.remove(0, 1, 5_000, &[]);
    let plain = world.admit(2, 1, 9_000);
    assert_eq!(world.members(&[&a, &b, &removal, &plain]), [0, 2]);
    let rejoin = world.readmit(2, 1, 6_000, &[&removal]);
    assert_eq!(world.members(&[&a, &b, &removal, &rejoin]), [0, 1, 2]);
    let membership = world.membership(&[&a, &b, &removal, &rejoin]);
    let member = membership.verdict().member(&world.id(1)).unwrap();
    assert_eq!((member.depth, member.sponsor), (2, Some(world.id(2))));
    assert_eq!(membership.verdict().removal_of(&world.id(1)), None);

    let again = world.remove(0, 1, 7_000, &[]);
    assert_eq!(world.members(&[&a, &b, &removal, &rejoin, &again]), [0, 2]);
    let both = world.readmit(0, 1, 8_000, &[&removal, &again]);
    assert_eq!(world.members(&[&a, &b, &removal, &rejoin, &again, &both]), [0, 1, 2]);
    let one_of_two = world.readmit(0, 1, 8_000, &[&again]);
    assert_eq!(world.members(&[&a, &b, &removal, &rejoin, &again, &one_of_two]), [0, 2]);
}

#[test]
fn who_came_back_is_believed_from_then_on_and_not_before() {
    let world = World::new(5);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let removal = world.remove(0, 1, 5_000, &[]);
    let old = world.admit(1, 3, 4_000);
    // Dated before the removal on purpose: that must not revive what the removal silenced.
    let rejoin = world.readmit(2, 1, 1, &[&removal]);
    let new = world.admit(1, 4, 5_000);
    let records = [&a, &b, &removal, &old, &rejoin];
    assert_eq!(world.members(&records), [0, 1, 2]);
    assert_eq!(world.members(&[&a, &b, &removal, &old, &rejoin, &new]), [0, 1, 2, 4]);
    let membership = world.membership(&records);
    let date = |peer, now| membership.date_for(&world.id(peer), UnixMillis(now));
    assert_eq!(date(1, 100), UnixMillis(5_000), "a slow clock must not void what it signs");
    assert_eq!(date(1, 6_000), UnixMillis(6_000));
    assert_eq!(date(0, 100), UnixMillis(100));
}

#[test]
fn a_member_can_leave() {
    let world = World::new(3);
    let (a, b) = (world.admit(0, 1, 0), world.admit(1, 2, 0));
    let leave = world.remove(1, 1, 0, &[&b]);
    assert_eq!(world.members(&[&a, &b, &leave]), [0, 2]);
}

#[test]
fn a_founder_can_be_removed_and_come_back() {
    let world = World::new(4);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let removal = world.remove(1, 0, 0, &[&a, &b]);
    assert_eq!(world.members(&[&a, &b, &removal]), [1, 2]);
    let guest = world.admit(0, 3, 0);
    assert_eq!(world.members(&[&a, &b, &removal, &guest]), [1, 2]);
    let rejoin = world.readmit(2, 0, 0, &[&removal]);
    assert_eq!(world.members(&[&a, &b, &removal, &rejoin]), [0, 1, 2]);
}

#[test]
fn records_of_other_meshes_are_refused() {
    let world = World::new(3);
    let other = World::with_nonce(3, 1);
    let mut membership = world.membership(&[]);
    let refused = |record| membership.clone().insert(record);
    let foreign = Inserted::Refused(RefuseReason::ForeignMesh);
    assert_eq!(refused(other.admit(0, 1, 0)), foreign);
    assert_eq!(refused(other.remove(0, 1, 0, &[])), foreign);
    assert_eq!(refused(other.profile(0, 1, "mint")), foreign);
    let second = Inserted::Refused(RefuseReason::SecondFounding);
    assert_eq!(refused(other.founding.clone()), second);
    assert_eq!(membership.insert(world.founding.clone()), Inserted::Known);
}

#[test]
fn a_record_signed_with_another_key_never_becomes_a_verified_one() {
    let world = World::new(3);
    let stolen = world.admit(1, 2, 0);
    let by_founder = world.admit(0, 2, 0);
    let mut forged = by_founder.signed().clone();
    forged.signature = stolen.signed().signature;
    assert_eq!(forged.verify(&Verifier).unwrap_err(), RecordError::Signature);
    let mut renamed = stolen.signed().clone();
    renamed.signer = world.id(0);
    assert_eq!(renamed.verify(&Verifier).unwrap_err(), RecordError::Signer);
    let mut altered = by_founder.signed().clone();
    *altered.body.last_mut().unwrap() ^= 1;
    assert!(altered.verify(&Verifier).is_err());
}

#[test]
fn the_profile_with_the_highest_revision_counts() {
    let world = World::new(2);
    let (old, new) = (world.profile(0, 1, "old"), world.profile(0, 2, "new"));
    let mut membership = world.membership(&[]);
    assert_eq!(membership.insert(old.clone()), Inserted::New { replaced: None });
    assert_eq!(membership.insert(old.clone()), Inserted::Known);
    assert_eq!(membership.insert(new.clone()), Inserted::New { replaced: Some(old.id()) });
    assert_eq!(membership.insert(old), Inserted::Outdated);
    let member = membership.verdict().member(&world.id(0)).unwrap();
    assert_eq!((member.hostname.as_str(), member.revision), ("new", 2));
    assert_eq!(membership.records().count(), 2, "one profile per peer");

    let twin = world.profile(0, 2, "twin");
    let expected = if twin.id() < new.id() { "twin" } else { "new" };
    membership.insert(twin);
    assert_eq!(membership.verdict().member(&world.id(0)).unwrap().hostname.as_str(), expected);
}

#[test]
fn a_profile_that_comes_before_its_admission_is_not_lost() {
    let world = World::new(2);
    let (profile, admission) = (world.profile(1, 1, "mint"), world.admit(0, 1, 0));
    let membership = world.membership(&[&profile]);
    assert_eq!(world.members_of(membership.verdict()), [0]);
    let membership = world.membership(&[&profile, &admission]);
    let member = membership.verdict().member(&world.id(1)).unwrap();
    assert_eq!(member.hostname.as_str(), "mint");
    assert_eq!(member.agent_version, "1.2.3");
    assert_eq!(member.addresses.len(), 1);
    assert!(member.sealing_key.is_some());
}

#[test]
fn records_go_out_sponsors_first() {
    let world = World::new(4);
    let records = [
        world.profile(3, 1, "c"),
        world.admit(2, 3, 0),
        world.admit(1, 2, 0),
        world.admit(0, 1, 0),
        world.remove(0, 3, 0, &[]),
    ];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    let missing = membership.missing_from(&[]);
    assert_eq!(missing.len(), 6);
    let mut receiver: Option<Membership> = None;
    for record in missing {
        let record = record.verify(&Verifier).unwrap();
        let Some(receiver) = &mut receiver else {
            receiver = Some(Membership::new(record).unwrap());
            continue;
        };
        let (signer, subject) = (record.record().signer(), record.record().subject());
        let is_admission = matches!(record.record(), Record::Admission(_));
        receiver.insert(record);
        let verdict = receiver.verdict();
        let is_known = |peer| verdict.is_member(peer) || verdict.removal_of(peer).is_some();
        assert!(is_known(&signer), "{} came too early", signer.short());
        assert!(!is_admission || is_known(&subject));
    }
    assert_eq!(receiver.unwrap().verdict(), membership.verdict());
    let all = membership.record_ids();
    assert_eq!(membership.missing_from(&all), []);
    assert_eq!(membership.missing_from(&all[1..]).len(), 1);
}

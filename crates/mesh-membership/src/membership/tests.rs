//! Bounds. The signatures are not real: filling the set takes more records than could be signed in the
//! time that a test may take.

use super::*;
use crate::MEMBERS_MAX;
use crate::tests::world::{admit, membership, peer, profile, remove};

const NEW: Inserted = Inserted::New { replaced: None };

/// Peers 1 to 8 are admitted by the founder and sign as many admissions as they may, until the set is full.
fn full() -> Membership {
    let mut membership = membership();
    for sponsor in 1..=9 {
        assert_eq!(membership.insert(admit(0, sponsor, 0)), NEW);
    }
    let mut subject = 1_000;
    while membership.records().count() < RECORDS_MAX {
        for sponsor in 1..=8 {
            for _ in 0..256 {
                if membership.records.len() < RECORDS_MAX {
                    assert_eq!(membership.insert(admit(sponsor, subject, 0)), NEW);
                    subject += 1;
                }
            }
        }
    }
    membership
}

#[test]
fn a_full_set_refuses_all_but_removals_by_seniors_and_newer_profiles() {
    let mut membership = full();
    let refused = Inserted::Refused(RefuseReason::RecordsFull);
    assert_eq!(membership.insert(admit(0, 900_000, 0)), refused);
    assert_eq!(membership.insert(admit(9, 900_000, 0)), refused);
    assert_eq!(membership.insert(profile(1, 1)), refused);
    assert_eq!(membership.insert(remove(900_000, 1, 0, vec![])), refused, "a stranger");
    assert_eq!(membership.insert(remove(9, 1, 0, vec![])), refused, "nobody is its junior here");

    // Whoever fills the set is not safe from removal by that.
    for hostile in 1..=8 {
        let removal = remove(0, hostile, 0, vec![]);
        let Inserted::New { replaced: Some(victim) } = membership.insert(removal) else {
            panic!("the founder's removal of {hostile} must get in");
        };
        assert!(!membership.records.contains_key(&victim));
        assert_eq!(membership.records().count(), RECORDS_MAX);
    }
    assert_eq!(membership.verdict().members().len(), 2);
    assert!(membership.verdict().is_member(&peer(9)));
}

#[test]
fn a_full_set_still_takes_a_newer_profile() {
    let mut membership = membership();
    membership.insert(profile(0, 1));
    for sponsor in 1..=9 {
        membership.insert(admit(0, sponsor, 0));
        for at in 0..4096 {
            membership.insert(admit(sponsor, 100, at));
        }
    }
    assert_eq!(membership.records().count(), RECORDS_MAX);
    assert!(matches!(membership.insert(profile(0, 2)), Inserted::New { replaced: Some(_) }));
    assert_eq!(membership.records().count(), RECORDS_MAX);
}

#[test]
fn one_signer_cannot_fill_the_set() {
    let mut membership = membership();
    assert_eq!(membership.insert(profile(0, 1)), NEW);
    for at in 0..SIGNER_ACTS_MAX as u64 {
        assert_eq!(membership.insert(admit(0, 1, at)), NEW);
    }
    let refused = Inserted::Refused(RefuseReason::SignerFull);
    assert_eq!(membership.insert(admit(0, 2, 0)), refused);
    assert_eq!(membership.insert(remove(0, 1, 0, vec![])), refused);
    assert!(matches!(membership.insert(profile(0, 2)), Inserted::New { .. }));
    assert_eq!(membership.insert(admit(1, 2, 0)), NEW, "others can go on");
}

#[test]
fn records_of_strangers_fill_half_of_the_set_at_most() {
    let mut membership = membership();
    for stranger in 0..u32::try_from(ORPHANS_MAX).unwrap() {
        assert_eq!(membership.insert(profile(1_000 + stranger, 1)), NEW);
    }
    let refused = Inserted::Refused(RefuseReason::OrphansFull);
    assert_eq!(membership.insert(profile(1, 1)), refused);
    assert_eq!(membership.insert(admit(1, 2, 0)), refused);
    assert!(matches!(membership.insert(profile(1_000, 2)), Inserted::New { replaced: Some(_) }));
    assert_eq!(membership.insert(admit(0, 1, 0)), NEW);
    assert_eq!(membership.insert(profile(1, 1)), NEW, "its signer is known");
    // An admission makes room: what waited for it does not wait any more.
    assert_eq!(membership.insert(admit(0, 1_000, 0)), NEW);
    assert_eq!(membership.insert(profile(2, 1)), NEW);
    assert_eq!(membership.insert(profile(3, 1)), refused);
}

#[test]
fn records_that_waited_for_an_admission_count_when_it_comes() {
    let mut membership = membership();
    for number in (1..200).rev() {
        assert_eq!(membership.insert(profile(number, 1)), NEW);
        assert_eq!(membership.orphans, 2 * (200 - number as usize) - 1);
        assert_eq!(membership.insert(admit(number - 1, number, 0)), NEW);
        let expected = if number == 1 { 0 } else { 2 * (200 - number as usize) };
        assert_eq!(membership.orphans, expected);
    }
    assert_eq!(membership.verdict().members().len(), 200);
}

#[test]
fn a_verdict_shows_the_most_senior_members() {
    let mut membership = membership();
    let most = u32::try_from(MEMBERS_MAX).unwrap();
    for subject in 1..most {
        let sponsor = if subject <= 2_000 { 0 } else { subject % 2_000 + 1 };
        assert_eq!(membership.insert(admit(sponsor, subject, 0)), NEW);
    }
    assert_eq!(membership.verdict().members().len(), MEMBERS_MAX);
    assert_eq!(membership.insert(admit(2_001, most, 0)), NEW);
    assert_eq!(membership.verdict().members().len(), MEMBERS_MAX);
    assert!(!membership.verdict().is_member(&peer(most)), "the most junior stays outside");
    assert_eq!(membership.insert(admit(0, 900_000, 0)), NEW);
    assert!(membership.verdict().is_member(&peer(900_000)));
    assert!(!membership.verdict().is_member(&peer(most - 1)));
    assert_eq!(membership.verdict().members().len(), MEMBERS_MAX);
}

/// A chain in which each removes the next has its outcome at one end; contests in pairs have one each.
/// Both are what a hostile member would pile up to keep others busy; the test must end, and quickly.
#[test]
fn long_chains_and_many_contests_are_decided() {
    const PEERS: u32 = 4_000;
    const HALF_AND_FOUNDER: usize = 2_001;
    let mut membership = membership();
    for subject in 1..=PEERS {
        assert_eq!(membership.insert(admit(0, subject, 0)), NEW);
    }
    for remover in 1..PEERS {
        assert_eq!(membership.insert(remove(remover, remover + 1, 0, vec![])), NEW);
    }
    // 1 removes 2, so 2 does not remove 3, so 3 removes 4 …
    assert_eq!(membership.verdict().members().len(), HALF_AND_FOUNDER);

    let mut membership = self::membership();
    for subject in 1..=PEERS {
        membership.insert(admit(0, subject, 0));
    }
    for one in (1..PEERS).step_by(2) {
        membership.insert(remove(one, one + 1, 0, vec![]));
        membership.insert(remove(one + 1, one, 0, vec![]));
    }
    assert_eq!(membership.verdict().members().len(), HALF_AND_FOUNDER);
    assert!(membership.verdict().is_member(&peer(1)) && !membership.verdict().is_member(&peer(2)));
}

/// Each contest waits for the one before it, whose loser removes one side of the next.
#[test]
fn contests_that_wait_for_contests_are_decided() {
    const PAIRS: u32 = 2_000;
    let mut membership = membership();
    for subject in 1..=2 * PAIRS {
        membership.insert(admit(0, subject, 0));
    }
    for pair in 0..PAIRS {
        let (winner, loser) = (2 * pair + 1, 2 * pair + 2);
        membership.insert(remove(winner, loser, 0, vec![]));
        membership.insert(remove(loser, winner, 0, vec![]));
        membership.insert(remove(loser, winner + 2, 0, vec![]));
    }
    let verdict = membership.verdict();
    assert!((1..=2 * PAIRS).all(|number| verdict.is_member(&peer(number)) == (number % 2 == 1)));
}

/// One contest over all, of which each decision frees only the next two: the worst case, of which the
/// time grows with the square of the length.
#[test]
fn a_ladder_of_contests_is_decided() {
    const PEERS: u32 = 500;
    for is_chain in [false, true] {
        let mut membership = membership();
        for subject in 1..=PEERS {
            membership.insert(admit(if is_chain { subject - 1 } else { 0 }, subject, 0));
        }
        for one in 1..PEERS {
            membership.insert(remove(one, one + 1, 0, vec![]));
            membership.insert(remove(one + 1, one, 0, vec![]));
        }
        let verdict = membership.verdict();
        let is_as_expected = |number| {
            let stays = if is_chain { number == 1 } else { number % 2 == 1 };
            verdict.is_member(&peer(number)) == stays
        };
        assert!((1..=PEERS).all(is_as_expected));
    }
}

#[test]
fn a_long_chain_of_admissions_does_not_exhaust_the_stack() {
    const PEERS: u32 = 10_000;
    let mut membership = membership();
    for subject in 1..=PEERS {
        membership.insert(admit(subject - 1, subject, 0));
    }
    // The last removes the first without listing what it stands on: one contest over the whole chain.
    membership.insert(remove(PEERS, 1, 0, vec![]));
    let verdict = membership.verdict();
    assert!(!verdict.is_member(&peer(1)) && verdict.is_member(&peer(2)));
    assert_eq!(verdict.members().len(), MEMBERS_MAX);
}

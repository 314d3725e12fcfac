//! Which transactions can be applied.

use std::time::Duration;

use mesh_protocol::{
    Dot, HybridClock, OriginId, Readiness, TransactionHeader, UnixMillis, VersionVector,
};
use mesh_sync::admit;
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn origin(number: u8) -> OriginId {
    OriginId::from_bytes([number; 16])
}

fn known(upto: &[(u8, u64)]) -> VersionVector {
    let mut known = VersionVector::default();
    upto.iter().for_each(|(number, upto)| known.advance(origin(*number), *upto));
    known
}

fn ask(known: &VersionVector, sequence: u64, advanced: &[(u8, u64)], millis: u64) -> Readiness {
    let dot = Dot { origin: origin(1), sequence };
    let header = TransactionHeader {
        clock: HybridClock::at(UnixMillis(millis)),
        advanced: advanced.iter().map(|(number, upto)| (origin(*number), *upto)).collect(),
        ..TransactionHeader::default()
    };
    admit(known, dot, &header, NOW, Duration::from_mins(1))
}

#[test]
fn the_next_one_of_its_origin_can_be_applied_once() {
    let known = known(&[(1, 3)]);
    assert_eq!(ask(&known, 5, &[], NOW.0), Readiness::Missing);
    assert_eq!(ask(&known, 4, &[], NOW.0), Readiness::Apply);
    assert_eq!(ask(&known, 3, &[], NOW.0), Readiness::Duplicate);
    assert_eq!(ask(&known, 0, &[], NOW.0), Readiness::Duplicate);
}

#[test]
fn what_its_origin_had_applied_must_be_there_first() {
    let mut known = known(&[(2, 6)]);
    assert_eq!(ask(&known, 1, &[(2, 6)], NOW.0), Readiness::Apply);
    assert_eq!(ask(&known, 1, &[(2, 7)], NOW.0), Readiness::Missing);
    assert_eq!(ask(&known, 1, &[(2, 6), (3, 1)], NOW.0), Readiness::Missing);
    known.advance(origin(3), 1);
    assert_eq!(ask(&known, 1, &[(2, 6), (3, 1)], NOW.0), Readiness::Apply);
    assert_eq!(ask(&known, 1, &[(1, 9)], NOW.0), Readiness::Apply, "its own number says nothing");
}

#[test]
fn what_is_kept_aside_holds_up_nobody_and_is_not_taken_twice() {
    let mut known = known(&[(1, 2), (2, 6)]);
    known.add_hole(Dot { origin: origin(1), sequence: 2 });
    known.add_hole(Dot { origin: origin(2), sequence: 6 });
    assert_eq!(ask(&known, 2, &[], NOW.0), Readiness::Duplicate);
    assert_eq!(ask(&known, 3, &[(2, 6)], NOW.0), Readiness::Apply);
}

#[test]
fn a_clock_that_is_ahead_too_far_waits_when_its_turn_has_come() {
    let known = known(&[]);
    assert_eq!(ask(&known, 1, &[], NOW.0 + 60_000), Readiness::Apply);
    assert_eq!(ask(&known, 1, &[], NOW.0 + 60_001), Readiness::Ahead { millis: 60_001 });
    assert_eq!(ask(&known, 2, &[], NOW.0 + 60_001), Readiness::Missing);
    assert_eq!(ask(&known, 1, &[(2, 1)], NOW.0 + 60_001), Readiness::Missing);
}

proptest! {
    #[test]
    fn any_question_has_an_answer(sequence: u64, upto: u64, of: u64, clock: u64, now: u64, ahead: u64) {
        let dot = Dot { origin: origin(1), sequence };
        let header = TransactionHeader {
            clock: HybridClock(clock),
            advanced: vec![(origin(1), of), (origin(2), of)],
            ..TransactionHeader::default()
        };
        let known = known(&[(1, upto), (2, of)]);
        let readiness =
            admit(&known, dot, &header, UnixMillis(now), Duration::from_millis(ahead));
        prop_assert_eq!(readiness == Readiness::Duplicate, sequence <= upto);
    }
}

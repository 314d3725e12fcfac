use mesh_protocol::OriginHave;

use super::*;

const ONE: OriginId = OriginId::from_bytes([1; 16]);
const TWO: OriginId = OriginId::from_bytes([2; 16]);
const OWN: OriginId = OriginId::from_bytes([3; 16]);

fn had(origins: &[(OriginId, u64, u64)]) -> Vec<OriginHave> {
    let had = |(origin, upto, hole): &(OriginId, u64, u64)| OriginHave {
        origin: *origin,
        upto: *upto,
        holes: (*hole > 0).then_some(*hole).into_iter().collect(),
        floor: 0,
    };
    origins.iter().map(had).collect()
}

fn said(origins: &[(OriginId, u64, u64)]) -> SyncHave {
    SyncHave {
        member: PeerId::from_bytes([7; 32]),
        database: ONE,
        revision: 1,
        origins: had(origins),
        wants_answer: false,
        is_whole: true,
        wants_changes: true,
    }
}

fn own(origins: &[(OriginId, u64, u64)], in_snapshot: bool) -> Have {
    Have { database: OWN, origins: had(origins), log_head: 0, in_snapshot }
}

#[test]
fn a_newcomer_is_settled_once_it_has_what_the_first_member_had_when_it_was_heard() {
    let mut newcomer = Newcomer::Unheard;
    newcomer.has(&own(&[(ONE, 9, 0), (TWO, 9, 0)], false));
    assert_eq!(newcomer, Newcomer::Unheard, "it may be an older copy of what there is");
    newcomer.heard(&said(&[(ONE, 5, 0), (TWO, 3, 0)]), |_| true);
    // What came after it joined was written by those who know of it.
    newcomer.heard(&said(&[(ONE, 90, 0), (TWO, 90, 0)]), |_| true);
    newcomer.has(&own(&[(ONE, 5, 0), (OWN, 8, 0)], false));
    assert_ne!(newcomer, Newcomer::Settled);
    newcomer.has(&own(&[(ONE, 6, 0), (TWO, 2, 0)], false));
    assert_ne!(newcomer, Newcomer::Settled);
    newcomer.has(&own(&[(ONE, 6, 0), (TWO, 3, 0)], false));
    assert_eq!(newcomer, Newcomer::Settled);
    newcomer.heard(&said(&[(TWO, 90, 0)]), |_| true);
    assert_eq!(newcomer, Newcomer::Settled);
}

#[test]
fn what_the_first_one_had_is_not_waited_for_when_it_is_no_member_any_more() {
    let mut newcomer = Newcomer::Unheard;
    newcomer.heard(&said(&[(ONE, 5, 0), (TWO, 3, 0)]), |_| true);
    let other = SyncHave { member: PeerId::from_bytes([8; 32]), ..said(&[(ONE, 4, 0)]) };
    newcomer.heard(&other, |_| true);
    newcomer.has(&own(&[(ONE, 4, 0)], false));
    assert_ne!(newcomer, Newcomer::Settled, "both are members");
    newcomer.heard(&other, |peer| *peer == other.member);
    newcomer.has(&own(&[(ONE, 4, 0)], false));
    assert_eq!(newcomer, Newcomer::Settled);
}

#[test]
fn half_of_a_snapshot_is_not_enough_and_a_transaction_kept_aside_is() {
    let mut newcomer = Newcomer::Unheard;
    newcomer.heard(&said(&[(ONE, 5, 0)]), |_| true);
    newcomer.has(&own(&[(ONE, 7, 0)], true));
    assert_ne!(newcomer, Newcomer::Settled);
    newcomer.has(&own(&[(ONE, 7, 4)], false));
    assert_eq!(newcomer, Newcomer::Settled);
}

#[test]
fn a_mesh_without_any_tables_is_had_as_soon_as_it_is_heard() {
    let mut newcomer = Newcomer::Unheard;
    newcomer.heard(&said(&[]), |_| true);
    newcomer.has(&own(&[], false));
    assert_eq!(newcomer, Newcomer::Settled);
}

#[test]
fn a_member_that_takes_a_snapshot_is_not_settled_before_its_end() {
    let mut newcomer = Newcomer::Settled;
    newcomer.has(&own(&[(ONE, 7, 0)], true));
    assert_ne!(newcomer, Newcomer::Settled);
    newcomer.heard(&said(&[(ONE, 90, 0)]), |_| true);
    newcomer.has(&own(&[(ONE, 9, 0)], false));
    assert_eq!(newcomer, Newcomer::Settled);
}

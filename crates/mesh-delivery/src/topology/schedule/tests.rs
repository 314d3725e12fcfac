use std::time::Duration;

use super::*;

const fn id(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
fn some_instant() -> Instant {
    Instant::now()
}

#[test]
fn peers_come_in_the_order_of_their_last_moments() {
    let start = some_instant();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut schedule = Schedule::default();
    assert_eq!(schedule.first(), None);
    for (peer, seconds) in [(1, 5), (2, 3), (3, 4), (4, 1), (2, 9), (5, 2), (6, 4)] {
        schedule.set(id(peer), at(seconds));
    }
    schedule.remove(&id(4));
    schedule.remove(&id(77));
    schedule.retain(&[1, 2, 3, 6].map(id).into());
    assert_eq!(schedule.first(), Some(at(4)));
    assert_eq!(schedule.take_due(at(3)), None);
    let due: Vec<PeerId> = std::iter::from_fn(|| schedule.take_due(at(5))).collect();
    assert_eq!(due, [3, 6, 1].map(id));
    assert_eq!(schedule.first(), Some(at(9)));
    assert_eq!(schedule.take_due(at(9)), Some(id(2)));
    assert_eq!(schedule.first(), None);
    assert!(schedule.moments.is_empty() && schedule.order.is_empty());
}

use super::*;
use crate::clock;

fn peer(byte: u8) -> PeerId {
    PeerId::from_bytes([byte; 32])
}

fn address(number: usize) -> Address {
    format!("member-{number}.example:13500").parse().unwrap()
}

#[test]
fn a_member_is_known_at_its_latest_addresses_newest_first() {
    let (mut learned, now) = (Learned::default(), clock::now().instant);
    for number in 0..100 {
        learned.learn(peer(1), address(number), now);
    }
    assert_eq!(learned.addresses(&peer(1)), [99, 98, 97, 96].map(address));
    learned.learn(peer(1), address(97), now);
    assert_eq!(learned.addresses(&peer(1)), [97, 99, 98, 96].map(address));
    assert!(learned.addresses(&peer(2)).is_empty());
}

#[test]
fn an_address_leads_to_whoever_was_found_there_last() {
    let (mut learned, now) = (Learned::default(), clock::now().instant);
    learned.learn(peer(1), address(1), now);
    let missing = |byte| BTreeSet::from([peer(byte)]);
    assert!(learned.is_of_other(&address(1), &missing(2), now));
    assert!(!learned.is_of_other(&address(1), &missing(1), now), "it is looked for there");
    assert!(!learned.is_of_other(&address(1), &missing(2), now + FRESH), "it may have moved");
    learned.learn(peer(2), address(1), now);
    assert!(!learned.is_of_other(&address(1), &missing(2), now));
    assert!(learned.addresses(&peer(1)).is_empty());
}

#[test]
fn who_is_no_member_any_more_is_forgotten() {
    let (mut learned, now) = (Learned::default(), clock::now().instant);
    learned.learn(peer(1), address(1), now);
    learned.learn(peer(2), address(2), now);
    learned.retain(&BTreeSet::from([peer(2)]));
    assert!(learned.addresses(&peer(1)).is_empty());
    assert_eq!(learned.addresses(&peer(2)), [address(2)]);
}

#[test]
fn a_stranger_is_left_alone_for_ten_minutes() {
    let (mut strangers, now) = (Strangers::default(), clock::now().instant);
    strangers.note(address(1), now);
    let almost = now + Duration::from_secs(599);
    assert!(strangers.contains(&address(1), almost));
    assert!(!strangers.contains(&address(2), almost));
    assert!(!strangers.contains(&address(1), now + Duration::from_secs(600)));
    strangers.clear();
    assert!(!strangers.contains(&address(1), now));
}

#[test]
fn the_book_of_strangers_stays_small_and_loses_the_oldest() {
    let (mut strangers, start) = (Strangers::default(), clock::now().instant);
    let at = |number: usize| start + Duration::from_millis(number as u64);
    for number in 0..STRANGERS_MAX + 100 {
        strangers.note(address(number), at(number));
    }
    assert_eq!(strangers.until.len(), STRANGERS_MAX);
    let now = at(STRANGERS_MAX + 100);
    assert!(!strangers.contains(&address(99), now));
    assert!(strangers.contains(&address(100), now));
    strangers.note(address(0), start + 2 * STRANGER_FOR);
    assert_eq!(strangers.until.len(), 1, "what ran out makes room");
}

use super::*;

fn look() -> Look {
    let addresses = BTreeSet::from(["192.0.2.7".parse().unwrap()]);
    Look { since_boot: Duration::from_secs(1000), awake: clock::now().instant, addresses }
}

/// The next look, after the machine was awake and asleep for so long.
fn later(before: &Look, awake: Duration, asleep: Duration) -> Look {
    Look {
        since_boot: before.since_boot + awake + asleep,
        awake: before.awake + awake,
        addresses: before.addresses.clone(),
    }
}

#[test]
fn a_look_in_time_finds_nothing() {
    let before = look();
    let after = later(&before, LOOK_EVERY, Duration::ZERO);
    assert_eq!(after.change_since(&before), None);
    assert_eq!(before.change_since(&after), None, "clocks that go back are no sleep");
}

#[test]
fn a_machine_that_slept_is_noticed() {
    let before = look();
    let slept = |asleep| later(&before, LOOK_EVERY, asleep).change_since(&before);
    assert_eq!(slept(Duration::from_secs(3600)), Some(Change::Woke));
    assert_eq!(slept(Duration::from_millis(900)), None);
}

#[test]
fn a_process_that_was_stopped_is_told_from_one_on_a_busy_machine() {
    let before = look();
    let late = |awake| later(&before, awake, Duration::ZERO).change_since(&before);
    assert_eq!(late(Duration::from_secs(90)), Some(Change::Woke));
    assert_eq!(late(Duration::from_secs(5)), None);
}

#[test]
fn another_address_is_a_move() {
    let before = look();
    let mut after = later(&before, LOOK_EVERY, Duration::ZERO);
    assert!(after.addresses.insert("198.51.100.7".parse().unwrap()));
    assert_eq!(after.change_since(&before), Some(Change::Moved));
    assert_eq!(before.change_since(&after), Some(Change::Moved), "one that is gone, too");
}

#[test]
fn this_machine_can_be_looked_at() {
    let before = Look::take();
    let after = Look::take();
    assert!(after.since_boot >= before.since_boot);
    assert!(!before.since_boot.is_zero());
}

use super::*;

fn lane(stream: u64) -> FloorKey {
    FloorKey { sender: 1, stream, priority: 1 }
}

/// As after [`Lanes::learn`] with nothing in the database.
fn learnt() -> Lanes {
    Lanes { by_sender: BTreeMap::from([(1, BTreeMap::new())]) }
}

#[test]
fn a_floor_stays_away_from_the_newest_sequence_whatever_comes_after_it() {
    let mut lanes = learnt();
    assert_eq!(lanes.floor_max(&lane(7)), None);
    lanes.note(lane(7), LATE_SEQUENCES_MAX - 1, 1);
    assert_eq!(lanes.floor_max(&lane(7)), None);
    lanes.note(lane(7), LATE_SEQUENCES_MAX + 5, 2);
    lanes.note(lane(7), 3, 3);
    assert_eq!(lanes.floor_max(&lane(7)), Some(5));
    assert_eq!(lanes.floor_max(&lane(8)), None);
}

#[test]
fn the_lane_that_was_silent_longest_gives_way() {
    let mut lanes = learnt();
    let count = LANES_PER_SENDER_MAX as u64;
    for stream in 1..=count {
        lanes.note(lane(stream), u64::MAX, stream.cast_signed());
    }
    lanes.note(lane(1), 1, 1_000);
    for stream in count + 1..=count + 10 {
        lanes.note(lane(stream), u64::MAX, 1_000 + stream.cast_signed());
    }
    assert_eq!(lanes.by_sender[&1].len(), LANES_PER_SENDER_MAX);
    assert!(lanes.floor_max(&lane(1)).is_some(), "it spoke again");
    assert!((2..=11).all(|stream| lanes.floor_max(&lane(stream)).is_none()));
    assert!((12..=count + 10).all(|stream| lanes.floor_max(&lane(stream)).is_some()));
}

#[test]
fn only_senders_that_were_learnt_and_lanes_of_an_outbox_are_noted() {
    let mut lanes = learnt();
    lanes.note(FloorKey { sender: 2, ..lane(7) }, u64::MAX, 1);
    lanes.note(lane(0), u64::MAX, 2);
    assert_eq!(lanes.by_sender, BTreeMap::from([(1, BTreeMap::new())]));
}

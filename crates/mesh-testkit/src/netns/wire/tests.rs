//! What becomes of a frame, without devices: the ports are files that lead nowhere.

use super::*;

/// A frame for the machine at a port.
fn frame_for(port: u8) -> Vec<u8> {
    [&PREFIX[..], &[port], b"what is in it"].concat()
}

fn state(ways: &[((u8, u8), Option<Conditions>)]) -> State {
    let port = |number| (number, Arc::new(File::options().write(true).open("/dev/null").unwrap()));
    State {
        ports: [1, 2, 3].map(port).into(),
        ways: ways.iter().copied().collect(),
        ..State::new(7)
    }
}

/// How many copies go on at once, and how many are held.
fn judged(state: &mut State, frame: &[u8], count: usize) -> (usize, usize) {
    let started = now();
    let at_once = (0..count).flat_map(|_| state.judge(1, frame, started)).map(|(_, copies)| copies);
    let at_once = at_once.sum();
    (at_once, state.held.len())
}

#[test]
fn a_frame_goes_to_the_machine_that_it_names_and_multicast_to_all_others() {
    assert_eq!(judged(&mut state(&[]), &frame_for(2), 1), (1, 0));
    assert_eq!(judged(&mut state(&[]), &[0xff; 60], 1), (2, 0));
    let nobody = [2, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(judged(&mut state(&[]), &nobody, 1), (0, 0));
    assert_eq!(judged(&mut state(&[]), &[], 1), (0, 0));
}

#[test]
fn a_way_that_is_cut_loses_everything_and_the_way_back_nothing() {
    let mut state = state(&[((1, 2), None), ((2, 3), None)]);
    assert_eq!(judged(&mut state, &frame_for(2), 5), (0, 0));
    assert_eq!(judged(&mut state, &[0xff; 60], 1), (1, 0), "multicast as well");
    assert_eq!(state.judge(2, &frame_for(1), now()).len(), 1);
}

#[test]
fn about_so_much_is_lost_or_doubled_as_was_said_and_the_same_for_the_same_seed() {
    let some = || state(&[((1, 2), Some(DIRECT.with_loss(0.2)))]);
    let (through, _) = judged(&mut some(), &frame_for(2), 1000);
    assert!((750..850).contains(&through), "{through}");
    assert_eq!(judged(&mut some(), &frame_for(2), 1000), (through, 0));
    let mut twice = state(&[((1, 2), Some(DIRECT.with_duplication(0.2)))]);
    let (through, _) = judged(&mut twice, &frame_for(2), 1000);
    assert!((1150..1250).contains(&through), "{through}");
}

/// The frames in the order in which they come out when all of them went in at once.
fn released(conditions: Conditions, count: u8) -> Vec<u8> {
    let mut state = state(&[((1, 2), Some(conditions))]);
    let started = now();
    for number in 0..count {
        let frame = [frame_for(2), vec![number]].concat();
        assert!(state.judge(1, &frame, started).is_empty(), "it is held");
    }
    assert!(state.due(started + conditions.delay_min / 2).is_empty(), "it takes its time");
    let due = state.due(started + conditions.delay_max);
    due.into_iter().map(|(_, frame)| *frame.last().unwrap()).collect()
}

#[test]
fn what_is_late_comes_in_order_or_not_as_was_said() {
    let (min, max) = (Duration::from_millis(10), Duration::from_millis(50));
    let sorted: Vec<u8> = (0..50).collect();
    assert_eq!(released(DIRECT.with_delay(min, max).in_order(), 50), sorted);
    let mut mixed = released(DIRECT.with_delay(min, max), 50);
    assert_ne!(mixed, sorted);
    mixed.sort_unstable();
    assert_eq!(mixed, sorted, "nothing is lost");
}

#[test]
fn what_is_sent_on_a_way_that_is_fast_again_does_not_overtake_what_is_late() {
    let late = Duration::from_millis(40);
    let slow = DIRECT.with_delay(late, late).in_order();
    let mut state = state(&[((1, 2), Some(slow))]);
    let started = now();
    assert!(state.judge(1, &[frame_for(2), vec![1]].concat(), started).is_empty());
    state.ways.clear();
    assert!(state.judge(1, &[frame_for(2), vec![2]].concat(), started).is_empty());
    let due = state.due(started + late);
    assert_eq!(
        due.iter().map(|(_, frame)| frame.last().copied()).collect::<Vec<_>>(),
        [Some(1), Some(2)]
    );
    assert_eq!(state.judge(1, &frame_for(2), started + late).len(), 1);
}

#[test]
fn a_queue_that_is_full_loses_what_comes_next() {
    let slow = DIRECT.with_delay(Duration::from_secs(1), Duration::from_secs(1));
    let mut state = state(&[((1, 2), Some(slow))]);
    assert_eq!(judged(&mut state, &frame_for(2), HELD_MAX + 10), (0, HELD_MAX));
}

//! What happens when a link, a peer, the database or time gets in the way.

use super::*;

const QUEUE_FULL: DeliverOutcome = DeliverOutcome::Deferred(ErrorCode::QueueFull);

/// The wait until the engine wants to be called, of a desk whose messages live for much longer.
fn wait(desk: &Desk) -> Duration {
    desk.engine.poll_timeout().unwrap() - desk.now.instant
}

#[test]
fn a_deferred_message_and_those_behind_it_wait_and_those_before_it_count() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 0..0);
    desk.commit((1..5).map(|sequence| desk.entry(sequence, ALICE)).collect());
    let (batch_id, _) = desk.batch();
    desk.commit(vec![desk.entry(5, ALICE)]);
    // The receiver claims to have stored one that lies behind the deferred one: it is sent again.
    desk.answer(batch_id, &[STORED, QUEUE_FULL, STORED, QUEUE_FULL]);
    assert_eq!(
        desk.outputs(),
        [finished(1, ALICE, ACKED), retry(2, 1, Some(ErrorCode::QueueFull))]
    );
    let until = desk.engine.poll_timeout();
    let views: Vec<WaitingView> = desk.engine.waiting().collect();
    assert_eq!(views.iter().map(|view| view.sequence).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(views.iter().map(|view| view.attempts).collect::<Vec<_>>(), [1, 1, 1, 0]);
    assert!(views.iter().all(|view| view.next_attempt_at == until));
    assert!(views.iter().all(|view| view.state == WaitingState::BackingOff));
    desk.pass(wait(&desk) - Duration::from_nanos(1));
    assert_eq!(desk.outputs(), []);
    desk.pass(Duration::from_nanos(1));
    assert_eq!(desk.batch().1, [2, 3, 4, 5]);
}

#[test]
fn waits_grow_with_every_failure_and_begin_anew_after_progress() {
    let config = DeliveryConfig { retry_max: Duration::from_secs(2), ..Default::default() };
    let mut desk = Desk::linked(config, 1..2);
    desk.commit(vec![desk.entry(2, ALICE)]);
    let about = |millis: u64| {
        Duration::from_millis(millis * 8 / 10)..=Duration::from_millis(millis * 12 / 10)
    };
    for (attempt, millis) in [200, 400, 800, 1600, 2000, 2000].into_iter().enumerate() {
        let (batch_id, sequences) = desk.batch();
        desk.answer(batch_id, &vec![QUEUE_FULL; sequences.len()]);
        let attempts = u32::try_from(attempt).unwrap() + 1;
        assert_eq!(desk.outputs(), [retry(1, attempts, Some(ErrorCode::QueueFull))]);
        assert!(about(millis).contains(&wait(&desk)), "{:?} is not {millis}", wait(&desk));
        desk.pass(wait(&desk));
    }
    let (batch_id, _) = desk.batch();
    desk.answer(batch_id, &[STORED, QUEUE_FULL]);
    assert!(about(200).contains(&wait(&desk)));
}

#[test]
fn every_end_is_counted_once_by_how_it_came() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..4);
    let (batch_id, _) = desk.batch();
    desk.answer(batch_id, &[STORED, DeliverOutcome::Refused(ErrorCode::NotAMember), QUEUE_FULL]);
    // Answered again: the batch is over.
    desk.answer(batch_id, &[STORED, STORED, STORED]);
    desk.pass(LIFETIME + Duration::from_secs(1));
    let _ends = desk.outputs();
    let expected = EndedCounts { acked: 1, expired: 1, refused: 1 };
    assert_eq!(desk.engine.stats().ended, expected);
}

#[test]
fn a_broken_link_fails_what_is_under_way_and_a_new_one_starts_with_it() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..3);
    let (batch_id, _) = desk.batch();
    desk.commit(vec![desk.entry(3, ALICE)]);
    desk.input(Input::PeerDown(ALICE));
    assert_eq!(desk.outputs(), [retry(1, 1, Some(ErrorCode::PeerUnreachable))]);
    assert!(desk.states().iter().all(|(_, state)| *state == WaitingState::PeerDown));
    // The answer of the old link finds no batch.
    desk.answer(batch_id, &[STORED, STORED]);
    assert_eq!(desk.outputs(), []);
    desk.input(Input::PeerUp(ALICE));
    let (again, sequences) = desk.batch();
    assert_eq!(sequences, [1, 2, 3]);
    assert_ne!(again, batch_id);
    desk.answer(batch_id, &[STORED, STORED]);
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.engine.waiting().map(|view| view.attempts).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn a_new_link_ends_a_back_off_and_a_broken_one_does_not_begin_any() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (batch_id, _) = desk.batch();
    desk.answer(batch_id, &[QUEUE_FULL]);
    desk.input(Input::PeerDown(ALICE));
    assert_eq!(desk.outputs(), [retry(1, 1, Some(ErrorCode::QueueFull))]);
    assert_eq!(desk.states(), [(1, WaitingState::PeerDown)]);
    desk.input(Input::PeerUp(ALICE));
    assert_eq!(desk.batch().1, [1]);
    assert_eq!(wait(&desk), DeliveryConfig::default().answer_timeout);
}

#[test]
fn a_back_off_that_ends_without_a_link_leaves_the_lane_to_the_next_link() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (batch_id, _) = desk.batch();
    desk.input(Input::BatchFailed { batch_id });
    desk.input(Input::PeerDown(ALICE));
    assert_eq!(desk.outputs(), [retry(1, 1, None)]);
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.outputs(), []);
    desk.input(Input::PeerUp(ALICE));
    assert_eq!(desk.batch().1, [1]);
}

#[test]
fn an_answer_with_a_wrong_count_is_a_failure() {
    for outcomes in [vec![], vec![STORED], vec![STORED; 3]] {
        let mut desk = Desk::linked(DeliveryConfig::default(), 1..1);
        desk.commit(vec![desk.entry(1, ALICE), desk.entry(2, ALICE)]);
        let (batch_id, _) = desk.batch();
        desk.answer(batch_id, &outcomes);
        assert_eq!(desk.outputs(), [retry(1, 1, Some(ErrorCode::ProtocolError))]);
        desk.pass(wait(&desk));
        assert_eq!(desk.batch().1, [1, 2]);
    }
}

#[test]
fn an_answer_that_does_not_come_is_a_failure() {
    let timeout = DeliveryConfig::default().answer_timeout;
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (batch_id, _) = desk.batch();
    assert_eq!(wait(&desk), timeout);
    desk.pass(timeout - Duration::from_nanos(1));
    assert_eq!(desk.outputs(), []);
    desk.pass(Duration::from_nanos(1));
    assert_eq!(desk.outputs(), [retry(1, 1, Some(ErrorCode::TimedOut))]);
    desk.answer(batch_id, &[STORED]);
    assert_eq!(desk.outputs(), []);
    desk.pass(wait(&desk));
    assert_eq!(desk.batch().1, [1]);
}

#[test]
fn an_answer_is_taken_once() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (batch_id, _) = desk.batch();
    desk.answer(batch_id, &[STORED]);
    desk.commit(vec![desk.entry(2, ALICE)]);
    desk.outputs();
    desk.answer(batch_id, &[DeliverOutcome::Refused(ErrorCode::Internal)]);
    desk.input(Input::BatchFailed { batch_id });
    desk.answer(999, &[STORED]);
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.states(), [(2, WaitingState::UnderWay)]);
}

#[test]
fn a_message_expires_in_the_lane_of_a_peer_that_is_down() {
    let mut desk = Desk::new(DeliveryConfig::default());
    let entry = desk.entry(1, ALICE);
    let soon = desk.now.wall.plus(Duration::from_secs(5));
    desk.commit(vec![entry, Entry { expires_at: soon, ..desk.entry(2, ALICE) }]);
    assert_eq!(wait(&desk), Duration::from_secs(5));
    desk.pass(Duration::from_millis(4999));
    assert_eq!(desk.outputs(), []);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.outputs(), [finished(2, ALICE, End::Expired)]);
    assert_eq!(desk.states(), [(1, WaitingState::PeerDown)]);
}

#[test]
fn a_far_expiry_is_looked_at_from_time_to_time_because_the_wall_clock_may_jump() {
    let mut desk = Desk::new(DeliveryConfig::default());
    desk.commit(vec![desk.entry(1, ALICE)]);
    assert_eq!(wait(&desk), EXPIRY_WAIT_MAX);
    desk.now.wall = desk.now.wall.plus(LIFETIME);
    desk.now.instant += EXPIRY_WAIT_MAX;
    desk.engine.handle_timeout(desk.now);
    assert_eq!(desk.outputs(), [finished(1, ALICE, End::Expired)]);
    assert!(desk.is_bare());
}

#[test]
fn a_message_that_is_too_old_is_not_sent() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 0..0);
    let expires_at = desk.now.wall;
    desk.commit(vec![Entry { expires_at, ..desk.entry(1, ALICE) }, desk.entry(2, ALICE)]);
    let (batches, rest) = desk.batches_and_rest();
    assert_eq!(rest, [finished(1, ALICE, End::Expired)]);
    assert_eq!(batches[0].1, [2]);
}

#[test]
fn a_message_under_way_is_left_to_its_answer_when_it_expires() {
    let config = DeliveryConfig { answer_timeout: LIFETIME * 3, ..Default::default() };
    let mut desk = Desk::linked(config.clone(), 1..2);
    let (batch_id, _) = desk.batch();
    desk.pass(LIFETIME * 2);
    assert_eq!(desk.outputs(), []);
    desk.answer(batch_id, &[STORED]);
    assert_eq!(desk.outputs(), [finished(1, ALICE, ACKED)]);

    let mut desk = Desk::linked(config, 1..2);
    let (batch_id, _) = desk.batch();
    desk.pass(LIFETIME * 2);
    desk.answer(batch_id, &[QUEUE_FULL]);
    assert_eq!(desk.outputs(), [finished(1, ALICE, End::Expired)]);
    assert!(desk.is_bare());
}

#[test]
fn a_lane_that_expires_while_it_backs_off_is_forgotten() {
    let config =
        DeliveryConfig { retry_min: LIFETIME * 2, retry_max: LIFETIME * 2, ..Default::default() };
    let mut desk = Desk::linked(config, 1..2);
    let (batch_id, _) = desk.batch();
    desk.answer(batch_id, &[QUEUE_FULL]);
    desk.outputs();
    desk.pass(LIFETIME);
    assert_eq!(desk.outputs(), [finished(1, ALICE, End::Expired)]);
    assert!(desk.is_bare());
}

#[test]
fn the_messages_of_a_removed_peer_end_as_refused() {
    let gone = End::Refused(ErrorCode::NotAMember);
    let config = DeliveryConfig { batch_items_max: 1, ..Default::default() };
    let mut desk = Desk::linked(config, 1..2);
    let (batch_id, _) = desk.batch();
    let bulk = Entry { priority: Priority::Bulk, ..desk.entry(3, ALICE) };
    desk.commit(vec![desk.entry(2, ALICE), bulk, desk.entry(4, BOB)]);
    desk.outputs();
    desk.input(Input::PeerRemoved(ALICE));
    assert_eq!(
        desk.outputs(),
        [finished(1, ALICE, gone), finished(2, ALICE, gone), finished(3, ALICE, gone)]
    );
    desk.answer(batch_id, &[STORED]);
    desk.input(Input::PeerDown(ALICE));
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.states(), [(4, WaitingState::PeerDown)]);
}

#[test]
fn a_message_whose_peer_was_removed_during_the_commit_ends_as_refused() {
    let mut desk = Desk::new(DeliveryConfig::default());
    let open = desk.engine.reserve(&[ALICE, BOB], 100).unwrap();
    let failed = desk.engine.reserve(&[ALICE], 100).unwrap();
    desk.input(Input::PeerRemoved(ALICE));
    desk.engine.release(failed);
    // Admitted again before the commit is through: what was meant for the old member stays refused.
    let later = desk.engine.reserve(&[ALICE], 100).unwrap();
    let entries = vec![desk.entry(1, ALICE), desk.entry(2, BOB)];
    desk.input(Input::Committed { reservation: open, entries });
    assert_eq!(desk.outputs(), [finished(1, ALICE, End::Refused(ErrorCode::NotAMember))]);
    let entries = vec![desk.entry(3, ALICE)];
    desk.input(Input::Committed { reservation: later, entries });
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.engine.stats().peers, BTreeMap::from([(ALICE, 1), (BOB, 1)]));
}

#[test]
fn a_message_without_a_body_leaves_its_batch() {
    let lost = End::Refused(ErrorCode::StorageError);
    let mut desk = Desk::linked(DeliveryConfig::default(), 0..0);
    desk.commit((1..4).map(|sequence| desk.entry(sequence, ALICE)).collect());
    let (batch_id, _) = desk.batch();
    desk.input(Input::BodyMissing { sequence: 2 });
    assert_eq!(desk.outputs(), [finished(2, ALICE, lost)]);
    desk.answer(batch_id, &[STORED, STORED]);
    assert_eq!(desk.outputs(), [finished(1, ALICE, ACKED), finished(3, ALICE, ACKED)]);
    assert!(desk.is_bare());
}

#[test]
fn a_batch_without_any_body_is_over_at_once() {
    let lost = End::Refused(ErrorCode::StorageError);
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    desk.batch();
    desk.commit(vec![desk.entry(2, ALICE)]);
    desk.input(Input::BodyMissing { sequence: 1 });
    let (batches, rest) = desk.batches_and_rest();
    assert_eq!(rest, [finished(1, ALICE, lost)]);
    assert_eq!(batches[0].1, [2]);
    // The link broke before the driver found out about the second one.
    desk.input(Input::PeerDown(ALICE));
    desk.outputs();
    desk.input(Input::BodyMissing { sequence: 2 });
    desk.input(Input::BodyMissing { sequence: 2 });
    assert_eq!(desk.outputs(), [finished(2, ALICE, lost)]);
    assert!(desk.is_bare());
}

#[test]
fn a_peer_that_is_up_and_said_to_be_up_goes_on_backing_off() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (batch_id, _) = desk.batch();
    desk.input(Input::PeerUp(ALICE));
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.engine.peer_of_batch(batch_id), Some(ALICE));
    desk.answer(batch_id, &[QUEUE_FULL]);
    desk.outputs();
    let until = desk.engine.poll_timeout();
    for _ in 0..3 {
        desk.input(Input::PeerUp(ALICE));
        assert_eq!(desk.outputs(), []);
        assert_eq!(desk.states(), [(1, WaitingState::BackingOff)]);
        assert_eq!(desk.engine.poll_timeout(), until);
    }
    desk.pass(wait(&desk));
    assert_eq!(desk.batch().1, [1]);
}

//! What happens when the receiver's word comes past the answer of the batch.

use super::*;

const QUEUE_FULL: DeliverOutcome = DeliverOutcome::Deferred(ErrorCode::QueueFull);

fn settle(desk: &mut Desk, sequence: u64, outcome: DeliverOutcome) {
    desk.input(Input::Settled { sequence, outcome });
}

/// The first batch of a desk with the messages 1 to 4, of which 4 waits.
fn three_under_way() -> (Desk, u64) {
    let config = DeliveryConfig { batch_items_max: 3, ..Default::default() };
    let mut desk = Desk::linked(config, 0..0);
    desk.commit((1..5).map(|sequence| desk.entry(sequence, ALICE)).collect());
    let (batch_id, sequences) = desk.batch();
    assert_eq!(sequences, [1, 2, 3]);
    (desk, batch_id)
}

#[test]
fn a_receipt_ends_a_message_that_waits_for_a_link() {
    let mut desk = Desk::new(DeliveryConfig::default());
    desk.commit((1..4).map(|sequence| desk.entry(sequence, ALICE)).collect());
    settle(&mut desk, 2, STORED);
    settle(&mut desk, 1, DeliverOutcome::Duplicate);
    settle(&mut desk, 3, DeliverOutcome::Refused(ErrorCode::SealInvalid));
    assert_eq!(
        desk.outputs(),
        [
            finished(2, ALICE, ACKED),
            finished(1, ALICE, End::Acked { was_duplicate: true }),
            finished(3, ALICE, End::Refused(ErrorCode::SealInvalid)),
        ]
    );
    assert!(desk.is_bare());
}

#[test]
fn a_receipt_ends_a_message_of_a_lane_that_backs_off() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 0..0);
    desk.commit(vec![desk.entry(1, ALICE), desk.entry(2, ALICE)]);
    let (batch_id, _) = desk.batch();
    desk.answer(batch_id, &[QUEUE_FULL, QUEUE_FULL]);
    desk.outputs();
    settle(&mut desk, 1, STORED);
    assert_eq!(desk.outputs(), [finished(1, ALICE, ACKED)]);
    assert_eq!(desk.states(), [(2, WaitingState::BackingOff)]);
    settle(&mut desk, 2, STORED);
    assert_eq!(desk.outputs(), [finished(2, ALICE, ACKED)]);
    assert!(desk.is_bare());
}

#[test]
fn an_answer_counts_the_messages_that_were_settled_before_it() {
    let (mut desk, batch_id) = three_under_way();
    settle(&mut desk, 2, STORED);
    assert_eq!(desk.outputs(), [finished(2, ALICE, ACKED)]);
    // The settled one keeps its end, whatever the answer says about it.
    desk.answer(batch_id, &[STORED, QUEUE_FULL, DeliverOutcome::Duplicate]);
    let (batches, rest) = desk.batches_and_rest();
    let repeated = End::Acked { was_duplicate: true };
    assert_eq!(rest, [finished(1, ALICE, ACKED), finished(3, ALICE, repeated)]);
    assert_eq!(batches[0].1, [4]);
    desk.answer(batches[0].0, &[STORED]);
    desk.outputs();
    assert!(desk.is_bare());
}

#[test]
fn an_answer_that_leaves_settled_messages_out_has_a_wrong_count() {
    let (mut desk, batch_id) = three_under_way();
    settle(&mut desk, 1, STORED);
    desk.outputs();
    desk.answer(batch_id, &[STORED, STORED]);
    assert_eq!(desk.outputs(), [retry(2, 1, Some(ErrorCode::ProtocolError))]);
    assert_eq!(desk.states().len(), 3);
    assert!(desk.engine.settled.is_empty());
}

#[test]
fn a_batch_that_was_settled_to_the_last_message_gives_way_to_the_next() {
    let (mut desk, batch_id) = three_under_way();
    for sequence in [3, 1] {
        settle(&mut desk, sequence, STORED);
        assert_eq!(desk.outputs(), [finished(sequence, ALICE, ACKED)]);
    }
    settle(&mut desk, 2, STORED);
    let (batches, rest) = desk.batches_and_rest();
    assert_eq!(rest, [finished(2, ALICE, ACKED)]);
    assert_eq!(batches[0].1, [4]);
    assert_eq!(desk.engine.peer_of_batch(batch_id), None);
    desk.answer(batch_id, &[STORED, STORED, STORED]);
    assert_eq!(desk.outputs(), []);
    desk.answer(batches[0].0, &[STORED]);
    desk.outputs();
    assert!(desk.is_bare());
}

#[test]
fn a_deferral_fails_the_batch_under_way_and_spares_what_was_settled() {
    let (mut desk, batch_id) = three_under_way();
    settle(&mut desk, 1, STORED);
    settle(&mut desk, 2, QUEUE_FULL);
    assert_eq!(
        desk.outputs(),
        [finished(1, ALICE, ACKED), retry(2, 1, Some(ErrorCode::QueueFull))]
    );
    let backing_off = [2, 3, 4].map(|sequence| (sequence, WaitingState::BackingOff));
    assert_eq!(desk.states(), backing_off);
    desk.answer(batch_id, &[STORED, STORED, STORED]);
    assert_eq!(desk.outputs(), []);
    let wait = desk.engine.poll_timeout().unwrap() - desk.now.instant;
    desk.pass(wait);
    assert_eq!(desk.batch().1, [2, 3, 4]);
}

#[test]
fn a_deferral_of_a_message_that_waits_changes_nothing() {
    let (mut desk, batch_id) = three_under_way();
    settle(&mut desk, 4, QUEUE_FULL);
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.engine.peer_of_batch(batch_id), Some(ALICE));
    let mut away = Desk::new(DeliveryConfig::default());
    away.commit(vec![away.entry(1, ALICE)]);
    settle(&mut away, 1, QUEUE_FULL);
    assert_eq!(away.outputs(), []);
    assert_eq!(away.states(), [(1, WaitingState::PeerDown)]);
}

#[test]
fn a_deferral_that_is_repeated_counts_once_per_attempt_and_leaves_the_wait_as_it_is() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    for attempts in 1..5 {
        assert_eq!(desk.batch().1, [1]);
        settle(&mut desk, 1, QUEUE_FULL);
        assert_eq!(desk.outputs(), [retry(1, attempts, Some(ErrorCode::QueueFull))]);
        let until = desk.engine.poll_timeout().unwrap();
        for _ in 0..100 {
            settle(&mut desk, 1, QUEUE_FULL);
            desk.pass((until - desk.now.instant) / 2);
        }
        assert_eq!(desk.outputs(), []);
        assert_eq!(desk.engine.poll_timeout(), Some(until));
        assert_eq!(desk.engine.lanes.values().map(|lane| lane.failures).sum::<u32>(), attempts);
        desk.pass(until - desk.now.instant);
    }
    // Nor does what became of an earlier attempt say anything about messages that never left.
    let (batch_id, _) = desk.batch();
    desk.commit(vec![desk.entry(2, ALICE)]);
    settle(&mut desk, 2, QUEUE_FULL);
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.engine.peer_of_batch(batch_id), Some(ALICE));
}

#[test]
fn a_receipt_for_a_message_that_is_not_known_changes_nothing() {
    let (mut desk, batch_id) = three_under_way();
    settle(&mut desk, 1, STORED);
    desk.outputs();
    for outcome in [STORED, QUEUE_FULL, DeliverOutcome::Refused(ErrorCode::Internal)] {
        settle(&mut desk, 1, outcome);
        settle(&mut desk, 99, outcome);
    }
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.engine.peer_of_batch(batch_id), Some(ALICE));
}

#[test]
fn a_settled_message_whose_row_is_gone_leaves_its_batch() {
    let (mut desk, batch_id) = three_under_way();
    settle(&mut desk, 1, STORED);
    desk.input(Input::BodyMissing { sequence: 1 });
    assert_eq!(desk.outputs(), [finished(1, ALICE, ACKED)]);
    // The driver sent the two others.
    desk.answer(batch_id, &[STORED, STORED]);
    let (batches, rest) = desk.batches_and_rest();
    assert_eq!(rest, [finished(2, ALICE, ACKED), finished(3, ALICE, ACKED)]);
    assert_eq!(batches[0].1, [4]);
}

#[test]
fn a_batch_is_over_when_what_was_not_settled_has_no_body() {
    let (mut desk, _) = three_under_way();
    settle(&mut desk, 1, STORED);
    settle(&mut desk, 3, STORED);
    desk.outputs();
    desk.input(Input::BodyMissing { sequence: 2 });
    let (batches, rest) = desk.batches_and_rest();
    assert_eq!(rest, [finished(2, ALICE, End::Refused(ErrorCode::StorageError))]);
    assert_eq!(batches[0].1, [4]);
    assert!(desk.engine.settled.is_empty());
}

#[test]
fn a_receipt_lets_the_waits_begin_anew() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    for _ in 0..5 {
        let (batch_id, sequences) = desk.batch();
        desk.answer(batch_id, &vec![QUEUE_FULL; sequences.len()]);
        desk.outputs();
        desk.pass(desk.engine.poll_timeout().unwrap() - desk.now.instant);
    }
    desk.batch();
    desk.commit(vec![desk.entry(2, ALICE)]);
    settle(&mut desk, 1, STORED);
    let (batches, _) = desk.batches_and_rest();
    desk.answer(batches[0].0, &[QUEUE_FULL]);
    let wait = desk.engine.poll_timeout().unwrap() - desk.now.instant;
    assert!(wait < Duration::from_millis(250), "{wait:?}");
}

#[test]
fn a_broken_link_and_a_removal_leave_settled_messages_ended() {
    let (mut desk, _) = three_under_way();
    settle(&mut desk, 1, STORED);
    desk.outputs();
    desk.input(Input::PeerDown(ALICE));
    assert_eq!(desk.outputs(), [retry(2, 1, Some(ErrorCode::PeerUnreachable))]);
    desk.input(Input::PeerUp(ALICE));
    assert_eq!(desk.batch().1, [2, 3, 4]);
    settle(&mut desk, 3, STORED);
    desk.outputs();
    desk.input(Input::PeerRemoved(ALICE));
    let gone = End::Refused(ErrorCode::NotAMember);
    assert_eq!(desk.outputs(), [finished(2, ALICE, gone), finished(4, ALICE, gone)]);
    assert!(desk.is_bare());
}

//! What happens while nothing goes wrong.

use super::*;

#[test]
fn a_message_leaves_with_its_commit_and_ends_with_its_answer() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (batch_id, sequences) = desk.batch();
    assert_eq!(sequences, [1]);
    assert_eq!(desk.engine.peer_of_batch(batch_id), Some(ALICE));
    assert_eq!(desk.states(), [(1, WaitingState::UnderWay)]);
    desk.answer(batch_id, &[STORED]);
    assert_eq!(desk.outputs(), [finished(1, ALICE, ACKED)]);
    assert_eq!(desk.engine.peer_of_batch(batch_id), None);
    assert!(desk.is_bare());
}

#[test]
fn messages_gather_behind_the_batch_under_way_and_leave_with_its_answer() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (first, _) = desk.batch();
    desk.commit(vec![desk.entry(2, ALICE)]);
    desk.commit(vec![desk.entry(3, ALICE)]);
    assert_eq!(desk.outputs(), []);
    assert_eq!(
        desk.states(),
        [(1, WaitingState::UnderWay), (2, WaitingState::Queued), (3, WaitingState::Queued)]
    );
    desk.answer(first, &[STORED]);
    let (batches, rest) = desk.batches_and_rest();
    assert_eq!(rest, [finished(1, ALICE, ACKED)]);
    assert_eq!(batches.iter().map(|(_, sequences)| sequences).collect::<Vec<_>>(), [&[2, 3]]);
}

#[test]
fn a_lane_starts_when_its_peer_is_up() {
    let mut desk = Desk::new(DeliveryConfig::default());
    desk.commit(vec![desk.entry(1, ALICE)]);
    desk.input(Input::PeerUp(BOB));
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.states(), [(1, WaitingState::PeerDown)]);
    desk.input(Input::PeerUp(ALICE));
    assert_eq!(desk.batch().1, [1]);
    desk.input(Input::PeerUp(ALICE));
    assert_eq!(desk.outputs(), []);
}

#[test]
fn restored_and_late_messages_keep_the_order_of_their_sequences() {
    let mut desk = Desk::new(DeliveryConfig::default());
    let restored = [7, 3, 5].map(|sequence| desk.entry(sequence, ALICE)).to_vec();
    desk.input(Input::Restored(restored));
    desk.commit(vec![desk.entry(9, ALICE)]);
    desk.commit(vec![desk.entry(8, ALICE)]);
    desk.input(Input::PeerUp(ALICE));
    assert_eq!(desk.batch().1, [3, 5, 7, 8, 9]);
}

#[test]
fn a_row_that_is_told_twice_is_one_message() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..3);
    let (batch_id, _) = desk.batch();
    desk.input(Input::Restored(vec![desk.entry(1, ALICE), desk.entry(2, ALICE)]));
    desk.commit(vec![desk.entry(2, ALICE)]);
    assert_eq!(desk.engine.stats().messages, 2);
    desk.answer(batch_id, &[STORED, STORED]);
    assert_eq!(desk.outputs(), [finished(1, ALICE, ACKED), finished(2, ALICE, ACKED)]);
    assert!(desk.is_bare());
}

#[test]
fn lanes_of_other_priorities_and_peers_do_not_wait_for_each_other() {
    let mut desk = Desk::new(DeliveryConfig::default());
    desk.input(Input::PeerUp(ALICE));
    desk.input(Input::PeerUp(BOB));
    let mut lanes = Vec::new();
    for (sequence, to, priority) in [
        (1, ALICE, Priority::Bulk),
        (2, ALICE, Priority::Normal),
        (3, ALICE, Priority::Urgent),
        (4, BOB, Priority::Bulk),
    ] {
        desk.commit(vec![Entry { priority, ..desk.entry(sequence, to) }]);
        match desk.outputs().as_slice() {
            [Output::SendBatch { peer, priority, sequences, .. }] => {
                lanes.push((*peer, *priority, sequences.clone()));
            }
            other => panic!("every lane sends at once: {other:?}"),
        }
    }
    assert_eq!(
        lanes,
        [
            (ALICE, Priority::Bulk, vec![1]),
            (ALICE, Priority::Normal, vec![2]),
            (ALICE, Priority::Urgent, vec![3]),
            (BOB, Priority::Bulk, vec![4]),
        ]
    );
}

#[test]
fn the_urgent_lane_of_a_fresh_link_comes_first() {
    let mut desk = Desk::new(DeliveryConfig::default());
    for (sequence, priority) in [(1, Priority::Bulk), (2, Priority::Normal), (3, Priority::Urgent)]
    {
        desk.commit(vec![Entry { priority, ..desk.entry(sequence, ALICE) }]);
    }
    desk.input(Input::PeerUp(ALICE));
    let (batches, _) = desk.batches_and_rest();
    let order: Vec<u64> = batches.into_iter().flat_map(|(_, sequences)| sequences).collect();
    assert_eq!(order, [3, 2, 1]);
}

#[test]
fn a_duplicate_counts_as_delivered_and_a_refusal_does_not_stop_the_lane() {
    let mut desk = Desk::linked(DeliveryConfig::default(), 1..2);
    let (first, _) = desk.batch();
    desk.commit((2..5).map(|sequence| desk.entry(sequence, ALICE)).collect());
    desk.answer(first, &[DeliverOutcome::Refused(ErrorCode::SealInvalid)]);
    let (batches, rest) = desk.batches_and_rest();
    assert_eq!(rest, [finished(1, ALICE, End::Refused(ErrorCode::SealInvalid))]);
    let refused = DeliverOutcome::Refused(ErrorCode::MessageExpired);
    desk.answer(batches[0].0, &[DeliverOutcome::Duplicate, refused, STORED]);
    assert_eq!(
        desk.outputs(),
        [
            finished(2, ALICE, End::Acked { was_duplicate: true }),
            finished(3, ALICE, End::Refused(ErrorCode::MessageExpired)),
            finished(4, ALICE, ACKED),
        ]
    );
    assert!(desk.is_bare());
}

#[test]
fn a_broadcast_ends_once_per_peer() {
    let mut desk = Desk::new(DeliveryConfig::default());
    let id = message_id(77);
    desk.input(Input::PeerUp(ALICE));
    let entries = [(1, ALICE), (2, BOB)]
        .map(|(sequence, to)| Entry { message_id: id, ..desk.entry(sequence, to) });
    desk.commit(entries.to_vec());
    let (batch_id, _) = desk.batch();
    desk.answer(batch_id, &[STORED]);
    let ended = |sequence, to, end| Output::Finished { sequence, message_id: id, to, end };
    assert_eq!(desk.outputs(), [ended(1, ALICE, ACKED)]);
    assert_eq!(desk.engine.stats().peers, BTreeMap::from([(BOB, 1)]));
    desk.pass(LIFETIME);
    assert_eq!(desk.outputs(), [ended(2, BOB, End::Expired)]);
    assert!(desk.is_bare());
}

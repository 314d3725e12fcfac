//! Every bound, reached.

use super::*;

#[test]
fn the_count_of_messages_is_bounded_for_all_recipients_or_none() {
    let config = DeliveryConfig { messages_max: 3, ..Default::default() };
    let mut desk = Desk::new(config);
    desk.commit(vec![desk.entry(1, ALICE)]);
    let full = QueueFull::Messages { messages_max: 3 };
    assert_eq!(desk.engine.reserve(&[ALICE, BOB, BOB], 1).unwrap_err(), full);
    assert_eq!(desk.engine.stats().reserved_messages, 0);
    let open = desk.engine.reserve(&[ALICE, BOB], 1).unwrap();
    assert_eq!(desk.engine.reserve(&[ALICE], 1).unwrap_err(), full);
    assert_eq!(full.code(), ErrorCode::QueueFull);
    desk.engine.release(open);
    let open = desk.engine.reserve(&[ALICE], 1).unwrap();
    desk.engine.release(open);
}

#[test]
fn the_bytes_are_bounded() {
    let config = DeliveryConfig { bytes_max: 250, ..Default::default() };
    let mut desk = Desk::new(config);
    desk.commit(vec![desk.entry(1, ALICE)]);
    let full = QueueFull::Bytes { bytes_max: 250 };
    assert_eq!(desk.engine.reserve(&[ALICE, BOB], 100).unwrap_err(), full);
    assert_eq!(desk.engine.reserve(&[ALICE, BOB], usize::MAX).unwrap_err(), full);
    let open = desk.engine.reserve(&[ALICE], 150).unwrap();
    assert_eq!(desk.engine.stats().reserved_bytes, 150);
    assert_eq!(desk.engine.reserve(&[ALICE], 1).unwrap_err(), full);
    desk.engine.release(open);
    assert_eq!(desk.engine.stats().reserved_bytes, 0);
}

#[test]
fn the_messages_of_one_peer_are_bounded() {
    let config = DeliveryConfig { peer_messages_max: 2, ..Default::default() };
    let mut desk = Desk::new(config);
    desk.commit(vec![desk.entry(1, ALICE)]);
    let full = QueueFull::PeerMessages { peer: ALICE, messages_max: 2 };
    assert_eq!(desk.engine.reserve(&[BOB, ALICE, ALICE], 1).unwrap_err(), full);
    desk.commit(vec![desk.entry(2, ALICE)]);
    assert_eq!(desk.engine.reserve(&[BOB, ALICE], 1).unwrap_err(), full);
    let open = desk.engine.reserve(&[BOB, BOB], 1).unwrap();
    desk.engine.release(open);
    assert_eq!(desk.engine.stats().peers, BTreeMap::from([(ALICE, 2)]));
}

#[test]
fn a_commit_of_fewer_rows_gives_the_rest_of_its_room_back() {
    let mut desk = Desk::new(DeliveryConfig::default());
    let reservation = desk.engine.reserve(&[ALICE, BOB], 500).unwrap();
    let entries = vec![desk.entry(1, ALICE)];
    desk.input(Input::Committed { reservation, entries });
    let stats = desk.engine.stats();
    assert_eq!((stats.messages, stats.bytes), (1, 100));
    assert_eq!((stats.reserved_messages, stats.reserved_bytes), (0, 0));
}

#[test]
fn what_the_database_holds_is_restored_beyond_the_bounds() {
    let config = DeliveryConfig { messages_max: 1, ..Default::default() };
    let mut desk = Desk::new(config);
    desk.input(Input::Restored((1..4).map(|sequence| desk.entry(sequence, ALICE)).collect()));
    assert_eq!(desk.engine.stats().messages, 3);
    let full = QueueFull::Messages { messages_max: 1 };
    assert_eq!(desk.engine.reserve(&[BOB], 1).unwrap_err(), full);
}

#[test]
fn the_items_of_a_batch_are_bounded() {
    let config = DeliveryConfig { batch_items_max: 2, ..Default::default() };
    let mut desk = Desk::linked(config, 0..0);
    desk.commit((1..6).map(|sequence| desk.entry(sequence, ALICE)).collect());
    let mut sizes = Vec::new();
    while desk.engine.stats().messages > 0 {
        let (batches, _) = desk.batches_and_rest();
        let [(batch_id, sequences)] = batches.as_slice() else { panic!("{batches:?}") };
        sizes.push(sequences.len());
        desk.answer(*batch_id, &vec![STORED; sequences.len()]);
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn the_bytes_of_a_batch_are_bounded_by_priority_and_a_larger_message_goes_alone() {
    let config =
        DeliveryConfig { batch_bytes_max: 300, bulk_batch_bytes_max: 200, ..Default::default() };
    let expected: [(Priority, &[&[u64]]); 3] = [
        (Priority::Urgent, &[&[1, 2, 3], &[4], &[5], &[6]]),
        (Priority::Normal, &[&[1, 2, 3], &[4], &[5], &[6]]),
        (Priority::Bulk, &[&[1, 2], &[3, 4], &[5], &[6]]),
    ];
    for (priority, expected) in expected {
        let mut desk = Desk::new(config.clone());
        let sizes = [100, 100, 100, 100, 9999, 200];
        let entries = (1..).zip(sizes).map(|(sequence, bytes)| Entry {
            bytes,
            priority,
            ..desk.entry(sequence, ALICE)
        });
        desk.input(Input::Restored(entries.collect()));
        desk.input(Input::PeerUp(ALICE));
        let mut sent = Vec::new();
        while desk.engine.stats().messages > 0 {
            let (batches, _) = desk.batches_and_rest();
            let [(batch_id, sequences)] = batches.as_slice() else { panic!("{batches:?}") };
            desk.answer(*batch_id, &vec![STORED; sequences.len()]);
            sent.push(sequences.clone());
        }
        assert_eq!(sent, expected, "{priority:?}");
    }
}

#[test]
fn a_configuration_that_cannot_work_is_brought_to_the_nearest_that_can() {
    let config = DeliveryConfig {
        batch_items_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        bulk_batch_bytes_max: 0,
        retry_min: Duration::ZERO,
        retry_max: Duration::MAX,
        answer_timeout: Duration::MAX,
        ..Default::default()
    };
    let clamped = Desk::new(config).engine.config;
    assert_eq!(clamped.batch_items_max, DELIVER_ITEMS_MAX);
    assert!(clamped.batch_bytes_max < mesh_protocol::FRAME_BODY_BYTES_MAX);
    assert_eq!(clamped.retry_min, Duration::from_millis(1));
    assert_eq!(clamped.retry_max, Duration::from_secs(24 * 3600));
    assert_eq!(clamped.answer_timeout, Duration::from_secs(24 * 3600));
    let config = DeliveryConfig {
        batch_items_max: 0,
        bulk_batch_bytes_max: usize::MAX,
        ..Default::default()
    };
    let mut desk = Desk::linked(config, 1..2);
    assert_eq!(desk.engine.config.bulk_batch_bytes_max, clamped.batch_bytes_max);
    assert_eq!(desk.batch().1, [1]);
    let default = DeliveryConfig::default();
    assert_eq!(default.clone().clamped(), default);
}

#[test]
fn a_full_outbox_is_delivered_or_expires() {
    let config = DeliveryConfig::default();
    let messages = config.messages_max as u64;
    let mut desk = Desk::new(config);
    desk.input(Input::PeerUp(ALICE));
    for sequence in 0..messages {
        let to = if sequence % 2 == 0 { ALICE } else { BOB };
        desk.commit(vec![desk.entry(sequence, to)]);
    }
    let full = QueueFull::Messages { messages_max: 100_000 };
    assert_eq!(desk.engine.reserve(&[ALICE], 1).unwrap_err(), full);
    let mut acked = 0;
    loop {
        let (batches, rest) = desk.batches_and_rest();
        acked += rest.len();
        let Some((batch_id, sequences)) = batches.first() else { break };
        desk.answer(*batch_id, &vec![STORED; sequences.len()]);
    }
    assert_eq!(acked, 50_000);
    // The ticks before the expiry cost nothing: the index knows the first one that is due.
    for _ in 0..10_000 {
        desk.pass(Duration::from_millis(1));
    }
    assert_eq!(desk.outputs(), []);
    desk.pass(LIFETIME);
    assert_eq!(desk.outputs().len(), 50_000);
    assert!(desk.is_bare());
}

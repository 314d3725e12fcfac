use mesh_protocol::{RECORD_BYTES_MAX, SignedRecord};
use mesh_store::{
    CustodyOutcome, NewMesh, OutboxEnd, PairKeyRow, StoreConfig, StoreError, StoredRecord,
};

use crate::support::{Home, NOW, held, incoming, is_held, member, outgoing, peer, record, token};

#[tokio::test]
async fn records_come_back_in_the_order_of_arrival_and_replaced_ones_are_gone() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_records(vec![record(3), record(1)]).await.unwrap();
    let newer = StoredRecord { replaces: Some(record(3).id), ..record(2) };
    store.insert_records(vec![newer.clone(), record(1)]).await.unwrap();
    let itself = StoredRecord { replaces: Some(record(2).id), ..record(2) };
    store.insert_records(vec![itself]).await.unwrap();
    store.close().await.unwrap();
    let store = home.open(StoreConfig::default()).await;
    let held = store.load_records().await.unwrap();
    assert_eq!(held, [record(1).signed, newer.signed]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_record_that_is_too_large_takes_its_neighbours_along() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let signed = SignedRecord { body: vec![0; 8193], ..record(2).signed };
    let large = StoredRecord { signed, ..record(2) };
    let refused = store.insert_records(vec![record(1), large]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    assert!(store.load_records().await.unwrap().is_empty());
    store.insert_records(vec![record(1)]).await.unwrap();
    assert_eq!(store.load_records().await.unwrap().len(), 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_number_of_records_is_bounded() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let mut conn = home.meddle().await;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 32767)
         INSERT INTO records (record_id, signer, body, signature)
         SELECT unhex(printf('%064d', i)), zeroblob(32), zeroblob(1), zeroblob(64) FROM n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    store.insert_records(vec![record(200)]).await.unwrap();
    let refused = store.insert_records(vec![record(201)]).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    let instead = StoredRecord { replaces: Some(record(200).id), ..record(201) };
    store.insert_records(vec![instead]).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_new_mesh_takes_everything_of_the_old_one_with_it_but_the_inbox() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_records(vec![record(1), record(2)]).await.unwrap();
    store.insert_token(token(1)).await.unwrap();
    store.sync_peers(vec![member(1, "anton")]).await.unwrap();
    let key = PairKeyRow {
        peer: peer(1),
        key_id: mesh_protocol::KeyId::from_bytes([1; 16]),
        sealed_secret: vec![1; 60],
        algorithm: "test".to_owned(),
        created_at: NOW,
        confirmed: true,
        destroy_at: None,
    };
    store.insert_pair_key(key).await.unwrap();
    let sequences = store.append_outbox(vec![outgoing(1), outgoing(2)]).await.unwrap();
    store.note_attempt(sequences[0], 1, NOW, None);
    store.finish_outbox(sequences[1], OutboxEnd::Expired);
    store.commit_inbox(vec![incoming(1)]).await.unwrap();

    let large = StoredRecord {
        signed: SignedRecord { body: vec![0; 8193], ..record(4).signed },
        ..record(4)
    };
    let failed = store.replace_mesh(NewMesh { records: vec![record(3), large] }).await;
    assert!(matches!(failed, Err(StoreError::TooLarge { .. })), "{failed:?}");
    assert_eq!(store.load_records().await.unwrap().len(), 2, "the old mesh is untouched");
    assert_eq!(store.counts().await.unwrap().outbox, 1);

    store.replace_mesh(NewMesh { records: vec![record(3)] }).await.unwrap();
    assert_eq!(store.load_records().await.unwrap(), [record(3).signed]);
    assert!(store.list_tokens().await.unwrap().is_empty());
    assert!(store.load_peers().await.unwrap().is_empty());
    assert!(store.load_pair_keys().await.unwrap().is_empty());
    assert!(store.list_outbox(10).await.unwrap().is_empty());
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.outbox, counts.inbox_unacked), (0, 1));
    let next = store.append_outbox(vec![outgoing(3)]).await.unwrap()[0];
    assert!(next > sequences[1], "receivers may know the old sequences");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_new_mesh_is_free_of_what_was_held_for_members_of_the_old_one() {
    let home = Home::new();
    let config = StoreConfig { custody_messages_max: 2, ..StoreConfig::default() };
    let store = home.open(config.clone()).await;
    let old = store.insert_custody(vec![held(1), held(2)]).await.unwrap();
    let [_, CustodyOutcome::Stored { custody_id: last }] = old[..] else { panic!("{old:?}") };

    let large = StoredRecord {
        signed: SignedRecord { body: vec![0; 8193], ..record(2).signed },
        ..record(2)
    };
    assert!(store.replace_mesh(NewMesh { records: vec![large] }).await.is_err());
    assert_eq!(store.load_custody().await.unwrap().len(), 2, "the old mesh is untouched");
    assert_eq!(store.custody_stats(), (2, 16));

    store.replace_mesh(NewMesh { records: vec![record(1)] }).await.unwrap();
    assert!(store.load_custody().await.unwrap().is_empty());
    assert_eq!(store.custody_stats(), (0, 0));
    // The end of an old parcel may be noted late, and must not take a new one with it.
    let new = store.insert_custody(vec![held(2), held(3)]).await.unwrap();
    assert!(new.iter().all(is_held), "the quotas are free again: {new:?}");
    assert!(
        matches!(new[0], CustodyOutcome::Stored { custody_id } if custody_id > last),
        "{new:?}"
    );
    store.finish_custody(last);
    store.close().await.unwrap();
    let store = home.open(config).await;
    assert_eq!(store.custody_stats(), (2, 16));
    store.close().await.unwrap();
}

#[tokio::test]
async fn records_are_written_anew_whatever_somebody_made_of_them() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_records(vec![record(1), record(2), record(3)]).await.unwrap();
    let mut conn = home.meddle().await;
    for meddling in [
        "UPDATE records SET signature = zeroblob(64) WHERE position = 2",
        "DELETE FROM records WHERE position = 3",
    ] {
        sqlx::query(meddling).execute(&mut conn).await.unwrap();
    }
    sqlx::Connection::close(conn).await.unwrap();
    store.rewrite_records(vec![record(1), record(2), record(3)]).await.unwrap();
    let expected = [record(1).signed, record(2).signed, record(3).signed];
    assert_eq!(store.load_records().await.unwrap(), expected);
    let mut huge = record(4);
    huge.signed.body = vec![0; RECORD_BYTES_MAX + 1];
    assert!(store.rewrite_records(vec![huge]).await.is_err());
    assert_eq!(store.load_records().await.unwrap(), expected, "the old ones are untouched");
    store.close().await.unwrap();
}

#[tokio::test]
async fn small_values_are_kept_by_name() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.meta("identity").await.unwrap(), None);
    store.set_meta("identity", b"one").await.unwrap();
    store.set_meta("identity", b"two").await.unwrap();
    store.set_meta("empty", b"").await.unwrap();
    store.close().await.unwrap();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.meta("identity").await.unwrap().as_deref(), Some(b"two".as_slice()));
    assert_eq!(store.meta("empty").await.unwrap().as_deref(), Some(b"".as_slice()));
    let refused = store.set_meta(&"k".repeat(129), b"").await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let refused = store.set_meta("k", &vec![0; (64 << 10) + 1]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    for number in 0..1022 {
        store.set_meta(&format!("key {number}"), b"v").await.unwrap();
    }
    let refused = store.set_meta("one more", b"v").await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    store.set_meta("identity", b"three").await.unwrap();
    store.close().await.unwrap();
}

use mesh_protocol::{KeyId, UnixMillis};
use mesh_store::{OpenedRow, PairKeyRow, SealingKeyRow, StoreConfig, StoreError};

use crate::support::{Home, NOW, peer, until};

fn pair_key(number: u8, at: u64) -> PairKeyRow {
    PairKeyRow {
        peer: peer(1),
        key_id: KeyId::from_bytes([number; 16]),
        sealed_secret: vec![number; 60],
        algorithm: "tls13-exporter/hpke-psk".to_owned(),
        created_at: UnixMillis(NOW.0 + at),
        confirmed: false,
        destroy_at: None,
    }
}

fn sealing_key(number: u8) -> SealingKeyRow {
    SealingKeyRow {
        key_id: KeyId::from_bytes([number; 16]),
        sealed_secret: vec![number; 60],
        created_at: UnixMillis(NOW.0 + u64::from(number)),
        destroy_at: None,
    }
}

#[tokio::test]
async fn a_confirmed_secret_retires_those_before_it() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    for number in 1..=3 {
        store.insert_pair_key(pair_key(number, number.into())).await.unwrap();
    }
    let other = PairKeyRow { peer: peer(2), ..pair_key(1, 1) };
    store.insert_pair_key(other.clone()).await.unwrap();
    let id = |number| KeyId::from_bytes([number; 16]);
    let (soon, late) = (UnixMillis(NOW.0 + 100), UnixMillis(NOW.0 + 200));
    assert!(store.confirm_pair_key(peer(1), id(2), soon).await.unwrap());
    assert!(!store.confirm_pair_key(peer(1), id(9), NOW).await.unwrap());
    assert!(store.confirm_pair_key(peer(1), id(3), late).await.unwrap());
    // Repeating a secret changes nothing.
    store.insert_pair_key(pair_key(3, 3)).await.unwrap();
    store.close().await.unwrap();

    let store = home.open(StoreConfig::default()).await;
    let expected = vec![
        PairKeyRow { destroy_at: Some(soon), ..pair_key(1, 1) },
        PairKeyRow { confirmed: true, destroy_at: Some(late), ..pair_key(2, 2) },
        PairKeyRow { confirmed: true, destroy_at: Some(soon), ..pair_key(3, 3) },
        other.clone(),
    ];
    assert_eq!(store.load_pair_keys().await.unwrap(), expected);
    assert_eq!(store.destroy_pair_keys(soon).await.unwrap(), 2);
    assert_eq!(store.prune(late).await.unwrap().pair_keys, 1);
    assert_eq!(store.load_pair_keys().await.unwrap(), [other]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_peer_has_sixteen_secrets_at_the_most_and_loses_unconfirmed_ones_first() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let confirmed = PairKeyRow { confirmed: true, ..pair_key(1, 1) };
    store.insert_pair_key(confirmed.clone()).await.unwrap();
    for number in 2..=40 {
        store.insert_pair_key(pair_key(number, number.into())).await.unwrap();
    }
    let held = store.load_pair_keys().await.unwrap();
    assert_eq!(held.len(), 16);
    assert_eq!(held[0], confirmed);
    assert_eq!(held[15], pair_key(40, 40));
    let large = PairKeyRow { sealed_secret: vec![0; 1025], ..pair_key(41, 41) };
    let refused = store.insert_pair_key(large).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn sealing_keys_are_kept_retired_and_destroyed() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_sealing_key(sealing_key(2)).await.unwrap();
    store.insert_sealing_key(sealing_key(1)).await.unwrap();
    store.insert_sealing_key(sealing_key(1)).await.unwrap();
    let (first, end) = (sealing_key(1).key_id, UnixMillis(NOW.0 + 9));
    assert!(store.retire_sealing_key(first, end).await.unwrap());
    assert!(!store.retire_sealing_key(first, NOW).await.unwrap(), "the first date stands");
    let retired = SealingKeyRow { destroy_at: Some(end), ..sealing_key(1) };
    assert_eq!(store.load_sealing_keys().await.unwrap(), [retired, sealing_key(2)]);
    assert_eq!(store.destroy_sealing_keys(NOW).await.unwrap(), 0);
    assert_eq!(store.prune(end).await.unwrap().sealing_keys, 1);
    assert_eq!(store.load_sealing_keys().await.unwrap(), [sealing_key(2)]);
    for number in 3..=65 {
        store.insert_sealing_key(sealing_key(number)).await.unwrap();
    }
    let refused = store.insert_sealing_key(sealing_key(66)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    assert_eq!(store.load_sealing_keys().await.unwrap().len(), 64);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_destroyed_secret_is_in_none_of_the_files() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let secret = b"a sealed secret that must vanish from every file of this database";
    let row = PairKeyRow { sealed_secret: secret.to_vec(), ..pair_key(1, 1) };
    store.insert_pair_key(PairKeyRow { destroy_at: Some(NOW), ..row }).await.unwrap();
    let is_on_disk = || {
        ["mesh.db", "mesh.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(home.file(name)).unwrap_or_default();
            bytes.windows(secret.len()).any(|window| window == secret)
        })
    };
    assert!(is_on_disk());
    assert_eq!(store.destroy_pair_keys(NOW).await.unwrap(), 1);
    until(async || !is_on_disk()).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn opened_values_are_kept_within_bounds_and_destroyed_when_nothing_refers_to_them() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let row = |number: u16, bytes: usize| {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&number.to_be_bytes());
        OpenedRow { digest, sealed_value: vec![7; bytes] }
    };
    for number in 0..3 {
        store.insert_opened(row(number, 100)).await.unwrap();
    }
    // Repeating a value changes nothing.
    store.insert_opened(row(2, 50)).await.unwrap();
    store.close().await.unwrap();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.load_opened().await.unwrap(), [row(0, 100), row(1, 100), row(2, 100)]);
    let kept = [row(1, 0).digest, row(9, 0).digest];
    assert_eq!(store.keep_opened(kept.into_iter().collect()).await.unwrap(), 2);
    assert_eq!(store.load_opened().await.unwrap(), [row(1, 100)]);

    let large = store.insert_opened(row(10, 300 << 10)).await.unwrap_err();
    assert!(matches!(large, StoreError::TooLarge { .. }), "{large:?}");
    let mut taken = 0;
    let refused = loop {
        match store.insert_opened(row(100 + taken, 256 << 10)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::TooMany { .. }), "{refused:?}");
    assert_eq!(taken, 127);
    assert_eq!(store.load_opened().await.unwrap().len(), 128);
    store.close().await.unwrap();
}

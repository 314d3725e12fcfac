use mesh_protocol::UnixMillis;
use mesh_store::{PairKeyRow, PeerRow, PeerStatus, StoreConfig, StoreError};

use crate::support::{Home, NOW, member, peer};

#[tokio::test]
async fn the_table_becomes_exactly_what_was_asked_for_even_when_names_are_swapped() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let first = vec![member(1, "anton"), member(2, "berta"), member(3, "caesar")];
    store.sync_peers(first.clone()).await.unwrap();
    assert_eq!(store.load_peers().await.unwrap(), first);

    // 1 and 2 swap, 3 leaves and 4 takes its name, in one go.
    let swapped = vec![member(2, "anton"), member(1, "berta"), member(4, "caesar")];
    store.sync_peers(swapped.clone()).await.unwrap();
    assert_eq!(store.load_peers().await.unwrap(), swapped);
    store.sync_peers(swapped.clone()).await.unwrap();
    store.close().await.unwrap();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.load_peers().await.unwrap(), swapped);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_rotation_of_names_and_every_field_survive() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let names = ["a", "b", "c", "d", "e"];
    for turn in 0..5_usize {
        let mut rows: Vec<PeerRow> = (0..5_u8)
            .map(|number| PeerRow {
                status: PeerStatus::Active,
                last_seen_at: Some(UnixMillis(NOW.0 + turn as u64)),
                tailscale_ip: None,
                tailscale_hostname: Some("mint.tail.example".to_owned()),
                addresses: Vec::new(),
                version: format!("0.{turn}.0"),
                ..member(number, names[(usize::from(number) + turn) % 5])
            })
            .collect();
        store.sync_peers(rows.clone()).await.unwrap();
        rows.sort_by(|a, b| a.hostname.cmp(&b.hostname));
        assert_eq!(store.load_peers().await.unwrap(), rows);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn two_members_of_one_name_are_refused_as_a_whole() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.sync_peers(vec![member(1, "anton")]).await.unwrap();
    for twice in [
        vec![member(1, "berta"), member(2, "berta")],
        vec![member(1, "berta"), member(1, "caesar")],
    ] {
        let refused = store.sync_peers(twice).await;
        assert!(matches!(refused, Err(StoreError::PeerTwice { .. })), "{refused:?}");
    }
    assert_eq!(store.load_peers().await.unwrap(), [member(1, "anton")]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn last_seen_is_written_lazily_and_kept_when_a_sync_does_not_know_it() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.sync_peers(vec![member(1, "anton"), member(2, "berta")]).await.unwrap();
    store.note_peer_seen(peer(1), PeerStatus::Active, UnixMillis(NOW.0 + 1));
    store.note_peer_seen(peer(1), PeerStatus::Active, UnixMillis(NOW.0 + 2));
    store.note_peer_seen(peer(7), PeerStatus::Active, NOW);
    let rows = store.load_peers().await.unwrap();
    assert_eq!(rows.len(), 2);
    let of_one = (rows[0].status, rows[0].last_seen_at);
    assert_eq!(of_one, (PeerStatus::Active, Some(UnixMillis(NOW.0 + 2))));
    assert_eq!((rows[1].status, rows[1].last_seen_at), (PeerStatus::Inactive, None));

    // The note is older than the sync, so the sync wins.
    store.note_peer_seen(peer(1), PeerStatus::Active, UnixMillis(NOW.0 + 3));
    store.sync_peers(vec![member(1, "anton")]).await.unwrap();
    let rows = store.load_peers().await.unwrap();
    let of_one = (rows[0].status, rows[0].last_seen_at);
    assert_eq!(of_one, (PeerStatus::Inactive, Some(UnixMillis(NOW.0 + 3))));
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_secrets_of_a_peer_go_with_it() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.sync_peers(vec![member(1, "anton"), member(2, "berta")]).await.unwrap();
    for number in [1, 2, 3] {
        let row = PairKeyRow {
            peer: peer(number),
            key_id: mesh_protocol::KeyId::from_bytes([number; 16]),
            sealed_secret: vec![number; 60],
            algorithm: "test".to_owned(),
            created_at: NOW,
            confirmed: true,
            destroy_at: None,
        };
        store.insert_pair_key(row).await.unwrap();
    }
    store.sync_peers(vec![member(1, "anton")]).await.unwrap();
    // 3 was never a row here: its link may just be quicker than its record.
    let left: Vec<_> =
        store.load_pair_keys().await.unwrap().into_iter().map(|row| row.peer).collect();
    assert_eq!(left, [peer(1), peer(3)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_a_peer_says_of_itself_is_bounded() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let address: mesh_protocol::Address = "192.0.2.7:13500".parse().unwrap();
    let bad = [
        member(1, &"x".repeat(64)),
        PeerRow { version: "x".repeat(1025), ..member(1, "anton") },
        PeerRow { addresses: vec![address; 17], ..member(1, "anton") },
    ];
    for row in bad {
        let refused = store.sync_peers(vec![row]).await;
        let bound =
            matches!(refused, Err(StoreError::TooLarge { .. } | StoreError::TooMany { .. }));
        assert!(bound, "{refused:?}");
    }
    assert!(store.load_peers().await.unwrap().is_empty());
    store.close().await.unwrap();
}

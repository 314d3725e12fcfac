use std::os::unix::fs::PermissionsExt as _;

use futures_util::future::join;
use mesh_store::{InboxOutcome, Store, StoreConfig, StoreError};

use crate::support::{Home, incoming, member, outgoing};

fn seeded(stream_seed: u64) -> StoreConfig {
    StoreConfig { stream_seed, ..StoreConfig::default() }
}

#[tokio::test]
async fn a_backup_opens_with_everything_and_a_stream_of_its_own() {
    let home = Home::new();
    let store = home.open(seeded(11)).await;
    store.sync_peers(vec![member(1, "anton")]).await.unwrap();
    let sequences = store.append_outbox(vec![outgoing(1)]).await.unwrap();
    store.commit_inbox(vec![incoming(1)]).await.unwrap();
    let copy = home.file("copy.db");
    store.backup(&copy).await.unwrap();
    let mode = copy.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    store.close().await.unwrap();

    let restored = Store::open(&copy, seeded(22), &home.tracker).await.unwrap();
    assert_eq!(restored.outbox_stream(), 22, "or new messages would fall under old floors");
    assert_eq!(restored.load_outbox().await.unwrap()[0].sequence, sequences[0]);
    assert_eq!(restored.load_peers().await.unwrap(), [member(1, "anton")]);
    let outcomes = restored.commit_inbox(vec![incoming(1)]).await.unwrap();
    assert_eq!(outcomes, [InboxOutcome::Duplicate]);
    restored.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_never_overwrites_and_leaves_nothing_when_it_fails() {
    let home = Home::new();
    let store = home.open(seeded(1)).await;
    let taken = home.file("taken.db");
    std::fs::write(&taken, b"precious").unwrap();
    let refused = store.backup(&taken).await;
    assert!(matches!(refused, Err(StoreError::BackupExists)), "{refused:?}");
    assert_eq!(std::fs::read(&taken).unwrap(), b"precious");
    let refused = store.backup(&home.file("no/such/folder.db")).await;
    assert!(matches!(refused, Err(StoreError::BackupFile { .. })), "{refused:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn others_go_on_writing_while_a_backup_is_made() {
    let home = Home::new();
    let store = home.open(seeded(1)).await;
    store.append_outbox((0..2000).map(outgoing).collect()).await.unwrap();
    let copy = home.file("copy.db");
    let writing = async {
        for number in 0..50 {
            store.append_outbox(vec![outgoing(number)]).await.unwrap();
        }
    };
    let (copied, ()) = join(store.backup(&copy), writing).await;
    copied.unwrap();
    let restored = Store::open(&copy, seeded(2), &home.tracker).await.unwrap();
    let rows = restored.load_outbox().await.unwrap().len();
    assert!((2000..=2050).contains(&rows), "a moment between commits: {rows}");
    restored.close().await.unwrap();
    store.close().await.unwrap();
}

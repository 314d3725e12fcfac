use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mesh_store::{InboxQuery, OpenError, Store, StoreConfig};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::support::{Home, outgoing, peer};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

async fn refused(home: &Home) -> OpenError {
    Store::open(&home.path(), StoreConfig::default(), &home.tracker).await.unwrap_err()
}

#[tokio::test]
async fn every_file_is_the_owners_alone() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.append_outbox(vec![outgoing(1)]).await.unwrap();
    store.load_outbox().await.unwrap();
    for name in ["mesh.db", "mesh.db-wal", "mesh.db-shm", "mesh.db.lock"] {
        assert_eq!(mode(&home.file(name)), 0o600, "{name}");
    }
    store.close().await.unwrap();
    assert!(!home.file("mesh.db-wal").exists(), "closing empties the WAL");

    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o644)).unwrap();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(mode(&home.path()), 0o600, "a mode that others widened is put right");
    store.close().await.unwrap();
}

#[tokio::test]
async fn closing_waits_for_readers_and_closes_after_those_that_went_away() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.append_outbox((1..500).map(outgoing).collect()).await.unwrap();
    for _ in 0..8 {
        let mut abandoned = Box::pin(store.list_outbox(500));
        // Far enough to have a connection, and a statement that runs on it.
        for _ in 0..3 {
            tokio::select! {
                biased;
                _ = &mut abandoned => break,
                () = tokio::task::yield_now() => {}
            }
            store.load_peers().await.unwrap();
        }
    }
    // One that waits for its turn may be told that it came too late.
    let (closed, _rows) = tokio::join!(store.close(), store.list_outbox(500));
    closed.unwrap();
    assert!(!home.file("mesh.db-wal").exists(), "a connection was still open");
}

#[tokio::test]
async fn one_process_has_the_database_at_a_time() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    assert!(matches!(refused(&home).await, OpenError::InUse { .. }));
    store.append_outbox(vec![outgoing(1)]).await.unwrap();
    store.close().await.unwrap();
    home.open(StoreConfig::default()).await.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let home = Home::new();
    home.open(StoreConfig::default()).await.close().await.unwrap();
    let mut conn = home.meddle().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'future', 1, x'00', 0)",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
    let error = refused(&home).await;
    assert!(matches!(error, OpenError::NewerSchema { theirs: 99, ours: 4 }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the database has schema 99, this program knows schemas up to 4; nothing was changed: \
         install the newer program again, or restore the backup from before the upgrade"
    );
}

#[tokio::test]
async fn a_migration_that_was_edited_is_noticed() {
    let home = Home::new();
    home.open(StoreConfig::default()).await.close().await.unwrap();
    let mut conn = home.meddle().await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    assert!(matches!(refused(&home).await, OpenError::Migrate(_)));
}

#[tokio::test]
async fn tables_that_were_altered_are_noticed_before_the_first_message() {
    let home = Home::new();
    home.open(StoreConfig::default()).await.close().await.unwrap();
    let mut conn = home.meddle().await;
    sqlx::query("ALTER TABLE outbox RENAME COLUMN app_type TO kind")
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    let error = refused(&home).await;
    let OpenError::Schema(source) = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("app_type"), "{source}");
}

#[tokio::test]
async fn what_is_not_a_sound_mesh_database_is_refused() {
    let home = Home::new();
    std::fs::write(home.path(), vec![b'x'; 10_000]).unwrap();
    let error = refused(&home).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert_eq!(std::fs::read(home.path()).unwrap(), vec![b'x'; 10_000], "and left alone");

    let home = Home::new();
    let options = SqliteConnectOptions::new().filename(home.path()).create_if_missing(true);
    let mut conn = options.connect().await.unwrap();
    for sql in ["CREATE TABLE theirs (a)", "CREATE TABLE more (b)"] {
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    let error = refused(&home).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[tokio::test]
async fn damage_inside_the_file_is_found_before_anything_is_written() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    for _ in 0..20 {
        store.append_outbox((0..100).map(outgoing).collect()).await.unwrap();
    }
    store.close().await.unwrap();
    let sound = std::fs::read(home.path()).unwrap();
    let mut damaged = sound.clone();
    let middle = sound.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xa5);
    std::fs::write(home.path(), &damaged).unwrap();
    let error = refused(&home).await;
    let OpenError::Corrupt { detail, .. } = &error else { panic!("{error:?}") };
    assert!(!detail.is_empty());
    assert_eq!(std::fs::read(home.path()).unwrap(), damaged);

    std::fs::write(home.path(), &sound[..sound.len() / 2]).unwrap();
    let error = refused(&home).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    std::fs::write(home.path(), &sound).unwrap();
    home.open(StoreConfig::default()).await.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let home = Home::new();
    let path = home.file("no/such/mesh.db");
    let error = Store::open(&path, StoreConfig::default(), &home.tracker).await.unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
    assert!(error.to_string().contains("no/such"), "{error}");
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/db");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "sqlite")).collect()
}

/// Every released schema is brought to the newest, with its content.
#[tokio::test]
async fn databases_of_every_schema_open_with_what_they_hold() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 4, "one per schema");
    for fixture in fixtures {
        let home = Home::new();
        std::fs::copy(&fixture, home.path()).unwrap();
        let store = home.open(StoreConfig::default()).await;
        assert_eq!(store.outbox_stream(), 0x5eed, "{}", fixture.display());
        assert_eq!(store.meta("greeting").await.unwrap().as_deref(), Some(b"hello".as_slice()));
        assert_eq!(store.load_records().await.unwrap().len(), 2);
        let peers = store.load_peers().await.unwrap();
        assert_eq!(
            peers.iter().map(|row| row.hostname.as_str()).collect::<Vec<_>>(),
            ["anton", "berta"]
        );
        assert_eq!(store.load_pair_keys().await.unwrap().len(), 1);
        assert_eq!(store.load_sealing_keys().await.unwrap().len(), 1);
        let tokens = store.list_tokens().await.unwrap();
        assert_eq!(tokens.iter().map(|row| row.used_by).collect::<Vec<_>>(), [None, Some(peer(2))]);
        let outbox = store.list_outbox(10).await.unwrap();
        assert_eq!(outbox.iter().filter(|row| row.end.is_none()).count(), 2);
        assert_eq!(outbox.iter().filter(|row| row.end.is_some()).count(), 1);
        assert_eq!(outbox.iter().filter(|row| row.attempts > 0).count(), 1);
        let query = InboxQuery { unacked_only: false, ..InboxQuery::default() };
        let inbox = store.list_inbox(query).await.unwrap();
        assert_eq!(inbox.iter().map(|row| row.is_acked).collect::<Vec<_>>(), [true, false]);
        assert_eq!(store.list_audit(10).await.unwrap().len(), 1);
        let has_custody = !fixture.ends_with("schema-01.sqlite");
        let held: Vec<_> =
            store.load_custody().await.unwrap().iter().map(|row| (row.from, row.to)).collect();
        let expected = [(peer(2), peer(3)), (peer(2), peer(4))];
        assert_eq!(held, if has_custody { &expected[..] } else { &[] });
        let name = fixture.file_name().unwrap().to_str().unwrap();
        let opened = usize::from(name >= "schema-03.sqlite");
        assert_eq!(store.load_opened().await.unwrap().len(), opened);
        let pushes = usize::from(name >= "schema-04.sqlite");
        let found = store.list_pushes(10).await.unwrap();
        assert_eq!(found.len(), pushes);
        assert!(found.iter().all(|push| push.events.len() == 1), "{found:?}");
        assert_eq!(store.list_git_audit(10).await.unwrap().len(), pushes);
        store.close().await.unwrap();
    }
}

use std::os::unix::fs::PermissionsExt as _;

use mesh_store::{Health, StoreConfig, examine};
use sqlx::Connection as _;

use crate::support::Home;

#[tokio::test]
async fn a_database_that_is_in_use_is_checked_and_found_sound() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.quick_check().await.unwrap(), Health::Sound);
    assert_eq!(examine(&home.path()).await.unwrap(), Health::Sound);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_database_is_examined_without_being_made_or_changed() {
    let home = Home::new();
    assert_eq!(examine(&home.path()).await.unwrap(), Health::Absent);
    assert!(!home.path().exists());
    home.open(StoreConfig::default()).await.close().await.unwrap();
    let before = std::fs::read(home.path()).unwrap();
    assert_eq!(examine(&home.path()).await.unwrap(), Health::Sound);
    assert_eq!(std::fs::read(home.path()).unwrap(), before);
}

#[tokio::test]
async fn damage_and_a_newer_schema_are_told() {
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
    let found = examine(&home.path()).await.unwrap();
    assert!(matches!(found, Health::Newer { theirs: 99, .. }), "{found:?}");

    let mut bytes = std::fs::read(home.path()).unwrap();
    bytes[4096..8192].fill(0xa5);
    std::fs::write(home.path(), &bytes).unwrap();
    let found = examine(&home.path()).await.unwrap();
    assert!(matches!(found, Health::Damaged { .. }), "{found:?}");

    std::fs::write(home.path(), "no database, but quite long enough to be looked at".repeat(20))
        .unwrap();
    let found = examine(&home.path()).await.unwrap();
    assert!(matches!(found, Health::Damaged { .. }), "{found:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_not_damage() {
    let home = Home::new();
    std::fs::create_dir(home.path()).unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(examine(&home.path()).await.is_err());
}

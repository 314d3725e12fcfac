use mesh_protocol::ErrorCode;

use super::*;

#[test]
fn errors_of_the_system_are_named_as_those_of_sqlite_are() {
    let code = |kind: io::ErrorKind| TablesError::from(io::Error::from(kind)).code();
    assert_eq!(code(io::ErrorKind::ReadOnlyFilesystem), ErrorCode::ReadOnly);
    assert_eq!(code(io::ErrorKind::StorageFull), ErrorCode::DiskFull);
    assert_eq!(code(io::ErrorKind::QuotaExceeded), ErrorCode::DiskFull);
    assert_eq!(code(io::ErrorKind::PermissionDenied), ErrorCode::StorageError);
}

#[tokio::test]
async fn a_trial_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    write_beside(&dir.path().join("data.db"), TRIAL_BYTES).await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_not_of_the_disk_stays_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let refused = TablesError::Refused { reason: String::from("a test") };
    assert_eq!(explain(&path, refused).await.code(), ErrorCode::StatementRefused);
    let unknown = TablesError::Database { source: Arc::new(sqlx::Error::WorkerCrashed) };
    assert!(matches!(explain(&path, unknown).await, TablesError::Database { .. }));
    let gone = write_beside(&dir.path().join("gone").join("data.db"), 1).await.unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
}

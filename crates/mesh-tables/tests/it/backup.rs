//! Backups, and databases that go on under a new origin.

use std::os::unix::fs::PermissionsExt as _;

use mesh_protocol::{OriginId, SqlValue};
use mesh_tables::{TablesConfig, TablesError};
use tempfile::TempDir;

use crate::member::{Member, assert_equal, meet, origin, shell};

async fn restored(one: &Member, fresh: u8) -> Member {
    let folder = TempDir::new().unwrap();
    one.tables.backup(&folder.path().join("data.db")).await.unwrap();
    Member::in_folder(folder, fresh, TablesConfig::default()).await
}

/// What a database with the origin `old` takes for `fresh`: it stays where it was among all others.
fn beside(old: u8, fresh: u8) -> OriginId {
    let mut bytes = [fresh; 16];
    bytes[..2].fill(old);
    OriginId::from_bytes(bytes)
}

fn int(number: i64) -> SqlValue {
    SqlValue::Integer(number)
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)";

#[tokio::test]
async fn a_backup_is_whole_private_and_never_overwrites() {
    let one = Member::new(1).await;
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES (1, 2, 3)").await;
    let file = one.folder.path().join("backup.db");
    one.tables.backup(&file).await.unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    let error = one.tables.backup(&file).await.unwrap_err();
    assert!(matches!(error, TablesError::File { .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let nowhere = one.folder.path().join("none").join("backup.db");
    let error = one.tables.backup(&nowhere).await.unwrap_err();
    assert!(matches!(error, TablesError::File { .. }), "{error}");
    let copy = restored(&one, 7).await;
    assert_eq!(copy.tables.have().borrow().database, beside(1, 7));
    assert_eq!(copy.all("SELECT * FROM t").await, [[int(1), int(2), int(3)]]);
}

#[tokio::test]
async fn a_backup_that_fails_half_way_leaves_nothing() {
    let one = Member::new(1).await;
    one.run(TABLE).await;
    for id in 0..4 {
        one.run(&format!("INSERT INTO t VALUES ({id}, randomblob(1000000), {id})")).await;
    }
    let folder = one.close().await;
    // The middle of the file cannot be read as what it is.
    let path = folder.path().join("data.db");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let begin = file.metadata().unwrap().len() / 2;
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 40_960], begin).unwrap();
    let one = Member::in_folder(folder, 1, TablesConfig::default()).await;
    let target = TempDir::new().unwrap();
    one.tables.backup(&target.path().join("backup.db")).await.unwrap_err();
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_restored_copy_and_its_original_go_on_side_by_side() {
    let (one, two) = (Member::new(1).await, Member::new(2).await);
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)").await;
    one.give(&two).await;
    // Nobody has this when the backup is made, and this was not even sealed.
    one.run("UPDATE t SET a = 'late' WHERE id = 1").await;
    one.shell("UPDATE t SET a = 'later' WHERE id = 2").await;
    let copy = restored(&one, 7).await;
    one.run("UPDATE t SET b = 'one' WHERE id = 3").await;
    copy.run("UPDATE t SET b = 'copy' WHERE id = 3").await;
    copy.run("INSERT INTO t VALUES (4, 'copy', 0)").await;
    meet(&[&one, &two, &copy]).await;
    assert_equal(&[&one, &two, &copy]).await;
    let late = two.all("SELECT a FROM t ORDER BY id").await;
    let text = |text: &str| SqlValue::Text(text.to_owned());
    assert_eq!(late, [[text("late")], [text("later")], [int(0)], [text("copy")]]);
    // Opening it again changes nothing.
    let again = Member::in_folder(copy.close().await, 8, TablesConfig::default()).await;
    assert_eq!(again.tables.have().borrow().database, beside(1, 7));
    assert_equal(&[&one, &again]).await;
}

#[tokio::test]
async fn a_database_that_was_rolled_back_loses_and_repeats_nothing() {
    let (one, two, three) = (Member::new(1).await, Member::new(2).await, Member::new(3).await);
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)").await;
    meet(&[&one, &two, &three]).await;
    two.run("UPDATE t SET b = 'two' WHERE id = 1").await;
    meet(&[&one, &two]).await;
    // What the file system takes back.
    let old = TempDir::new().unwrap();
    shell(one.tables.path(), "PRAGMA wal_checkpoint(TRUNCATE)").await;
    std::fs::copy(one.tables.path(), old.path().join("data.db")).unwrap();
    one.run("UPDATE t SET a = 'gone here' WHERE id = 1").await;
    one.run("UPDATE t SET a = 'gone too' WHERE id = 3").await;
    one.run("INSERT INTO t VALUES (5, 'gone', 'gone')").await;
    one.give(&two).await;
    let shared = 2;
    let one = Member::in_folder(old, 9, TablesConfig::default()).await;
    assert_eq!(one.tables.have().borrow().database, origin(1));
    // It goes on with numbers that the other one has seen, and notices only then.
    one.run("UPDATE t SET a = 'new' WHERE id = 2").await;
    two.run("UPDATE t SET b = 'meanwhile' WHERE id = 2").await;
    one.run("UPDATE t SET a = 'other' WHERE id = 3").await;
    three.run("UPDATE t SET a = 'three' WHERE id = 3").await;
    three.give(&one).await;
    assert_eq!(one.losers().await.len(), 1);
    one.run("ALTER TABLE t ADD COLUMN c DEFAULT 4").await;
    one.run("INSERT INTO t VALUES (6, 6, 6, 6)").await;
    one.run("DELETE FROM t WHERE id = 2").await;
    one.shell("UPDATE t SET c = 'unsealed' WHERE id = 1").await;
    one.tables.renew_origin(shared, origin(9)).await.unwrap();
    assert_eq!(one.tables.have().borrow().database, beside(1, 9));
    assert_eq!(one.known().upto(&origin(1)), 2);
    assert_eq!(one.known().upto(&beside(1, 9)), 5);
    meet(&[&one, &two, &three]).await;
    assert_equal(&[&one, &two, &three]).await;
    assert_eq!(one.known().upto(&origin(1)), 5);
    assert_eq!(two.known().upto(&beside(1, 9)), one.known().upto(&beside(1, 9)));
    let four = Member::new(4).await;
    one.give(&four).await;
    assert_equal(&[&one, &four]).await;
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let row = one.all("SELECT a, b, c FROM t WHERE id = 1").await;
    assert_eq!(row, [[text("gone here"), text("two"), text("unsealed")]]);
    let reopened = Member::in_folder(one.close().await, 10, TablesConfig::default()).await;
    reopened.run("INSERT INTO t VALUES (8, 8, 8, 8)").await;
    meet(&[&reopened, &two, &three]).await;
    assert_equal(&[&reopened, &two, &three]).await;
}

#[tokio::test]
async fn who_won_of_two_writes_with_one_clock_wins_under_a_new_origin_too() {
    // The new origin would be greater than the other one where the old one is less, and less where it is greater.
    for (old, other, fresh) in [(1, 3, 9), (5, 3, 2)] {
        let (one, two) = (Member::new(old).await, Member::new(other).await);
        one.run(TABLE).await;
        one.run("INSERT INTO t VALUES (1, 0, 0), (2, 0, 0)").await;
        meet(&[&one, &two]).await;
        for member in [&one, &two] {
            member.shell("UPDATE mesh_state SET clock = 3990000000000 << 16").await;
        }
        one.run("UPDATE t SET a = 'one' WHERE id = 1").await;
        two.run("UPDATE t SET a = 'two' WHERE id = 1").await;
        let clocks = "SELECT clock FROM t__mesh_cell";
        assert_eq!(one.all(clocks).await, two.all(clocks).await);
        two.give(&one).await;
        one.tables.renew_origin(2, origin(fresh)).await.unwrap();
        meet(&[&one, &two]).await;
        assert_equal(&[&one, &two]).await;
    }
}

#[tokio::test]
async fn what_the_log_cannot_tell_any_more_everybody_has() {
    let config = TablesConfig { log_bytes_kept: 0, ..TablesConfig::default() };
    let (one, two) = (Member::with(1, config).await, Member::new(2).await);
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES (1, 0, 0)").await;
    one.give(&two).await;
    one.tables.trim(&two.known(), crate::member::AT).await.unwrap();
    one.run("INSERT INTO t VALUES (2, 0, 0)").await;
    one.tables.renew_origin(0, origin(9)).await.unwrap();
    assert_eq!(one.known().upto(&origin(1)), 2);
    assert_eq!(one.known().upto(&beside(1, 9)), 1);
    meet(&[&one, &two]).await;
    assert_equal(&[&one, &two]).await;
}

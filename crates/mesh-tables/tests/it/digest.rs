//! Digests of tables, the members' view and the figures.

use mesh_protocol::{DIGEST_BUCKETS, SqlValue, UnixMillis};
use mesh_tables::MemberRow;

use crate::member::{AT, Member, assert_equal, meet};

const TABLE: &str = "CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, b REAL, a)";

#[tokio::test]
async fn databases_with_the_same_writes_have_the_same_digests() {
    let (one, two) = (Member::new(1).await, Member::new(2).await);
    one.run(TABLE).await;
    one.give(&two).await;
    one.run("INSERT INTO t VALUES ('a', 1, x'00'), ('b', -0.0, NULL), ('c', 2, 'x')").await;
    two.run("INSERT INTO t VALUES ('A', 3, 1), ('d', 4, 1.0)").await;
    assert_ne!(one.checksums().await, two.checksums().await);
    meet(&[&one, &two]).await;
    assert_equal(&[&one, &two]).await;
    one.run("UPDATE t SET a = 'e' WHERE k = 'b'").await;
    two.run("UPDATE t SET b = 7 WHERE k = 'b'").await;
    one.run("DELETE FROM t WHERE k = 'c'").await;
    two.run("ALTER TABLE t ADD COLUMN c DEFAULT 5").await;
    meet(&[&one, &two]).await;
    assert_equal(&[&one, &two]).await;
    let digests = one.tables.digests().await.unwrap();
    assert_eq!(digests[0].rows, 3);
    assert_eq!(digests[0].buckets.len(), DIGEST_BUCKETS);
}

#[tokio::test]
async fn one_row_shows_in_one_range() {
    let one = Member::new(1).await;
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES ('a', 1, 1), ('b', 1, 1)").await;
    let before = one.tables.digests().await.unwrap().remove(0);
    one.run("UPDATE t SET a = 2 WHERE k = 'B'").await;
    let after = one.tables.digests().await.unwrap().remove(0);
    let pairs = before.buckets.iter().zip(&after.buckets);
    assert_eq!(pairs.filter(|(before, after)| before != after).count(), 1);
}

#[tokio::test]
async fn a_value_that_was_changed_behind_the_triggers_shows() {
    let one = Member::new(1).await;
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES ('a', 1, 1)").await;
    let before = one.checksums().await;
    one.shell(
        "UPDATE mesh_state SET applying = 1; UPDATE t SET a = 1.0; UPDATE mesh_state SET applying = 0",
    )
    .await;
    assert_ne!(one.checksums().await, before);
}

#[tokio::test]
async fn forgotten_deletions_do_not_count() {
    let (one, two) = (Member::new(1).await, Member::new(2).await);
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES ('a', 1, 1), ('b', 1, 1)").await;
    one.run("DELETE FROM t WHERE k = 'a'").await;
    one.give(&two).await;
    one.tables.trim(&one.known(), AT).await.unwrap();
    assert_equal(&[&one, &two]).await;
}

fn row(peer_id: &str, status: &str) -> MemberRow {
    MemberRow {
        peer_id: peer_id.to_owned(),
        hostname: format!("host-{peer_id}"),
        status: status.to_owned(),
        last_seen_at: Some(AT),
        joined_at: UnixMillis(5),
        tailscale_ip: None,
        tailscale_hostname: None,
        addresses: "[]".to_owned(),
        version: "1".to_owned(),
        is_self: false,
    }
}

#[tokio::test]
async fn the_members_show_in_a_view_and_are_written_only_when_they_change() {
    let one = Member::new(1).await;
    one.tables.set_members(vec![row("a", "alive"), row("b", "alive")]).await.unwrap();
    let shown = "SELECT peer_id, status, tailscale_ip FROM agent_peers ORDER BY peer_id";
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let expected =
        [[text("a"), text("alive"), SqlValue::Null], [text("b"), text("alive"), SqlValue::Null]];
    assert_eq!(one.all(shown).await, expected);
    let wal = one.tables.stats(AT).await.unwrap().wal_bytes;
    one.tables.set_members(vec![row("b", "alive"), row("a", "alive")]).await.unwrap();
    assert_eq!(one.tables.stats(AT).await.unwrap().wal_bytes, wal);
    one.tables.set_members(vec![row("b", "down")]).await.unwrap();
    assert_eq!(one.all(shown).await, [[text("b"), text("down"), SqlValue::Null]]);
}

#[tokio::test]
async fn figures_follow_the_log() {
    let one = Member::new(1).await;
    one.run(TABLE).await;
    one.run("INSERT INTO t VALUES ('a', 1, 1)").await;
    let first = one.tables.stats(AT).await.unwrap();
    assert_eq!((first.tables, first.log_entries, first.parked, first.conflicts), (1, 2, 0, 0));
    one.run("INSERT INTO t VALUES ('b', 1, 'some more')").await;
    let second = one.tables.stats(AT).await.unwrap();
    assert_eq!(second.log_entries, 3);
    assert!(
        second.log_bytes > first.log_bytes && second.database_bytes > 0 && second.wal_bytes > 0
    );
}

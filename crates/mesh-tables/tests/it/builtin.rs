//! The tables that every member has and the agents alone write.

use mesh_protocol::PeerId;
use mesh_tables::{ConfigHistoryQuery, ConfigHistoryRow, ConfigWrite, TablesError};

use sqlx::query;

use crate::peer::{Peer, converge, text};

async fn peers<const N: usize>() -> [Peer; N] {
    let peers = Peer::with_notes().await;
    for peer in &peers {
        peer.tables.make_built_in(peer.now().await).await.unwrap();
    }
    peers
}

fn history(version: u64, key: &str, change: &str) -> ConfigHistoryRow {
    let author = PeerId::from_bytes([u8::try_from(version % 256).unwrap(); 32]);
    ConfigHistoryRow { version, author, key: key.to_owned(), change: change.to_owned() }
}

async fn write(peer: &Peer, rows: &[(&str, Option<&str>)], settles: Option<String>) {
    let rows = rows.iter().map(|(key, entry)| ((*key).to_owned(), entry.map(str::to_owned)));
    let write = ConfigWrite { rows: rows.collect(), settles, ..ConfigWrite::default() };
    peer.tables.write_config(write, peer.now().await).await.unwrap();
}

async fn rows(peer: &Peer) -> Vec<(String, String)> {
    let mut rows = peer.tables.config_rows().await.unwrap();
    rows.sort();
    rows
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(key, entry)| ((*key).to_owned(), (*entry).to_owned())).collect()
}

#[tokio::test]
async fn what_one_writes_is_on_all_and_the_other_one_of_two_at_once_is_listed() {
    let [one, two, three] = peers().await;
    write(&one, &[("a", Some("1")), ("b", Some("1"))], None).await;
    converge(&[&one, &two, &three]).await;
    assert_eq!(rows(&three).await, pairs(&[("a", "1"), ("b", "1")]));

    write(&one, &[("a", Some("one")), ("new", Some("one"))], None).await;
    write(&two, &[("a", Some("two")), ("b", None)], None).await;
    write(&three, &[("new", Some("three"))], None).await;
    converge(&[&one, &two, &three]).await;
    let expected = pairs(&[("a", "two"), ("new", "three")]);
    for peer in [&one, &two, &three] {
        assert_eq!(rows(peer).await, expected);
        let listed = peer.tables.conflicts(Some("agent_config".to_owned())).await.unwrap();
        let lost: Vec<_> = listed.iter().map(|info| info.lost.clone()).collect();
        assert_eq!(lost, [text("one"), text("one")]);
    }
    let listed = three.tables.conflicts(None).await.unwrap();
    write(&three, &[("a", Some("again"))], Some(listed[0].id.clone())).await;
    converge(&[&one, &two, &three]).await;
    assert_eq!(rows(&one).await, pairs(&[("a", "again"), ("new", "three")]));
    assert_eq!(one.tables.conflicts(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_else_writes_changes_or_drops_them() {
    let [one, two] = peers().await;
    write(&one, &[("a", Some("1"))], None).await;
    let mut shell = one.shell().await;
    for sql in [
        "INSERT INTO agent_config VALUES ('b', '1')",
        "UPDATE agent_config SET entry = '2'",
        "DELETE FROM agent_config",
        "REPLACE INTO agent_config_history VALUES (1, 'a', 'b', 'c')",
    ] {
        let error = query(sql).execute(&mut shell).await.unwrap_err();
        assert!(error.to_string().contains("changed by mesh-ctl config"), "{sql}: {error}");
    }
    for sql in [
        "INSERT INTO agent_config VALUES ('b', '1')",
        "DROP TABLE agent_config",
        "ALTER TABLE agent_config ADD COLUMN x",
        "CREATE INDEX i ON agent_config_history (key)",
        "CREATE TABLE IF NOT EXISTS agent_config (key TEXT PRIMARY KEY NOT NULL)",
    ] {
        let statement = mesh_tables::Statement { sql: sql.to_owned(), params: Vec::new() };
        let result = one.tables.execute(vec![statement], one.now().await).await;
        assert!(matches!(result, Err(TablesError::Refused { .. })), "{sql}: {result:?}");
    }
    converge(&[&one, &two]).await;
    assert_eq!(rows(&two).await, pairs(&[("a", "1")]));
    // Also after a start, and repeated.
    let one = one.restart().await;
    one.tables.make_built_in(one.now().await).await.unwrap();
    assert!(query("DELETE FROM agent_config").execute(&mut one.shell().await).await.is_err());
    write(&one, &[("a", None)], None).await;
    assert_eq!(rows(&one).await, []);
}

#[tokio::test]
async fn what_is_no_text_keeps_nobody_from_reading_the_rest() {
    let [one, two] = peers().await;
    write(&one, &[("a", Some("1"))], None).await;
    let mut shell = one.shell().await;
    for sql in [
        "UPDATE mesh_state SET agent_writes = 1",
        "INSERT INTO agent_config VALUES (x'00ff', '1'), ('b', x'00'), ('c', CAST(x'ff' AS TEXT))",
        "INSERT INTO agent_config VALUES (CAST(x'ff' AS TEXT), '1')",
        "UPDATE mesh_state SET agent_writes = 0",
    ] {
        query(sql).execute(&mut shell).await.unwrap();
    }
    converge(&[&one, &two]).await;
    for peer in [&one, &two] {
        assert_eq!(peer.count("agent_config").await, 5);
        assert_eq!(rows(peer).await, pairs(&[("a", "1"), ("b", ""), ("c", "")]));
        let keys = vec!["a".to_owned(), "b".to_owned()];
        let found = peer.tables.config_rows_at(keys).await.unwrap();
        assert_eq!(
            found,
            [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), Some(String::new()))]
        );
    }
    write(&two, &[("b", None), ("c", Some("2"))], None).await;
    converge(&[&one, &two]).await;
    assert_eq!(rows(&one).await, pairs(&[("a", "1"), ("c", "2")]));
}

#[tokio::test]
async fn the_history_is_bounded_and_asked_by_key_and_version() {
    let [one] = peers().await;
    for version in 1..=3_u64 {
        let items = (0..8_000).map(|no| history(version + 700, &format!("k{no}"), "{}"));
        let write = ConfigWrite { history: items.collect(), ..ConfigWrite::default() };
        one.tables.write_config(write, one.now().await).await.unwrap();
    }
    assert!(one.count("agent_config_history").await <= 20_000);
    let of = |query, limit| one.tables.config_history(query, limit);
    let newest = of(ConfigHistoryQuery::Newest, 2).await.unwrap();
    assert_eq!(newest, [history(703, "k0", "{}"), history(703, "k1", "{}")]);
    let key = ConfigHistoryQuery::Of { key: "k1".to_owned(), beneath: "k1.".to_owned() };
    let versions: Vec<u64> =
        of(key, 10).await.unwrap().into_iter().map(|row| row.version).collect();
    assert_eq!(versions, [703, 702]);
    assert_eq!(of(ConfigHistoryQuery::Version(703), 9_000).await.unwrap().len(), 8_000);
    assert_eq!(of(ConfigHistoryQuery::Having("over"), 10).await.unwrap(), []);
}

#[tokio::test]
async fn the_history_is_trimmed_where_all_changes_have_one_number_and_as_the_tables_are_made() {
    let [one, two] = peers().await;
    let many = |from: u64, count: u64| ConfigWrite {
        history: (from..from + count).map(|no| history(7, &format!("k{no}"), "{}")).collect(),
        ..ConfigWrite::default()
    };
    one.tables.write_config(many(0, 19_900), one.now().await).await.unwrap();
    for step in 0..20 {
        let write = many(20_000 + step * 100, 100);
        one.tables.write_config(write, one.now().await).await.unwrap();
    }
    let count = one.count("agent_config_history").await;
    assert!(count <= 20_000, "{count}");

    // As the others write it, it grows without this one's doing.
    two.tables.write_config(many(50_000, 9_000), two.now().await).await.unwrap();
    converge(&[&one, &two]).await;
    assert!(one.count("agent_config_history").await > 20_000);
    one.tables.make_built_in(one.now().await).await.unwrap();
    let kept = one.count("agent_config_history").await;
    assert!(kept <= 20_000, "{kept}");
    converge(&[&one, &two]).await;
    assert_eq!(two.count("agent_config_history").await, kept);
}

#[tokio::test]
async fn the_greatest_number_up_to_another_is_told_whatever_members_wrote_beside_it() {
    let [one] = peers().await;
    assert_eq!(one.tables.config_version_upto(9).await.unwrap(), None);
    let items = [3, 5, 900].map(|version| history(version, "a", "{}")).to_vec();
    let write = ConfigWrite { history: items, ..ConfigWrite::default() };
    one.tables.write_config(write, one.now().await).await.unwrap();
    for (most, told) in [(2, None), (3, Some(3)), (899, Some(5)), (u64::MAX, Some(900))] {
        assert_eq!(one.tables.config_version_upto(most).await.unwrap(), told);
    }
}

#[tokio::test]
async fn what_is_written_upon_something_else_than_expected_is_not_written_and_said() {
    let [one, _] = peers().await;
    write(&one, &[("a", Some("1")), ("b", Some("1"))], None).await;
    let expecting = |entry: Option<&str>, gone: Option<&str>| ConfigWrite {
        rows: vec![("a".to_owned(), Some("2".to_owned())), ("c".to_owned(), None)],
        expected: vec![
            ("a".to_owned(), entry.map(str::to_owned)),
            ("c".to_owned(), gone.map(str::to_owned)),
        ],
        ..ConfigWrite::default()
    };
    for (entry, gone, named) in [
        (Some("0"), None, vec![("a".to_owned(), Some("1".to_owned()))]),
        (None, None, vec![("a".to_owned(), Some("1".to_owned()))]),
        (Some("1"), Some("1"), vec![("c".to_owned(), None)]),
    ] {
        let written = one.tables.write_config(expecting(entry, gone), one.now().await).await;
        assert_eq!(written.unwrap(), named);
        assert_eq!(rows(&one).await, pairs(&[("a", "1"), ("b", "1")]));
    }
    let written = one.tables.write_config(expecting(Some("1"), None), one.now().await).await;
    assert_eq!(written.unwrap(), []);
    assert_eq!(rows(&one).await, pairs(&[("a", "2"), ("b", "1")]));
}

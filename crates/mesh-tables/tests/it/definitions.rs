//! Columns and indexes of one name that several members define differently at the same time.

use mesh_protocol::{Dot, HybridClock, OriginId, SchemaChange, TransactionHeader, TransactionPart};
use mesh_tables::checksum;

use crate::peer::Peer;

const T: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";

/// Three databases with the table, and rows 1 to 4.
async fn three(create: &str) -> [Peer; 3] {
    let peers = [Peer::new(1).await, Peer::new(2).await, Peer::new(3).await];
    peers[0].run(create).await;
    peers[0].run("INSERT INTO t (id) VALUES (1), (2), (3), (4)").await;
    for peer in &peers[1..] {
        peers[0].give(peer).await;
    }
    peers
}

async fn meet(peers: &[Peer; 3]) {
    for _ in 0..2 {
        for from in peers {
            for to in peers {
                let applied = from.give(to).await;
                assert!(applied.parked.is_empty(), "{applied:?}");
            }
        }
    }
}

async fn oddities(peer: &Peer) -> Vec<String> {
    let noticed = peer.tables.notice(peer.now().await).await.unwrap();
    noticed.oddities.iter().map(ToString::to_string).collect()
}

const SHOWN: &str = "SELECT id || ' ' || quote(a) || ' ' || quote(x) FROM t ORDER BY id";
const CREATED: &str = "SELECT lower(sql) FROM sqlite_schema WHERE name = 't'";

/// All show and count the same, and SQLite finds nothing wrong with any of them.
async fn assert_equal(peers: &[Peer; 3], shown: &str, case: &str) {
    let digests = peers[0].tables.digests().await.unwrap();
    for peer in peers {
        assert_eq!(peer.rows(shown).await, peers[0].rows(shown).await, "{case}");
        assert_eq!(peer.rows(CREATED).await, peers[0].rows(CREATED).await, "{case}");
        assert_eq!(peer.rows("PRAGMA integrity_check").await, ["ok"], "{case}");
        let ours = peer.tables.digests().await.unwrap();
        assert_eq!(checksum(&ours[0]), checksum(&digests[0]), "{case}");
    }
}

#[tokio::test]
async fn the_earlier_of_two_definitions_of_a_column_counts_whatever_order_they_come_in() {
    for is_later_first in [false, true] {
        let peers = three(T).await;
        let [one, two, three] = &peers;
        one.run("ALTER TABLE t ADD COLUMN x INTEGER DEFAULT 1").await;
        two.run("ALTER TABLE t ADD COLUMN x TEXT DEFAULT 'a'").await;
        one.run("UPDATE t SET x = 7 WHERE id = 1").await;
        two.run("UPDATE t SET x = '08' WHERE id = 2").await;
        two.run("UPDATE t SET x = 'abc' WHERE id = 3").await;
        two.run("UPDATE t SET a = 'not x' WHERE id = 4").await;
        one.run("INSERT INTO t (id) VALUES (5)").await;
        two.run("INSERT INTO t (id) VALUES (6)").await;
        let (first, second) = if is_later_first { (two, one) } else { (one, two) };
        first.give(three).await;
        three.run("UPDATE t SET a = 'third' WHERE id = 2").await;
        three.run("INSERT INTO t (id, x) VALUES (7, '1.0')").await;
        second.give(three).await;
        meet(&peers).await;
        assert_equal(&peers, SHOWN, "").await;
        assert!(three.rows(CREATED).await[0].contains("x integer default 1"));
        let expected = [
            "1 NULL 7",
            "2 'third' 8",
            "3 NULL 'abc'",
            "4 'not x' 1",
            "5 NULL 1",
            "6 NULL 'a'",
            "7 NULL 1",
        ];
        assert_eq!(three.rows(SHOWN).await, expected);
        for peer in &peers {
            let told = oddities(peer).await;
            assert!(told.len() == 1 && told[0].contains("x TEXT DEFAULT 'a'"), "{told:?}");
        }
        // Written as before, and everywhere by the definition that counts.
        for peer in &peers {
            peer.run("UPDATE t SET x = '9' WHERE id = 1").await;
        }
        meet(&peers).await;
        assert_equal(&peers, SHOWN, "after").await;
    }
}

#[tokio::test]
async fn it_is_told_of_definitions_until_the_tables_were_compared() {
    let peers = three(T).await;
    peers[0].run("ALTER TABLE t ADD COLUMN x INTEGER DEFAULT 1").await;
    peers[1].run("ALTER TABLE t ADD COLUMN x TEXT").await;
    meet(&peers).await;
    let [one, two, _] = peers;
    let one = one.restart().await;
    assert_eq!(oddities(&one).await.len(), 1);
    let noticed = one.tables.forget_oddities(one.now().await).await.unwrap();
    assert!(noticed.oddities.is_empty());
    assert!(oddities(&one.restart().await).await.is_empty());
    two.run("DROP TABLE t").await;
    assert!(oddities(&two).await.is_empty());
    assert_eq!(two.count("mesh_set_aside").await, 0);
}

#[tokio::test]
async fn whatever_two_definitions_say_all_members_end_equal() {
    const DEFINITIONS: [&str; 9] = [
        "",
        "INTEGER DEFAULT 3",
        "TEXT DEFAULT 'd'",
        "REAL DEFAULT 2",
        "NUMERIC DEFAULT '0.5'",
        "BLOB",
        "TEXT COLLATE NOCASE",
        "INTEGER NOT NULL DEFAULT 4",
        "TEXT NOT NULL DEFAULT ('n')",
    ];
    const VALUES: [&str; 8] = ["1", "1.0", "2.5", "'5'", "'5.0'", "'Abc'", "x'35'", "NULL"];
    for earlier in DEFINITIONS {
        let peers = three(T).await;
        let laters = DEFINITIONS.into_iter().filter(|one| *one != earlier).zip(0..);
        for (later, column) in laters.clone() {
            for (peer, definition) in peers.iter().zip([earlier, later]) {
                peer.run(&format!("ALTER TABLE t ADD COLUMN x{column} {definition}")).await;
                peer.run(&format!("CREATE INDEX t_{column} ON t (x{column}, a)")).await;
            }
        }
        for (place, peer) in [(1, &peers[0]), (2, &peers[1])] {
            let ids = (place * 100..).step_by(2);
            let columns =
                laters.clone().flat_map(|(_, column)| VALUES.map(|value| (column, value)));
            let inserts = columns.zip(ids).map(|((column, value), id)| {
                // What the definition itself does not take was not written.
                format!("INSERT OR IGNORE INTO t (id, x{column}) VALUES ({id}, {value})")
            });
            for insert in inserts {
                peer.run(&insert).await;
            }
            peer.run(&format!("UPDATE t SET a = 'edited' WHERE id = {place}")).await;
        }
        peers[1].give(&peers[2]).await;
        peers[2].run("UPDATE t SET a = 'by another' WHERE id IN (3, 200)").await;
        meet(&peers).await;
        let shown = laters.map(|(_, column)| format!("quote(x{column})")).collect::<Vec<_>>();
        let shown = format!("SELECT {} FROM t ORDER BY id", shown.join(" || ' ' || "));
        assert_equal(&peers, &shown, earlier).await;
    }
}

#[tokio::test]
async fn the_earliest_of_three_definitions_counts_and_comes_last() {
    let peers = three(T).await;
    for (peer, kind) in peers.iter().zip(["INTEGER DEFAULT 1", "TEXT DEFAULT 'b'", "DEFAULT 2.5"]) {
        peer.run(&format!("ALTER TABLE t ADD COLUMN x {kind}")).await;
    }
    peers[2].give(&peers[1]).await;
    peers[1].give(&peers[0]).await;
    meet(&peers).await;
    assert_equal(&peers, SHOWN, "").await;
    assert_eq!(peers[2].rows(SHOWN).await[0], "1 NULL 1");
}

#[tokio::test]
async fn definitions_that_mean_the_same_are_one() {
    let peers = three(T).await;
    peers[0].run("ALTER TABLE t ADD x text collate nocase DEFAULT 'a'").await;
    let mut shell = peers[1].shell().await;
    let sql = "ALTER TABLE t ADD COLUMN \"x\" TEXT /* its own */ DEFAULT ('a') COLLATE \"nocase\"";
    sqlx::query(sql).execute(&mut shell).await.unwrap();
    peers[0].run("CREATE INDEX IF NOT EXISTS t_a ON t (a)").await;
    peers[1].run("create index t_a on t(a)").await;
    meet(&peers).await;
    for peer in &peers {
        assert_eq!(oddities(peer).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_strict_table_keeps_aside_what_its_column_does_not_take() {
    let peers = three("CREATE TABLE t (id INTEGER PRIMARY KEY, a ANY) STRICT").await;
    let [one, two, _] = &peers;
    one.run("ALTER TABLE t ADD COLUMN x INTEGER DEFAULT 1").await;
    two.run("ALTER TABLE t ADD COLUMN x TEXT DEFAULT 'a'").await;
    two.run("UPDATE t SET x = 'abc' WHERE id = 2").await;
    let before = two.rows(SHOWN).await;
    let created = two.rows(CREATED).await;
    let applied = one.give(two).await;
    assert_eq!(applied.parked.len(), 1, "{applied:?}");
    assert_eq!(two.rows(SHOWN).await, before);
    assert_eq!(two.rows(CREATED).await, created);
    assert_eq!(two.rows("PRAGMA integrity_check").await, ["ok"]);
    // Whatever was tried is taken back: columns are added and written as ever.
    two.run("ALTER TABLE t ADD COLUMN y TEXT DEFAULT 'y'").await;
    two.run("UPDATE t SET x = 'def', y = 'z' WHERE id = 2").await;
    assert_eq!(two.rows("SELECT x || y FROM t WHERE id = 2").await, ["defz"]);
    assert_eq!(two.give(one).await.parked.len(), 2);
    assert_eq!(one.rows("SELECT quote(x) FROM t WHERE id = 2").await, ["1"]);
}

#[tokio::test]
async fn a_strict_table_takes_another_definition_whose_values_fit() {
    let peers = three("CREATE TABLE t (id INTEGER PRIMARY KEY, a ANY) STRICT").await;
    peers[0].run("ALTER TABLE t ADD COLUMN x INTEGER DEFAULT 1").await;
    peers[1].run("ALTER TABLE t ADD COLUMN x TEXT DEFAULT '2'").await;
    peers[1].run("UPDATE t SET x = '5' WHERE id = 2").await;
    meet(&peers).await;
    assert_equal(&peers, SHOWN, "").await;
}

#[tokio::test]
async fn views_and_indexes_of_other_programs_outlive_another_definition() {
    let peers = three(T).await;
    peers[0].run("ALTER TABLE t ADD COLUMN x INTEGER DEFAULT 1").await;
    peers[1].run("ALTER TABLE t ADD COLUMN x TEXT DEFAULT 'a'").await;
    let mut shell = peers[1].shell().await;
    for sql in ["CREATE VIEW v AS SELECT id, x FROM t", "CREATE INDEX own ON t (x) WHERE x > 0"] {
        sqlx::query(sql).execute(&mut shell).await.unwrap();
    }
    // Another program that has read the table before.
    let sql = "SELECT typeof(x) FROM v WHERE id = 1";
    let kind: String = sqlx::query_scalar(sql).fetch_one(&mut shell).await.unwrap();
    assert_eq!(kind, "text");
    meet(&peers).await;
    assert_equal(&peers, SHOWN, "").await;
    let kind: String = sqlx::query_scalar(sql).fetch_one(&mut shell).await.unwrap();
    assert_eq!(kind, "integer");
}

async fn index(peer: &Peer, name: &str) -> String {
    let sql = format!("SELECT lower(sql) FROM sqlite_schema WHERE name = '{name}'");
    peer.rows(&sql).await.join(" | ")
}

#[tokio::test]
async fn the_earlier_of_two_indexes_of_one_name_is_made_whatever_order_they_come_in() {
    for is_later_first in [false, true] {
        let peers = three(T).await;
        let [one, two, three] = &peers;
        one.run("CREATE INDEX i ON t (a)").await;
        two.run("CREATE INDEX i ON t (a DESC, id)").await;
        let (first, second) = if is_later_first { (two, one) } else { (one, two) };
        first.give(three).await;
        second.give(three).await;
        meet(&peers).await;
        for peer in &peers {
            assert_eq!(index(peer, "i").await, "create index i on t (a)");
            let told = oddities(peer).await;
            assert!(told.len() == 1 && told[0].contains("a DESC, id"), "{told:?}");
        }
    }
}

#[tokio::test]
async fn indexes_of_one_name_on_two_tables_are_settled_and_the_other_one_is_made_when_there_is_room()
 {
    for is_later_first in [false, true] {
        let peers = three(T).await;
        let [one, two, three] = &peers;
        one.run("CREATE TABLE u (id INTEGER PRIMARY KEY, b)").await;
        meet(&peers).await;
        one.run("CREATE INDEX i ON t (a)").await;
        two.run("CREATE INDEX i ON u (b)").await;
        let (first, second) = if is_later_first { (two, one) } else { (one, two) };
        first.give(three).await;
        second.give(three).await;
        meet(&peers).await;
        for peer in &peers {
            assert_eq!(index(peer, "i").await, "create index i on t (a)");
            assert_eq!(oddities(peer).await.len(), 1);
        }
        two.run("DROP TABLE t").await;
        meet(&peers).await;
        for peer in &peers {
            assert_eq!(index(peer, "i").await, "create index i on u (b)");
        }
    }
}

#[tokio::test]
async fn an_index_of_another_program_keeps_its_name() {
    let peers = three(T).await;
    let mut shell = peers[1].shell().await;
    sqlx::query("CREATE INDEX i ON t (id, a)").execute(&mut shell).await.unwrap();
    peers[0].run("CREATE INDEX i ON t (a)").await;
    meet(&peers).await;
    assert_eq!(index(&peers[1], "i").await, "create index i on t (id, a)");
    assert_eq!(index(&peers[2], "i").await, "create index i on t (a)");
}

#[tokio::test]
async fn who_makes_up_definitions_fills_no_list() {
    let peer = Peer::new(1).await;
    peer.run(T).await;
    peer.run("ALTER TABLE t ADD COLUMN x INTEGER").await;
    let table = peer.tables.tables().await.unwrap()[0].id;
    let schema = (0..100).map(|no| SchemaChange::AddColumn {
        table,
        column: "x".to_owned(),
        definition: format!("x TEXT DEFAULT {no}"),
    });
    let header = TransactionHeader {
        clock: HybridClock(peer.now().await.0 << 16),
        schema: schema.collect(),
        ..TransactionHeader::default()
    };
    let dot = Dot { origin: OriginId::from_bytes([9; 16]), sequence: 1 };
    let part =
        TransactionPart { dot, part: 0, is_last: true, header: Some(header), sections: Vec::new() };
    let applied = peer.take(vec![part.encode().unwrap()], &peer).await;
    assert_eq!(applied.applied, [dot]);
    assert_eq!(oddities(&peer).await.len(), 64);
}

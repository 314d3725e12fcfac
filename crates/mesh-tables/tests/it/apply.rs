//! Transactions of others: who wins, and that repeats, splits and failures leave no trace.

use mesh_protocol::{Dot, OriginId, SqlValue, TransactionPart};
use mesh_tables::{IncomingPart, Statement, TablesConfig};
use sqlx::query;

use crate::peer::{NOTES, Peer, converge, text};

#[tokio::test]
async fn rows_arrive_exactly_as_they_were_written() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'text', 7, x'00ff'), ('y', CAST(x'ff41' AS TEXT), NULL, NULL)")
        .await;
    one.run("INSERT INTO notes (id) VALUES (CAST(x'fe' AS TEXT))").await;
    let applied = one.give(&two).await;
    assert_eq!(applied.applied.len(), 2);
    let sql = "SELECT hex(id) || hex(a) || coalesce(typeof(b), '') || coalesce(hex(c), '-') \
               FROM notes ORDER BY id";
    assert_eq!(two.rows(sql).await, one.rows(sql).await);
    two.run("UPDATE notes SET b = 5 WHERE id = CAST(x'fe' AS TEXT)").await;
    two.run("DELETE FROM notes WHERE id = 'y'").await;
    two.give(&one).await;
    assert_eq!(two.rows(sql).await, one.rows(sql).await);
    converge(&[&one, &two]).await;
}

#[tokio::test]
async fn concurrent_edits_of_two_columns_are_both_kept() {
    let [one, two, three] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two, &three]).await;
    one.run("UPDATE notes SET a = 'new' WHERE id = 'x'").await;
    two.run("UPDATE notes SET b = 2 WHERE id = 'x'").await;
    converge(&[&one, &two, &three]).await;
    assert_eq!(three.notes().await, ["x|new|2|-"]);
    assert!(three.conflicts().await.is_empty());
}

#[tokio::test]
async fn of_concurrent_edits_of_a_column_one_wins_and_the_other_is_listed_everywhere() {
    let [one, two, three] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two, &three]).await;
    one.run("UPDATE notes SET a = 'first' WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'second' WHERE id = 'x'").await;
    converge(&[&one, &two, &three]).await;
    let expected = [("x".to_owned(), Some("a".to_owned()), text("second"), text("first"))];
    for peer in [&one, &two, &three] {
        assert_eq!(peer.notes().await, ["x|second|1|-"]);
        assert_eq!(peer.conflicts().await, expected);
    }
}

#[tokio::test]
async fn a_deletion_beats_a_concurrent_edit_which_is_listed() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two]).await;
    one.run("DELETE FROM notes WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'edited' WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    assert!(one.notes().await.is_empty());
    let expected = [("x".to_owned(), Some("a".to_owned()), SqlValue::Null, text("edited"))];
    assert_eq!(one.conflicts().await, expected);
}

#[tokio::test]
async fn a_row_that_was_deleted_can_be_inserted_again_and_begins_anew() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, x'01')").await;
    one.run("UPDATE notes SET b = 2 WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    two.run("DELETE FROM notes WHERE id = 'x'").await;
    two.run("INSERT INTO notes (id, b) VALUES ('x', 3)").await;
    converge(&[&one, &two]).await;
    assert_eq!(one.notes().await, ["x|none|3|-"]);
    assert_eq!(one.count("notes__mesh_cell").await, 0);
    assert!(one.conflicts().await.is_empty());
}

#[tokio::test]
async fn a_row_replaced_in_one_transaction_takes_the_place_of_the_one_before() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, x'01')").await;
    converge(&[&one, &two]).await;
    one.run("INSERT OR REPLACE INTO notes (id, a) VALUES ('x', 'new')").await;
    let deletion = "DELETE FROM notes".to_owned();
    let insertion = "INSERT INTO notes (id, b) VALUES ('x', 9)".to_owned();
    converge(&[&one, &two]).await;
    assert_eq!(two.notes().await, ["x|new|-|-"]);
    let statements = [deletion, insertion].map(|sql| Statement { sql, params: Vec::new() });
    one.tables.execute(statements.to_vec(), one.now().await).await.unwrap();
    converge(&[&one, &two]).await;
    assert_eq!(two.notes().await, ["x|none|9|-"]);
}

#[tokio::test]
async fn a_changed_key_moves_the_row_everywhere() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'text', 1, NULL)").await;
    converge(&[&one, &two]).await;
    two.run("UPDATE notes SET id = 'y' WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    assert_eq!(one.notes().await, ["y|text|1|-"]);
}

#[tokio::test]
async fn a_key_takes_the_bytes_of_whoever_writes_the_row_last() {
    let (one, two) = (Peer::new(1).await, Peer::new(2).await);
    one.run("CREATE TABLE names (name TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, n INTEGER)").await;
    one.give(&two).await;
    one.run("INSERT INTO names VALUES ('Ann', 1)").await;
    one.give(&two).await;
    two.run("INSERT OR REPLACE INTO names VALUES ('ANN', 2)").await;
    two.give(&one).await;
    two.run("UPDATE names SET n = 3 WHERE name = 'ann'").await;
    two.give(&one).await;
    let sql = "SELECT name || n FROM names UNION ALL SELECT name FROM names__mesh_row";
    assert_eq!(one.rows(sql).await, ["ANN3", "ANN"]);
}

#[tokio::test]
async fn repeats_cost_nothing_and_leave_no_trace() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    one.run("UPDATE notes SET b = 2").await;
    one.give(&two).await;
    let (before, head) = (two.log().await, two.tables.have().borrow().log_head);
    let again = two.take(one.log().await, &one).await;
    assert_eq!((again.applied.len(), again.duplicates), (0, 3));
    assert_eq!(two.log().await, before);
    assert_eq!(two.tables.have().borrow().log_head, head);
}

#[tokio::test]
async fn what_comes_too_early_is_not_taken_and_what_is_missing_is_said() {
    let [one, two, three] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    one.give(&two).await;
    two.run("UPDATE notes SET b = 2").await;
    let mut bodies = two.bodies_for(&three).await;
    bodies.reverse();
    let applied = three.take(bodies.clone(), &two).await;
    let first = Dot { origin: OriginId::from_bytes([1; 16]), sequence: 2 };
    // The insertion came behind the update, and was taken; the update is not had.
    assert_eq!((applied.applied, applied.missing), (vec![first], vec![first]));
    three.take(bodies, &two).await;
    converge(&[&one, &two, &three]).await;
}

async fn large(peer: &Peer, rows: u32) {
    peer.run(&format!(
        "INSERT INTO notes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         SELECT 'row ' || i, 'a text of some length for row number ' || i, i % 1000, NULL FROM n"
    ))
    .await;
}

#[tokio::test]
async fn a_transaction_in_parts_is_applied_when_the_last_one_is_there() {
    let [one, two] = Peer::with_notes().await;
    large(&one, 20_000).await;
    let bodies = one.bodies_for(&two).await;
    assert!(bodies.len() > 2, "{} parts", bodies.len());
    let (last, others) = bodies.split_last().unwrap();
    for body in others {
        let applied = two.take(vec![body.clone()], &one).await;
        assert_eq!((applied.spooled, applied.applied.len()), (1, 0));
        assert_eq!(two.count("notes").await, 0);
    }
    let two = two.restart().await;
    // A part that comes once more is not kept twice.
    two.take(others.to_vec(), &one).await;
    assert_eq!(two.count("mesh_spool").await, i64::try_from(others.len()).unwrap());
    let applied = two.take(vec![last.clone()], &one).await;
    assert_eq!(applied.applied.len(), 1);
    assert_eq!(two.count("notes").await, 20_000);
    assert_eq!(two.log().await, one.log().await);
    converge(&[&one, &two]).await;
}

#[tokio::test]
async fn parts_can_come_in_any_order() {
    let [one, two] = Peer::with_notes().await;
    large(&one, 10_000).await;
    let mut bodies = one.bodies_for(&two).await;
    bodies.reverse();
    assert_eq!(two.take(bodies, &one).await.applied.len(), 1);
    converge(&[&one, &two]).await;
}

#[tokio::test]
async fn parts_for_which_there_is_no_room_are_refused_and_leave_none_behind() {
    let one = Peer::new(1).await;
    let config = TablesConfig { spool_bytes_max: 300_000, ..TablesConfig::default() };
    let two = Peer::with(2, config).await;
    one.run(NOTES).await;
    one.give(&two).await;
    large(&one, 20_000).await;
    one.run("INSERT INTO notes (id) VALUES ('after')").await;
    let applied = one.give(&two).await;
    assert!(!applied.refused.is_empty());
    assert_eq!(two.count("notes").await, 0);
    let bytes = "mesh_spool WHERE length(body) > 300000";
    assert_eq!(two.count(bytes).await, 0);
    assert!(two.count("mesh_spool").await <= 1);
}

#[tokio::test]
async fn what_is_no_transaction_is_told_and_hinders_nothing() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes (id) VALUES ('x')").await;
    let mut bodies = one.bodies_for(&two).await;
    bodies.insert(0, vec![1, 2, 3]);
    let applied = two.take(bodies, &one).await;
    assert_eq!((applied.malformed, applied.applied.len()), (vec![one.id()], 1));
}

#[tokio::test]
async fn a_batch_that_fails_changes_nothing_and_can_be_repeated() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes (id) VALUES ('x')").await;
    let bodies = one.bodies_for(&two).await;
    let before = two.knows();
    // Another program has the database to itself for longer than is waited.
    let mut shell = two.shell().await;
    query("ALTER TABLE mesh_log RENAME TO away").execute(&mut shell).await.unwrap();
    let parts = bodies.iter().map(|body| IncomingPart { body: body.clone(), member: one.id() });
    two.tables.apply(parts.collect::<Vec<_>>(), two.now().await).await.unwrap_err();
    assert_eq!(two.knows(), before);
    assert_eq!(two.count("notes").await, 0);
    query("ALTER TABLE away RENAME TO mesh_log").execute(&mut shell).await.unwrap();
    assert_eq!(two.take(bodies, &one).await.applied.len(), 1);
    assert_eq!(two.count("mesh_state WHERE applying = 0").await, 1);
    converge(&[&one, &two]).await;
}

#[tokio::test]
async fn what_other_programs_wrote_is_sealed_before_anything_is_applied() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'one', 1, NULL)").await;
    query("INSERT INTO notes VALUES ('x', 'two', 1, NULL)")
        .execute(&mut two.shell().await)
        .await
        .unwrap();
    one.give(&two).await;
    converge(&[&one, &two]).await;
    assert_eq!(one.conflicts().await.len(), 1);
}

#[tokio::test]
async fn the_log_says_what_readers_saw_where_something_lost() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two]).await;
    one.run("UPDATE notes SET a = 'first', b = 5 WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'second' WHERE id = 'x'").await;
    one.give(&two).await;
    let sql = "SELECT hex(effect) FROM mesh_log WHERE effect IS NOT NULL";
    let effects = two.rows(sql).await;
    assert_eq!(effects.len(), 1);
    let bytes: Vec<u8> = effects[0]
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let seen = TransactionPart::decode(&bytes).unwrap();
    let text = format!("{:?}", seen.sections[0].changes);
    assert!(text.contains("column: 1") && !text.contains("column: 0"), "{text}");
    assert!(one.rows(sql).await.is_empty());
}

#[tokio::test]
async fn a_column_that_was_added_is_sent_as_a_definition_alone() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two]).await;
    two.run("UPDATE notes SET a = 'meanwhile'").await;
    one.run("ALTER TABLE notes ADD COLUMN d INTEGER DEFAULT 4").await;
    let bodies = one.bodies_for(&two).await;
    assert!(bodies[0].len() < 300, "{}", bodies[0].len());
    converge(&[&one, &two]).await;
    two.run("UPDATE notes SET d = 5").await;
    one.run("INSERT INTO notes (id, d) VALUES ('y', 6)").await;
    converge(&[&one, &two]).await;
    assert_eq!(
        one.rows("SELECT id || a || d FROM notes ORDER BY id").await,
        ["xmeanwhile5", "ynone6"]
    );
    assert!(one.conflicts().await.is_empty());
}

#[tokio::test]
async fn a_transaction_that_needs_too_much_memory_holds_up_no_other() {
    let config = TablesConfig { heap_bytes_max: 32 << 20, ..TablesConfig::default() };
    let (one, two, three) = (Peer::new(1).await, Peer::new(2).await, Peer::with(3, config).await);
    one.run(NOTES).await;
    let many = "a || ".repeat(31);
    one.run(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, g AS ({many} a) STORED)"))
        .await;
    one.give(&two).await;
    one.run("INSERT INTO t (id, a) VALUES (1, hex(zeroblob(750000)))").await;
    two.run("INSERT INTO notes (id) VALUES ('small')").await;
    let bodies = [one.log().await, two.bodies_for(&one).await].concat();
    let large = TransactionPart::decode(&bodies[2]).unwrap().dot;
    // The bound holds from the first query on.
    let ask = mesh_tables::Query { sql: "SELECT 1".to_owned(), ..Default::default() };
    drop(three.tables.query(ask).await);
    for _ in 0..2 {
        let applied = three.take(bodies.clone(), &one).await;
        assert_eq!(applied.refused, [large]);
        assert_eq!(three.notes().await, ["small|none|-|-"]);
    }
    assert!(three.knows().holes().is_empty());
}

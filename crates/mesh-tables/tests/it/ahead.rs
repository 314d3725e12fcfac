//! Clocks that were ahead and accepted: nobody adopts them, and who writes over such a write comes after it.

use mesh_tables::ParkReason;

use crate::peer::{Peer, accept, converge, text};

const BORN: &str = "INSERT INTO notes VALUES ('x', 'born', 1, NULL)";
const EDIT: &str = "UPDATE notes SET a = 'ahead' WHERE id = 'x'";

/// Three with one row; the clock of the first is ahead from then on.
async fn three() -> [Peer; 3] {
    let peers = Peer::with_notes::<3>().await;
    peers[0].run(BORN).await;
    peers[0].give(&peers[1]).await;
    peers[0].give(&peers[2]).await;
    peers[0].run_ahead().await;
    peers
}

async fn accepts(peer: &Peer, of: &Peer) -> u64 {
    let origin = of.tables.have().borrow().database;
    peer.tables.accept_ahead(vec![origin], peer.now().await).await.unwrap().0
}

#[tokio::test]
async fn a_write_over_an_accepted_one_beats_what_that_beat_whatever_came_first() {
    let [ahead, two, three] = three().await;
    ahead.run(EDIT).await;
    ahead.give(&two).await;
    assert_eq!(accepts(&two, &ahead).await, 1);
    two.run("UPDATE notes SET a = 'over it' WHERE id = 'x'").await;
    // Later than that by the right time, and without knowing of either.
    three.run("UPDATE notes SET a = 'apart' WHERE id = 'x'").await;
    three.give(&two).await;
    ahead.give(&three).await;
    assert_eq!(accepts(&three, &ahead).await, 1);
    assert_eq!(three.notes().await, ["x|ahead|1|-"]);
    // Who has accepted the one takes the other without being asked again.
    assert_eq!(two.give(&three).await.parked, []);
    converge(&[&ahead, &two, &three]).await;
    assert_eq!(two.notes().await, ["x|over it|1|-"]);
    let lost = (String::from("x"), Some(String::from("a")), text("over it"), text("apart"));
    assert_eq!(two.conflicts().await, [lost]);
    // And what is written elsewhere has the right time.
    for peer in [&two, &three] {
        assert!(!peer.is_ahead().await);
    }
    two.run("UPDATE notes SET b = 2 WHERE id = 'x'").await;
    assert_eq!(two.give(&three).await.applied.len(), 1);
}

#[tokio::test]
async fn a_write_over_an_accepted_one_waits_with_it_where_nobody_has_accepted() {
    let [ahead, two, three] = three().await;
    ahead.run(EDIT).await;
    ahead.give(&two).await;
    accepts(&two, &ahead).await;
    two.run("UPDATE notes SET a = 'over it' WHERE id = 'x'").await;
    ahead.give(&three).await;
    assert_eq!(two.give(&three).await.parked[0].reason, ParkReason::ClockSkew);
    assert_eq!(three.notes().await, ["x|born|1|-"]);
    assert_eq!(accepts(&three, &ahead).await, 1);
    assert_eq!(three.notes().await, ["x|over it|1|-"]);
    assert!(three.tables.parked().await.unwrap().is_empty());
    converge(&[&ahead, &two, &three]).await;
}

#[tokio::test]
async fn whole_rows_come_after_accepted_columns_and_columns_after_accepted_rows() {
    let writes = [
        (EDIT, "INSERT OR REPLACE INTO notes VALUES ('x', 'whole', 2, NULL)", "x|whole|2|-"),
        (
            "INSERT OR REPLACE INTO notes VALUES ('x', 'ahead', 2, NULL)",
            "UPDATE notes SET a = 'edit', b = 3 WHERE id = 'x'",
            "x|edit|3|-",
        ),
        (EDIT, "INSERT OR IGNORE INTO notes (id) VALUES ('y')", "x|ahead|9|-"),
    ];
    for (first, second, expected) in writes {
        let [ahead, two, three] = three().await;
        ahead.run(first).await;
        accept(&[&ahead, &two]).await;
        two.run(second).await;
        two.run("UPDATE notes SET c = x'00' WHERE id = 'y'").await;
        three.run("UPDATE notes SET a = 'apart', b = 9 WHERE id = 'x'").await;
        three.give(&two).await;
        accept(&[&ahead, &three]).await;
        converge(&[&ahead, &two, &three]).await;
        assert_eq!(three.notes().await[0], expected);
    }
}

#[tokio::test]
async fn a_deletion_ends_it_and_the_row_that_comes_then_has_the_right_time() {
    let [ahead, two, three] = three().await;
    ahead.run(EDIT).await;
    accept(&[&ahead, &two]).await;
    two.run("DELETE FROM notes").await;
    two.run(BORN).await;
    let now = two.now().await.0;
    assert_eq!(two.count(&format!("notes__mesh_row WHERE clock >> 16 > {now}")).await, 0);
    accept(&[&ahead, &two, &three]).await;
    converge(&[&ahead, &two, &three]).await;
    assert_eq!(three.notes().await, ["x|born|1|-"]);
}

#[tokio::test]
async fn a_large_transaction_over_accepted_rows_is_taken_whole() {
    let [ahead, two, three] = three().await;
    ahead
        .run(
            "INSERT INTO notes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
             SELECT i, 'a text of some length, so that there are parts', i % 1000, NULL FROM n",
        )
        .await;
    accept(&[&ahead, &two, &three]).await;
    two.run("UPDATE notes SET a = a || '.'").await;
    let bodies = two.bodies_for(&three).await;
    assert!(bodies.len() > 1);
    assert_eq!(three.take(bodies, &two).await.applied.len(), 1);
    assert_eq!(two.count("mesh_unsent").await, 0);
    converge(&[&ahead, &two, &three]).await;
    assert_eq!(three.count("notes WHERE a LIKE '%.'").await, 20_001);
}

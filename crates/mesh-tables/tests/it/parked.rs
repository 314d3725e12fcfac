//! What cannot be applied is kept aside, whole, and blocks nothing that does not build upon it.

use std::time::Duration;

use mesh_protocol::{CellWrite, HybridClock, RowChange, SqlValue, TransactionPart, UnixMillis};
use mesh_tables::{ParkReason, TablesConfig};

use crate::peer::{NOTES, Peer, converge};

const HOUR: u64 = 3_600_000;

/// Changes a transaction on its way.
fn altered(body: &[u8], change: impl FnOnce(&mut TransactionPart)) -> Vec<u8> {
    let mut part = TransactionPart::decode(body).unwrap();
    change(&mut part);
    part.encode().unwrap()
}

/// Puts all clocks of a transaction ahead.
fn ahead(body: &[u8], millis: u64) -> Vec<u8> {
    altered(body, |part| {
        let later = |clock: &mut HybridClock| {
            *clock = HybridClock::at(UnixMillis(clock.time().0 + millis));
        };
        later(&mut part.header.as_mut().unwrap().clock);
        for change in part.sections.iter_mut().flat_map(|section| &mut section.changes) {
            match change {
                RowChange::Put { clock, .. } | RowChange::Delete { clock, .. } => later(clock),
                RowChange::Edit { cells, .. } => {
                    cells.iter_mut().for_each(|cell: &mut CellWrite| later(&mut cell.clock));
                }
            }
        }
    })
}

async fn reasons(peer: &Peer) -> Vec<ParkReason> {
    peer.tables.parked().await.unwrap().into_iter().map(|info| info.reason).collect()
}

#[tokio::test]
async fn rows_of_an_unknown_table_wait_until_it_is_created() {
    let (one, two) = (Peer::new(1).await, Peer::new(2).await);
    one.run(NOTES).await;
    one.run("INSERT INTO notes (id) VALUES ('x')").await;
    one.run("UPDATE notes SET b = 1").await;
    // The creation never came this far.
    let bodies = one.bodies_for(&two).await;
    let without = altered(&bodies[0], |part| part.header.as_mut().unwrap().schema.clear());
    let applied = two.take(vec![without, bodies[1].clone(), bodies[2].clone()], &one).await;
    assert_eq!((applied.applied.len(), applied.parked.len()), (1, 2));
    assert_eq!(reasons(&two).await, [ParkReason::UnknownTable, ParkReason::BehindParked]);
    // It is not had, and not asked for again.
    assert_eq!(two.knows().holes().len(), 2);
    assert_eq!(two.take(bodies, &one).await.duplicates, 3);

    // A third one makes the same table.
    let three = Peer::new(3).await;
    three.run(NOTES).await;
    let applied = three.give(&two).await;
    assert_eq!(applied.applied.len(), 3);
    assert!(two.knows().holes().is_empty());
    assert_eq!(two.notes().await, ["x|none|1|-"]);
    for table in ["mesh_parked", "mesh_parked_rows", "mesh_spool"] {
        assert_eq!(two.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_table_that_is_created_here_lets_in_what_waited_for_it() {
    let (one, two) = (Peer::new(1).await, Peer::new(2).await);
    one.run(NOTES).await;
    one.run("INSERT INTO notes (id) VALUES ('x')").await;
    let bodies = one.bodies_for(&two).await;
    let without = altered(&bodies[0], |part| part.header.as_mut().unwrap().schema.clear());
    two.take(vec![without, bodies[1].clone()], &one).await;
    assert_eq!(reasons(&two).await, [ParkReason::UnknownTable]);
    two.run(NOTES).await;
    assert!(reasons(&two).await.is_empty());
    assert_eq!(two.notes().await, ["x|none|-|-"]);
}

#[tokio::test]
async fn an_unknown_column_waits_and_what_builds_upon_it_waits_behind() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes (id) VALUES ('x'), ('y')").await;
    one.run("UPDATE notes SET b = 1 WHERE id = 'x'").await;
    one.run("UPDATE notes SET b = 2 WHERE id = 'x'").await;
    one.run("UPDATE notes SET b = 3 WHERE id = 'y'").await;
    let mut bodies = one.bodies_for(&two).await;
    bodies[1] = altered(&bodies[1], |part| {
        part.sections[0].columns.iter_mut().for_each(|name| name.push_str("_other"));
    });
    let applied = two.take(bodies, &one).await;
    assert_eq!(applied.parked.len(), 2);
    assert_eq!(reasons(&two).await, [ParkReason::UnknownColumn, ParkReason::BehindParked]);
    assert_eq!(two.notes().await, ["x|none|-|-", "y|none|3|-"]);
}

#[tokio::test]
async fn a_check_that_fails_parks_its_transaction_whole_and_blocks_no_other() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('good', 'g', 1, NULL), ('bad', 'b', 2, NULL)").await;
    one.run("INSERT INTO notes VALUES ('other', 'o', 3, NULL)").await;
    one.run("UPDATE notes SET a = 'changed' WHERE id = 'bad'").await;
    let mut bodies = one.bodies_for(&two).await;
    bodies[0] = altered(&bodies[0], |part| {
        for change in &mut part.sections[0].changes {
            if let RowChange::Put { values, .. } = change {
                values[1] = SqlValue::Integer(5000);
            }
        }
    });
    let applied = two.take(bodies, &one).await;
    assert_eq!((applied.applied.len(), applied.parked.len()), (1, 2));
    assert_eq!(reasons(&two).await, [ParkReason::Constraint, ParkReason::BehindParked]);
    assert!(applied.parked[0].detail.contains("CHECK"), "{:?}", applied.parked);
    assert_eq!(two.notes().await, ["other|o|3|-"]);
    assert_eq!(two.count("notes__mesh_row").await, 1);
    // Nothing of it stays in memory either.
    let two = two.restart().await;
    assert_eq!(two.knows().holes().len(), 2);
    one.run("INSERT INTO notes (id) VALUES ('later')").await;
    one.give(&two).await;
    assert_eq!(two.notes().await, ["later|none|-|-", "other|o|3|-"]);
    assert_eq!(two.tables.retry_parked(two.now().await).await.unwrap().applied, []);
}

#[tokio::test]
async fn a_large_transaction_that_fails_at_its_end_leaves_nothing() {
    let [one, two] = Peer::with_notes().await;
    one.run(
        "INSERT INTO notes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         SELECT i, 'a text of some length, so that there are parts', i % 1000, NULL FROM n",
    )
    .await;
    let mut bodies = one.bodies_for(&two).await;
    let last = bodies.pop().unwrap();
    bodies.push(altered(&last, |part| {
        if let Some(RowChange::Put { values, .. }) = part.sections[0].changes.last_mut() {
            values[0] = SqlValue::Null;
        }
    }));
    let head = two.tables.have().borrow().log_head;
    assert_eq!(two.take(bodies, &one).await.parked.len(), 1);
    assert_eq!(reasons(&two).await, [ParkReason::Constraint]);
    assert_eq!((two.count("notes").await, two.count("notes__mesh_row").await), (0, 0));
    assert_eq!(two.tables.have().borrow().log_head, head);
    let info = two.tables.parked().await.unwrap().remove(0);
    assert!(info.bytes > 500_000, "{}", info.bytes);
}

#[tokio::test]
async fn a_clock_that_is_ahead_is_kept_aside_until_its_time_and_drags_nobody_along() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'ahead', 1, NULL)").await;
    let body = ahead(&one.bodies_for(&two).await[0], HOUR);
    let applied = two.take(vec![body], &one).await;
    assert_eq!(applied.parked[0].reason, ParkReason::ClockSkew);
    // To be told of what is kept aside takes no write, which a full disk would not let through.
    let mut other = two.shell().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert_eq!(two.tables.parked().await.unwrap().len(), 1);
    let due = two.tables.next_due().await.unwrap().unwrap();
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let early = UnixMillis(due.0 - 1);
    assert!(two.tables.retry_parked(early).await.unwrap().applied.is_empty());
    two.run("INSERT INTO notes VALUES ('y', 'mine', 1, NULL)").await;
    let now = two.now().await.0;
    assert_eq!(two.count(&format!("mesh_state WHERE clock >> 16 > {now}")).await, 0);
    assert_eq!(two.tables.retry_parked(due).await.unwrap().applied.len(), 1);
    assert_eq!(two.notes().await, ["x|ahead|1|-", "y|mine|1|-"]);
    assert_eq!(two.tables.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn an_operator_can_accept_clocks_that_are_ahead() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'ahead', 1, NULL)").await;
    let body = ahead(&one.bodies_for(&two).await[0], HOUR);
    two.take(vec![body], &one).await;
    let now = two.now().await;
    let [of_one, of_two] = [&one, &two].map(|peer| peer.tables.have().borrow().database);
    let (accepted, outcome) = two.tables.accept_ahead(vec![of_two], now).await.unwrap();
    assert_eq!((accepted, outcome.applied.len()), (0, 0));
    let (accepted, outcome) = two.tables.accept_ahead(vec![of_one], now).await.unwrap();
    assert_eq!((accepted, outcome.applied.len()), (1, 1));
    assert_eq!(two.notes().await, ["x|ahead|1|-"]);
    // Not even then is it adopted.
    assert_eq!(two.count(&format!("mesh_state WHERE clock >> 16 > {}", now.0 + HOUR / 2)).await, 0);
}

#[tokio::test]
async fn no_more_is_kept_aside_than_there_is_room_for() {
    // A quarter of it for each database.
    let config = TablesConfig { parked_max: 12, ..TablesConfig::default() };
    let (one, two) = (Peer::new(1).await, Peer::with(2, config).await);
    one.run(NOTES).await;
    one.give(&two).await;
    for id in 0..6 {
        one.run(&format!("INSERT INTO notes (id) VALUES ('{id}')")).await;
    }
    let bodies = one.bodies_for(&two).await;
    let applied = two.take(bodies.iter().map(|body| ahead(body, HOUR)).collect(), &one).await;
    assert_eq!((applied.parked.len(), applied.refused.len()), (3, 1));
    assert_eq!(two.count("mesh_spool").await, 3);
    // What was refused is not had: it is taken when there is room.
    let later = UnixMillis(two.now().await.0 + HOUR);
    assert_eq!(two.tables.retry_parked(later).await.unwrap().applied.len(), 3);
    let applied = two.take(bodies, &one).await;
    assert_eq!((applied.applied.len(), applied.duplicates), (3, 3));
}

#[tokio::test]
async fn no_more_bytes_are_kept_aside_than_there_is_room_for() {
    let config = TablesConfig { spool_bytes_max: 1000, ..TablesConfig::default() };
    let (one, two) = (Peer::new(1).await, Peer::with(2, config).await);
    one.run(NOTES).await;
    one.give(&two).await;
    one.run("INSERT INTO notes (id, a) VALUES ('x', printf('%0800d', 1))").await;
    one.run("INSERT INTO notes (id, a) VALUES ('y', printf('%0800d', 1))").await;
    let bodies = one.bodies_for(&two).await;
    let applied = two.take(bodies.iter().map(|body| ahead(body, HOUR)).collect(), &one).await;
    assert_eq!((applied.parked.len(), applied.refused.len()), (1, 1));
    assert_eq!(two.knows().upto(&applied.refused[0].origin), applied.refused[0].sequence - 1);
}

#[tokio::test]
async fn the_type_of_a_strict_column_is_a_reason_to_park() {
    let (one, two) = (Peer::new(1).await, Peer::new(2).await);
    one.run("CREATE TABLE exact (id INTEGER PRIMARY KEY NOT NULL, n INTEGER) STRICT").await;
    one.give(&two).await;
    one.run("INSERT INTO exact VALUES (1, 1)").await;
    one.run("INSERT INTO exact VALUES (2, 2)").await;
    let mut bodies = one.bodies_for(&two).await;
    bodies[0] = altered(&bodies[0], |part| {
        if let RowChange::Put { values, .. } = &mut part.sections[0].changes[0] {
            values[0] = SqlValue::Text("no number".to_owned());
        }
    });
    bodies[1] = altered(&bodies[1], |part| {
        if let RowChange::Put { key, .. } = &mut part.sections[0].changes[0] {
            key[0] = SqlValue::Text("no number".to_owned());
        }
    });
    let applied = two.take(bodies, &one).await;
    assert_eq!(applied.parked.len(), 2, "{applied:?}");
    assert_eq!(reasons(&two).await, [ParkReason::Constraint, ParkReason::Constraint]);
}

#[tokio::test]
async fn whoever_parked_a_write_says_so_and_what_it_writes_is_concurrent_to_it() {
    let [one, two, three] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two, &three]).await;
    one.run("UPDATE notes SET a = 'parked' WHERE id = 'x'").await;
    let body = one.bodies_for(&two).await.remove(0);
    let skewed = ahead(&body, 61_000 + Duration::from_secs(60).as_secs());
    two.take(vec![skewed.clone()], &one).await;
    two.run("UPDATE notes SET a = 'mine' WHERE id = 'x'").await;
    // Time has caught up at the third one.
    let part = mesh_tables::IncomingPart { body: skewed, member: one.id() };
    let later = UnixMillis(three.now().await.0 + 2 * 61_000);
    three.tables.apply(vec![part], later).await.unwrap();
    three.tables.settle().await.unwrap();
    two.give(&three).await;
    assert_eq!(three.notes().await, ["x|parked|1|-"]);
    assert_eq!(three.conflicts().await.len(), 1);
    two.tables.retry_parked(later).await.unwrap();
    assert_eq!(two.notes().await, three.notes().await);
    assert_eq!(two.conflicts().await, three.conflicts().await);
}

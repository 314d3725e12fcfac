//! A power cut in the middle of a large transaction, on the side that writes it and on the one that gets it.

use std::cell::Cell;

use mesh_control::ControlClient;

use super::desk::{LONG, equal, statement};
use crate::agent::{Agent, eventually, linked, mesh};

const ROWS: u32 = 50_000;

const COUNT: &str = "SELECT count(*) FROM readings";

const TABLE: &str = "CREATE TABLE readings (id INTEGER PRIMARY KEY, value INTEGER, note TEXT)";

fn insert() -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO readings SELECT i, i * 7, 'note ' || i FROM n"
    )
}

/// Bytes of what was written to the database and not moved to its place: what a transaction does shows here.
fn wal_bytes(agent: &Agent) -> u64 {
    std::fs::metadata(agent.data_dir().join("data.db-wal")).map_or(0, |found| found.len())
}

async fn three(dir: &std::path::Path) -> [Agent; 3] {
    let agents = mesh(dir, ["one", "two", "three"]).await;
    agents[0].create(TABLE).await;
    for agent in &agents {
        agent.shows(COUNT, &["0"]).await;
    }
    agents
}

/// Kills `victim` when it has written more than `bytes` to its WAL, and when `is_over` at the latest.
async fn kill_half_way(victim: &mut Agent, bytes: u64, is_over: &Cell<bool>) {
    let limit = wal_bytes(victim) + bytes;
    let what = format!("{} is in the middle of it", victim.name());
    eventually(LONG, &what, async || (wal_bytes(victim) > limit || is_over.get()).then_some(()))
        .await;
    victim.kill9();
}

async fn all_or_nothing(agents: &[&Agent]) -> String {
    equal(agents).await;
    let count = agents[0].rows(COUNT).await.swap_remove(0);
    assert!(count == "0" || count == ROWS.to_string(), "{count}");
    count
}

#[tokio::test]
async fn a_writer_killed_in_the_middle_of_a_large_transaction_leaves_all_of_it_or_nothing() {
    // Into the insert, into the sealing of it, and about when it is sent.
    for bytes in [256 << 10, 2 << 20, 5 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let [mut one, two, three] = three(dir.path()).await;
        let client = ControlClient::new(one.client().path().to_owned());
        let (sql, is_over) = (statement(&insert()), Cell::new(false));
        let writing = async {
            let result = client.sql(&sql).await;
            is_over.set(true);
            result.is_ok()
        };
        let (is_acknowledged, ()) = tokio::join!(writing, kill_half_way(&mut one, bytes, &is_over));
        one.restart().await;
        linked(&[&one, &two, &three]).await;
        // Behind whatever came of it.
        one.create("CREATE TABLE last (id INTEGER PRIMARY KEY)").await;
        for agent in [&two, &three] {
            agent.shows("SELECT count(*) FROM last", &["0"]).await;
        }
        let count = all_or_nothing(&[&one, &two, &three]).await;
        assert!(!is_acknowledged || count != "0", "it was acknowledged");
        eprintln!("killed after {bytes} bytes: acknowledged {is_acknowledged}, {count} rows");
    }
}

#[tokio::test]
async fn a_receiver_killed_in_the_middle_of_a_large_transaction_gets_all_of_it() {
    for bytes in [0, 512 << 10, 3 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let [one, mut two, three] = three(dir.path()).await;
        let (sql, is_over) = (insert(), Cell::new(false));
        let writing = async {
            one.write(&sql).await;
            three.shows(COUNT, &["50000"]).await;
            is_over.set(true);
        };
        let ((), ()) = tokio::join!(writing, kill_half_way(&mut two, bytes, &is_over));
        two.restart().await;
        two.shows(COUNT, &["50000"]).await;
        assert_eq!(all_or_nothing(&[&one, &two, &three]).await, "50000");
    }
}

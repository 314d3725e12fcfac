//! A member that joins a mesh with much data, and is killed on the way.

use std::path::Path;
use std::time::Instant;

use super::columns::link_bytes;
use super::desk::{LONG, NOTES, equal};
use crate::agent::{Agent, Extra, eventually, free_port, linked, mesh};

/// How much is there; up to 1024 for a long run.
const SIZE: &str = "MESH_TEST_SNAPSHOT_MIB";
const MIB_DEFAULT: u64 = 60;

const ROW_BYTES: u64 = 4096;
const ROWS_PER_MIB: u64 = (1 << 20) / ROW_BYTES;

/// What an agent may have needed at most while it served.
const MEMORY_KIB_MAX: u64 = 100 << 10;

/// What the log keeps when every member has it, and one transaction more.
const LOG_BYTES_MAX: u64 = 8 << 20;

const COUNT: &str = "SELECT count(*) FROM blobs";

fn mib() -> u64 {
    std::env::var(SIZE).map_or(MIB_DEFAULT, |given| given.parse().unwrap())
}

/// The most memory that the process ever had, in KiB.
fn memory_max(agent: &Agent) -> u64 {
    let path = format!("/proc/{}/status", agent.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Two members with much data that changes, both started anew, so that what they needed to load it does not
/// count as what they need to serve it.
async fn loaded(dir: &Path) -> [Agent; 2] {
    let [mut one, mut two] = mesh(dir, ["one", "two"]).await;
    one.create("CREATE TABLE blobs (id INTEGER PRIMARY KEY, content BLOB, edits INTEGER)").await;
    let rows = 4 * ROWS_PER_MIB;
    for part in 0..mib() / 4 {
        let (first, last) = (part * rows, (part + 1) * rows);
        one.write(&format!(
            "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {last})
             INSERT INTO blobs SELECT i, randomblob({ROW_BYTES}), 0 FROM n"
        ))
        .await;
    }
    equal(&[&one, &two]).await;
    for agent in [&mut one, &mut two] {
        let _stopped = agent.terminate().await;
        agent.restart().await;
    }
    linked(&[&one, &two]).await;
    for agent in [&one, &two] {
        eventually(LONG, "what both have is no longer kept for anybody", async || {
            (agent.status().await.data.log_bytes < LOG_BYTES_MAX).then_some(())
        })
        .await;
    }
    [one, two]
}

/// Writes on both members until `is_done`, as many rows each as are said at the end.
async fn write_until<T>(
    agents: [&Agent; 2],
    first: u64,
    mut is_done: impl AsyncFnMut() -> Option<T>,
) -> (u64, T) {
    let mut written = 0;
    let done = eventually(LONG * 10, "the newcomer is so far", async || {
        for (agent, place) in agents.into_iter().zip(0_u64..) {
            let id = 1_000_000_000 + 2 * (first + written) + place;
            agent.write(&format!("INSERT INTO blobs VALUES ({id}, NULL, 0)")).await;
            let edited = (first + written) % (mib() / 4 * 4 * ROWS_PER_MIB);
            agent.write(&format!("UPDATE blobs SET edits = edits + 1 WHERE id = {edited}")).await;
        }
        written += 1;
        is_done().await
    })
    .await;
    (written, done)
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "says how long it took")]
async fn a_newcomer_that_is_killed_half_way_goes_on_and_is_complete_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let [one, two] = loaded(dir.path()).await;
    let filled = begun.elapsed();
    let port = free_port();
    let extra = Extra::new(&["--metrics", &format!("127.0.0.1:{port}")]);
    let mut new = Agent::start_with(dir.path(), "new", extra).await;
    new.join(&one.token().await).await.unwrap();

    let all = mib() / 4 * 4 * ROWS_PER_MIB;
    let (written, before) = write_until([&one, &two], 0, async || {
        let count = new.try_rows(COUNT).await?.first()?.parse::<u64>().ok()?;
        (count > all * 2 / 5).then_some(count)
    })
    .await;
    new.kill9();
    assert!(before < all * 9 / 10, "killed too late: {before} of {all} rows are there");
    let views = new.number_past("SELECT count(*) FROM mesh_snapshot WHERE is_done = 0").await;
    assert!(views > 0, "where it is to go on is not known");
    let kept = new.number_past(COUNT).await;
    assert!(kept >= i64::try_from(before).unwrap(), "{kept} of {before} rows are kept");

    new.restart().await;
    assert!(new.rows(COUNT).await[0].parse::<u64>().unwrap() >= before);
    let (more, ()) = write_until([&one, &two], written, async || {
        let count = new.try_rows(COUNT).await?.first()?.parse::<u64>().ok()?;
        let data = new.status().await.data;
        (count > all && data.snapshot_percent.is_none() && data.behind == 0).then_some(())
    })
    .await;
    let complete = begun.elapsed();
    equal(&[&one, &two, &new]).await;
    let expected = (all + 2 * (written + more)).to_string();
    assert_eq!(new.rows(COUNT).await, [expected]);
    assert!(new.conflicts().await.len() == one.conflicts().await.len());

    // What came after the restart is what was missing, not everything once more.
    let lacking = (all - before) * ROW_BYTES;
    let came = link_bytes(port).await;
    let limit = lacking + lacking / 3 + (8 << 20);
    eprintln!("{before} of {all} rows before the kill, {came} bytes after it, {lacking} lacked");
    eprintln!("filled in {filled:?}, complete after {:?} more", complete.saturating_sub(filled));
    eprintln!("{} needed {} KiB since it was killed", new.name(), memory_max(&new));
    assert!(came < limit, "{came} bytes came where {lacking} lacked");
    for agent in [&one, &two] {
        let needed = memory_max(agent);
        eprintln!("{} needed {needed} KiB", agent.name());
        assert!(needed <= MEMORY_KIB_MAX, "{} needed {needed} KiB", agent.name());
    }
}

#[tokio::test]
async fn a_write_right_after_joining_waits_for_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    // So much that it takes a while to arrive.
    one.create("CREATE TABLE blobs (id INTEGER PRIMARY KEY, content BLOB)").await;
    one.write(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO blobs SELECT i, randomblob({ROW_BYTES}) FROM n"
    ))
    .await;
    one.create(NOTES).await;
    one.write("INSERT INTO notes VALUES (1, 'title', 'body')").await;
    two.shows("SELECT count(*) FROM notes", &["1"]).await;
    two.write("DELETE FROM notes WHERE id = 1").await;
    for agent in [&one, &two] {
        eventually(LONG, "the deletion is forgotten", async || {
            let rows = "SELECT count(*) FROM notes__mesh_row";
            (agent.number_past(rows).await == 0).then_some(())
        })
        .await;
    }
    let new = Agent::start(dir.path(), "new").await;
    new.join(&one.token().await).await.unwrap();
    // The table is not here yet, nor is the deletion, which would take this row away here alone.
    new.write("INSERT INTO notes VALUES (1, 'new', '')").await;
    equal(&[&one, &two, &new]).await;
    for agent in [&one, &two, &new] {
        assert_eq!(agent.rows("SELECT * FROM notes").await, ["1|new|"]);
        assert!(agent.conflicts().await.is_empty());
    }
}

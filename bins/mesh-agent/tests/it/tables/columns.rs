//! A column that is added to a table with many rows, while some members are away.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::desk::equal;
use crate::agent::{Agent, Extra, free_port, linked, mesh, within};

const ROWS: u64 = 100_000;

/// What the links may carry for the change of the schema, its answers and whatever else they carry meanwhile.
const BYTES_MAX: u64 = ROWS / 4;

const COUNT: &str = "SELECT count(*) FROM readings";

/// An agent that shows its figures at a port.
async fn measured(dir: &std::path::Path, name: &str) -> (Agent, u16) {
    let port = free_port();
    let extra = Extra::new(&["--metrics", &format!("127.0.0.1:{port}")]);
    (Agent::start_with(dir, name, extra).await, port)
}

/// Bytes that went over all links of an agent, in both directions.
pub(super) async fn link_bytes(port: u16) -> u64 {
    let fetched = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = within(fetched).await;
    let counted = answer.lines().filter(|line| {
        line.starts_with("mesh_link_sent_bytes_total{")
            || line.starts_with("mesh_link_received_bytes_total{")
    });
    let values = counted.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
    // Whole numbers, far below what a float can tell apart.
    values.map(|value| format!("{value:.0}").parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_column_added_to_a_table_with_many_rows_sends_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (one, one_port) = measured(dir.path(), "one").await;
    let (two, two_port) = measured(dir.path(), "two").await;
    let (mut old, _) = measured(dir.path(), "old").await;
    for agent in [&two, &old] {
        agent.join(&one.token().await).await.unwrap();
    }
    linked(&[&one, &two, &old]).await;
    one.create("CREATE TABLE readings (id INTEGER PRIMARY KEY, value INTEGER)").await;
    one.write(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO readings SELECT i, i * 7 FROM n"
    ))
    .await;
    for agent in [&one, &two, &old] {
        agent.shows(COUNT, &["100000"]).await;
    }
    equal(&[&one, &two, &old]).await;

    // One member is away during the change and writes what it knows.
    let _stopped = old.terminate().await;
    old.write_past(
        "UPDATE readings SET value = -1 WHERE id = 1; INSERT INTO readings VALUES (0, 0)",
    )
    .await;
    linked_again(&one, &two).await;
    let before = [link_bytes(one_port).await, link_bytes(two_port).await];
    one.write("ALTER TABLE readings ADD COLUMN unit TEXT NOT NULL DEFAULT 'metre'").await;
    two.shows("SELECT count(*) FROM readings WHERE unit = 'metre'", &["100000"]).await;
    let after = [link_bytes(one_port).await, link_bytes(two_port).await];
    for (before, after) in before.into_iter().zip(after) {
        let sent = after - before;
        assert!(sent < BYTES_MAX, "{sent} bytes for a column of {ROWS} rows");
    }
    two.write("UPDATE readings SET unit = 'foot' WHERE id = 1").await;
    one.write("INSERT INTO readings VALUES (200000, 3, 'inch')").await;

    old.restart().await;
    let expected = ["0|0|metre", "1|-1|foot", "2|14|metre", "200000|3|inch"];
    let query = "SELECT * FROM readings WHERE id IN (0, 1, 2, 200000) ORDER BY id";
    for agent in [&one, &two, &old] {
        agent.shows(query, &expected).await;
    }
    equal(&[&one, &two, &old]).await;
    assert_eq!(one.conflicts().await, []);
    old.write("UPDATE readings SET unit = 'mile' WHERE id = 2").await;
    one.shows("SELECT unit FROM readings WHERE id = 2", &["mile"]).await;
}

#[tokio::test]
async fn a_column_that_two_members_made_differently_is_the_same_on_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let [one, mut two, three] = mesh(dir.path(), ["one", "two", "three"]).await;
    one.create("CREATE TABLE readings (id INTEGER PRIMARY KEY, value INTEGER)").await;
    one.write("INSERT INTO readings VALUES (1, 1), (2, 2), (3, 3), (4, 4)").await;
    equal(&[&one, &two, &three]).await;

    let _stopped = two.terminate().await;
    one.write("ALTER TABLE readings ADD COLUMN scale INTEGER NOT NULL DEFAULT 1").await;
    one.write("UPDATE readings SET scale = 10 WHERE id = 1").await;
    two.write_past(
        "ALTER TABLE readings ADD COLUMN scale TEXT DEFAULT 'none'; \
         UPDATE readings SET scale = '20' WHERE id = 2; UPDATE readings SET scale = 'many' WHERE id = 3",
    )
    .await;
    two.restart().await;

    let expected = ["1|10", "2|20", "3|many", "4|1"];
    let made = "SELECT count(*) FROM sqlite_schema \
                WHERE name = 'readings' AND sql LIKE '%scale INTEGER NOT NULL DEFAULT 1)'";
    for agent in [&one, &two, &three] {
        agent.shows("SELECT id, scale FROM readings ORDER BY id", &expected).await;
        assert_eq!(agent.number_past(made).await, 1, "{}", agent.name());
        assert_eq!(agent.number_past("SELECT count(*) FROM mesh_set_aside").await, 1);
    }
    equal(&[&one, &two, &three]).await;
}

/// The two are linked, whatever became of the third member.
async fn linked_again(one: &Agent, two: &Agent) {
    crate::agent::eventually(Duration::from_secs(20), "the two are linked", async || {
        one.members().await.get("two").copied().unwrap_or(false).then_some(())?;
        two.members().await.get("one").copied().unwrap_or(false).then_some(())
    })
    .await;
}

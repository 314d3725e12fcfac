//! The page of figures, as a collector reads it.

use std::collections::BTreeMap;

use mesh_control::TableCreate;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::agent::{Agent, Extra, bare_command, free_port, linked, within};

/// Fetches the page and reads every line of it: the value by name and labels.
async fn figures(port: u16) -> BTreeMap<String, f64> {
    let fetched = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = within(fetched).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    let mut figures = BTreeMap::new();
    for line in lines {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(name.starts_with("mesh_"), "{line}");
        let family = name.split('{').next().unwrap();
        // What a counter and a histogram append to their name.
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        let described = suffixes.iter().find_map(|suffix| family.strip_suffix(suffix));
        let described = described.unwrap_or(family);
        assert!(body.contains(&format!("# TYPE {described} ")), "{line}");
        let twice = figures.insert(name.to_owned(), value.parse().unwrap());
        assert!(twice.is_none(), "{line}");
    }
    figures
}

#[tokio::test]
async fn a_collector_on_this_machine_reads_how_the_agent_is() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let extra = Extra::new(&["--metrics", &format!("127.0.0.1:{port}")]);
    let one = Agent::start_with(dir.path(), "one", extra).await;
    let two = Agent::start(dir.path(), "two").await;
    two.join(&one.token().await).await.unwrap();
    linked(&[&one, &two]).await;
    one.send_acked("two", "counted").await;
    two.send_acked("one", "kept").await;
    let table = "CREATE TABLE notes (id INTEGER PRIMARY KEY NOT NULL, text TEXT)".to_owned();
    one.client().table_create(&TableCreate { sql: table }).await.unwrap();

    let figures = figures(port).await;
    let value = |name: &str| *figures.get(name).unwrap_or_else(|| panic!("{name}: {figures:?}"));
    assert_eq!(value("mesh_members{state=\"alive\"}"), 2.0);
    assert_eq!(value("mesh_members{state=\"inactive\"}"), 0.0);
    assert_eq!(value("mesh_routes{way=\"direct\"}"), 1.0);
    assert_eq!(value("mesh_links"), 1.0);
    assert_eq!(value("mesh_queue_messages{queue=\"inbox\"}"), 1.0);
    assert_eq!(value("mesh_queue_messages{queue=\"outbox\"}"), 0.0);
    assert_eq!(value("mesh_deliveries_total{queue=\"outbox\",result=\"acked\"}"), 1.0);
    assert_eq!(value("mesh_commit_seconds_count{queue=\"outbox\"}"), 1.0);
    assert_eq!(value("mesh_deliveries_total{queue=\"custody\",result=\"expired\"}"), 0.0);
    assert!(value("mesh_queue_messages_max{queue=\"outbox\"}") >= 1000.0);
    assert_eq!(value("mesh_tables{state=\"live\"}"), 1.0);
    assert_eq!(value("mesh_tables_state{state=\"ok\"}"), 1.0);
    assert_eq!(value("mesh_tables_state{state=\"disk_full\"}"), 0.0);
    // Those of the table, and of the agents' own entries in the configuration.
    assert!(value("mesh_tables_log_entries") > 1.0);
    assert!(value("mesh_tables_transactions_total{way=\"received\"}") > 0.0);
    for name in ["behind", "parked", "conflicts", "unsent_rows", "spool_size_bytes"] {
        assert_eq!(value(&format!("mesh_tables_{name}")), 0.0, "{name}");
    }
    for name in ["log", "database", "wal"] {
        assert!(value(&format!("mesh_tables_{name}_size_bytes")) > 0.0, "{name}");
    }
    assert!(value("mesh_uptime_seconds") > 0.0);
    let labels = format!("{{peer=\"{}\",hostname=\"two\"}}", two.peer_id().short());
    assert!(value(&format!("mesh_link_round_trip_seconds{labels}")) > 0.0);
    assert!(value(&format!("mesh_link_sent_bytes_total{labels}")) > 100.0);
    assert!(value(&format!("mesh_link_received_bytes_total{labels}")) > 100.0);
    assert!(figures.keys().any(|name| name.starts_with("mesh_build_info{version=")));
}

#[test]
fn figures_for_other_machines_are_refused_and_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = bare_command();
    command.args(["--metrics", "0.0.0.0:9464", "--listen", "127.0.0.1:0", "--data-dir"]);
    let output = command.arg(dir.path().join("data")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no loopback address: use 127.0.0.1:9464"), "{said}");
    assert!(!dir.path().join("data").exists());
}

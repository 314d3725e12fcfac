//! Starting, stopping, and what an agent says when it cannot start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use sqlx::{Connection as _, SqliteConnection};

use crate::agent::{Agent, Extra, PATIENCE, bare_command, eventually, linked, mesh, within};

/// Runs a command to its end: its exit code and what it said on standard error.
async fn run(mut command: Command, log: &Path) -> (Option<i32>, String) {
    let file = fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let mut child = command.spawn().unwrap();
    let ended = eventually(PATIENCE, "the command ends", async || child.try_wait().unwrap()).await;
    (ended.code(), fs::read_to_string(log).unwrap())
}

/// The agent does not start, says why in one line, and exits with 1.
pub(crate) async fn assert_refuses(command: Command, log: &Path, words: &[&str]) {
    let (code, said) = run(command, log).await;
    assert_eq!(code, Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("mesh-agent: "), "{said}");
    for word in words {
        assert!(last.contains(word), "{word:?} is not in {last:?}");
    }
}

#[tokio::test]
async fn both_signals_stop_the_agent_with_exit_code_0() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, two] = mesh(dir.path(), ["one", "two"]).await;
    // With somebody who waits for news on the socket, and messages that wait for somebody.
    let follower = one.client().events_follow(0).await.unwrap();
    drop(two);
    one.client().send(&crate::agent::text_message("two", "later")).await.unwrap();
    assert_eq!(one.terminate().await.code(), Some(0));
    drop(follower);
    assert!(!one.client().path().exists(), "the socket is gone");

    one.restart().await;
    assert_eq!(one.status().await.outbox.messages, 1);
    kill_process(one.pid(), Signal::INT).unwrap();
    let log = one.log();
    eventually(PATIENCE, "SIGINT is heard", async || (one.log() != log).then_some(())).await;
    assert_eq!(one.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn the_ready_line_names_hostname_peer_port_and_socket() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path(), "oak").await;
    let status = agent.status().await;
    assert_eq!(status.pid, u32::try_from(agent.pid().as_raw_nonzero().get()).unwrap());
    assert_eq!(status.listen, [agent.address().to_string()]);
    let expected = format!(
        "ready hostname=oak peer_id={} listen={} socket={}",
        agent.peer_id(),
        agent.address(),
        agent.client().path().display(),
    );
    let log = agent.log();
    let ready: Vec<&str> = log.lines().filter(|line| line.starts_with("ready ")).collect();
    assert_eq!(ready, [expected]);
}

#[tokio::test]
async fn a_second_agent_on_a_data_directory_names_the_process_that_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Agent::start(dir.path(), "holder").await;
    let pid = holder.pid().as_raw_nonzero().to_string();
    let mut second = bare_command();
    second.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(holder.data_dir());
    assert_refuses(second, &dir.path().join("second.log"), &["another agent", &pid]).await;
    holder.send_acked("holder", "still here").await;
}

#[tokio::test]
async fn a_port_or_socket_that_is_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Agent::start(dir.path(), "holder").await;
    let address = holder.address().to_string();
    let mut second = bare_command();
    second.args(["--listen", &address, "--data-dir"]).arg(dir.path().join("second"));
    assert_refuses(second, &dir.path().join("second.log"), &[&address, "taken"]).await;

    let mut third = bare_command();
    let socket = holder.client().path();
    third.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("third"));
    third.arg("--socket").arg(socket);
    let shown = socket.display().to_string();
    assert_refuses(third, &dir.path().join("third.log"), &[&shown]).await;
    holder.send_acked("holder", "still here").await;
}

#[tokio::test]
async fn a_configuration_file_that_makes_no_sense_is_refused_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let config = dir.path().join("agent.toml");
    let cases = [
        ("listen = 13500\n", "listen"),
        ("hostname = \"two words\"\n", "hostname"),
        ("hostnam = \"oak\"\n", "hostnam"),
        ("listen = [", "agent.toml"),
    ];
    for (text, word) in cases {
        fs::write(&config, text).unwrap();
        let mut command = bare_command();
        command.arg("--config").arg(&config).arg("--data-dir").arg(&data_dir);
        let log = dir.path().join("config.log");
        let (code, said) = run(command, &log).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("agent.toml") && said.contains(word), "{said}");
    }
    let mut command = bare_command();
    command.arg("--config").arg(dir.path().join("absent.toml"));
    assert_refuses(command, &dir.path().join("absent.log"), &["absent.toml"]).await;
    assert!(!data_dir.exists(), "nothing was created");
}

#[tokio::test]
async fn an_agent_starts_from_a_configuration_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.toml");
    fs::write(&config, "hostname = \"from-the-file\"\nlog_format = \"json\"\n").unwrap();
    let extra = Extra::new(&["--config", config.to_str().unwrap()]);
    let agent = Agent::start_with(dir.path(), "from-the-flag", extra).await;
    assert_eq!(agent.status().await.hostname, "from-the-flag", "a flag beats the file");
    let log = agent.log();
    let lines = log.lines().filter(|line| !line.starts_with("ready "));
    for line in lines {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path(), "oak").await;
    assert!(agent.terminate().await.success());
    let path = agent.data_dir().join("mesh.db");
    let url = format!("sqlite://{}", path.display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (999, 'from the future', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let log = dir.path().join("newer.log");
    assert_refuses(agent.command(), &log, &["mesh.db", "schema 999"]).await;
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_or_foreign_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path(), "oak").await;
    assert!(agent.terminate().await.success());
    let path = agent.data_dir().join("mesh.db");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[4096..].fill(0xa5);
    for content in [damaged, b"this is no database".repeat(1000), whole[..whole.len() / 2].to_vec()]
    {
        fs::write(&path, &content).unwrap();
        let log = dir.path().join("damaged.log");
        assert_refuses(agent.command(), &log, &["mesh.db"]).await;
    }
    fs::write(&path, &whole).unwrap();
    agent.restart().await;
    assert_eq!(agent.status().await.hostname, "oak");
}

#[tokio::test]
async fn a_key_file_that_others_can_read_or_that_is_damaged_or_gone_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path(), "oak").await;
    let peer_id = agent.peer_id();
    assert!(agent.terminate().await.success());
    let path = agent.data_dir().join("node.key");
    let log = dir.path().join("key.log");
    for mode in [0o640, 0o604, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let words = ["node.key", "others may read it", &format!("{mode:o}"), "chmod 600"];
        assert_refuses(agent.command(), &log, &words).await;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    assert_refuses(agent.command(), &log, &["node.key", "not a key file"]).await;
    fs::write(&path, whole.replacen("node-key ", "node-key A", 1)).unwrap();
    assert_refuses(agent.command(), &log, &["node.key", "cut short or altered"]).await;
    fs::remove_file(&path).unwrap();
    assert_refuses(agent.command(), &log, &["node.key", "missing"]).await;
    assert!(!path.exists(), "no other key took its place");
    // Another agent's key file does not open this agent's secrets.
    let mut other = Agent::start(dir.path(), "elm").await;
    assert!(other.terminate().await.success());
    fs::copy(other.data_dir().join("node.key"), &path).unwrap();
    assert_refuses(agent.command(), &log, &["node.key", "another key file"]).await;

    fs::write(&path, &whole).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    agent.restart().await;
    assert_eq!(agent.status().await.peer_id, peer_id);
}

#[tokio::test]
async fn two_members_that_both_restart_link_again_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, mut two] = mesh(dir.path(), ["one", "two"]).await;
    one.send_acked("two", "before").await;
    assert!(one.terminate().await.success());
    assert!(two.terminate().await.success());
    one.restart().await;
    two.restart().await;
    linked(&[&one, &two]).await;
    one.send_acked("two", "after").await;
    two.send_acked("one", "after").await;
    assert_eq!(two.texts().await, ["before", "after"]);
    let seen = one.peers().await;
    assert!(seen.iter().all(|peer| peer.last_seen_at.is_some()), "{seen:?}");
}

#[tokio::test]
async fn a_member_that_moved_to_another_port_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, two] = mesh(dir.path(), ["one", "two"]).await;
    one.kill9();
    one.move_to(crate::agent::free_port());
    one.restart().await;
    linked(&[&one, &two]).await;
    let address = one.address().to_string();
    eventually(PATIENCE, "the new address is known", async || {
        let peers = two.peers().await;
        let known =
            peers.iter().any(|peer| peer.hostname == "one" && peer.addresses == [address.clone()]);
        known.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_socket_left_behind_by_a_killed_agent_is_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path(), "oak").await;
    let mode = fs::metadata(agent.client().path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "nobody else may open the socket");
    agent.kill9();
    assert!(agent.client().path().exists());
    let error = within(agent.client().status()).await.unwrap_err();
    assert_eq!(error.code(), mesh_protocol::ErrorCode::AgentUnreachable);
    agent.restart().await;
    assert_eq!(agent.status().await.hostname, "oak");
}

//! What the doctor says of real faults: of a machine where no agent runs, and by an agent that does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use mesh_control::CheckView;
use mesh_protocol::{
    Frame, JoinRequest, LinkPing, ProtocolVersion, Record, UnixMillis, VersionRange,
};
use mesh_transport::{JoinRoute, Lane};

use crate::agent::{Agent, Extra, NEWS, bare_command, eventually, mesh, within};
use crate::stranger::{Stranger, content, key};

/// What the agent's program finds with these flags; none of them asks Tailscale unless it says so.
fn examined(data_dir: &Path, arguments: &[&str]) -> Vec<CheckView> {
    let mut command = bare_command();
    command.args(["doctor", "--json", "--data-dir"]).arg(data_dir).args(arguments);
    let output = command.output().unwrap();
    let checks: Vec<CheckView> = serde_json::from_slice(&output.stdout).unwrap();
    let is_well = checks.iter().all(|check| check.ok);
    assert_eq!(output.status.code(), Some(i32::from(!is_well)), "{checks:?}");
    checks
}

fn check<'a>(checks: &'a [CheckView], name: &str) -> &'a CheckView {
    checks.iter().find(|check| check.check == name).unwrap_or_else(|| panic!("{checks:?}"))
}

fn failed<'a>(checks: &'a [CheckView], name: &str) -> &'a CheckView {
    let found = check(checks, name);
    assert!(!found.ok && !found.hint.is_empty(), "{found:?}");
    found
}

/// A LocalAPI of Tailscale that answers with one of the fixtures.
fn serve_tailscale(dir: &Path, fixture: &str) -> PathBuf {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tailscale");
    let body = fs::read_to_string(Path::new(fixtures).join(fixture)).unwrap();
    let socket = dir.join("tailscaled.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    let config = dir.join("agent.toml");
    fs::write(&config, format!("[discovery]\ntailscale_socket = \"{}\"\n", socket.display()))
        .unwrap();
    config
}

#[test]
fn a_port_that_is_taken_is_named_with_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let checks = examined(dir.path(), &["--listen", &address, "--no-tailscale"]);
    let port = failed(&checks, "port");
    assert!(port.detail.contains(&format!("{address} is taken by")), "{port:?}");
    if cfg!(target_os = "linux") {
        assert!(port.detail.contains(&format!("(process {})", std::process::id())), "{port:?}");
    }
    let checks = examined(dir.path(), &["--listen", "127.0.0.1:0", "--no-tailscale"]);
    assert!(check(&checks, "port").ok, "{checks:?}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("file");
    fs::write(&in_the_way, "in the way").unwrap();
    for data_dir in [in_the_way.clone(), in_the_way.join("deeper")] {
        let checks = examined(&data_dir, &["--listen", "127.0.0.1:0", "--no-tailscale"]);
        let found = failed(&checks, "permissions");
        assert!(found.detail.contains("not writable"), "{found:?}");
        assert!(found.hint.contains(&in_the_way.display().to_string()), "{found:?}");
    }
    assert!(in_the_way.is_file(), "nothing was changed");
}

/// A file system of eight megabytes, mounted where nobody but the program sees it.
#[test]
fn a_full_disk_is_named_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$1\" || exit 77; \
        exec \"$0\" doctor --json --data-dir \"$1\" --listen 127.0.0.1:0 --no-tailscale";
    let program = bare_command().get_program().to_owned();
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    let output = command.arg(program).arg(dir.path()).output();
    let Some(output) = output.ok().filter(|output| !output.stdout.is_empty()) else {
        eprintln!(
            "this system lets no test mount a file system; the judgement has tests of its own"
        );
        return;
    };
    let checks: Vec<CheckView> = serde_json::from_slice(&output.stdout).unwrap();
    let disk = failed(&checks, "disk");
    assert!(disk.detail.contains("8 MiB free of 8 MiB"), "{disk:?}");
    assert!(disk.hint.contains("make room"), "{disk:?}");
}

#[test]
fn a_damaged_database_is_named_before_anything_is_started() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mesh.db"), "no database at all".repeat(100)).unwrap();
    let checks = examined(dir.path(), &["--listen", "127.0.0.1:0", "--no-tailscale"]);
    let found = failed(&checks, "database");
    assert!(found.detail.contains("is damaged") && found.hint.contains("backup"), "{found:?}");
}

#[test]
fn damaged_tables_are_named_and_that_the_other_members_mend_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data.db"), "no database at all".repeat(100)).unwrap();
    let checks = examined(dir.path(), &["--listen", "127.0.0.1:0", "--no-tailscale"]);
    let found = failed(&checks, "tables");
    assert!(found.detail.contains("data.db is damaged"), "{found:?}");
    assert!(found.hint.contains("from the other members"), "{found:?}");
}

#[tokio::test]
async fn sound_tables_are_told_from_those_of_another_program_and_looking_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path(), "one").await;
    let _stopped = agent.terminate().await;
    let database = || fs::read(agent.data_dir().join("data.db")).unwrap();
    let before = database();
    let line = ["--listen", "127.0.0.1:0", "--no-tailscale"];
    let checks = examined(agent.data_dir(), &line);
    assert!(check(&checks, "tables").detail.contains("is sound"), "{checks:?}");
    assert!(database() == before);
    // The other database in its place is a sound one, too.
    for beside in ["data.db-wal", "data.db-shm"] {
        let _absent = fs::remove_file(agent.data_dir().join(beside));
    }
    fs::copy(agent.data_dir().join("mesh.db"), agent.data_dir().join("data.db")).unwrap();
    let found = failed(&examined(agent.data_dir(), &line), "tables").clone();
    assert!(found.detail.contains("of another program"), "{found:?}");
}

#[tokio::test]
async fn tailscale_that_is_logged_out_or_stopped_is_named_with_the_mend() {
    for (fixture, words) in
        [("status-logged-out.json", "logged out"), ("status-stopped.json", "stopped")]
    {
        let dir = tempfile::tempdir().unwrap();
        let config = serve_tailscale(dir.path(), fixture);
        let config = ["--config", config.to_str().unwrap()];
        let line = [config.as_slice(), &["--listen", "127.0.0.1:0"]].concat();
        let checks = examined(&dir.path().join("data"), &line);
        let before = failed(&checks, "tailscale");
        assert!(before.detail.contains(words), "{before:?}");
        assert!(before.hint.contains("tailscale up"), "{before:?}");

        let extra = Extra { asks_tailscale: true, ..Extra::new(&config) };
        let agent = Agent::start_with(dir.path(), "one", extra).await;
        let checks = agent.client().doctor().await.unwrap();
        assert_eq!(failed(&checks, "tailscale").detail, before.detail);
    }
}

#[tokio::test]
async fn an_agent_that_is_well_says_so_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let checks = one.client().doctor().await.unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check.check.as_str()).collect();
    let expected = [
        "agent",
        "port",
        "firewall",
        "tailscale",
        "clock",
        "disk",
        "permissions",
        "database",
        "tables",
        "versions",
        "links",
    ];
    assert_eq!(names, expected);
    // The machine of the test may have a full disk; nobody else is to blame for it.
    let machine = ["agent", "port", "firewall", "tailscale", "clock", "permissions"];
    for name in machine.into_iter().chain(["database", "tables", "versions"]) {
        let found = check(&checks, name);
        assert!(found.ok && found.hint.is_empty(), "{found:?}");
    }
    let port = check(&checks, "port");
    assert!(port.detail.contains(&one.address().to_string()), "{port:?}");
    assert!(check(&checks, "links").detail.contains("all other members (1)"), "{checks:?}");
    drop(two);
    let is_named = "the member that is gone is named";
    eventually(crate::agent::PATIENCE, is_named, async || {
        let checks = one.client().doctor().await.unwrap();
        let links = check(&checks, "links").clone();
        (!links.ok && links.detail.contains("two (")).then_some(())
    })
    .await;
}

/// A program of a time to come, on a machine whose clock is wrong.
async fn enter(issuer: &Agent) -> Stranger {
    let stranger = Stranger::new(key(44));
    let token = issuer.parsed_token().await;
    let Record::Profile(mut profile) = content(&stranger.profile(token.mesh_id, "later", 1)) else {
        panic!("a profile is one");
    };
    let version = ProtocolVersion { major: 9, minor: 0 };
    profile.versions = VersionRange { min: version, max: version };
    let request = JoinRequest {
        versions: VersionRange::SUPPORTED,
        token_id: token.token_id,
        secret: *token.secret().bytes(),
        profile: stranger.sign(Record::Profile(profile)),
    };
    let to = (issuer.peer_id(), issuer.address());
    let reply = stranger.ask(to, JoinRoute::Join, Frame::JoinRequest(request)).await.unwrap();
    assert!(matches!(reply, Frame::JoinReply(_)), "{reply:?}");
    stranger
}

#[tokio::test]
async fn a_member_with_a_wrong_clock_or_an_unknown_protocol_is_named_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let one = Agent::start(dir.path(), "one").await;
    let stranger = enter(&one).await;
    let known = async || one.members().await.contains_key("later").then_some(());
    eventually(NEWS, "the member is known", known).await;
    let mesh_id = one.status().await.mesh_id;
    let mut link = stranger.link((one.peer_id(), one.address()), mesh_id).await.unwrap();
    let mut urgent = link.take_receiver(Lane::Urgent);
    let answers = async {
        while let Some(Ok(frame)) = urgent.next().await {
            if let Frame::Ping(ping) = frame {
                let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis());
                let ahead = UnixMillis(now.unwrap()).plus(Duration::from_secs(301));
                let pong = LinkPing { nonce: ping.nonce, sent_at: ahead.0 };
                link.sender().send(Lane::Urgent, &Frame::Pong(pong)).await.unwrap();
            }
        }
        panic!("the link ended");
    };
    let asked = eventually(NEWS, "its clock is named", async || {
        let checks = one.client().doctor().await.unwrap();
        (!check(&checks, "clock").ok).then_some(checks)
    });
    let checks = within(async {
        tokio::select! {
            checks = asked => checks,
            () = answers => unreachable!("it panics"),
        }
    })
    .await;
    let clock = failed(&checks, "clock");
    assert!(clock.detail.contains("later (5 min"), "{clock:?}");
    assert!(clock.hint.contains("timedatectl"), "{clock:?}");
    let versions = failed(&checks, "versions");
    assert!(versions.detail.contains("later (program 0, protocol 9.0)"), "{versions:?}");
    assert!(versions.hint.contains("release"), "{versions:?}");
}

//! Differences that were made behind an agent's back are found, named and told of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use mesh_control::{ConfigCheckView, ConfigFileState, ConfigPeerView, ConfigProblem, ConfigSeal};
use mesh_protocol::{ConfigAbout, ConfigAnswer, ConfigQuestion, ConfigSaid, Frame};
use mesh_transport::{Lane, Link};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::desk::{LONG, edit, in_step};
use crate::agent::{Agent, Extra, eventually, mesh, within};
use crate::stranger::{Stranger, key};

/// How long members are waited for, and some time for everything else.
const WAIT_MAX: Duration = Duration::from_secs(12);

impl Agent {
    async fn check(&self) -> ConfigCheckView {
        self.client().config_check().await.unwrap()
    }

    /// Waits until nothing is found.
    async fn finds_nothing(&self) {
        eventually(LONG, &format!("{} finds nothing", self.name()), async || {
            let check = self.check().await;
            let is_quiet = check.in_sync && check.peers.iter().all(|peer| peer.in_sync);
            is_quiet.then_some(())
        })
        .await;
    }

    /// What it finds at a member; nothing is in order then, as the exit code says.
    async fn finds_at(&self, other: &str) -> ConfigPeerView {
        let check = self.check().await;
        assert!(!check.in_sync, "{check:?}");
        let shown = self.mesh_ctl(&["--json", "config", "check"]);
        assert_eq!(shown.status.code(), Some(1), "{shown:?}");
        let json: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(json["in_sync"], false, "{json}");
        let peers = json["peers"].as_array().unwrap();
        let peer = peers.iter().find(|peer| peer["hostname"] == other).unwrap();
        for list in ["missing", "extra", "different", "stale"] {
            assert!(peer[list].is_array(), "{peer}");
        }
        assert_eq!(peer["in_sync"], false, "{peer}");
        peer_of(&check, other)
    }

    fn mesh_ctl(&self, arguments: &[&str]) -> std::process::Output {
        let program = Path::new(env!("CARGO_BIN_EXE_mesh-agent")).with_file_name("mesh-ctl");
        assert!(program.exists(), "cargo build --package mesh-ctl");
        let mut command = std::process::Command::new(program);
        command.arg("--socket").arg(self.client().path()).args(arguments).output().unwrap()
    }

    /// Writes into its database as an agent does when it applies what others sent, so that nobody hears of it.
    async fn alter(&self, sql: &str) {
        let options = SqliteConnectOptions::new().filename(self.data_dir().join("data.db"));
        let options = options.busy_timeout(Duration::from_secs(30));
        let mut conn = options.connect().await.unwrap();
        let script = format!(
            "BEGIN IMMEDIATE; UPDATE mesh_state SET applying = 1; {sql}; \
             UPDATE mesh_state SET applying = 0; COMMIT"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    async fn local_problems(&self, kind: &str) -> Vec<ConfigProblem> {
        let problems = self.check().await.local.problems.into_iter();
        problems.filter(|problem| problem.kind == kind).collect()
    }
}

fn peer_of(check: &ConfigCheckView, name: &str) -> ConfigPeerView {
    check.peers.iter().find(|peer| peer.hostname == name).unwrap().clone()
}

async fn pair(dir: &Path) -> [Agent; 2] {
    let agents = mesh(dir, ["one", "two"]).await;
    settle(&agents).await;
    agents
}

/// Two members with three keys, in step.
async fn settle(agents: &[Agent; 2]) {
    for agent in agents {
        agent.has_file(&["one", "two"]).await;
    }
    let [one, two] = agents;
    for key in ["a", "b", "c"] {
        one.set(&format!("settings.{key}"), 1).await;
        two.has(&format!("settings.{key}"), 1).await;
    }
    in_step(&agents.each_ref(), LONG).await;
    one.finds_nothing().await;
    two.finds_nothing().await;
}

#[tokio::test]
async fn rows_that_were_changed_in_the_database_of_a_member_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = pair(dir.path()).await;
    two.alter(
        "UPDATE agent_config SET entry = replace(entry, '\"value\":1', '\"value\":2') WHERE key = 'settings.a'; \
         DELETE FROM agent_config WHERE key = 'settings.b'; \
         INSERT INTO agent_config SELECT 'settings.d', entry FROM agent_config WHERE key = 'settings.c'",
    )
    .await;
    let found = one.finds_at("two").await;
    assert!(found.reachable, "{found:?}");
    assert_eq!(found.different, ["settings.a"]);
    assert_eq!(found.missing, ["settings.b"]);
    assert_eq!(found.extra, ["settings.d"]);
    assert_eq!(found.left_out, 0);

    // The machine where it was done sees it the other way round, and that it was done there.
    let found = two.finds_at("one").await;
    assert_eq!(found.extra, ["settings.b"]);
    assert_eq!(found.missing, ["settings.d"]);
    let own = two.local_problems("table_differs").await;
    assert!(own.len() == 1 && own[0].detail.contains("settings.a"), "{own:?}");
    assert!(one.local_problems("table_differs").await.is_empty());

    let shown = one.mesh_ctl(&["config", "check"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    for key in ["settings.a", "settings.b", "settings.d"] {
        assert!(text.contains(key), "{text}");
    }
}

#[tokio::test]
async fn a_member_that_does_not_answer_is_not_reached_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = pair(dir.path()).await;
    kill_process(two.pid(), Signal::STOP).unwrap();
    let check = tokio::time::timeout(WAIT_MAX, one.check()).await.unwrap();
    let found = peer_of(&check, "two");
    assert!(check.in_sync, "{check:?}");
    assert!(!found.reachable && !found.in_sync, "{found:?}");
    assert!(!found.detail.is_empty());
    let shown = one.mesh_ctl(&["--json", "config", "check"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    kill_process(two.pid(), Signal::CONT).unwrap();
    one.finds_nothing().await;

    let mut two = two;
    two.kill9();
    eventually(LONG, "it is not reached", async || {
        (!peer_of(&one.check().await, "two").reachable).then_some(())
    })
    .await;
    two.restart().await;
    one.finds_nothing().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_taken_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = pair(dir.path()).await;
    let good = two.config_text();
    fs::write(two.config_file(), "{\n  \"settings\": oops\n}\n").unwrap();
    two.stands(ConfigFileState::Broken).await;
    let file = one.finds_at("two").await.file.unwrap();
    assert_eq!(file.state, ConfigFileState::Broken);
    assert!(file.detail.contains("line 2"), "{file:?}");
    assert!(!two.check().await.in_sync);
    fs::write(two.config_file(), &good).unwrap();
    one.finds_nothing().await;

    fs::remove_file(two.config_file()).unwrap();
    fs::create_dir(two.config_file()).unwrap();
    fs::write(two.config_file().join("in-the-way"), "").unwrap();
    two.stands(ConfigFileState::Unreadable).await;
    assert_eq!(one.finds_at("two").await.file.unwrap().state, ConfigFileState::Unreadable);
    fs::remove_dir_all(two.config_file()).unwrap();
    one.finds_nothing().await;

    fs::write(two.config_file(), vec![b' '; 9 << 20]).unwrap();
    two.stands(ConfigFileState::Unreadable).await;
    let file = one.finds_at("two").await.file.unwrap();
    assert_eq!(file.state, ConfigFileState::Unreadable);
    assert!(!file.detail.is_empty());
    fs::write(two.config_file(), &good).unwrap();
    one.finds_nothing().await;
}

#[tokio::test]
async fn a_file_whose_folder_takes_no_writes_keeps_the_old_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = dir.path().join("shelf");
    fs::create_dir(&shelf).unwrap();
    let settings = dir.path().join("two.toml");
    let file = shelf.join("mesh-config.json");
    fs::write(&settings, format!("[config]\nfile = {:?}\n", file.to_str().unwrap())).unwrap();
    let one = Agent::start(dir.path(), "one").await;
    let extra = Extra::new(&["--config", settings.to_str().unwrap()]);
    let two = Agent::start_with(dir.path(), "two", extra).await;
    two.join(&one.token().await).await.unwrap();
    one.set("settings.a", 1).await;
    let shows = |text: &'static str| {
        let file = file.clone();
        async move || fs::read_to_string(&file).is_ok_and(|now| now.contains(text)).then_some(())
    };
    eventually(LONG, "two shows it", shows("\"a\": 1")).await;
    one.finds_nothing().await;
    // What is in the way of the versions beside the file is in the way of writing it, for root too.
    let versions = shelf.join("mesh-config.json.versions");
    fs::remove_dir_all(&versions).unwrap();
    fs::write(&versions, "in the way").unwrap();
    one.set("settings.a", 2).await;
    two.stands(ConfigFileState::Unwritable).await;
    let found = one.finds_at("two").await;
    assert_eq!(found.file.unwrap().state, ConfigFileState::Unwritable);
    assert_eq!(found.different, ["settings.a"]);
    fs::remove_file(&versions).unwrap();
    one.finds_nothing().await;
    eventually(LONG, "two shows it", shows("\"a\": 2")).await;
}

#[tokio::test]
async fn an_entry_of_an_agent_that_is_no_member_is_stale_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = pair(dir.path()).await;
    one.set("agents.gone.webhook", "https://gone.example.org/hook").await;
    two.has("agents.gone.webhook", "https://gone.example.org/hook").await;
    let found = one.finds_at("two").await;
    assert_eq!(found.stale, ["agents.gone"]);
    let own = one.local_problems("stale").await;
    assert_eq!(own[0].key.as_deref(), Some("agents.gone"));
    one.unset("agents.gone").await;
    one.finds_nothing().await;
}

#[tokio::test]
async fn files_that_keys_name_are_looked_at_on_every_machine() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = pair(dir.path()).await;
    let (open, closed) = (dir.path().join("open"), dir.path().join("closed"));
    for (path, mode) in [(&open, 0o644), (&closed, 0o600)] {
        fs::write(path, "nobody reads this").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let missing = dir.path().join("missing");
    let text = |path: &Path| json!(path.to_str().unwrap());
    one.set("agents.two.token_file", text(&open)).await;
    one.set("agents.two.key_file", text(&missing)).await;
    one.set("settings.other_file", text(&closed)).await;
    two.has("settings.other_file", text(&closed)).await;
    let found = eventually(LONG, "all is in step", async || {
        let check = one.check().await;
        // Somebody has to look at them, but everybody has the same.
        check.in_sync.then_some(check)
    })
    .await;
    let mut kinds: Vec<_> = peer_of(&found, "two").problems;
    kinds.sort_by(|one, other| one.key.cmp(&other.key));
    let kinds: Vec<_> = kinds
        .iter()
        .map(|problem| (problem.key.as_deref().unwrap(), problem.kind.as_str()))
        .collect();
    let expected = [
        ("agents.two.key_file", "reference_missing"),
        ("agents.two.token_file", "reference_readable"),
    ];
    assert_eq!(kinds, expected);
    // They are on the other machine.
    assert!(one.local_problems("reference_missing").await.is_empty());
    assert_eq!(two.local_problems("reference_missing").await.len(), 1);
    let text = String::from_utf8(one.mesh_ctl(&["config", "check"]).stdout).unwrap();
    assert!(text.contains("reference_missing") && text.contains("agents.two.key_file"), "{text}");

    fs::write(&missing, "").unwrap();
    for path in [&missing, &open] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(peer_of(&one.check().await, "two").problems.is_empty());
}

#[tokio::test]
async fn a_member_that_stays_different_is_told_of_and_so_is_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("agent.toml");
    fs::write(&settings, "[config]\ndrift_after_seconds = 1\ncompare_every_seconds = 1\n").unwrap();
    let extra = || Extra::new(&["--config", settings.to_str().unwrap()]);
    let one = Agent::start_with(dir.path(), "one", extra()).await;
    let two = Agent::start_with(dir.path(), "two", extra()).await;
    two.join(&one.token().await).await.unwrap();
    let agents = [one, two];
    settle(&agents).await;
    let [one, two] = agents;
    two.alter("DELETE FROM agent_config WHERE key = 'settings.b'").await;
    let event =
        eventually(LONG, "one is told", async || one.events_of("config_drift").await.pop()).await;
    assert_eq!(event.fields["hostname"], "two");
    assert_eq!(event.fields["peer_id"], json!(two.peer_id()));
    assert_eq!(event.fields["keys"], json!(["settings.b"]));
    assert!(event.fields["since"].is_number(), "{:?}", event.fields);
    let state = one.client().config_state().await.unwrap();
    let drift: Vec<_> = state.problems.iter().filter(|one| one.kind == "drift").collect();
    assert!(drift.len() == 1 && drift[0].detail.contains("settings.b"), "{drift:?}");

    // Written again by its owner.
    one.unset("settings.b").await;
    eventually(LONG, "one is told that it is over", async || {
        one.events_of("config_drift_over").await.pop()
    })
    .await;
    assert_eq!(one.events_of("config_drift").await.len(), 1, "it was told once");
    let state = one.client().config_state().await.unwrap();
    assert!(state.problems.iter().all(|one| one.kind != "drift"), "{state:?}");
    assert!(one.log().contains("stays different"));
}

#[tokio::test]
async fn thousands_of_keys_are_compared_in_pages_and_the_lists_have_a_bound() {
    const KEYS: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = pair(dir.path()).await;
    let many: serde_json::Map<String, Value> =
        (0..KEYS).map(|number| (format!("k{number:04}"), json!(number))).collect();
    one.set("settings.many", Value::Object(many)).await;
    two.has("settings.many.k2999", 2999).await;
    one.finds_nothing().await;
    two.alter("UPDATE agent_config SET entry = replace(entry, '\"value\":', '\"value\":1') WHERE key LIKE 'settings.many.%'").await;
    let found = peer_of(&one.check().await, "two");
    assert_eq!(found.different.len(), 1000);
    assert_eq!(found.left_out, KEYS as u64 - 1000);
    assert!(found.missing.is_empty() && found.extra.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_file_that_was_edited_while_its_agent_was_away_is_taken_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = pair(dir.path()).await;
    kill_process(two.pid(), Signal::STOP).unwrap();
    edit(&two.config_file(), |text| text.replacen("\"a\": 1", "\"a\": 7", 1));
    kill_process(two.pid(), Signal::CONT).unwrap();
    one.has("settings.a", 7).await;
    one.finds_nothing().await;
}

#[tokio::test]
async fn sealed_values_and_keys_that_a_machine_keeps_to_itself_are_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("two.toml");
    fs::write(&settings, "[config]\nlocal_keys = [\"settings.mine\"]\n").unwrap();
    let one = Agent::start(dir.path(), "one").await;
    let extra = Extra::new(&["--config", settings.to_str().unwrap()]);
    let two = Agent::start_with(dir.path(), "two", extra).await;
    two.join(&one.token().await).await.unwrap();
    one.has_file(&["one", "two"]).await;
    one.set("settings.mine", "shared").await;
    let request = ConfigSeal {
        key: "settings.door".to_owned(),
        to: vec!["one".to_owned()],
        value: json!("a4711"),
        note: None,
    };
    one.client().config_seal(&request).await.unwrap();
    two.try_set("settings.mine", json!("two's own")).await.unwrap();
    eventually(LONG, "two has both", async || {
        two.file_value("/settings/door/$sealed")?;
        (two.file_value("/settings/mine")? == "two's own").then_some(())
    })
    .await;
    one.finds_nothing().await;
    two.finds_nothing().await;
}

/// A member that speaks the protocol by hand.
async fn insider(victim: &Agent) -> (Stranger, Link) {
    let stranger = Stranger::new(key(44));
    stranger.redeem(&victim.parsed_token().await, "insider").await.unwrap();
    let mesh_id = victim.status().await.mesh_id;
    let link = stranger.link((victim.peer_id(), victim.address()), mesh_id).await.unwrap();
    (stranger, link)
}

#[tokio::test]
async fn a_member_that_knows_no_such_question_is_not_reached_because_it_is_older() {
    let dir = tempfile::tempdir().unwrap();
    let victim = Agent::start(dir.path(), "victim").await;
    let (_stranger, _link) = insider(&victim).await;
    let check = tokio::time::timeout(WAIT_MAX, victim.check()).await.unwrap();
    let found = peer_of(&check, "insider");
    assert!(!found.reachable, "{found:?}");
    assert!(found.detail.contains("older than"), "{found:?}");
}

#[tokio::test]
async fn of_the_questions_of_one_member_one_is_answered_at_a_time() {
    const QUESTIONS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let victim = Agent::start(dir.path(), "victim").await;
    victim.has_file(&["victim"]).await;
    let (_stranger, mut link) = insider(&victim).await;
    let mut normal = link.take_receiver(Lane::Normal);
    let (mut busy, mut answered) = (0, 0);
    for request_id in 0..QUESTIONS {
        let about = ConfigAbout::Summary;
        let question = Frame::ConfigQuestion(ConfigQuestion { request_id, about });
        link.sender().send(Lane::Normal, &question).await.unwrap();
    }
    while busy + answered < QUESTIONS {
        let frame = within(normal.next()).await.expect("the link is up").unwrap();
        let Frame::ConfigAnswer(ConfigAnswer { said, .. }) = frame else { continue };
        match said {
            ConfigSaid::Busy => busy += 1,
            ConfigSaid::Summary(summary) => {
                answered += 1;
                assert!(summary.is_valid);
            }
            ConfigSaid::Keys { .. } => panic!("nobody asked for keys"),
        }
    }
    assert!(answered >= 1 && busy >= QUESTIONS / 2, "{answered} answers, {busy} times busy");

    let about = ConfigAbout::Keys { ranges: (0..=255).collect(), after: String::new() };
    let question = Frame::ConfigQuestion(ConfigQuestion { request_id: 7, about });
    link.sender().send(Lane::Normal, &question).await.unwrap();
    let keys = loop {
        let frame = within(normal.next()).await.expect("the link is up").unwrap();
        if let Frame::ConfigAnswer(ConfigAnswer {
            said: ConfigSaid::Keys { keys, is_done }, ..
        }) = frame
        {
            assert!(is_done);
            break keys;
        }
    };
    let names: Vec<&str> = keys.iter().map(|one| one.key.as_str()).collect();
    assert!(names.contains(&"agents.victim.peer_id"), "{names:?}");
    assert!(names.is_sorted());
    assert!(keys.iter().all(|one| one.table.is_some()), "{keys:?}");
}

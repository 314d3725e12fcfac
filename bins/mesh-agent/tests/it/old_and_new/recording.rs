//! Records what an agent of this build says as a member. `RECORD_TRANSCRIPT=NAME` keeps it as a folder of that
//! name in `fixtures/transcripts`; done once per release, before it, and never again for the same one.

use std::fs;
use std::path::Path;

use futures_util::StreamExt as _;
use mesh_control::{
    ConfigQuery, ConfigSet, DeliveryState, PushMethodName, PushRequest, PushState, PushTargetState,
    SendPriority, SendRequest, SqlReply, SqlStatement, TableCreate,
};
use serde_json::{Value, json};

use super::replay::replay;
use super::tap::Tap;
use super::transcript::{copy_data, folder, write};
use crate::agent::{
    Agent, Extra, NEWS, PATIENCE, eventually, free_port, linked, text_message, within,
};

/// Nobody listens on the discard port of loopback: the old agent is the one that dials.
const NOWHERE: &str = "127.0.0.1:9";

/// What the old agent writes.
const NOTES: &str = "SELECT id, title, body FROM notes ORDER BY id";

/// What the new agent has from before.
const KEPT: &str = "SELECT id, what FROM kept";

const KEY: &str = "databases.tasks";

/// How the agent that listens is started, at its recording and whenever it is played to: with a folder that
/// others may push into.
pub(super) fn settings(dir: &Path, advertised: &str) -> Extra {
    let root = dir.join("root");
    fs::create_dir_all(&root).unwrap();
    let file = dir.join("new.toml");
    fs::write(&file, format!("[[roots]]\nname = \"scripts\"\npath = {root:?}\n")).unwrap();
    Extra::new(&["--no-lan", "--advertise", advertised, "--config", file.to_str().unwrap()])
}

/// What the agent that listens has of what the other one did.
pub(super) async fn found(new: &Agent, dir: &Path) -> Value {
    let inbox = new.inbox().await.into_iter();
    let mut inbox: Vec<Value> = inbox
        .map(|message| json!([message.from, message.app_type, message.data, message.sealed]))
        .collect();
    // Each lane keeps its order, and no more than that is promised.
    inbox.sort_by_key(Value::to_string);
    let query = ConfigQuery { key: Some(KEY.to_owned()), reveal: false };
    let config = new.client().config_get(&query).await.ok().map(|view| view.value);
    let mut files = serde_json::Map::new();
    for entry in fs::read_dir(dir.join("root")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            let digest = blake3::hash(&fs::read(entry.path()).unwrap()).to_hex().to_string();
            files.insert(entry.file_name().into_string().unwrap(), digest.into());
        }
    }
    let (notes, kept) = (rows(new, NOTES).await, rows(new, KEPT).await);
    json!({ "inbox": inbox, "notes": notes, "kept": kept, "config": config, "files": files })
}

/// What a query brings; null while it brings nothing.
async fn rows(agent: &Agent, sql: &str) -> Value {
    let query = SqlStatement { sql: sql.to_owned(), params: Vec::new() };
    match agent.client().sql(&query).await {
        Ok(SqlReply::Rows { rows, .. }) if !rows.is_empty() => serde_json::to_value(rows).unwrap(),
        Ok(SqlReply::Rows { .. } | SqlReply::Changes { .. }) | Err(_) => Value::Null,
    }
}

/// Two members of one mesh: `new` founded it and is reached over the tap alone, `old` is not reached at all.
async fn two_members(dir: &Path) -> (Agent, Agent, Tap) {
    let port = free_port();
    let tap = Tap::start(([127, 0, 0, 1], port).into()).await;
    let extra = settings(dir, &tap.address().to_string());
    let new = Agent::start_at(dir, "new", port, extra).await;
    let extra = Extra::new(&["--no-lan", "--advertise", NOWHERE]);
    let old = Agent::start_with(dir, "old", extra).await;
    old.join(&new.token().await).await.unwrap();
    linked(&[&new, &old]).await;
    // Both are as they stay: each has written down what it is, and they have agreed upon keys.
    for agent in [&new, &old] {
        for name in ["new", "old"] {
            let key = format!("agents.{name}.addresses");
            eventually(PATIENCE, "both are in the configuration", async || {
                let query = ConfigQuery { key: Some(key.clone()), reveal: false };
                agent.client().config_get(&query).await.ok()
            })
            .await;
        }
    }
    let sealed = SendRequest { seal: true, wait_seconds: Some(10), ..text_message("new", "kept") };
    old.client().send(&sealed).await.unwrap();
    let sql = "CREATE TABLE kept (id INTEGER PRIMARY KEY, what TEXT)";
    new.client().table_create(&TableCreate { sql: sql.to_owned() }).await.unwrap();
    let row = SqlStatement {
        sql: String::from("INSERT INTO kept VALUES (1, 'a row')"),
        params: Vec::new(),
    };
    new.client().sql(&row).await.unwrap();
    eventually(PATIENCE, "the row is everywhere", async || {
        (rows(&old, KEPT).await != Value::Null).then_some(())
    })
    .await;
    (new, old, tap)
}

/// Everything that a member does: messages of all kinds, a table, the configuration, pushes of both kinds.
async fn be_a_member(old: &Agent, dir: &Path) {
    let messages = [
        text_message("new", "open"),
        SendRequest { seal: true, ..text_message("new", "sealed") },
        SendRequest { priority: SendPriority::Urgent, ..text_message("new", "urgent") },
        SendRequest { priority: SendPriority::Bulk, ..text_message("new", "bulk") },
        SendRequest { to: None, broadcast: true, ..text_message("", "to all") },
    ];
    for message in messages {
        let message = SendRequest { wait_seconds: Some(10), ..message };
        let reply = old.client().send(&message).await.unwrap();
        assert!(reply.deliveries.iter().all(|to| to.state == DeliveryState::Acked), "{reply:?}");
    }
    let sql = "CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT, body BLOB)";
    old.client().table_create(&TableCreate { sql: sql.to_owned() }).await.unwrap();
    for sql in [
        "INSERT INTO notes VALUES (1, 'one', x'00ff'), (2, 'two', NULL), (3, 'three', 1.5)",
        "UPDATE notes SET title = 'two again' WHERE id = 2",
        "DELETE FROM notes WHERE id = 3",
    ] {
        let statement = SqlStatement { sql: sql.to_owned(), params: Vec::new() };
        old.client().sql(&statement).await.unwrap();
    }
    let change = ConfigSet { key: KEY.to_owned(), value: json!({ "kind": "old" }), note: None };
    old.client().config_set(&change).await.unwrap();
    let pushes =
        [("small.sh", 3, PushMethodName::Message), ("large.txt", 40_000, PushMethodName::Stream)];
    for (name, lines, method) in pushes {
        let path = dir.join(name);
        fs::write(&path, "echo what an old agent pushed\n".repeat(lines)).unwrap();
        let request = PushRequest {
            paths: vec![path],
            to: vec![String::from("new")],
            root: Some("scripts".parse().unwrap()),
            method: Some(method),
            ..PushRequest::default()
        };
        let push = old.client().push(&request).await.unwrap();
        let mut news = old.client().push_follow(&push.push_id.to_string()).await.unwrap();
        let states = within(async {
            loop {
                let push = news.next().await.expect("it goes on until it is over").unwrap();
                if push.state == PushState::Ended {
                    return push.targets.iter().map(|target| target.state).collect::<Vec<_>>();
                }
            }
        });
        assert_eq!(states.await, [PushTargetState::Confirmed]);
    }
}

/// Records into the folder `transcript`.
async fn record(dir: &Path, transcript: &Path) {
    let (mut new, mut old, tap) = two_members(dir).await;
    let (old_keys, new_keys) = (old.keys(), new.keys());
    assert!(old.terminate().await.success());
    assert!(new.terminate().await.success());
    copy_data(new.data_dir(), &transcript.join("new"));
    fs::write(transcript.join("old.key"), old_keys.encode().as_bytes()).unwrap();
    tap.listen(old_keys.node_key, new_keys.node_key);
    new.restart().await;
    old.restart().await;
    linked(&[&new, &old]).await;
    be_a_member(&old, dir).await;
    let complete = async || {
        let found = found(&new, dir).await;
        let is_there = found["notes"].as_array().is_some_and(|rows| rows.len() == 2)
            && !found["config"].is_null();
        is_there.then_some(found)
    };
    let found = eventually(NEWS * 5, "everything has arrived", complete).await;
    let recorded_at = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    write(&transcript.join("link.txt"), &tap.lines());
    let about = json!({
        "program": env!("CARGO_PKG_VERSION"),
        "recorded_at": recorded_at,
        "advertised": tap.address().to_string(),
        "found": found,
    });
    let about = serde_json::to_string_pretty(&about).unwrap() + "\n";
    fs::write(transcript.join("about.json"), about).unwrap();
}

#[tokio::test]
async fn what_an_agent_of_this_build_says_can_be_recorded_and_is_understood_when_it_is_played() {
    let dir = tempfile::tempdir().unwrap();
    let transcript = dir.path().join("transcript");
    record(dir.path(), &transcript).await;
    if let Some(name) = std::env::var_os("RECORD_TRANSCRIPT") {
        let kept = folder().join(name);
        assert!(
            !kept.exists(),
            "{} is there; a transcript is never recorded again",
            kept.display()
        );
        copy_data(&transcript.join("new"), &kept.join("new"));
        for file in ["old.key", "link.txt", "about.json"] {
            fs::copy(transcript.join(file), kept.join(file)).unwrap();
        }
    }
    replay(&transcript, async |_| {}).await;
}

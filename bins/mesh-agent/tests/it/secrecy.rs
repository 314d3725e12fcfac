//! What nobody may read: on the wire, in the files, in the logs.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use mesh_control::{RenameRequest, SendRequest};
use mesh_crypto::JoinToken;
use mesh_store::{Store, StoreConfig};
use tokio_util::task::TaskTracker;

use crate::agent::{Agent, Extra, NEWS, PATIENCE, eventually, linked, text_message};
use crate::proxy::Proxy;
use crate::search::{Needle, files, found};

const HOSTNAMES: [&str; 3] = ["plainly-oak", "plainly-elm", "plainly-ash"];
const OPEN_TEXT: &str = "the open message nobody may read on the way";
const SEALED_TEXT: &str = "the sealed message nobody may read on the way";
const APP_TYPE: &str = "an-application-type";

fn token_needles(text: &str) -> Vec<Needle> {
    let token = JoinToken::parse(text).unwrap();
    vec![
        Needle::text("the token", text),
        Needle::text("the token without its prefix", text.strip_prefix("meshjoin1_").unwrap()),
        Needle::bytes("the token's secret", token.secret().bytes()),
    ]
}

/// Keys that are in the key file alone.
fn key_needles(agent: &Agent) -> Vec<Needle> {
    let keys = agent.keys();
    vec![
        Needle::bytes("the node key", keys.node_key.secret_bytes().as_slice()),
        Needle::bytes("the store key", keys.store_key.secret_bytes().as_slice()),
    ]
}

async fn talk(one: &Agent, other: &Agent) {
    let open = SendRequest {
        app_type: String::from(APP_TYPE),
        wait_seconds: Some(10),
        ..text_message(other.name(), OPEN_TEXT)
    };
    one.client().send(&open).await.unwrap();
    let sealed = SendRequest { seal: true, ..text_message(other.name(), SEALED_TEXT) };
    other.client().send(&SendRequest { to: Some(one.name().to_owned()), ..sealed }).await.unwrap();
    eventually(PATIENCE, "both arrived", async || {
        (one.texts().await == [SEALED_TEXT] && other.texts().await == [OPEN_TEXT]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_of_the_mesh_can_be_read_on_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let [oak_name, elm_name, ash_name] = HOSTNAMES;
    // Both are known by the addresses of the tapped wires, so neither reaches the other past them.
    let (oak_port, elm_port) = (crate::agent::free_port(), crate::agent::free_port());
    let to_oak = Proxy::start(([127, 0, 0, 1], oak_port).into()).await;
    let to_elm = Proxy::start(([127, 0, 0, 1], elm_port).into()).await;
    let behind = |proxy: &Proxy| Extra::new(&["--advertise", &proxy.address().to_string()]);
    let oak = Agent::start_at(dir.path(), oak_name, oak_port, behind(&to_oak)).await;
    let elm = Agent::start_at(dir.path(), elm_name, elm_port, behind(&to_elm)).await;

    let token = oak.token().await;
    elm.join(&token).await.unwrap();
    linked(&[&oak, &elm]).await;
    talk(&oak, &elm).await;
    // Enough that a wire which is not the one in use would show.
    let filler = "a long text that repeats itself, ".repeat(10_000);
    oak.send_acked(elm_name, &filler).await;
    let rename = RenameRequest { hostname: ash_name.to_owned() };
    elm.client().rename(&rename).await.unwrap();
    eventually(NEWS, "the new name is known", async || {
        oak.is_linked_with(&[oak_name, ash_name]).await.then_some(())
    })
    .await;

    let tapes = [to_oak.tapes(), to_elm.tapes()].concat();
    let bytes: usize = tapes.iter().map(Vec::len).sum();
    assert!(bytes > filler.len(), "only {bytes} bytes went over the wires");
    let mut needles = token_needles(&token);
    needles.extend(key_needles(&oak));
    needles.extend(key_needles(&elm));
    needles.extend(HOSTNAMES.map(|name| Needle::text(name, name)));
    for text in [OPEN_TEXT, SEALED_TEXT, APP_TYPE, "a long text", "/v1/join", "/v1/lane"] {
        needles.push(Needle::text(text, text));
    }
    for needle in [oak.peer_id(), elm.peer_id()] {
        needles.push(Needle::bytes("a peer id", needle.as_bytes()));
    }
    for tape in &tapes {
        assert_eq!(found(&needles, tape), [""; 0]);
    }
}

/// The secrets in an agent's database, opened with its key file. The agent must not run.
async fn stored_secrets(agent: &Agent) -> Vec<Needle> {
    let tracker = TaskTracker::new();
    let path = agent.data_dir().join("mesh.db");
    let store = Store::open(&path, StoreConfig::default(), &tracker).await.unwrap();
    let store_key = agent.keys().store_key;
    let mut needles = Vec::new();
    for row in store.load_sealing_keys().await.unwrap() {
        let context = [b"sealing-key\0".as_slice(), row.key_id.as_bytes()].concat();
        let secret = store_key.open(&context, &row.sealed_secret).unwrap();
        needles.push(Needle::bytes("a sealing key", &secret));
    }
    for row in store.load_pair_keys().await.unwrap() {
        let context =
            [b"pair-key\0".as_slice(), row.peer.as_bytes(), row.key_id.as_bytes()].concat();
        let secret = store_key.open(&context, &row.sealed_secret).unwrap();
        needles.push(Needle::bytes("a pair's secret", &secret));
    }
    store.close().await.unwrap();
    tracker.close();
    tracker.wait().await;
    needles
}

#[tokio::test]
async fn the_files_hold_no_secret_in_clear_outside_the_key_file() {
    let dir = tempfile::tempdir().unwrap();
    let [oak_name, elm_name, _] = HOSTNAMES;
    let mut oak = Agent::start(dir.path(), oak_name).await;
    let mut elm = Agent::start(dir.path(), elm_name).await;
    let used = oak.token().await;
    let unused = oak.token().await;
    elm.join(&used).await.unwrap();
    linked(&[&oak, &elm]).await;
    talk(&oak, &elm).await;
    // Killed, so that what a clean stop would tidy up lies about.
    oak.kill9();
    elm.kill9();

    let mut needles = token_needles(&used);
    needles.extend(token_needles(&unused));
    for agent in [&oak, &elm] {
        needles.extend(key_needles(agent));
    }
    let before = needles.clone();
    // Opening the databases changes the files, so they are looked at before and after.
    assert_nothing_found(dir.path(), &before);
    for agent in [&oak, &elm] {
        let secrets = stored_secrets(agent).await;
        assert!(secrets.len() >= 2, "a sealing key and a pair's secret: {secrets:?}");
        needles.extend(secrets);
    }
    assert_nothing_found(dir.path(), &needles);
    oak.restart().await;
    elm.restart().await;
    linked(&[&oak, &elm]).await;
    assert_nothing_found(dir.path(), &needles);
    // The needles are right: they are where they belong.
    let key_file = std::fs::read(oak.data_dir().join("node.key")).unwrap();
    assert_eq!(found(&needles, &key_file), ["the node key", "the store key"]);
}

fn assert_nothing_found(dir: &std::path::Path, needles: &[Needle]) {
    let mut databases = 0;
    for path in files(dir) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut file = match std::fs::File::open(&path) {
            Ok(file) => file,
            // An agent that runs writes files anew, and removes what it wrote them to.
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        if path.extension().is_none_or(|extension| extension != "log") {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        if name == "node.key" {
            continue;
        }
        databases += usize::from(name.starts_with("mesh.db"));
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(found(needles, &content), [""; 0], "in {}", path.display());
    }
    assert!(databases >= 2, "the databases were looked at");
}

#[tokio::test]
async fn the_log_holds_no_secret_and_no_message_at_any_level() {
    let dir = tempfile::tempdir().unwrap();
    let [oak_name, elm_name, _] = HOSTNAMES;
    let trace = || Extra::new(&["--log-level", "trace"]);
    let mut oak = Agent::start_with(dir.path(), oak_name, trace()).await;
    let mut elm = Agent::start_with(dir.path(), elm_name, trace()).await;
    let token = oak.token().await;
    let revoked = oak.client().token_create(&mesh_control::TokenCreate::default()).await.unwrap();
    oak.client().token_revoke(&revoked.token_id.to_string()).await.unwrap();
    // Also what goes wrong must not be told too well.
    let half = &token[..token.len() - 4];
    let _refused = elm.join_error(half).await;
    let _refused = elm.join_error(&revoked.token).await;
    elm.join(&token).await.unwrap();
    linked(&[&oak, &elm]).await;
    talk(&oak, &elm).await;
    assert!(oak.terminate().await.success());
    assert!(elm.terminate().await.success());

    let mut needles = token_needles(&token);
    needles.extend(token_needles(&revoked.token));
    needles.push(Needle::text("half a token", half));
    for agent in [&oak, &elm] {
        needles.extend(key_needles(agent));
        needles.extend(stored_secrets(agent).await);
    }
    needles.push(Needle::text("the open message", OPEN_TEXT));
    needles.push(Needle::text("the sealed message", SEALED_TEXT));
    for agent in [&oak, &elm] {
        let log = agent.log();
        assert!(log.contains("TRACE"), "the log is as talkative as can be");
        assert_eq!(found(&needles, log.as_bytes()), [""; 0], "in the log of {}", agent.name());
    }
}

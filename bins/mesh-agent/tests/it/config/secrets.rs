//! Secrets are refused wherever they come from, and are nowhere afterwards.

use std::fs;
use std::path::Path;

use mesh_control::ConfigFileState;
use mesh_protocol::ErrorCode;
use serde_json::json;

use super::desk::{LONG, add_member, put};
use crate::agent::{Agent, Extra, eventually, free_port, linked};
use crate::proxy::Proxy;
use crate::search::{Needle, files, found};

/// What a secret is called, a value that is one, and the name of the key that gives it away, if one does.
fn secrets() -> [(&'static str, String, &'static str); 4] {
    // Put together here, so that no file of this repository holds one.
    let token = ["ghp", "_", "x7Qm2Lr9Tz4Vb8Nc1Kd5Wf3Ph6Js0Ya2Ge4u"].concat();
    let password = ["correct-horse", "-9-battery!"].concat();
    let begin = ["-----BEGIN RSA PRIV", "ATE KEY-----"].concat();
    let end = ["-----END RSA PRIV", "ATE KEY-----"].concat();
    let body = "MIIEowIBAAKCAQEAx7Qm2Lr9Tz4Vb8Nc1Kd5Wf3Ph6Js0Ya2Ge4uRn7Bt5Zq8Mv1";
    let looks = ["k9Zt2vQx8Lm4", "Rb7Wn3Yc6Hd1Fs5Jp0Ga"].concat();
    [
        ("token", token, "deploy"),
        ("password", password, "password"),
        ("private key", format!("{begin}\n{body}\n{end}\n"), "identity"),
        ("value that looks like one", looks, "api_key"),
    ]
}

fn needles() -> Vec<Needle> {
    let forms = |(what, value, _): (&str, String, &str)| {
        let inner = value.lines().nth(1).unwrap_or(&value).to_owned();
        Needle::text(what, &inner)
    };
    secrets().into_iter().map(forms).collect()
}

/// In nothing that lies in a folder, but for the file that holds it.
fn nowhere(dir: &Path, but: &Path) {
    for path in files(dir) {
        if path != but {
            let content = fs::read(&path).unwrap();
            assert_eq!(found(&needles(), &content), [""; 0], "in {}", path.display());
        }
    }
}

#[tokio::test]
async fn the_four_kinds_of_secret_are_refused_by_key_and_rule_and_are_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (one_port, two_port) = (free_port(), free_port());
    let to_one = Proxy::start(([127, 0, 0, 1], one_port).into()).await;
    let to_two = Proxy::start(([127, 0, 0, 1], two_port).into()).await;
    let behind = |proxy: &Proxy| {
        Extra::new(&["--log-level", "trace", "--advertise", &proxy.address().to_string()])
    };
    let mut one = Agent::start_at(dir.path(), "one", one_port, behind(&to_one)).await;
    let mut two = Agent::start_at(dir.path(), "two", two_port, behind(&to_two)).await;
    let token = one.token().await;
    two.join(&token).await.unwrap();
    linked(&[&one, &two]).await;
    for agent in [&one, &two] {
        agent.has_file(&["one", "two"]).await;
    }

    for (what, value, name) in secrets() {
        let key = format!("settings.{name}");
        let refused = one.try_set(&key, json!(value)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::SecretFound, "{what}");
        let said = refused.to_string();
        assert!(said.contains(&key) && said.contains("rule"), "{what}: {said}");
        assert_eq!(found(&needles(), said.as_bytes()), [""; 0], "{what}: {said}");

        let good = one.config_text();
        add_member(&one.config_file(), &format!("\"tools\": {{\"{name}\": {}}}", json!(value)));
        let held = fs::read(one.config_file()).unwrap();
        let view = one.stands(ConfigFileState::Broken).await;
        assert_eq!(view.key, Some(format!("tools.{name}")), "{what}: {view:?}");
        assert!(view.line == Some(2) && view.detail.contains("rule"), "{what}: {view:?}");
        assert_eq!(fs::read(one.config_file()).unwrap(), held, "{what}: the file is the user's");
        let events = serde_json::to_vec(&one.client().events(1000).await.unwrap()).unwrap();
        assert_eq!(found(&needles(), &events), [""; 0], "{what}");
        nowhere(dir.path(), &one.config_file());
        put(&one.config_file(), good.as_bytes());
        one.stands(ConfigFileState::InStep).await;
    }
    // What comes after still travels, so the wire is the one in use.
    one.set("settings.travels", "along the tapped wire").await;
    two.has("settings.travels", "along the tapped wire").await;
    for tape in [to_one.tapes(), to_two.tapes()].concat() {
        assert_eq!(found(&needles(), &tape), [""; 0]);
    }
    one.kill9();
    two.kill9();
    assert!(one.log().contains("TRACE"));
    nowhere(dir.path(), Path::new(""));
}

#[tokio::test]
async fn keys_of_a_machine_never_leave_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("one.toml");
    fs::write(&settings, "[config]\nlocal_keys = [\"listed.here\"]\n").unwrap();
    let extra = Extra::new(&["--log-level", "trace", "--config", settings.to_str().unwrap()]);
    let mut one = Agent::start_with(dir.path(), "one", extra).await;
    let mut two = Agent::start_with(dir.path(), "two", Extra::new(&["--log-level", "trace"])).await;
    let token = one.token().await;
    two.join(&token).await.unwrap();
    linked(&[&one, &two]).await;
    one.has_file(&["one", "two"]).await;
    one.set("mesh.local_keys", json!(["paths"])).await;
    two.has("mesh.local_keys", json!(["paths"])).await;

    let own = "only-on-the-first-machine";
    let members =
        ["cron", "local", "paths"].map(|name| format!("\"{name}\": {{\"a\": \"{own}\"}}"));
    let listed = format!("\"listed\": {{\"here\": {{\"a\": \"{own}\"}}, \"shared\": \"told\"}}");
    add_member(&one.config_file(), &[members.join(",\n  "), listed].join(",\n  "));
    one.has("listed.shared", "told").await;
    two.has("listed.shared", "told").await;
    for key in ["cron.b", "local.b", "paths.b", "listed.here.b"] {
        let changed = one.try_set(key, json!(format!("{own}, by command"))).await.unwrap();
        assert_eq!(changed.version, None, "{key} makes no change of the mesh");
        one.has(key, format!("{own}, by command")).await;
    }
    two.set("listed.more", "told back").await;
    one.has("listed.more", "told back").await;
    for key in ["cron.a", "local.a", "paths.a", "listed.here.a"] {
        one.has(key, own).await;
        assert_eq!(two.value(key).await, None, "{key}");
    }
    let needle = [Needle::text("a key of one machine", own)];
    let template = one.client().config_template_export().await.unwrap().to_string();
    assert_eq!(found(&needle, template.as_bytes()), [""; 0]);
    for agent in [&one, &two] {
        let events = serde_json::to_vec(&agent.client().events(1000).await.unwrap()).unwrap();
        assert_eq!(found(&needle, &events), [""; 0]);
    }
    one.kill9();
    two.kill9();
    for path in files(dir.path()) {
        // The file itself and its versions are where it belongs.
        let is_its =
            path.starts_with(one.data_dir()) && path.to_string_lossy().contains("mesh-config");
        let content = fs::read(&path).unwrap();
        assert!(is_its || found(&needle, &content).is_empty(), "in {}", path.display());
    }
}

#[tokio::test]
async fn a_second_file_shows_a_part_and_takes_edits_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, part) = (dir.path().join("one.toml"), dir.path().join("part.json"));
    let text = format!("[config]\nviews = [{{ file = {:?}, prefix = \"settings\" }}]\n", part);
    fs::write(&settings, text).unwrap();
    let extra = Extra::new(&["--config", settings.to_str().unwrap()]);
    let one = Agent::start_with(dir.path(), "one", extra).await;
    one.has_file(&["one"]).await;
    let shows = async |expected: serde_json::Value| {
        eventually(LONG, &format!("the part is {expected}"), async || {
            let text = fs::read_to_string(&part).ok()?;
            let mut document: serde_json::Value = serde_json::from_str(&text).ok()?;
            document.as_object_mut()?.remove("$revision");
            (document == expected).then_some(())
        })
        .await;
    };
    shows(json!({})).await;
    one.set("settings.a", 1).await;
    one.set("databases.tasks", "x").await;
    shows(json!({ "a": 1 })).await;
    add_member(&part, "\"b\": {\"c\": 2}");
    one.has("settings.b.c", 2).await;
    one.has("databases.tasks", "x").await;
    add_member(&one.config_file(), "\"tools\": {\"d\": 1}");
    one.has("tools.d", 1).await;
    one.unset("settings.a").await;
    shows(json!({ "b": { "c": 2 } })).await;
    // What is not JSON in the one leaves the other alone.
    put(&part, b"{ \"b\": ");
    one.set("settings.e", 3).await;
    one.has("settings.e", 3).await;
    assert_eq!(fs::read(&part).unwrap(), b"{ \"b\": ");
}

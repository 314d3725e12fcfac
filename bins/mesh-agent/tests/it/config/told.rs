//! What people and programs are told, what can be undone, and what goes from mesh to mesh.

use mesh_control::{ConfigImport, ConfigQuery, ConfigRevert};
use mesh_protocol::ErrorCode;
use serde_json::json;

use super::desk::{LONG, in_step};
use crate::agent::{Agent, eventually, mesh};

async fn told(
    agent: &Agent,
    what: &str,
    is_it: impl Fn(&serde_json::Map<String, serde_json::Value>) -> bool,
) -> serde_json::Map<String, serde_json::Value> {
    eventually(LONG, &format!("{} is told of {what}", agent.name()), async || {
        let events = agent.events_of("config_changed").await;
        events.into_iter().map(|event| event.fields).find(|fields| is_it(fields))
    })
    .await
}

#[tokio::test]
async fn every_change_is_told_on_every_machine_and_can_be_reverted() {
    let dir = tempfile::tempdir().unwrap();
    let agents = mesh(dir.path(), ["one", "two"]).await;
    let [one, two] = &agents;
    let first = one.set("agents.two.webhook", "https://a.example.org/").await;
    let second = one.set("agents.two.webhook", "https://b.example.org/").await;
    for agent in &agents {
        let fields = told(agent, "the second change", |fields| {
            fields.get("version") == Some(&json!(second))
                && fields.get("who") == Some(&json!("one"))
        })
        .await;
        assert_eq!(fields["old"], json!("https://a.example.org/"), "{fields:?}");
        assert_eq!(fields["new"], json!("https://b.example.org/"), "{fields:?}");
        let text = fields["text"].as_str().unwrap();
        let expected = format!(
            "📡 CONFIG UPDATE: one set agents.two.webhook: \"https://a.example.org/\" → \"https://b.example.org/\" (version {second})"
        );
        assert_eq!(text, expected);
        told(agent, "the first change", |fields| {
            fields.get("version") == Some(&json!(first)) && fields.get("who") == Some(&json!("one"))
        })
        .await;
    }
    let revert = ConfigRevert { version: first, by: Some("one".to_owned()), force: false };
    let refused = two.client().config_revert(&revert).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ChangedSince);
    let revert = ConfigRevert { version: second, by: Some("one".to_owned()), force: false };
    two.client().config_revert(&revert).await.unwrap();
    for agent in &agents {
        agent.has("agents.two.webhook", "https://a.example.org/").await;
        told(agent, "the revert", |fields| {
            fields.get("action") == Some(&json!("revert"))
                && fields.get("who") == Some(&json!("two"))
        })
        .await;
    }
    in_step(&[one, two], LONG).await;
}

#[tokio::test]
async fn a_template_goes_to_another_mesh_as_one_change_that_can_be_shown_and_reverted() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = Agent::start(here.path(), "one").await;
    let [oak, elm] = mesh(there.path(), ["oak", "elm"]).await;
    one.set("repositories.scripts", json!({ "url": "git@baulder:scripts", "branch": "main" }))
        .await;
    one.set("settings.hours", json!({ "from": 22, "to": 6 })).await;
    one.set("settings.token_file", "/etc/token").await;
    one.try_set("local.mine", json!("here")).await.unwrap();
    let template = one.client().config_template_export().await.unwrap();
    assert_eq!(template.pointer("/settings/token_file"), Some(&json!("<token_file>")));
    assert!(template.get("local").is_none());

    let document = async |agent: &Agent| {
        agent.client().config_get(&ConfigQuery::default()).await.unwrap().value
    };
    in_step(&[&oak, &elm], LONG).await;
    let before = document(&oak).await;
    let import = |dry_run| ConfigImport { template: template.clone(), dry_run, note: None };
    let shown = oak.client().config_template_import(&import(true)).await.unwrap();
    assert_eq!((shown.version, shown.changed.len()), (None, 0));
    assert!(shown.differences.iter().any(|one| one.key == "settings.hours.from"), "{shown:?}");
    assert_eq!(document(&oak).await, before);
    let done = oak.client().config_template_import(&import(false)).await.unwrap();
    assert_eq!(done.differences, shown.differences);
    for agent in [&oak, &elm] {
        agent.has("settings.hours.from", 22).await;
        agent.has("repositories.scripts.branch", "main").await;
        assert_eq!(agent.value("settings.token_file").await, None);
    }
    let again = oak.client().config_template_import(&import(false)).await.unwrap();
    assert_eq!((again.version, again.differences.len()), (None, 0));
    let revert = ConfigRevert { version: done.version.unwrap(), by: None, force: false };
    elm.client().config_revert(&revert).await.unwrap();
    in_step(&[&oak, &elm], LONG).await;
    for agent in [&oak, &elm] {
        assert_eq!(document(agent).await.get("repositories"), before.get("repositories"));
        assert_eq!(document(agent).await.get("settings"), before.get("settings"));
    }
}

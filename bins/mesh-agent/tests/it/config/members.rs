//! The section of the agents follows the membership by itself.

use mesh_control::RenameRequest;
use serde_json::json;

use super::desk::{LONG, add_member, edit, in_step};
use crate::agent::{Agent, eventually, free_port, linked, mesh};

#[tokio::test]
async fn the_section_follows_who_is_added_moves_is_renamed_and_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    for agent in [&one, &two] {
        agent.has_file(&["one", "two"]).await;
    }

    // Added.
    let mut three = Agent::start(dir.path(), "three").await;
    let token = one.token().await;
    three.join(&token).await.unwrap();
    linked(&[&one, &two, &three]).await;
    for agent in [&one, &two, &three] {
        agent.has("agents.three.peer_id", three.peer_id().to_string()).await;
        agent.has("agents.three.name", "three").await;
        agent.has("agents.three.addresses", json!([three.address().to_string()])).await;
    }
    // What is made by hand stands beside it.
    edit(&two.config_file(), |text| {
        text.replacen(
            "\"name\": \"three\"",
            "\"name\": \"three\",\n      \"bot\": \"@three_bot\"",
            1,
        )
    });
    add_member(&one.config_file(), "\"settings\": {\"a\": 1}");
    for agent in [&one, &two, &three] {
        agent.has("agents.three.bot", "@three_bot").await;
        agent.has("settings.a", 1).await;
    }

    // Moved.
    assert!(three.terminate().await.success());
    three.move_to(free_port());
    three.restart().await;
    for agent in [&one, &two, &three] {
        agent.has("agents.three.addresses", json!([three.address().to_string()])).await;
        agent.has("agents.three.bot", "@three_bot").await;
    }

    // Renamed.
    let request = RenameRequest { hostname: String::from("oak") };
    three.client().rename(&request).await.unwrap();
    for agent in [&one, &two, &three] {
        agent.has("agents.oak.name", "oak").await;
        agent.has("agents.oak.peer_id", three.peer_id().to_string()).await;
        agent.has("agents.oak.bot", "@three_bot").await;
        agent.lacks("agents.three").await;
    }
    in_step(&[&one, &two, &three], LONG).await;

    // Removed.
    one.remove("oak").await;
    for agent in [&one, &two] {
        agent.lacks("agents.oak.peer_id").await;
        agent.lacks("agents.oak.addresses").await;
        agent.has("agents.oak.bot", "@three_bot").await;
        eventually(LONG, "what stays is named as stale", async || {
            let problems = agent.client().config_state().await.unwrap().problems;
            let stale = problems.iter().find(|problem| problem.kind == "stale")?;
            assert_eq!(stale.key.as_deref(), Some("agents.oak"));
            Some(())
        })
        .await;
    }
    in_step(&[&one, &two], LONG).await;
    assert!(one.config_conflicts().await.is_empty());
}

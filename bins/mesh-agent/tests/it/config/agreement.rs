//! One configuration on all machines, whoever changes it, also at the same moment.

use std::collections::BTreeSet;
use std::sync::Barrier;

use mesh_control::ConflictRestore;
use serde_json::json;

use super::desk::{LONG, add_member, edit, in_step};
use crate::agent::{Agent, eventually, mesh};

const NAMES: [&str; 3] = ["one", "two", "three"];

async fn three(dir: &std::path::Path) -> [Agent; 3] {
    let agents = mesh(dir, NAMES).await;
    for agent in &agents {
        agent.has_file(&NAMES).await;
    }
    in_step(&agents.each_ref(), LONG).await;
    agents
}

#[tokio::test]
async fn what_is_typed_on_one_machine_is_on_all_and_edits_of_different_keys_all_survive() {
    let dir = tempfile::tempdir().unwrap();
    let agents = three(dir.path()).await;
    let typed = "\"databases\": {\"tasks\": \"2f1c9a\", \"notes\": {\"id\": 7}},\n  \
        \"repositories\": {\"scripts\": {\"branch\": \"main\", \"url\": \"git@baulder:scripts\"}},\n  \
        \"settings\": {\"a\": 0, \"b\": 0, \"c\": 0}";
    add_member(&agents[0].config_file(), typed);
    edit(&agents[0].config_file(), |text| {
        text.replacen(
            "\"name\": \"two\"",
            "\"name\": \"two\",\n      \"webhook\": \"https://two.example.org/hook\"",
            1,
        )
    });
    for agent in &agents {
        agent.has("databases.tasks", "2f1c9a").await;
        agent.has("databases.notes.id", 7).await;
        agent.has("repositories.scripts.url", "git@baulder:scripts").await;
        agent.has("agents.two.webhook", "https://two.example.org/hook").await;
        for name in NAMES {
            let id = agents.iter().find(|one| one.name() == name).unwrap().peer_id();
            agent.has(&format!("agents.{name}.peer_id"), id.to_string()).await;
        }
    }
    in_step(&agents.each_ref(), LONG).await;

    // Each another key, in its own file, at the same moment.
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for (agent, key) in agents.iter().zip(["a", "b", "c"]) {
            let (path, barrier) = (agent.config_file(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                edit(&path, |text| {
                    text.replacen(&format!("\"{key}\": 0"), &format!("\"{key}\": 1"), 1)
                });
            });
        }
    });
    for agent in &agents {
        for key in ["settings.a", "settings.b", "settings.c"] {
            agent.has(key, 1).await;
        }
        assert!(agent.config_conflicts().await.is_empty());
    }
    in_step(&agents.each_ref(), LONG).await;
}

/// One value is on all, the two others are listed on all, with who and when; one of them is brought back.
async fn one_won_and_one_is_restored(agents: &[Agent; 3], key: &str) {
    let listed = eventually(LONG, "two conflicts are listed on all, the same", async || {
        let mut first = None;
        for agent in agents {
            let mut listed = agent.config_conflicts().await;
            listed.sort_by(|one, other| one.id.cmp(&other.id));
            if listed.len() != 2 || *first.get_or_insert_with(|| listed.clone()) != listed {
                return None;
            }
        }
        first
    })
    .await;
    let mut left: BTreeSet<String> = NAMES.iter().map(|name| format!("from {name}")).collect();
    for conflict in &listed {
        let mesh_protocol::SqlValue::Text(lost) = &conflict.lost.value.0 else {
            panic!("{conflict:?}")
        };
        let lost: String = serde_json::from_str(lost).unwrap();
        assert_eq!(lost, format!("from {}", conflict.lost.by), "{conflict:?}");
        assert!(conflict.lost.at.0 > 0, "{conflict:?}");
        assert!(left.remove(&lost), "{listed:?}");
    }
    // The list is read from the table; what is shown follows it.
    let won = left.pop_first().unwrap();
    for agent in agents {
        agent.has(key, won.clone()).await;
    }

    let back = listed[0].lost.by.clone();
    let id = listed[0].id.clone();
    agents[2].client().conflict_restore(&ConflictRestore { id }).await.unwrap();
    for agent in agents {
        agent.has(key, format!("from {back}")).await;
        let history = agent.config_history(key).await;
        assert_eq!(history[0].by, "three", "{history:?}");
        assert_eq!(history[0].value, json!(format!("from {back}")), "{history:?}");
        assert_eq!(history[0].note, Some(format!("restored from {back}")), "{history:?}");
    }
    in_step(&agents.each_ref(), LONG).await;
}

#[tokio::test]
async fn one_key_edited_in_all_files_at_once_keeps_one_and_lists_two() {
    let dir = tempfile::tempdir().unwrap();
    let agents = three(dir.path()).await;
    agents[0].set("settings.motto", "none").await;
    for agent in &agents {
        agent.has("settings.motto", "none").await;
    }
    in_step(&agents.each_ref(), LONG).await;
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for agent in &agents {
            let (path, name, barrier) = (agent.config_file(), agent.name(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                edit(&path, |text| {
                    text.replacen("\"motto\": \"none\"", &format!("\"motto\": \"from {name}\""), 1)
                });
            });
        }
    });
    one_won_and_one_is_restored(&agents, "settings.motto").await;
}

#[tokio::test]
async fn one_key_set_by_command_on_members_that_do_not_hear_each_other_keeps_one_and_lists_two() {
    let dir = tempfile::tempdir().unwrap();
    let mut agents = three(dir.path()).await;
    agents[0].set("settings.motto", "none").await;
    for agent in &agents {
        agent.has("settings.motto", "none").await;
    }
    for agent in &mut agents {
        assert!(agent.terminate().await.success());
    }
    for agent in &mut agents {
        agent.restart().await;
        agent.set("settings.motto", format!("from {}", agent.name())).await;
        assert!(agent.terminate().await.success());
    }
    for agent in &mut agents {
        agent.restart().await;
    }
    one_won_and_one_is_restored(&agents, "settings.motto").await;
}

#[tokio::test]
async fn commands_that_race_for_one_key_leave_the_same_value_everywhere_and_all_in_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let agents = three(dir.path()).await;
    for round in 0..10 {
        let [one, two, three] = &agents;
        let set = |agent: &'_ Agent| {
            let value = json!(format!("{round} from {}", agent.name()));
            let client = agent.client().clone();
            async move {
                let key = String::from("settings.race");
                let request = mesh_control::ConfigSet { key, value, note: None };
                client.config_set(&request).await.unwrap();
            }
        };
        tokio::join!(set(one), set(two), set(three));
    }
    in_step(&agents.each_ref(), LONG).await;
    for agent in &agents {
        eventually(LONG, "every change is in the history", async || {
            let history = agent.config_history("settings.race").await;
            (history.len() == 30).then_some(())
        })
        .await;
    }
}

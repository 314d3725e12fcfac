//! Many keys and many changes at once: nothing is lost, and the file is not written all the time.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use mesh_control::ConfigImport;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::desk::{LONG, in_step};
use crate::agent::{eventually, mesh};

/// Keys at the beginning; the whole with `MESH_CONFIG_LOAD=full`, as is the time.
const KEYS: usize = 1000;
const KEYS_FULL: usize = 10_000;
const SECONDS: u64 = 5;
const SECONDS_FULL: u64 = 60;
/// Of all agents together.
const CHANGES_PER_SECOND: u64 = 100;
/// Most often that a file is written, and one more for the one under way.
const WRITES_PER_SECOND: u64 = 5;

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "says how long it took")]
async fn a_hundred_changes_a_second_on_three_agents_lose_nothing() {
    let is_full = std::env::var("MESH_CONFIG_LOAD").is_ok_and(|how| how == "full");
    let (keys, seconds) = if is_full { (KEYS_FULL, SECONDS_FULL) } else { (KEYS, SECONDS) };
    let dir = tempfile::tempdir().unwrap();
    let agents = mesh(dir.path(), ["one", "two", "three"]).await;
    let many: Map<String, Value> =
        (0..keys).map(|number| (format!("k{number}"), json!(0))).collect();
    for chunk in many.iter().collect::<Vec<_>>().chunks(1000) {
        let some: Map<String, Value> =
            chunk.iter().map(|(name, value)| ((*name).clone(), (*value).clone())).collect();
        let import =
            ConfigImport { template: json!({ "settings": some }), dry_run: false, note: None };
        agents[0].client().config_template_import(&import).await.unwrap();
    }
    in_step(&agents.each_ref(), LONG).await;

    let mut beat = interval(Duration::from_millis(1000 / CHANGES_PER_SECOND));
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut inodes: [BTreeSet<(u64, i64)>; 3] = Default::default();
    let started = Instant::now();
    let mut changes = tokio::task::JoinSet::new();
    let total = CHANGES_PER_SECOND * seconds;
    for number in 0..total {
        beat.tick().await;
        for (agent, seen) in agents.iter().zip(&mut inodes) {
            if let Ok(metadata) = std::fs::metadata(agent.config_file()) {
                seen.insert((metadata.ino(), metadata.mtime_nsec()));
            }
        }
        let client = agents[usize::try_from(number % 3).unwrap()].client().clone();
        let key = format!("settings.k{}", usize::try_from(number).unwrap() % keys);
        changes.spawn(async move {
            let value = json!(number + 1);
            let request = mesh_control::ConfigSet { key, value, note: None };
            client.config_set(&request).await.unwrap();
        });
    }
    while let Some(done) = changes.join_next().await {
        done.unwrap();
    }
    let took = started.elapsed();
    let last = Instant::now();
    in_step(&agents.each_ref(), LONG).await;
    eprintln!("{total} changes in {took:?}, in step {:?} after the last", last.elapsed());
    for (agent, seen) in agents.iter().zip(&inodes) {
        let most = took.as_secs() * WRITES_PER_SECOND + WRITES_PER_SECOND;
        eprintln!("{} wrote its file {} times", agent.name(), seen.len());
        assert!(seen.len() as u64 <= most, "{} times in {took:?}", seen.len());
    }
    // Every change was made: its number stands there, or that of a later one of the same key.
    for number in total.saturating_sub(keys as u64)..total {
        let key = format!("settings.k{}", usize::try_from(number).unwrap() % keys);
        eventually(LONG, &format!("{key} is {}", number + 1), async || {
            (agents[0].value(&key).await == Some(json!(number + 1))).then_some(())
        })
        .await;
    }
}

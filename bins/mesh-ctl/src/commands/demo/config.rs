//! The shared configuration: by command, by editing the file, a secret that is refused, and a change undone.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::try_join_all;
use mesh_control::{ConfigQuery, ConfigRevert, ConfigSet};
use mesh_protocol::ErrorCode;
use serde_json::{Value, json};

use super::agent::Agent;
use super::report::Report;
use super::stage::Stage;
use super::wait::eventually;

const KEY: &str = "settings.theme";

/// Obviously no real one, and of the shape that is looked for.
const TOKEN: &str = concat!("gh", "p_0123456789abcdefghijABCDEFGHIJ456789");

/// Plays the steps of the configuration.
pub(super) async fn play(stage: &Stage, report: &mut Report<'_>) -> anyhow::Result<()> {
    let name = "a setting made on baulder is in mesh-config.json of every agent";
    report.step(name, set(stage)).await?;
    let name = "mint's mesh-config.json is edited, and the others follow";
    let version = report.step(name, edit(stage)).await?;
    let name = "a token is refused, named by key and rule";
    report.step(name, refuse(stage)).await?;
    let name = "the edit is undone, in the file of every agent";
    report.step(name, revert(stage, version)).await
}

async fn set(stage: &Stage) -> anyhow::Result<()> {
    let request = ConfigSet { key: KEY.to_owned(), value: json!("dark"), note: None };
    stage.baulder.client.config_set(&request).await?;
    all_files_say(stage, &json!("dark")).await
}

async fn edit(stage: &Stage) -> anyhow::Result<u64> {
    let file = stage.mint.config_file();
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains("\"dark\""), "the setting is not in {}", file.display());
    std::fs::write(&file, text.replace("\"dark\"", "\"light\""))?;
    all_files_say(stage, &json!("light")).await?;
    let query = ConfigQuery { key: Some(KEY.to_owned()), reveal: false };
    let entries = stage.oak.client.config_get(&query).await?.entries;
    let entry = entries.first().context("oak does not know the setting")?;
    ensure!(entry.by == "mint", "oak takes {} for the one who edited it", entry.by);
    Ok(entry.version)
}

async fn refuse(stage: &Stage) -> anyhow::Result<()> {
    let request = ConfigSet { key: "agents.oak.token".to_owned(), value: json!(TOKEN), note: None };
    let Err(error) = stage.oak.client.config_set(&request).await else {
        bail!("a token went into the configuration");
    };
    ensure!(error.code() == ErrorCode::SecretFound, "{error}");
    ensure!(!error.to_string().contains(TOKEN), "the refusal repeats the token");
    Ok(())
}

async fn revert(stage: &Stage, version: u64) -> anyhow::Result<()> {
    let request = ConfigRevert { version, ..ConfigRevert::default() };
    stage.baulder.client.config_revert(&request).await?;
    all_files_say(stage, &json!("dark")).await
}

async fn all_files_say(stage: &Stage, value: &Value) -> anyhow::Result<()> {
    let says = async |agent: &Agent| {
        let file = agent.config_file();
        let what = format!("{} says {KEY} = {value}", file.display());
        eventually(&what, async || Ok((theme(&file).as_ref() == Some(value)).then_some(()))).await
    };
    try_join_all(stage.agents().map(says)).await?;
    Ok(())
}

/// What the file says, as long as it is there and whole.
fn theme(file: &Path) -> Option<Value> {
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    document.pointer("/settings/theme").cloned()
}

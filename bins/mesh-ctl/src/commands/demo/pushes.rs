//! Pushes: a folder that goes to both others, a secret that stops one, and one that is taken back.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use mesh_control::{PushRequest, PushState, PushTargetState, PushView, RollbackRequest};
use mesh_protocol::PushReason;

use super::report::Report;
use super::stage::Stage;

const SCRIPT: &str = "hello.sh";

/// Obviously no real one, and of the shape that is looked for.
const TOKEN: &str = concat!("gh", "p_9876543210jihgfedcbaJIHGFEDCBA654321");

/// Plays the steps of pushes.
pub(super) async fn play(stage: &Stage, report: &mut Report<'_>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let scripts = folder.path().join("scripts");
    fs::create_dir(&scripts)?;
    let name = "baulder pushes a folder to both others: announced, verified, confirmed";
    report.step(name, push(stage, &scripts, "echo first")).await?;
    let name = "a push with a token in it is stopped before anything travels";
    report.step(name, refuse(stage, &scripts)).await?;
    let name = "it is pushed again, changed";
    let pushed = report.step(name, push(stage, &scripts, "echo second")).await?;
    let name = "the second push is rolled back on both, to the bytes of before";
    report.step(name, roll_back(stage, &pushed)).await
}

async fn push(stage: &Stage, scripts: &Path, script: &str) -> anyhow::Result<PushView> {
    fs::write(scripts.join(SCRIPT), script)?;
    let begun = stage.baulder.client.push(&request(scripts)).await?;
    let push = ended(stage, &begun).await?;
    all_confirmed(&push)?;
    all_have(stage, script)?;
    Ok(push)
}

async fn refuse(stage: &Stage, scripts: &Path) -> anyhow::Result<()> {
    let secret = scripts.join("deploy.sh");
    fs::write(&secret, format!("export GITHUB_TOKEN={TOKEN}\n"))?;
    let begun = stage.baulder.client.push(&request(scripts)).await?;
    let push = ended(stage, &begun).await?;
    fs::remove_file(secret)?;
    let error = push.error.context("a token was pushed")?;
    ensure!(error.reason == PushReason::SecretFound, "{}: {}", error.reason, error.detail);
    ensure!(error.detail.contains("deploy.sh"), "the file is not named: {}", error.detail);
    ensure!(!error.detail.contains(TOKEN), "the refusal repeats the token");
    Ok(())
}

async fn roll_back(stage: &Stage, pushed: &PushView) -> anyhow::Result<()> {
    let request = RollbackRequest {
        push_id: pushed.push_id.to_string(),
        to: Vec::new(),
        force: false,
        message: None,
    };
    let begun = stage.baulder.client.rollback(&request).await?;
    all_confirmed(&ended(stage, &begun).await?)?;
    all_have(stage, "echo first")
}

fn request(scripts: &Path) -> PushRequest {
    let message = Some("scripts of the demo".to_owned());
    PushRequest { paths: vec![scripts.to_owned()], all: true, message, ..PushRequest::default() }
}

async fn ended(stage: &Stage, begun: &PushView) -> anyhow::Result<PushView> {
    let mut news = stage.baulder.client.push_follow(&begun.push_id.to_string()).await?;
    while let Some(push) = news.next().await {
        let push = push?;
        if push.state == PushState::Ended {
            return Ok(push);
        }
    }
    bail!("nobody says how the push ended")
}

fn all_confirmed(push: &PushView) -> anyhow::Result<()> {
    ensure!(push.targets.len() == 2, "it went to {} members", push.targets.len());
    for target in &push.targets {
        let why = target.error.as_ref().map(|error| error.detail.as_str()).unwrap_or_default();
        let is_confirmed = target.state == PushTargetState::Confirmed;
        ensure!(is_confirmed, "{} is {:?}: {why}", target.hostname, target.state);
    }
    Ok(())
}

fn all_have(stage: &Stage, script: &str) -> anyhow::Result<()> {
    for agent in [&stage.mint, &stage.oak] {
        let path = agent.inbox_files().join("scripts").join(SCRIPT);
        let found = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(found == script, "{} says {found:?}", path.display());
    }
    Ok(())
}

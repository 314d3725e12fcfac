//! Three real agents in a temporary directory, and what a mesh does, step by step.

mod agent;
mod config;
mod pushes;
mod report;
mod stage;
mod steps;
mod tables;
mod wait;

use std::io;
use std::path::PathBuf;

use clap::Args;
use mesh_control::ApiError;
use mesh_protocol::ErrorCode;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use self::report::Report;
use self::stage::Stage;
use super::{Context, agent_program};
use crate::exit::{Exit, Failure};
use crate::text::{DIM, plain, styled};

pub(crate) const EXAMPLE: &str = "\
The agents listen on 127.0.0.1 with ports that the system chooses, and keep their data in a
temporary directory that is removed at the end. An agent that runs on this machine is not touched.

Examples:
  mesh-ctl demo
  mesh-ctl demo --keep
  mesh-ctl demo --json | jq '.steps[].ms'";

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Leave the directory with the agents' data and logs
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(args: DemoArgs, context: &Context) -> Result<Exit, Failure> {
    let program = find_agent()?;
    let directory = tempfile::Builder::new()
        .prefix("mesh-demo-")
        .tempdir()
        .map_err(|error| directory_failure(&error))?;
    let mut stage = Stage::new(program, directory.path());
    let mut report = Report::new(&context.output);
    let (ended, is_fault) = tokio::select! {
        // The first one is there before the first agent is: none of them is left running.
        biased;
        interrupted = interruption() => (Err(interrupted), false),
        ended = steps::play(&mut stage, &mut report) => {
            let is_fault = ended.is_err();
            (ended, is_fault)
        }
    };
    stage.stop().await;
    let logs = if is_fault { stage.log_tails() } else { Vec::new() };
    let printed = report.end(ended.as_ref().err(), &logs);
    let tidied = tidy(directory, args.keep, context);
    printed?;
    tidied?;
    Ok(if ended.is_ok() { Exit::Done } else { Exit::Failed })
}

/// Comes when somebody wants the demo to end.
async fn interruption() -> anyhow::Error {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _interrupt = tokio::signal::ctrl_c() => {}
        _terminate = terminated => {}
    }
    anyhow::anyhow!("the demo was interrupted")
}

fn tidy(directory: TempDir, keep: bool, context: &Context) -> Result<(), Failure> {
    if keep {
        let path = directory.keep();
        let told = format!("The agents' data and logs are in {}", plain(&path.to_string_lossy()));
        context.output.news(&styled(DIM, &told))?;
        return Ok(());
    }
    directory.close().map_err(|error| directory_failure(&error))
}

fn directory_failure(error: &io::Error) -> Failure {
    let message = format!("the temporary directory cannot be used: {error}");
    let hint = "TMPDIR names another place for it";
    ApiError::new(ErrorCode::StorageError, message, hint).into()
}

fn find_agent() -> Result<PathBuf, Failure> {
    agent_program().ok_or_else(|| {
        let message = "mesh-agent is neither beside mesh-ctl nor in PATH";
        let hint = "build it with `cargo build --package mesh-agent`, or run `cargo demo`";
        ApiError::new(ErrorCode::NotFound, message, hint).into()
    })
}

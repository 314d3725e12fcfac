use clap::Args;
use futures_util::StreamExt as _;
use mesh_control::{ConfigChangeView, ConfigWatchQuery, ControlClient};
use tokio::signal::ctrl_c;

use super::super::Context;
use super::super::events::agent_stopped;
use crate::exit::{Exit, Failure};
use crate::text::{DIM, clock_time, plain, styled};

pub(super) const EXAMPLE: &str = "\
Shows changes wherever they were made, once they are in force here. With --json each change is a
line.

Examples:
  mesh-ctl config watch
  mesh-ctl config watch agents.oak --json | jq -c '[.key, .value]'";

#[derive(Args)]
pub(super) struct WatchArgs {
    /// Only changes of this key and of what is beneath it
    prefix: Option<String>,
    /// End after so many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
}

pub(super) async fn run(args: WatchArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let query = ConfigWatchQuery { prefix: args.prefix };
    tokio::select! {
        biased;
        _ended = ctrl_c() => Ok(Exit::Done),
        ended = follow(&client, &query, args.limit, context) => ended,
    }
}

async fn follow(
    client: &ControlClient,
    query: &ConfigWatchQuery,
    limit: Option<usize>,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut changes = client.config_watch(query).await?;
    let mut left = limit;
    let mut told = None;
    while left != Some(0) {
        let Some(change) = changes.next().await else { return Err(agent_stopped()) };
        let change = change?;
        // People read of a change once, whatever number of keys it has.
        let made = Some((change.version, change.by.clone()));
        let is_told = made == told;
        told = made;
        if context.output.is_json() || !is_told {
            context.output.line(&change, line)?;
        }
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Done)
}

fn line(change: &ConfigChangeView) -> String {
    format!("{}  {}", styled(DIM, &clock_time(change.at)), plain(&change.text))
}

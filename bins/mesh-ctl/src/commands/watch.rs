use clap::Args;
use futures_util::StreamExt as _;
use mesh_control::{ChangeOperation, ChangeView, ControlClient, WatchQuery};
use tokio::signal::ctrl_c;

use super::Context;
use super::events::agent_stopped;
use crate::exit::{Exit, Failure};
use crate::text::{BAD, DIM, GOOD, NORMAL, ODD, TITLE, clock_time, or_dash, plain, styled};
use crate::values::named;

pub(crate) const EXAMPLE: &str = "\
Shows changes wherever they were made, once they are committed here. With --json each change is a
line; its position goes on from there the next time.

Examples:
  mesh-ctl watch notes
  mesh-ctl watch notes --json | jq -c .key
  mesh-ctl watch notes --from 4711 --limit 10";

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// The table
    table: String,
    /// Begin behind this position instead of with what is committed next
    #[arg(long, value_name = "POSITION")]
    from: Option<String>,
    /// End after so many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(args: WatchArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let query = WatchQuery { table: args.table, from: args.from };
    tokio::select! {
        biased;
        _ended = ctrl_c() => Ok(Exit::Done),
        ended = follow(&client, &query, args.limit, context) => ended,
    }
}

async fn follow(
    client: &ControlClient,
    query: &WatchQuery,
    limit: Option<usize>,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut changes = client.watch(query).await?;
    let mut left = limit;
    while left != Some(0) {
        let Some(change) = changes.next().await else { return Err(agent_stopped()) };
        context.output.line(&change?, line)?;
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Done)
}

fn line(change: &ChangeView) -> String {
    let style = match change.operation {
        ChangeOperation::Insert => GOOD,
        ChangeOperation::Update => NORMAL,
        ChangeOperation::Delete => BAD,
        ChangeOperation::Resync => ODD,
    };
    let at = styled(DIM, &clock_time(change.at));
    let operation = styled(style, &format!("{:6}", change.operation.as_str()));
    let origin = styled(TITLE, &or_dash(Some(plain(&change.origin))));
    let position = styled(DIM, &format!("({})", plain(&change.position)));
    let parts = [at, operation, origin, named(&change.key), named(&change.data), position];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}

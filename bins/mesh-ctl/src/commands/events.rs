use clap::Args;
use futures_util::StreamExt as _;
use mesh_control::{ApiError, ControlClient, EventView};
use mesh_protocol::ErrorCode;
use serde_json::Value;
use tokio::signal::ctrl_c;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{DIM, TITLE, clock_time, json, plain, styled};

pub(crate) const EXAMPLE: &str = "\
With --json each event is a line.

Examples:
  mesh-ctl events --limit 20
  mesh-ctl events --follow --json | jq -r .kind";

#[derive(Args)]
pub(crate) struct EventsArgs {
    /// Go on with every event as it happens
    #[arg(long, short = 'f')]
    follow: bool,
    /// How many of the latest events
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(crate) async fn run(args: EventsArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    if args.follow {
        return tokio::select! {
            biased;
            _ended = ctrl_c() => Ok(Exit::Done),
            ended = follow(&client, args.limit, context) => ended,
        };
    }
    for event in patiently("asking the agent", client.events(args.limit)).await? {
        context.output.line(&event, line)?;
    }
    Ok(Exit::Done)
}

async fn follow(client: &ControlClient, limit: usize, context: &Context) -> Result<Exit, Failure> {
    let mut events = client.events_follow(limit).await?;
    while let Some(event) = events.next().await {
        context.output.line(&event?, line)?;
    }
    Err(agent_stopped())
}

/// What a follower says when the stream ends that should not.
pub(super) fn agent_stopped() -> Failure {
    let hint = "start it again with `mesh-agent`";
    ApiError::new(ErrorCode::ShuttingDown, "the agent has stopped", hint).into()
}

fn line(event: &EventView) -> String {
    let at = styled(DIM, &clock_time(event.at));
    let kind = styled(TITLE, &plain(&event.kind));
    let mut line = format!("{at}  {kind}");
    for (name, value) in &event.fields {
        let value = match value {
            Value::String(text) => plain(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => json(value),
        };
        line.push_str(&format!("  {}={value}", plain(name)));
    }
    line
}

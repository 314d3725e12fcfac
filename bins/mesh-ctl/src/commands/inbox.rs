use std::pin::pin;

use clap::Args;
use futures_util::StreamExt as _;
use mesh_control::{ClientError, ControlClient, InboxQuery, InboxView};
use tokio::signal::ctrl_c;

use super::Context;
use super::events::agent_stopped;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, DIM, NORMAL, TITLE, ago, clock_time, json, or_dash, plain, styled};

pub(crate) const EXAMPLE: &str = "\
With --ack a message leaves the inbox once it has been printed. With --json each message is a line.

Examples:
  mesh-ctl inbox
  mesh-ctl inbox --app-type deploy.request --limit 10 --ack --json
  mesh-ctl inbox --follow --ack";

/// Messages that are acknowledged at once.
const ACK_MAX: usize = 1000;

#[derive(Args)]
pub(crate) struct InboxArgs {
    /// Go on with every message as it arrives
    #[arg(long, short = 'f')]
    follow: bool,
    /// Only messages of this application type
    #[arg(long, value_name = "T")]
    app_type: Option<String>,
    /// Only messages from this member
    #[arg(long, value_name = "HOST")]
    from: Option<String>,
    /// End after so many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
    /// Acknowledge what was printed: it leaves the inbox
    #[arg(long)]
    ack: bool,
}

pub(crate) async fn run(args: InboxArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let InboxArgs { follow, app_type, from, limit, ack } = args;
    let query = InboxQuery { app_type, from, limit };
    if follow {
        return tokio::select! {
            biased;
            _ended = ctrl_c() => Ok(Exit::Done),
            ended = self::follow(&client, &query, ack, context) => ended,
        };
    }
    let messages = patiently("reading the inbox", client.inbox(&query)).await?;
    if context.output.is_json() {
        for message in &messages {
            context.output.line(message, line)?;
        }
    } else {
        context.output.print(&table(&messages))?;
    }
    if ack {
        for part in messages.chunks(ACK_MAX) {
            acknowledge(&client, part).await?;
        }
    }
    Ok(Exit::Done)
}

async fn follow(
    client: &ControlClient,
    query: &InboxQuery,
    ack: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let messages = client.inbox_follow(query).await?;
    // What is there at once is acknowledged at once: one request for a backlog, not one each.
    let mut batches = pin!(messages.ready_chunks(ACK_MAX));
    let mut count = 0;
    while let Some(batch) = batches.next().await {
        let mut printed = Vec::with_capacity(batch.len());
        let mut failed = None;
        for message in batch {
            match message {
                Ok(message) => {
                    context.output.line(&message, line)?;
                    printed.push(message);
                }
                Err(error) => failed = Some(error),
            }
        }
        count += printed.len();
        if ack && !printed.is_empty() {
            acknowledge(client, &printed).await?;
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    if query.limit.is_some_and(|limit| count >= limit) {
        Ok(Exit::Done)
    } else {
        Err(agent_stopped())
    }
}

async fn acknowledge(client: &ControlClient, messages: &[InboxView]) -> Result<(), ClientError> {
    let ids = messages.iter().map(|message| message.message_id).collect();
    client.inbox_ack(ids).await.map(|_| ())
}

fn table(messages: &[InboxView]) -> String {
    if messages.is_empty() {
        return "The inbox is empty.\n".to_owned();
    }
    let now = clock::now();
    let mut columns = Columns::new(["RECEIVED", "FROM", "TO", "TYPE", "SEALED", "DATA"]);
    for message in messages {
        columns.row(
            NORMAL,
            [
                ago(message.received_at, now),
                plain(&message.from),
                plain(&message.to),
                or_dash(Some(plain(&message.app_type))),
                if message.sealed { "yes" } else { "no" }.to_owned(),
                json(&message.data),
            ],
        );
    }
    columns.render()
}

fn line(message: &InboxView) -> String {
    let at = styled(DIM, &clock_time(message.received_at));
    let from = styled(TITLE, &plain(&message.from));
    let sealed = if message.sealed { " (sealed)" } else { "" };
    let (to, app_type, data) = (plain(&message.to), plain(&message.app_type), json(&message.data));
    format!("{at}  {from} to {to}{sealed}  {app_type}  {data}")
}

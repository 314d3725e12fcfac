use std::io::{self, Read as _};
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use mesh_control::{ApiError, DeliveryState, DeliveryView, SendPriority, SendReply, SendRequest};
use mesh_protocol::{ErrorCode, MESSAGE_BYTES_MAX, MessageId};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use crate::duration::parse_duration;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, Columns, GOOD, ODD, millis, or_dash, plain};

pub(crate) const EXAMPLE: &str = "\
TEXT and --stdin become {\"text\": …} of app type `text`; --json-body is sent as it is, of app type
`json`. --app-type names another one. With --wait the command ends with code 5 when a delivery
still waits, and with 1 when one was refused.

Examples:
  mesh-ctl send --to mint 'the build is done' --wait
  mesh-ctl send --broadcast --app-type deploy.request --json-body '{\"ref\":\"main\"}'
  mesh-ctl send --to mint --seal --stdin < notes.txt";

const WAIT_DEFAULT: &str = "30";

#[derive(Args)]
#[command(group = ArgGroup::new("receiver").required(true).args(["to", "broadcast"]))]
#[command(group = ArgGroup::new("body").required(true).args(["text", "json_body", "stdin"]))]
pub(crate) struct SendArgs {
    /// The receiver: hostname, peer id, or the first eight or more digits of it
    #[arg(long, value_name = "HOST")]
    to: Option<String>,
    /// Send to every member
    #[arg(long)]
    broadcast: bool,
    /// Names the application and the meaning of the message
    #[arg(long, value_name = "T")]
    app_type: Option<String>,
    /// Seal it end to end
    #[arg(long)]
    seal: bool,
    /// How long it may wait for its receiver [default: 7d]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Wait for the deliveries, 30 seconds unless told otherwise
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = WAIT_DEFAULT, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) wait: Option<u64>,
    /// How urgent it is
    #[arg(long, value_name = "P", default_value = "normal")]
    priority: Priority,
    /// The message
    text: Option<String>,
    /// The message as a JSON document; - reads it from standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    json_body: Option<String>,
    /// Read the message's text from standard input
    #[arg(long)]
    stdin: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Priority {
    /// Overtakes everything else
    Urgent,
    Normal,
    /// Waits for everything else
    Bulk,
}

impl From<Priority> for SendPriority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Urgent => Self::Urgent,
            Priority::Normal => Self::Normal,
            Priority::Bulk => Self::Bulk,
        }
    }
}

/// A message that was sent.
#[derive(Serialize)]
struct Sent<'a> {
    message_id: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<&'a [DeliveryView]>,
    warnings: &'a [String],
}

pub(crate) async fn run(args: SendArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let wait_seconds = args.wait;
    let request = request(args)?;
    let reply = patiently("waiting for the deliveries", client.send(&request)).await?;
    for warning in &reply.warnings {
        context.output.warn(warning);
    }
    let SendReply { message_id, deliveries, warnings } = &reply;
    // Without a wait nobody looked at the deliveries, so nothing is said of them.
    let deliveries = wait_seconds.is_some().then_some(deliveries.as_slice());
    context.output.show(&Sent { message_id: *message_id, deliveries, warnings }, render)?;
    Ok(exit(&reply.deliveries))
}

fn request(args: SendArgs) -> Result<SendRequest, Failure> {
    let (default_type, data) = match (args.text, args.json_body) {
        (Some(text), _) => ("text", json!({ "text": text })),
        (None, Some(body)) => ("json", parse_body(body)?),
        (None, None) => ("text", json!({ "text": read_stdin()? })),
    };
    Ok(SendRequest {
        to: args.to,
        broadcast: args.broadcast,
        app_type: args.app_type.unwrap_or_else(|| default_type.to_owned()),
        data,
        seal: args.seal,
        ttl_seconds: args.ttl.map(|ttl| ttl.as_secs()),
        wait_seconds: args.wait,
        priority: args.priority.into(),
    })
}

fn parse_body(body: String) -> Result<Value, Failure> {
    let body = if body == "-" { read_stdin()? } else { body };
    serde_json::from_str(&body).map_err(|error| {
        Failure::usage(
            format!("the body is not JSON: {error}"),
            "text goes in as it is, without --json-body",
        )
    })
}

/// Stops reading where no message could hold it any more.
fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let limit = MESSAGE_BYTES_MAX as u64 + 1;
    io::stdin().take(limit).read_to_string(&mut text).map_err(|error| {
        Failure::usage(format!("reading standard input failed: {error}"), "a message is UTF-8 text")
    })?;
    if text.len() > MESSAGE_BYTES_MAX {
        let message = format!("a message may have {MESSAGE_BYTES_MAX} bytes; nothing was sent");
        let hint = "send it in parts, or as a file";
        return Err(ApiError::new(ErrorCode::MessageTooLarge, message, hint).into());
    }
    Ok(text)
}

fn render(sent: &Sent<'_>) -> String {
    let id = sent.message_id;
    let Some(deliveries) = sent.deliveries else {
        return format!("Message {id} is committed and on its way.\n");
    };
    if deliveries.is_empty() {
        return format!("Message {id} had nobody to go to: this agent is the only member.\n");
    }
    let mut columns = Columns::new(["TO", "STATE", "TIME", "VIA", "REASON"]);
    for delivery in deliveries {
        let (style, state) = match delivery.state {
            DeliveryState::Acked => (GOOD, "acked"),
            DeliveryState::Queued => (ODD, "queued"),
            DeliveryState::Expired => (BAD, "expired"),
            DeliveryState::Refused => (BAD, "refused"),
        };
        columns.row(
            style,
            [
                plain(&delivery.to),
                state.to_owned(),
                or_dash(delivery.ms.map(millis)),
                or_dash(delivery.via.as_deref().map(plain)),
                or_dash(delivery.error.map(|code| code.to_string())),
            ],
        );
    }
    format!("Message {id}\n{}", columns.render())
}

/// A delivery that failed for good outweighs one that may still succeed.
fn exit(deliveries: &[DeliveryView]) -> Exit {
    let is = |wanted: &[DeliveryState]| {
        deliveries.iter().any(|delivery| wanted.contains(&delivery.state))
    };
    if is(&[DeliveryState::Expired, DeliveryState::Refused]) {
        Exit::Failed
    } else if is(&[DeliveryState::Queued]) {
        Exit::TimedOut
    } else {
        Exit::Done
    }
}

use mesh_control::OutboxView;
use mesh_protocol::ErrorCode;

use super::Context;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, Columns, NORMAL, bytes, or_dash, plain, until};

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl outbox
  mesh-ctl outbox --json | jq length";

/// What to do about a message that was sealed when it was sent: the agent keeps nothing that could be sealed anew.
const UNREADABLE: &str = "seal_invalid: the receiver has lost the keys that it was sealed for; send the message again.\n";

pub(crate) async fn run(context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let waiting = patiently("reading the outbox", client.outbox()).await?;
    context.output.show(&waiting, |waiting| render(waiting))?;
    Ok(Exit::Done)
}

fn render(waiting: &[OutboxView]) -> String {
    if waiting.is_empty() {
        return "Nothing waits.\n".to_owned();
    }
    let now = clock::now();
    let titles =
        ["TO", "STATE", "REASON", "CUSTODIANS", "ATTEMPTS", "NEXT", "ENDS", "SIZE", "MESSAGE"];
    let mut columns = Columns::new(titles);
    for message in waiting {
        let ended = matches!(message.state.as_str(), "expired" | "refused");
        columns.row(
            if ended { BAD } else { NORMAL },
            [
                plain(&message.to),
                plain(&message.state),
                or_dash(message.reason.map(|code| code.to_string())),
                or_dash(Some(plain(&message.custodians.join(", ")))),
                message.attempts.to_string(),
                or_dash(message.next_attempt_at.map(|at| until(at, now))),
                until(message.expires_at, now),
                bytes(message.bytes),
                message.message_id.to_string(),
            ],
        );
    }
    let mut text = columns.render();
    let is_unreadable = |message: &OutboxView| {
        message.state == "refused" && message.reason == Some(ErrorCode::SealInvalid)
    };
    if waiting.iter().any(is_unreadable) {
        text.push_str(UNREADABLE);
    }
    text
}

#[cfg(test)]
mod tests;

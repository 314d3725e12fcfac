use std::time::Duration;

use clap::{Args, Subcommand};
use mesh_control::{ParkedAccept, ParkedAccepted, ParkedView};

use super::Context;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, NORMAL, ago, or_dash, plain, span};

pub(crate) const EXAMPLE: &str = "\
What cannot be applied (its table is not here yet, a constraint forbids it, its clock is ahead) is put
aside, whole, and tried again by itself. Nothing else waits for it.

Examples:
  mesh-ctl parked
  mesh-ctl parked accept mint";

#[derive(Args)]
pub(crate) struct ParkedArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Lists the transactions of other members that cannot be applied yet
    #[command(after_help = "Example:\n  mesh-ctl parked list")]
    List,
    /// Takes what a member wrote although its clock was ahead
    #[command(after_help = "\
Until this agent's clock has reached theirs, these writes win over those that are made here. Set the
member's clock right first.

Example:
  mesh-ctl parked accept mint")]
    Accept {
        /// Hostname, peer id, the first eight or more digits of it, or the id of a database
        host: String,
    },
}

pub(crate) async fn run(args: ParkedArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match args.action {
        None | Some(Action::List) => {
            let parked = patiently("asking the agent", client.parked_list()).await?;
            context.output.show(&parked, |parked| render(parked))?;
        }
        Some(Action::Accept { host }) => {
            let request = ParkedAccept { host };
            let accepted = client.parked_accept(&request);
            let accepted = patiently("applying what waited", accepted).await?;
            context.output.show(&accepted, |accepted| {
                let ParkedAccepted { accepted, applied } = accepted;
                format!("{accepted} transactions accepted, {applied} applied.\n")
            })?;
        }
    }
    Ok(Exit::Done)
}

fn render(parked: &[ParkedView]) -> String {
    if parked.is_empty() {
        return "Nothing is parked.\n".to_owned();
    }
    let now = clock::now();
    let mut columns = Columns::new(["MEMBER", "NUMBER", "SINCE", "REASON", "AHEAD", "DETAIL"]);
    for parked in parked {
        let member = parked.member.as_deref().map_or_else(|| parked.origin.to_string(), plain);
        let ahead =
            (parked.ahead_seconds > 0).then(|| span(Duration::from_secs(parked.ahead_seconds)));
        columns.row(
            NORMAL,
            [
                member,
                parked.sequence.to_string(),
                ago(parked.at, now),
                plain(&parked.reason),
                or_dash(ahead),
                or_dash(Some(plain(&parked.detail))),
            ],
        );
    }
    columns.render()
}

use clap::{Args, Subcommand};
use mesh_control::{
    PushCancel, PushDecision, PushDetail, PushEventView, PushState, PushView, PushesQuery,
};

use super::Context;
use super::push::{details, state_word, step_word};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, DIM, NORMAL, ago, bytes, clock_time, or_dash, plain, styled};

pub(crate) const EXAMPLE: &str = "\
Lists what this agent pushed and what was pushed to it, newest first. With an id: the whole story of
that push. The first eight or more digits of an id do, as long as they are nobody else's.

Examples:
  mesh-ctl pushes
  mesh-ctl pushes 0197a1b2-c3d4
  mesh-ctl pushes --json | jq -r '.[] | select(.state != \"ended\") | .push_id'
  mesh-ctl pushes approve 0197a1b2-c3d4";

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PushesArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Show the story of this push
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// How many of the latest [default: 20]
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "id")]
    limit: Option<u64>,
}

#[derive(Subcommand)]
enum Action {
    /// Lets a push go on that waits at this agent for approval
    #[command(after_help = "Example:\n  mesh-ctl pushes approve 0197a1b2-c3d4")]
    Approve {
        /// The push, or the first eight or more digits of its id
        id: String,
    },
    /// Refuses a push that waits at this agent for approval
    #[command(after_help = "Example:\n  mesh-ctl pushes deny 0197a1b2-c3d4 'not during the fair'")]
    Deny {
        /// The push, or the first eight or more digits of its id
        id: String,
        /// Why, for the one who pushed
        reason: String,
    },
    /// Gives up a push of this agent wherever it is not in place yet
    #[command(after_help = "\
Where it is in place it stays: `mesh-ctl rollback ID` takes it back.

Example:
  mesh-ctl pushes cancel 0197a1b2-c3d4")]
    Cancel {
        /// The push, or the first eight or more digits of its id
        id: String,
    },
}

pub(crate) async fn run(args: PushesArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let show = |push: PushView, done: &str| {
        context.output.show(&push, |push| format!("Push {} is {done}.\n", push.push_id))
    };
    match (args.action, args.id) {
        (Some(Action::Approve { id }), _) => {
            let request = PushDecision { push_id: id, deny: None };
            let push = patiently("approving the push", client.push_decide(&request)).await?;
            show(push, "approved")?;
        }
        (Some(Action::Deny { id, reason }), _) => {
            let request = PushDecision { push_id: id, deny: Some(reason) };
            let push = patiently("denying the push", client.push_decide(&request)).await?;
            show(push, "denied; what was there before is untouched")?;
        }
        (Some(Action::Cancel { id }), _) => {
            let request = PushCancel { push_id: id };
            let push = patiently("ending the push", client.push_cancel(&request)).await?;
            show(push, "cancelled where it was not in place yet")?;
        }
        (None, Some(id)) => {
            let push = patiently("asking the agent", client.push_detail(&id)).await?;
            context.output.show(&push, story)?;
        }
        (None, None) => {
            let query = PushesQuery { limit: args.limit };
            let pushes = patiently("asking the agent", client.pushes(&query)).await?;
            context.output.show(&pushes, |pushes| render(pushes))?;
        }
    }
    Ok(Exit::Done)
}

fn render(pushes: &[PushView]) -> String {
    if pushes.is_empty() {
        return "Nothing was pushed from here or to here.\n".to_owned();
    }
    let now = clock::now();
    let mut columns =
        Columns::new(["PUSH", "BY", "AT", "FILES", "SIZE", "ROOT", "TARGETS", "MESSAGE"]);
    for push in pushes {
        columns.row(
            NORMAL,
            [
                push.push_id.to_string(),
                plain(&push.by),
                ago(push.at, now),
                push.files.to_string(),
                bytes(push.bytes_total),
                plain(&push.root),
                targets(push),
                or_dash(Some(plain(&push.message))),
            ],
        );
    }
    columns.render()
}

/// `mint confirmed, oak failed`, or numbers where there are many.
fn targets(push: &PushView) -> String {
    const NAMED_MAX: usize = 3;
    if push.state == PushState::Preparing {
        return "preparing".to_owned();
    }
    if let Some(error) = &push.error {
        return format!("{} failed: {}", step_word(error.step), error.reason);
    }
    if push.targets.len() <= NAMED_MAX {
        let targets = push.targets.iter();
        let named = targets
            .map(|target| format!("{} {}", plain(&target.hostname), state_word(target.state)));
        return named.collect::<Vec<_>>().join(", ");
    }
    let mut states: Vec<(&str, usize)> = Vec::new();
    for target in &push.targets {
        let word = state_word(target.state);
        match states.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => states.push((word, 1)),
        }
    }
    let counted = states.into_iter().map(|(word, count)| format!("{count} {word}"));
    counted.collect::<Vec<_>>().join(", ")
}

fn story(detail: &PushDetail) -> String {
    let PushDetail { push, events } = detail;
    let mut text = details(push, clock::now());
    let mut facts = vec![format!("by {} at {}", plain(&push.by), clock_time(push.at))];
    if let Some(test) = &push.test {
        facts.push(format!("test `{}`", plain(test)));
    }
    if !push.message.is_empty() {
        facts.push(plain(&push.message));
    }
    let facts = styled(DIM, &facts.join("; "));
    let after_headline = text.find('\n').map_or(text.len(), |at| at + 1);
    text.insert_str(after_headline, &format!("{facts}\n"));
    text.push('\n');
    let mut columns = Columns::untitled();
    for PushEventView { at, step, what, hostname, detail } in events {
        columns.row(
            NORMAL,
            [
                clock_time(*at),
                step_word(*step).to_uppercase(),
                or_dash(hostname.as_deref().map(plain)),
                plain(&what.replace('_', " ")),
                plain(detail),
            ],
        );
    }
    text.push_str(&columns.render());
    text
}

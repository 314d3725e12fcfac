use clap::Args;
use mesh_control::RollbackRequest;

use super::Context;
use super::push::{Until, watch};
use crate::exit::{Exit, Failure};
use crate::progress::patiently;

pub(crate) const EXAMPLE: &str = "\
Brings back the bytes, modes and times of before, and removes what was new, all at once. It is a push
itself: `mesh-ctl pushes` lists it, and it can be rolled back. Where a file was changed since, the
target refuses and names it; --force backs up the changed one and goes on.
Exit codes are those of `push`.

Examples:
  mesh-ctl rollback 0197a1b2-c3d4
  mesh-ctl rollback 0197a1b2-c3d4 --to oak --force --message 'the old one was better'";

#[derive(Args)]
pub(crate) struct RollbackArgs {
    /// The push to take back, or the first eight or more digits of its id
    #[arg(value_name = "PUSH_ID")]
    id: String,
    /// Where: hostnames, peer ids, or the first digits of them [default: all its targets]
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    to: Vec<String>,
    /// Also where files were changed since; these are backed up
    #[arg(long)]
    force: bool,
    /// What for, for people
    #[arg(long, short = 'm', value_name = "TEXT")]
    message: Option<String>,
    /// Come back once it is begun
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// Wait also for targets that are not reached
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(args: RollbackArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let until = Until::of(args.no_wait, args.wait);
    let RollbackArgs { id, to, force, message, .. } = args;
    let request = RollbackRequest { push_id: id, to, force, message };
    let begun = patiently("asking the agent", client.rollback(&request)).await?;
    watch(&client, begun, until, context).await
}

use clap::Args;
use futures_util::StreamExt as _;
use mesh_control::{
    ApiError, SyncProgress, SyncReply, SyncRequest, SyncStep, SyncStepView, TableSyncView,
};
use mesh_protocol::ErrorCode;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, DIM, GOOD, NORMAL, ODD, plain, styled};

pub(crate) const EXAMPLE: &str = "\
An agent does this by itself every half minute, and whenever a link comes up.

Examples:
  mesh-ctl sync
  mesh-ctl sync --force --json | jq .changes_received";

#[derive(Args)]
pub(crate) struct SyncArgs {
    /// Compare everything with every linked member whatever is believed of them, and repair
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(args: SyncArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let request = SyncRequest { force: args.force };
    let mut progress = patiently("asking the agent", client.sync(&request)).await?;
    while let Some(item) = patiently("comparing with the members", progress.next()).await {
        match item? {
            SyncProgress::Step(step) => context.output.news(&step_line(&step))?,
            SyncProgress::Done(reply) => {
                context.output.show(&reply, render)?;
                return Ok(Exit::Done);
            }
            SyncProgress::Failed { error } => return Err(error.into()),
        }
    }
    Err(ApiError::new(
        ErrorCode::AgentUnreachable,
        "the agent stopped before the sync was over; what its steps did stands",
        "start it; it compares with the members by itself",
    )
    .into())
}

fn step_line(step: &SyncStepView) -> String {
    let number = styled(GOOD, &format!("[{}/{}]", step.number, step.total));
    let name = match step.step {
        SyncStep::HostInfo => "host info",
        SyncStep::EncryptedData => "encrypted data",
        SyncStep::MeshPeers => "mesh peers",
    };
    format!("{number} {name:14}  {}", styled(DIM, &plain(&step.detail)))
}

fn render(reply: &SyncReply) -> String {
    let SyncReply { peers_contacted, peers_added, changes_received, changes_sent, .. } = reply;
    let mut text = format!(
        "{peers_contacted} members contacted, {peers_added} added; {changes_received} changes received, {changes_sent} sent.\n"
    );
    if reply.tables.is_empty() {
        return text;
    }
    let mut columns = Columns::new(["TABLE", "STATE", "ROWS REPAIRED"]);
    for TableSyncView { table, in_step, rows_repaired } in &reply.tables {
        let (style, state) = if *in_step { (NORMAL, "in step") } else { (ODD, "differs") };
        columns.row(style, [plain(table), state.to_owned(), rows_repaired.to_string()]);
    }
    text.push_str(&columns.render());
    text
}

use clap::Args;
use mesh_control::RenameRequest;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::plain;

pub(crate) const EXAMPLE: &str = "\
Messages to the old name still arrive for a day.

Example:
  mesh-ctl hostname elm";

#[derive(Args)]
pub(crate) struct HostnameArgs {
    /// The new name: 1 to 63 of a-z 0-9 - _ . with a letter or digit at both ends
    #[arg(value_name = "NEW")]
    hostname: String,
}

pub(crate) async fn run(args: HostnameArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let request = RenameRequest { hostname: args.hostname };
    let renamed = patiently("telling the members", client.rename(&request)).await?;
    context.output.show(&renamed, |renamed| {
        let (former, hostname) = (plain(&renamed.former), plain(&renamed.hostname));
        let told = renamed.peers_told;
        format!("{former} is called {hostname} from now on; members told at once: {told}.\n")
    })?;
    Ok(Exit::Done)
}

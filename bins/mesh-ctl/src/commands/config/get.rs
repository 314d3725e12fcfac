use clap::Args;
use mesh_control::{ConfigQuery, ConfigView};

use super::super::Context;
use super::shown::{short, whole};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, NORMAL, ago, plain};

pub(super) const EXAMPLE: &str = "\
One value is printed as it is, a text without quotes; everything beneath a key is a table. With
--json it is the value, or the document of everything beneath.

Examples:
  mesh-ctl config get
  mesh-ctl config get agents.oak.webhook
  mesh-ctl config get agents --json | jq .oak
  mesh-ctl config get databases.main.password --reveal";

#[derive(Args)]
pub(super) struct GetArgs {
    /// The key [default: everything]
    key: Option<String>,
    /// Open the values that are sealed to this agent
    #[arg(long)]
    reveal: bool,
}

pub(super) async fn run(args: GetArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let query = ConfigQuery { key: args.key, reveal: args.reveal };
    let view = patiently("reading the configuration", client.config_get(&query)).await?;
    if context.output.is_json() {
        context.output.show(&view.value, |_| String::new())?;
    } else {
        context.output.print(&render(&view))?;
    }
    Ok(Exit::Done)
}

fn render(view: &ConfigView) -> String {
    // The document of several keys, or of one further in, is none of their values.
    if let [entry] = view.entries.as_slice()
        && entry.value == view.value
    {
        return format!("{}\n", whole(&entry.value));
    }
    if view.entries.is_empty() {
        // What belongs to one machine alone has no entry.
        if view.key.is_some() {
            return format!("{}\n", whole(&view.value));
        }
        return "The configuration is empty. Set a key with `mesh-ctl config set`.\n".to_owned();
    }
    let now = clock::now();
    let mut columns = Columns::new(["KEY", "VALUE", "VERSION", "BY", "WHEN"]);
    for entry in &view.entries {
        columns.row(
            NORMAL,
            [
                plain(&entry.key),
                short(&entry.value),
                entry.version.to_string(),
                plain(&entry.by),
                ago(entry.at, now),
            ],
        );
    }
    let more = match view.entries_left_out {
        0 => String::new(),
        more => format!("{more} keys more; --json shows everything.\n"),
    };
    format!("{}{more}", columns.render())
}

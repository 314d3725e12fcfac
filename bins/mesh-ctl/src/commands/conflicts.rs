use clap::{Args, Subcommand};
use mesh_control::{ConflictQuery, ConflictRestore, ConflictSide, ConflictView};

use super::Context;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, NORMAL, ago, plain};
use crate::values::{named, shown};

pub(crate) const EXAMPLE: &str = "\
When two members write the same value without knowing of each other, the later write is kept; the
other one is listed here, the same on every member, until it is restored, or 30 days have passed.

Examples:
  mesh-ctl conflicts list --table notes
  mesh-ctl conflicts restore 5f3a0b1c";

#[derive(Args)]
pub(crate) struct ConflictsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Lists the writes that lost, oldest first
    #[command(after_help = "\
Examples:
  mesh-ctl conflicts list
  mesh-ctl conflicts list --json | jq '.[].lost'")]
    List {
        /// Only those of this table
        #[arg(long, value_name = "T")]
        table: Option<String>,
    },
    /// Writes again what lost, on every member
    #[command(after_help = "Example:\n  mesh-ctl conflicts restore 5f3a0b1c")]
    Restore {
        /// The conflict's id, or the first eight or more digits of it
        #[arg(value_name = "ID")]
        id: String,
    },
}

pub(crate) async fn run(args: ConflictsArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match args.action {
        Action::List { table } => {
            let query = ConflictQuery { table };
            let conflicts = patiently("asking the agent", client.conflict_list(&query)).await?;
            context.output.show(&conflicts, |conflicts| render(conflicts))?;
        }
        Action::Restore { id } => {
            let request = ConflictRestore { id };
            let restored = client.conflict_restore(&request);
            let restored = patiently("restoring the write", restored).await?;
            context.output.show(&restored, |conflict| {
                let (place, by) = (place(conflict), plain(&conflict.lost.by));
                if conflict.lost.deleted {
                    format!("{place} is deleted again, as {by} had done.\n")
                } else {
                    format!("{place} is again what {by} wrote.\n")
                }
            })?;
        }
    }
    Ok(Exit::Done)
}

/// `notes id=a title`.
fn place(conflict: &ConflictView) -> String {
    let row = format!("{} {}", plain(&conflict.table), named(&conflict.key));
    match &conflict.column {
        Some(column) => format!("{row} {}", plain(column)),
        None => row,
    }
}

fn side(side: &ConflictSide, is_column: bool) -> String {
    let what = match (side.deleted, is_column) {
        (true, _) => "deleted".to_owned(),
        (false, true) => shown(&side.value),
        (false, false) => "written".to_owned(),
    };
    format!("{what} (by {})", plain(&side.by))
}

fn render(conflicts: &[ConflictView]) -> String {
    if conflicts.is_empty() {
        return "No write was lost to another.\n".to_owned();
    }
    let now = clock::now();
    let mut columns = Columns::new(["ID", "WHEN", "WHERE", "KEPT", "LOST"]);
    for conflict in conflicts {
        let is_column = conflict.column.is_some();
        columns.row(
            NORMAL,
            [
                plain(&conflict.id),
                ago(conflict.at, now),
                place(conflict),
                side(&conflict.kept, is_column),
                side(&conflict.lost, is_column),
            ],
        );
    }
    columns.render()
}

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use mesh_control::{TableCreate, TableQuery, TableView};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, NORMAL, or_dash, plain};

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl table create 'CREATE TABLE notes(id TEXT NOT NULL PRIMARY KEY, title TEXT)'
  mesh-ctl table list
  mesh-ctl table drop notes";

#[derive(Args)]
pub(crate) struct TableArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Makes a table that every member has
    #[command(after_help = "\
A table needs a primary key. UNIQUE beyond it and foreign keys to other tables are refused: two
members could each be right, and together wrong.

Example:
  mesh-ctl table create 'CREATE TABLE notes(id TEXT NOT NULL PRIMARY KEY, title TEXT)'")]
    Create {
        /// The CREATE TABLE statement
        sql: String,
    },
    /// Lists the replicated tables
    #[command(after_help = "Examples:\n  mesh-ctl table list\n  mesh-ctl table list --checksum")]
    List {
        /// With checksums, which are equal where the rows are; reads every row
        #[arg(long)]
        checksum: bool,
    },
    /// Drops a table with its rows, on every member
    #[command(after_help = "\
Asks first when it runs on a terminal.

Examples:
  mesh-ctl table drop notes
  mesh-ctl table drop notes --yes")]
    Drop {
        /// The table
        name: String,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

pub(crate) async fn run(args: TableArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match args.action {
        Action::Create { sql } => {
            let request = TableCreate { sql };
            let created = patiently("making the table", client.table_create(&request)).await?;
            context.output.show(&created, |table| {
                let name = plain(&table.name);
                format!("Table {name} is there and on its way to the members.\n")
            })?;
        }
        Action::List { checksum } => {
            let tables = client.table_list(TableQuery { checksum });
            let tables = patiently("reading the tables", tables).await?;
            context.output.show(&tables, |tables| render(tables, checksum))?;
        }
        Action::Drop { name, yes } => {
            if !yes && !is_meant(&name) {
                let hint = "answer with `yes`, or give --yes";
                return Err(Failure::usage("nothing was dropped", hint));
            }
            let dropped = patiently("dropping the table", client.table_drop(&name)).await?;
            context.output.show(&dropped, |table| {
                format!("Table {} with {} rows is dropped.\n", plain(&table.name), table.rows)
            })?;
        }
    }
    Ok(Exit::Done)
}

/// Asks where somebody is there to answer.
fn is_meant(name: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return true;
    }
    let question = format!("Drop {} with all its rows on every member? (yes/no) ", plain(name));
    let mut answer = String::new();
    let asked = io::stderr().write_all(question.as_bytes());
    let answered = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
    answered.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

fn render(tables: &[TableView], with_checksum: bool) -> String {
    if tables.is_empty() {
        return "There are no replicated tables. Make one with `mesh-ctl table create`.\n"
            .to_owned();
    }
    let mut titles = vec!["NAME", "ROWS", "KEY", "COLUMNS"];
    titles.extend(with_checksum.then_some("CHECKSUM"));
    let mut columns = Columns::titled(titles.into_iter().map(str::to_owned).collect());
    for table in tables {
        let mut cells = vec![
            plain(&table.name),
            table.rows.to_string(),
            plain(&table.primary_key.join(", ")),
            plain(&table.columns.join(", ")),
        ];
        if with_checksum {
            cells.push(or_dash(table.checksum.as_deref().map(plain)));
        }
        columns.cells(NORMAL, cells);
    }
    columns.render()
}

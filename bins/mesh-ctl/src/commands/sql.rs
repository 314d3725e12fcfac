mod param;
mod print;

use std::fs::File;
use std::io;

use clap::{ArgGroup, Args};
use futures_util::StreamExt as _;
use mesh_control::{ApiError, SqlItem, SqlStatement};
use mesh_protocol::ErrorCode;

use self::print::Printer;
use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::plain;

pub(crate) const EXAMPLE: &str = "\
A parameter that reads as a JSON number, true, false, null or a text in double quotes is that value;
@FILE is the content of a file, as a blob; everything else is text as it stands. ?1 is the first one.
With --csv, NULL is an empty field, an empty text is \"\", and blobs are hexadecimal digits. With
--json there is one document: {\"columns\", \"rows\"} of a query, {\"changes\"} of a write.

Examples:
  mesh-ctl sql 'SELECT * FROM notes'
  mesh-ctl sql 'INSERT INTO notes VALUES (?1, ?2)' --param a --param '\"42\"'
  mesh-ctl sql 'UPDATE notes SET photo = ?1 WHERE id = ?2' --param @photo.jpg --param 7
  mesh-ctl sql --file report.sql --csv > report.csv";

#[derive(Args)]
#[command(group = ArgGroup::new("statement").required(true).args(["query", "file"]))]
pub(crate) struct SqlArgs {
    /// One statement that reads or writes
    query: Option<String>,
    /// The value of the next parameter: JSON, @FILE, or text
    #[arg(long = "param", short = 'p', value_name = "V", allow_hyphen_values = true)]
    params: Vec<String>,
    /// Read the statement from a file; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

pub(crate) async fn run(args: SqlArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    if args.csv && context.output.is_json() {
        return Err(Failure::usage("--csv and --json exclude each other", "leave one of them out"));
    }
    let is_csv = args.csv;
    let statement = statement(args)?;
    let mut items = patiently("asking the agent", client.sql_rows(&statement)).await?;
    let mut printer = Printer::new(context, is_csv);
    while let Some(item) = patiently("waiting for the agent", items.next()).await {
        match item? {
            SqlItem::Columns { columns } => printer.columns(columns)?,
            SqlItem::Rows { rows } => printer.rows(rows)?,
            SqlItem::Done { rows, changes } => {
                printer.end(rows, changes)?;
                return Ok(Exit::Done);
            }
        }
    }
    let message =
        "the agent stopped before the answer was whole; whether a write was committed is not known";
    let hint = "start it and look: a write is committed whole or not at all";
    Err(ApiError::new(ErrorCode::AgentUnreachable, message, hint).into())
}

fn statement(args: SqlArgs) -> Result<SqlStatement, Failure> {
    let sql = match (args.query, args.file) {
        (Some(query), _) => query,
        (None, Some(file)) => read_statement(&file)?,
        // The parser wants one of them.
        (None, None) => String::new(),
    };
    let params = args.params.iter().map(|param| param::value(param));
    Ok(SqlStatement { sql, params: params.collect::<Result<_, _>>()? })
}

fn read_statement(file: &str) -> Result<String, Failure> {
    let read = match file {
        "-" => param::read(io::stdin()),
        path => File::open(path).and_then(param::read),
    };
    let failed = |error: &dyn std::fmt::Display| {
        let name = if file == "-" { "standard input".to_owned() } else { plain(file) };
        Failure::usage(format!("reading {name} failed: {error}"), "a statement is UTF-8 text")
    };
    let bytes = param::bounded(read.map_err(|error| failed(&error))?)?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

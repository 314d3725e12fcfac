//! How an answer is printed while it comes.

use std::io;

use mesh_control::{SqlJson, SqlReply};

use super::super::Context;
use crate::output::Output;
use crate::text::{Columns, NORMAL, plain};
use crate::values::{csv_line, csv_text, csv_value, shown};

/// Rows that are aligned with each other. More would have to be held before the first is seen.
const ALIGNED_ROWS_MAX: usize = 1000;

/// Prints the columns, the rows and the end of an answer.
pub(super) struct Printer<'a> {
    output: &'a Output,
    form: Form,
    columns: Vec<String>,
    /// Not printed yet.
    rows: Vec<Vec<SqlJson>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One document at the end.
    Json,
    /// As the rows come.
    Csv,
    /// Piece by piece; the titles have been printed.
    Table { is_begun: bool },
}

impl<'a> Printer<'a> {
    pub(super) fn new(context: &'a Context, is_csv: bool) -> Self {
        let output = &context.output;
        let form = if output.is_json() {
            Form::Json
        } else if is_csv {
            Form::Csv
        } else {
            Form::Table { is_begun: false }
        };
        Self { output, form, columns: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn columns(&mut self, columns: Vec<String>) -> io::Result<()> {
        if self.form == Form::Csv && !columns.is_empty() {
            self.csv(columns.iter().map(|name| csv_text(name)))?;
        }
        self.columns = columns;
        Ok(())
    }

    pub(super) fn rows(&mut self, rows: Vec<Vec<SqlJson>>) -> io::Result<()> {
        match self.form {
            Form::Json => self.rows.extend(rows),
            Form::Csv => {
                rows.iter().try_for_each(|row| self.csv(row.iter().map(csv_value)))?;
            }
            Form::Table { .. } => {
                for row in rows {
                    self.rows.push(row);
                    if self.rows.len() == ALIGNED_ROWS_MAX {
                        self.flush()?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn end(mut self, rows: u64, changes: Option<u64>) -> io::Result<()> {
        let has_columns = !self.columns.is_empty();
        match self.form {
            Form::Json => {
                let reply = match changes {
                    Some(changes) if !has_columns => SqlReply::Changes { changes },
                    Some(_) | None => {
                        SqlReply::Rows { columns: self.columns, rows: self.rows, changes }
                    }
                };
                self.output.show(&reply, |_| String::new())
            }
            Form::Csv => match changes {
                Some(changes) if !has_columns => {
                    self.csv(["changes".to_owned()])?;
                    self.csv([changes.to_string()])
                }
                Some(_) | None => Ok(()),
            },
            Form::Table { is_begun } => {
                if has_columns && (!is_begun || !self.rows.is_empty()) {
                    self.flush()?;
                }
                let mut counts = Vec::new();
                if has_columns {
                    counts.push(counted(rows, ""));
                }
                counts.extend(changes.map(|changes| counted(changes, " changed")));
                if counts.is_empty() {
                    counts.push("Done".to_owned());
                }
                self.output.print(&format!("{}.\n", counts.join(", ")))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let titles = self.columns.iter().map(|name| plain(name)).collect();
        let mut table = match self.form {
            Form::Table { is_begun: true } => Columns::untitled(),
            Form::Table { is_begun: false } | Form::Json | Form::Csv => Columns::titled(titles),
        };
        for row in std::mem::take(&mut self.rows) {
            table.cells(NORMAL, row.iter().map(shown).collect());
        }
        self.form = Form::Table { is_begun: true };
        self.output.print(&table.render())
    }

    /// Exact where a program reads it; on a terminal nothing may move the cursor.
    fn csv(&self, fields: impl IntoIterator<Item = String>) -> io::Result<()> {
        if self.output.is_terminal() {
            let line = csv_line(fields.into_iter().map(|field| plain(&field)));
            return self.output.print(&line.replace('\r', ""));
        }
        self.output.exact(csv_line(fields).as_bytes())
    }
}

fn counted(rows: u64, what: &str) -> String {
    format!("{rows} {}{what}", if rows == 1 { "row" } else { "rows" })
}

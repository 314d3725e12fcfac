use std::str::FromStr;

use clap::Args;
use mesh_control::{ConfigAction, ConfigConflictView, ConfigHistoryQuery, ConfigHistoryView};

use super::super::Context;
use super::shown::{from_to, short};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, Columns, NORMAL, ODD, ago, plain};

pub(super) const EXAMPLE: &str = "\
When two members change the same key without knowing of each other, one change is kept; what the
other one set is shown with it until the key is changed again.

Examples:
  mesh-ctl config history
  mesh-ctl config history agents.oak --limit 5
  mesh-ctl config history --json | jq '.[] | select(.conflict)'";

#[derive(Args)]
pub(super) struct HistoryArgs {
    /// Only changes of this key and of what is beneath it
    key: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// `17`, or `17@oak`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeName {
    pub(super) version: u64,
    pub(super) by: Option<String>,
}

impl FromStr for ChangeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (version, by) = match text.split_once('@') {
            Some((_, "")) => return Err("nobody is named behind the @".to_owned()),
            Some((version, by)) => (version, Some(by.to_owned())),
            None => (text, None),
        };
        let version = version.parse().map_err(|error| format!("the version: {error}"))?;
        Ok(Self { version, by })
    }
}

pub(super) async fn run(args: HistoryArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let query = ConfigHistoryQuery { key: args.key, limit: Some(args.limit) };
    let history = patiently("reading the history", client.config_history(&query)).await?;
    context.output.show(&history, |history| render(history))?;
    Ok(Exit::Done)
}

fn render(history: &[ConfigHistoryView]) -> String {
    if history.is_empty() {
        return "No change is known.\n".to_owned();
    }
    let now = clock::now();
    let mut columns = Columns::new(["CHANGE", "WHEN", "DID", "KEY", "VALUE", "REMARKS"]);
    for change in history {
        let style = match (&change.conflict, change.action) {
            (Some(_), _) => ODD,
            (None, ConfigAction::Unset) => BAD,
            (None, ConfigAction::Set | ConfigAction::Seal) => NORMAL,
        };
        let value = (change.action != ConfigAction::Unset).then_some(&change.value);
        columns.row(
            style,
            [
                format!("{}@{}", change.version, plain(&change.by)),
                ago(change.at, now),
                change.action.as_str().to_owned(),
                plain(&change.key),
                from_to(change.old.as_ref(), value),
                remarks(change),
            ],
        );
    }
    columns.render()
}

fn remarks(change: &ConfigHistoryView) -> String {
    let lost = change.conflict.as_ref().map(|ConfigConflictView { value, version, by, .. }| {
        format!("over {} of {version}@{}", short(value), plain(by))
    });
    let parts: Vec<_> = change.note.as_deref().map(plain).into_iter().chain(lost).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests;

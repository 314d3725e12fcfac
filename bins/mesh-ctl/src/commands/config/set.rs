use clap::Args;
use mesh_control::{ConfigSeal, ConfigSet};
use serde_json::Value;

use super::super::Context;
use super::input::{hidden_value, json_input};
use super::shown::changed;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;

pub(super) const EXAMPLE: &str = "\
The value replaces whatever is at the key or beneath it; an object sets the keys beneath. Secrets
are refused, unless they are sealed to those who need them: the others see that there is a value,
who set it, when, and for whom. A sealed value is read from standard input, or asked for on the
terminal, and is a text without the line end behind it.

Examples:
  mesh-ctl config set agents.oak.webhook '\"https://oak.example/hook\"'
  mesh-ctl config set agents.oak.webhook --string https://oak.example/hook
  mesh-ctl config set databases.main '{\"port\": 5432, \"hosts\": [\"oak\"]}' --note 'moved'
  mesh-ctl config set repositories - < repositories.json
  mesh-ctl config set --sealed databases.main.password --to oak,mint < password.txt";

#[derive(Args)]
pub(super) struct SetArgs {
    /// The key
    key: String,
    /// The value: JSON, or `-` to read it from standard input; none with --sealed
    #[arg(value_name = "JSON", required_unless_present = "sealed", allow_negative_numbers = true)]
    value: Option<String>,
    /// Take the value as text instead of JSON
    #[arg(long)]
    string: bool,
    /// Seal the value, which is read from standard input or the terminal, to some members
    #[arg(long, requires = "to")]
    sealed: bool,
    /// Who can read it, this agent only when it is named
    #[arg(long, value_name = "HOST,…", value_delimiter = ',', requires = "sealed")]
    to: Vec<String>,
    /// Read the value to be sealed as JSON instead of text
    #[arg(long, requires = "sealed", conflicts_with = "string")]
    as_json: bool,
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub(super) async fn run(args: SetArgs, context: &Context) -> Result<Exit, Failure> {
    let SetArgs { key, value, string: is_text, sealed, to, as_json, note } = args;
    let client = context.client()?;
    let done = if sealed {
        if value.is_some() {
            let message = "a value that is to be sealed is not taken from the command line, where \
                           other users of this machine and the shell's history would see it";
            let hint = "leave it out: it is read from standard input, or asked for on the terminal";
            return Err(Failure::usage(message, hint));
        }
        let Some(text) = hidden_value(&key).await? else { return Ok(Exit::Failed) };
        let value = if as_json { parsed(&text)? } else { Value::String(text) };
        let request = ConfigSeal { key, to, value, note };
        patiently("sealing the value", client.config_seal(&request)).await?
    } else {
        let text = value.unwrap_or_default();
        let value = match (is_text, text.as_str()) {
            (true, _) => Value::String(text),
            (false, "-") => parsed(&json_input("-".as_ref())?)?,
            (false, _) => parsed(&text)?,
        };
        let request = ConfigSet { key, value, note };
        patiently("setting the key", client.config_set(&request)).await?
    };
    context.output.show(&done, |done| changed(done, "it has this value"))?;
    Ok(Exit::Done)
}

fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        // The text itself may be a secret.
        Failure::usage(
            format!("the value is not JSON: {error}"),
            "text stands in double quotes, inside single ones for the shell: '\"text\"'; or give --string",
        )
    })
}

//! How values and changes of the configuration look to people.

use mesh_control::ConfigChanged;
use serde_json::Value;

use crate::text::{json, plain};

/// Characters of a value in a table.
const VALUE_CHARS_SHOWN: usize = 60;

/// Keys of a change that are named.
const KEYS_SHOWN: usize = 20;

/// A value on one line that is not too long for a table; what is sealed says to whom.
pub(super) fn short(value: &Value) -> String {
    let text = sealed(value).unwrap_or_else(|| json(value));
    match text.char_indices().nth(VALUE_CHARS_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// A value as it is: a text without quotes.
pub(super) fn whole(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            sealed(value).unwrap_or_else(|| json(value))
        }
    }
}

/// `sealed for mint, oak`, when it stands for a value that is.
fn sealed(value: &Value) -> Option<String> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let to = members.get("$sealed")?.get("to")?.as_array()?;
    let to: Vec<_> = to.iter().filter_map(Value::as_str).map(plain).collect();
    Some(format!("sealed for {}", to.join(", ")))
}

/// `before → after`, as far as there is either.
pub(super) fn from_to(before: Option<&Value>, after: Option<&Value>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{} → {}", short(before), short(after)),
        (Some(value), None) | (None, Some(value)) => short(value),
        (None, None) => String::new(),
    }
}

/// What a request changed; `otherwise` says why it changed nothing.
pub(super) fn changed(done: &ConfigChanged, otherwise: &str) -> String {
    let ConfigChanged { version, changed } = done;
    let Some(first) = changed.first() else {
        return format!("Nothing was changed: {otherwise}.\n");
    };
    let what = match version {
        Some(version) => format!("Change {version}"),
        // What belongs to one machine alone is no change of the mesh.
        None => "Change on this machine alone".to_owned(),
    };
    if changed.len() == 1 {
        return format!("{what} of {}.\n", plain(first));
    }
    let mut text = format!("{what} of {} keys:\n", changed.len());
    for key in changed.iter().take(KEYS_SHOWN) {
        text.push_str(&format!("  {}\n", plain(key)));
    }
    if let Some(more) = changed.len().checked_sub(KEYS_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}

#[cfg(test)]
mod tests;

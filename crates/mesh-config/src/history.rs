//! What was changed, and back.

use mesh_protocol::{PeerId, UnixMillis};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::state::row::read_key;
use crate::{
    Change, ChangeItem, ConfigError, ConfigKey, Entry, EntryValue, VALUE_BYTES_MAX, VERSION_MAX,
};

mod revert;

/// Most bytes of a row of the history: three sealed values, each as large as an entry may be, and a note.
const CHANGE_BYTES_MAX: usize = 7 * VALUE_BYTES_MAX;

/// What a change did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryItem {
    /// The number of the change.
    pub version: u64,
    /// Who made it.
    pub by: PeerId,
    /// When, by the maker's clock.
    pub at: UnixMillis,
    /// The key.
    pub key: ConfigKey,
    /// What it was set to; removed without.
    pub new: Option<EntryValue>,
    /// What it was before.
    pub old: Option<EntryValue>,
    /// Whether that was not seen, as something else stood in its place.
    pub is_old_hidden: bool,
    /// What was there without the maker of the change knowing of it.
    pub over: Option<Entry>,
    /// What its maker said of the change.
    pub note: Option<String>,
}

/// As it stands in the table. A sealed value is there sealed, whether new, old or replaced.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    new: Option<&'a EntryValue>,
    #[serde(skip_serializing_if = "is_false")]
    removed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<&'a EntryValue>,
    #[serde(skip_serializing_if = "is_false")]
    old_hidden: bool,
    at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    over: Option<&'a Entry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What the history says of `item`.
pub(crate) fn change_text(change: &Change, item: &ChangeItem) -> String {
    let written = Written {
        new: item.new.as_ref(),
        removed: item.new.is_none(),
        old: item.old.as_ref().map(|entry| &entry.value),
        old_hidden: item.is_old_hidden,
        at: change.at,
        note: change.note.as_deref(),
        over: item.over.as_ref(),
    };
    // Neither a map with other keys than strings nor a failing writer is involved.
    serde_json::to_string(&written).unwrap_or_default()
}

impl HistoryItem {
    /// Reads a row of the history, which any member may have written.
    ///
    /// # Errors
    /// [`ConfigError`] when it is none.
    pub fn parse(version: u64, by: PeerId, key: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = |reason: &str| ConfigError::Entry {
            key: key.chars().take(80).collect(),
            reason: reason.to_owned(),
        };
        if version > VERSION_MAX {
            return Err(wrong("the number of its change is impossible"));
        }
        if text.len() > CHANGE_BYTES_MAX {
            return Err(wrong("it is too large"));
        }
        let read = || -> Option<Self> {
            let mut row: Map<String, Value> = serde_json::from_str(text).ok()?;
            let new = value_of(&mut row)?;
            if new.is_none() && row.get("removed") != Some(&Value::Bool(true)) {
                return None;
            }
            let old = match row.remove("old") {
                Some(Value::Object(mut old)) => Some(value_of(&mut old)??),
                Some(_) => return None,
                None => None,
            };
            let over = match row.remove("over") {
                Some(over) => Some(serde_json::from_value(over).ok()?),
                None => None,
            };
            let note = match row.remove("note") {
                Some(note) => Some(serde_json::from_value(note).ok()?),
                None => None,
            };
            let at = UnixMillis(row.get("at")?.as_u64()?);
            let is_old_hidden = row.get("old_hidden") == Some(&Value::Bool(true));
            let key = read_key(key).ok()?;
            Some(Self { version, by, at, key, new, old, is_old_hidden, over, note })
        };
        // Why exactly is not passed on: such reasons quote values, which may be secret.
        read().ok_or_else(|| wrong("it is not what agents write"))
    }
}

/// The value of `row`, when it has one; `None` when that cannot be read.
#[expect(clippy::option_option, reason = "whether it is there, and whether it can be read")]
fn value_of(row: &mut Map<String, Value>) -> Option<Option<EntryValue>> {
    if let Some(value) = row.remove("value") {
        return Some(Some(EntryValue::Plain(value)));
    }
    match row.remove("sealed") {
        Some(sealed) => Some(Some(EntryValue::Sealed(serde_json::from_value(sealed).ok()?))),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests;

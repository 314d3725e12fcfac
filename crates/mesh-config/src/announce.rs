//! What people and programs are told of a change.

use serde_json::{Value, json};

use crate::{ConfigKey, EntryValue};

mod plain;

use plain::{plain, shorten};

/// Characters of a value in the text.
const VALUE_CHARS_MAX: usize = 120;
/// Characters of a key, or a name of a member, in the text.
const NAME_CHARS_MAX: usize = 160;
/// Keys that the text names; of more it tells how many.
const TEXT_KEYS_MAX: usize = 3;
/// Keys that the fields name.
const FIELDS_KEYS_MAX: usize = 100;
/// What is told of a key that holds a secret.
const HIDDEN_KEY: &str = "(hidden key)";
/// Bytes of a value as JSON in the fields. A larger one is told as the beginning of its text.
const FIELD_BYTES_MAX: usize = 4096;

/// How a change came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody edited a file, or set or unset keys.
    Edit,
    /// A template was imported.
    Import,
    /// An earlier change was taken back.
    Revert {
        /// Names it: `17`, or `17@oak` where two members made one of that number.
        change: String,
    },
}

/// A key that was changed.
#[derive(Clone, Copy, Debug)]
pub struct AnnouncedItem<'c> {
    /// The key.
    pub key: &'c ConfigKey,
    /// What stood there; none where nothing did.
    pub old: Option<&'c EntryValue>,
    /// What stands there; none when it was removed.
    pub new: Option<&'c EntryValue>,
}

/// A change as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// One line for people, without characters that do anything to a terminal or a chat.
    pub text: String,
    /// The members of the event: `who`, `action`, `keys` (the first of them), `keys_total`, `version`; of one
    /// key alone `old` and `new`, and of a revert what was `reverted`.
    pub fields: Value,
}

/// Tells of the change `version` that `who` made. Sealed values, and those that `is_secret`, are never shown, nor
/// are keys that are secret beside no value (`null`).
///
/// A change that touched nothing is told as one of no keys.
#[must_use]
pub fn announce(
    who: &str,
    action: &Action,
    version: u64,
    items: &[AnnouncedItem<'_>],
    is_secret: impl Fn(&ConfigKey, &Value) -> bool,
) -> Announcement {
    let told = match (action, items) {
        (Action::Edit, [item]) => one(item, &is_secret),
        (Action::Edit, _) => format!("changed {}", keys(items, &is_secret)),
        (Action::Import, _) => format!("imported {}", keys(items, &is_secret)),
        (Action::Revert { change }, _) => {
            format!(
                "reverted version {}: {}",
                plain(change, NAME_CHARS_MAX),
                keys(items, &is_secret)
            )
        }
    };
    let who = plain(who, NAME_CHARS_MAX);
    let text = format!("📡 CONFIG UPDATE: {who} {told} (version {version})");
    Announcement { text, fields: fields(&who, action, version, items, &is_secret) }
}

/// A value as it may be seen.
enum Seen<'v> {
    Sealed,
    Secret,
    Value(&'v Value),
}

impl<'v> Seen<'v> {
    fn of(
        key: &ConfigKey,
        value: &'v EntryValue,
        is_secret: &impl Fn(&ConfigKey, &Value) -> bool,
    ) -> Self {
        match value {
            EntryValue::Sealed(_) => Self::Sealed,
            EntryValue::Plain(value) if is_secret(key, value) => Self::Secret,
            EntryValue::Plain(value) => Self::Value(value),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Sealed => "(sealed)".to_owned(),
            Self::Secret => "(hidden)".to_owned(),
            Self::Value(value) => plain(&value.to_string(), VALUE_CHARS_MAX),
        }
    }

    fn field(&self) -> Value {
        match self {
            Self::Sealed => json!({ "$sealed": true }),
            Self::Secret => json!({ "$hidden": true }),
            Self::Value(value) => {
                let text = value.to_string();
                if text.len() <= FIELD_BYTES_MAX {
                    (*value).clone()
                } else {
                    json!({ "$shortened": shorten(&text, VALUE_CHARS_MAX), "bytes": text.len() })
                }
            }
        }
    }
}

fn one(item: &AnnouncedItem<'_>, is_secret: &impl Fn(&ConfigKey, &Value) -> bool) -> String {
    let key = plain(&key_text(item.key, is_secret), NAME_CHARS_MAX);
    let seen = |value| Seen::of(item.key, value, is_secret).text();
    match (item.old, item.new) {
        (_, Some(EntryValue::Sealed(sealed))) => {
            let count = sealed.envelopes.len();
            format!("sealed {key} for {count} {}", if count == 1 { "member" } else { "members" })
        }
        (Some(old), Some(new)) => format!("set {key}: {} → {}", seen(old), seen(new)),
        (None, Some(new)) => format!("added {key}: {}", seen(new)),
        (Some(old), None) => format!("removed {key}: it was {}", seen(old)),
        (None, None) => format!("removed {key}"),
    }
}

/// The key, unless a secret is in its names: a member that does not look can write one.
fn key_text(key: &ConfigKey, is_secret: &impl Fn(&ConfigKey, &Value) -> bool) -> String {
    if is_secret(key, &Value::Null) { HIDDEN_KEY.to_owned() } else { key.to_string() }
}

fn keys(items: &[AnnouncedItem<'_>], is_secret: &impl Fn(&ConfigKey, &Value) -> bool) -> String {
    let named: Vec<String> = items
        .iter()
        .take(TEXT_KEYS_MAX)
        .map(|item| plain(&key_text(item.key, is_secret), NAME_CHARS_MAX))
        .collect();
    let count = match items.len() {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    };
    match items.len().saturating_sub(TEXT_KEYS_MAX) {
        0 if named.is_empty() => count,
        0 => format!("{count}: {}", named.join(", ")),
        more => format!("{count}: {} and {more} more", named.join(", ")),
    }
}

fn fields(
    who: &str,
    action: &Action,
    version: u64,
    items: &[AnnouncedItem<'_>],
    is_secret: &impl Fn(&ConfigKey, &Value) -> bool,
) -> Value {
    let name = match (action, items) {
        (Action::Import, _) => "import",
        (Action::Revert { .. }, _) => "revert",
        (Action::Edit, [AnnouncedItem { new: None, .. }]) => "unset",
        (Action::Edit, [AnnouncedItem { new: Some(EntryValue::Sealed(_)), .. }]) => "seal",
        (Action::Edit, [_]) => "set",
        (Action::Edit, _) => "change",
    };
    let keys: Vec<String> =
        items.iter().take(FIELDS_KEYS_MAX).map(|item| key_text(item.key, is_secret)).collect();
    let mut fields = json!({
        "who": who, "action": name, "version": version, "keys": keys, "keys_total": items.len(),
    });
    if let (Value::Object(members), [item]) = (&mut fields, items) {
        // A member that is absent says that nothing stands there: null is a value.
        for (name, value) in [("old", item.old), ("new", item.new)] {
            if let Some(value) = value {
                members.insert(name.to_owned(), Seen::of(item.key, value, is_secret).field());
            }
        }
    }
    if let (Value::Object(members), Action::Revert { change }) = (&mut fields, action) {
        members.insert("reverted".to_owned(), Value::from(change.as_str()));
    }
    fields
}

#[cfg(test)]
mod tests;

//! Rows of the table, as any member may have written them.

use serde_json::Value;

use crate::{ConfigError, ConfigKey, Entry, EntryValue, VERSION_MAX};

/// Deepest value: with the names of its key around it any reader of JSON still reads it.
const VALUE_DEPTH_MAX: usize = 64;

/// Names that mean something in a document: what stands for a sealed value, and what a file is based on.
const RESERVED: [&str; 2] = [SEALED, "$revision"];

/// The name that a sealed value is shown by.
pub(crate) const SEALED: &str = "$sealed";

/// A row that can be read.
pub(crate) struct Row {
    pub(crate) key: ConfigKey,
    pub(crate) entry: Entry,
    pub(crate) bytes: usize,
}

pub(crate) fn read(key_text: &str, text: &str) -> Result<Row, ConfigError> {
    let wrong = |reason: &str| ConfigError::Entry {
        key: key_text.chars().take(80).collect(),
        reason: reason.to_owned(),
    };
    let key = read_key(key_text)?;
    check_key(&key)?;
    // Why exactly is not passed on: such reasons quote values, which may be secret.
    let entry = Entry::parse(key_text, text).map_err(|_| wrong("it is not what agents write"))?;
    if entry.version > VERSION_MAX {
        return Err(wrong("the number of its change is impossible"));
    }
    let bytes = check_value(&key, &entry.value)?;
    Ok(Row { key, entry, bytes })
}

/// The key of a row. Each key has one text, so that no two rows are of the same key.
pub(crate) fn read_key(text: &str) -> Result<ConfigKey, ConfigError> {
    let key: ConfigKey = text.parse()?;
    if key.to_string() == text {
        return Ok(key);
    }
    let text = text.chars().take(80).collect();
    Err(ConfigError::Key { text, reason: "it is not written as keys are" })
}

/// Refuses names that have another meaning in documents.
pub(crate) fn check_key(key: &ConfigKey) -> Result<(), ConfigError> {
    if key.segments().iter().any(|name| RESERVED.contains(&name.as_str())) {
        let reason = "the names $sealed and $revision have a meaning of their own";
        return Err(ConfigError::Key { text: key.to_string().chars().take(80).collect(), reason });
    }
    Ok(())
}

/// Bytes of a key with a value that can stand there.
pub(crate) fn check_value(key: &ConfigKey, value: &EntryValue) -> Result<usize, ConfigError> {
    let wrong = |reason| ConfigError::Value { key: key.clone(), reason };
    match value {
        EntryValue::Plain(Value::Object(members)) if !members.is_empty() => {
            return Err(wrong("the members of an object have keys of their own"));
        }
        EntryValue::Plain(plain) if is_deeper(plain, VALUE_DEPTH_MAX) => {
            return Err(wrong("it is nested more than 64 deep"));
        }
        EntryValue::Sealed(sealed) if sealed.envelopes.is_empty() => {
            return Err(wrong("it is sealed for nobody"));
        }
        EntryValue::Plain(_) | EntryValue::Sealed(_) => {}
    }
    Ok(key.to_string().len() + value.bytes(key)?)
}

/// Looks no deeper than `levels`.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let mut inner: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return false,
    };
    levels == 0 || inner.any(|value| is_deeper(value, levels - 1))
}

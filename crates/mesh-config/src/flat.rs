//! Documents as keys with values, and back.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{ConfigError, ConfigKey};

/// The values of a document by key: scalars, arrays and empty objects.
pub type Flat = BTreeMap<ConfigKey, Value>;

/// The values of `document` by key, beneath `prefix`. A document that is no object, or is empty, is one
/// value, which needs a prefix to stand at; the empty document without a prefix has no values.
///
/// # Errors
/// [`ConfigError::Key`] where names are too long or too deep.
pub fn flatten(prefix: Option<&ConfigKey>, document: &Value) -> Result<Flat, ConfigError> {
    let mut flat = Flat::new();
    let segments = prefix.map_or_else(Vec::new, |key| key.segments().to_vec());
    collect(segments, document, prefix.is_none(), &mut flat)?;
    Ok(flat)
}

fn collect(
    segments: Vec<String>,
    value: &Value,
    is_root: bool,
    flat: &mut Flat,
) -> Result<(), ConfigError> {
    match value {
        Value::Object(members) if is_root || !members.is_empty() => {
            for (name, member) in members {
                let mut inner = segments.clone();
                inner.push(name.clone());
                // Checked on the way in, so that a deep document does not recurse further than a key can.
                let key = ConfigKey::new(inner)?;
                collect(key.segments().to_vec(), member, false, flat)?;
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            flat.insert(ConfigKey::new(segments)?, value.clone());
        }
    }
    Ok(())
}

/// The document of these values. Where a value stands at a key that others are beneath, the later key in
/// their order stands: callers leave out the one that is not to be seen.
#[must_use]
pub fn unflatten<'v>(values: impl IntoIterator<Item = (&'v ConfigKey, Value)>) -> Value {
    let mut root = Map::new();
    for (key, value) in values {
        let mut place = &mut root;
        let Some((last, around)) = key.segments().split_last() else { continue };
        for name in around {
            let member = place.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if !member.is_object() {
                *member = Value::Object(Map::new());
            }
            let Value::Object(inner) = member else { return Value::Object(root) };
            place = inner;
        }
        place.insert(last.clone(), value);
    }
    Value::Object(root)
}

#[cfg(test)]
mod tests;

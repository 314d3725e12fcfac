//! Sealed values in documents.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::state::row::SEALED;
use crate::{ConfigError, ConfigKey, Flat, unflatten};

/// Puts together again what stands for sealed values, which a document's keys go into: such a value is at
/// the key where the sealed value is.
///
/// # Errors
/// [`ConfigError::Placeholder`] where one has other members beside it or is the whole document.
pub(crate) fn fold(values: &Flat) -> Result<Flat, ConfigError> {
    let mut folded = Flat::new();
    let mut sealed: BTreeMap<ConfigKey, Vec<(ConfigKey, Value)>> = BTreeMap::new();
    for (key, value) in values {
        let names = key.segments();
        let Some(at) = names.iter().position(|name| name == SEALED) else {
            folded.insert(key.clone(), value.clone());
            continue;
        };
        let (around, inside) = names.split_at(at);
        let misplaced = |_| ConfigError::Placeholder { key: key.clone() };
        let outer = ConfigKey::new(around.to_vec()).map_err(misplaced)?;
        let inner = ConfigKey::new(inside.to_vec())?;
        sealed.entry(outer).or_default().push((inner, value.clone()));
    }
    for (key, parts) in sealed {
        let beside = folded.range(&key..).next().filter(|(inner, _)| inner.is_within(&key));
        if beside.is_some() {
            return Err(ConfigError::Placeholder { key });
        }
        let shown = unflatten(parts.iter().map(|(key, value)| (key, value.clone())));
        folded.insert(key, shown);
    }
    Ok(folded)
}

/// Whether a value of a folded document stands for a sealed one: no other object has members.
pub(crate) fn is_placeholder(value: &Value) -> bool {
    value.as_object().is_some_and(|members| !members.is_empty())
}

//! The configuration without what belongs to one mesh or one machine alone.

use serde_json::{Map, Value};

use crate::schema::is_sealed;
use crate::{ConfigError, ConfigKey, Flat, flatten};

/// What a template brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The values to set.
    pub values: Flat,
    /// Keys with a placeholder: their values are for the importing mesh to set.
    pub placeholders: Vec<ConfigKey>,
    /// Keys that live on each machine alone, and are not taken from a template.
    pub local: Vec<ConfigKey>,
}

/// Why a template cannot be taken. Nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not a document.
    #[error("a template is a JSON object")]
    NoObject,
    /// A sealed value, which only those can read that it was sealed for.
    #[error("{key} is a sealed value, which no template can bring")]
    Sealed {
        /// Where it stands.
        key: ConfigKey,
    },
    /// Not what a configuration can be.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A key whose value is another one than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: ConfigKey,
    /// What stands there before; none where nothing does.
    pub before: Option<Value>,
    /// What stands there after; none where nothing does.
    pub after: Option<Value>,
}

/// The template of `document`: without the keys that `is_local`, and with a placeholder such as
/// `"<token_file>"` for every value that `is_secret`, is sealed or is a reference to something outside.
///
/// # Errors
/// [`ConfigError::Key`] where names are too long or too deep.
pub fn export(
    document: &Value,
    is_local: impl Fn(&ConfigKey) -> bool,
    is_secret: impl Fn(&ConfigKey, &Value) -> bool,
) -> Result<Value, ConfigError> {
    let Value::Object(members) = document else { return Ok(Value::Object(Map::new())) };
    let mut template = Map::new();
    for (name, member) in members {
        let key = ConfigKey::new(vec![name.clone()])?;
        if let Some(member) = exported(&key, member, &is_local, &is_secret)? {
            template.insert(name.clone(), member);
        }
    }
    Ok(Value::Object(template))
}

fn exported(
    key: &ConfigKey,
    value: &Value,
    is_local: &impl Fn(&ConfigKey) -> bool,
    is_secret: &impl Fn(&ConfigKey, &Value) -> bool,
) -> Result<Option<Value>, ConfigError> {
    if is_local(key) {
        return Ok(None);
    }
    match value {
        Value::Object(_) if is_sealed(value) => Ok(Some(placeholder(key))),
        Value::Object(members) if !members.is_empty() => {
            let mut template = Map::new();
            for (name, member) in members {
                let inner = key.child(name)?;
                if let Some(member) = exported(&inner, member, is_local, is_secret)? {
                    template.insert(name.clone(), member);
                }
            }
            // One that has nothing but local members is not an empty one.
            Ok((!template.is_empty()).then_some(Value::Object(template)))
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            let is_hidden = is_secret(key, value) || is_reference(key, value);
            Ok(Some(if is_hidden { placeholder(key) } else { value.clone() }))
        }
    }
}

/// What a template brings, without its placeholders and the keys that `is_local`.
///
/// # Errors
/// [`TemplateError`]; a template is taken whole or not at all.
pub fn import_flat(
    template: &Value,
    is_local: impl Fn(&ConfigKey) -> bool,
) -> Result<Imported, TemplateError> {
    if !template.is_object() {
        return Err(TemplateError::NoObject);
    }
    let mut imported = Imported::default();
    for (key, value) in flatten(None, template)? {
        if is_local(&key) {
            imported.local.push(key);
        } else if value == placeholder(&key) {
            imported.placeholders.push(key);
        } else if let Some(index) = key.segments().iter().position(|name| name == "$sealed") {
            let names = key.segments().get(..index).unwrap_or_default().to_vec();
            return Err(TemplateError::Sealed { key: ConfigKey::new(names).unwrap_or(key) });
        } else {
            imported.values.insert(key, value);
        }
    }
    Ok(imported)
}

/// The keys whose values are not the same, in their order.
#[must_use]
pub fn difference(before: &Flat, after: &Flat) -> Vec<Difference> {
    let added = after.keys().filter(|key| !before.contains_key(*key));
    let mut keys: Vec<&ConfigKey> = before.keys().chain(added).collect();
    keys.sort();
    let of = |flat: &Flat, key| flat.get(key).cloned();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| Difference { key: key.clone(), before: of(before, key), after: of(after, key) })
        .collect()
}

fn placeholder(key: &ConfigKey) -> Value {
    let name = key.segments().last().map_or("", String::as_str);
    Value::String(format!("<{name}>"))
}

/// How values begin that tell where something lies.
const REFERENCES: [&str; 6] = ["$", "env:", "file:", "op://", "ref+", "vault:"];

/// Whether what a key says lies outside of the configuration.
fn is_reference(key: &ConfigKey, value: &Value) -> bool {
    let name = key.segments().last().map_or("", String::as_str);
    match value {
        Value::String(text) => {
            name.ends_with("_file")
                || name.ends_with("File")
                || text.contains("${")
                || REFERENCES.iter().any(|start| text.starts_with(start))
        }
        Value::Array(items) => items.iter().any(|item| is_reference(key, item)),
        Value::Object(members) => members.values().any(|member| is_reference(key, member)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;

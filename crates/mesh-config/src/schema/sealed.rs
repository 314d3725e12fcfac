//! Sealed values in a document.

use serde_json::Value;

/// Whether `value` is what a sealed value is shown as.
pub(crate) fn is_sealed(value: &Value) -> bool {
    matches!(value, Value::Object(members) if members.contains_key("$sealed"))
}

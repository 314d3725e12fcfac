//! Configuration values: every string and number of a JSON value, with the names above it as context.

use std::sync::Arc;

use serde_json::Value;

use crate::allow::AllowList;
use crate::finding::Finding;
use crate::judge::{is_placeholder, looks_like_password, looks_random};
use crate::lines::Lines;
use crate::rule::VALUE;
use crate::scanner::FINDINGS_MAX;
use crate::{ScanError, key};

/// No text that serde_json parses is deeper.
const DEPTH_MAX: usize = 128;
/// Shorter values under a key for secrets are switches and numbers of things.
const VALUE_BYTES_MIN: usize = 4;

/// What the names above a value say of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// Nothing.
    Open,
    /// A name further up is for secrets.
    Below,
    /// Its own name is for secrets.
    Secret,
}

struct Place<'v> {
    value: &'v Value,
    name: String,
    context: Context,
    depth: usize,
}

pub(crate) fn scan(
    allow: &Arc<AllowList>,
    key: &str,
    value: &Value,
    now: i64,
) -> Result<Vec<Finding>, ScanError> {
    let mut findings = Vec::new();
    let context = key.split('.').fold(Context::Open, Context::within);
    let mut places = vec![Place { value, name: key.to_owned(), context, depth: 0 }];
    while let Some(place) = places.pop() {
        if findings.len() >= FINDINGS_MAX {
            break;
        }
        if place.depth > DEPTH_MAX {
            return Err(ScanError::TooDeep);
        }
        findings.extend(scan_place(allow, &place, now)?);
        push_inner(&place, &mut places);
    }
    findings.sort();
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    Ok(findings)
}

/// The value itself, and the name that leads to it.
fn scan_place(
    allow: &Arc<AllowList>,
    place: &Place<'_>,
    now: i64,
) -> Result<Vec<Finding>, ScanError> {
    let number;
    let text = match place.value {
        Value::String(text) => text.as_str(),
        Value::Number(digits) => {
            number = digits.to_string();
            // What is counted has few digits.
            if number.len() < 6 { "" } else { number.as_str() }
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => "",
    };
    let mut lines = Lines::new(Arc::clone(allow), &place.name, now)?;
    let _all = lines.advance(text.as_bytes(), true);
    if lines.is_clean() && place.context.is_secret(text) {
        let _kept = lines.add(VALUE, 1, 1);
    }
    Ok(lines.finish())
}

fn push_inner<'v>(place: &Place<'v>, places: &mut Vec<Place<'v>>) {
    let depth = place.depth + 1;
    match place.value {
        Value::Array(values) => places.extend(values.iter().enumerate().map(|(index, value)| {
            Place { value, name: format!("{}[{index}]", place.name), context: place.context, depth }
        })),
        Value::Object(fields) => places.extend(fields.iter().map(|(key, value)| {
            let context = key.split('.').fold(place.context, Context::within);
            Place { value, name: format!("{}.{key}", place.name), context, depth }
        })),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Context {
    /// The context below a name.
    fn within(self, name: &str) -> Self {
        const SAME: [&str; 5] = ["value", "values", "default", "plain", "raw"];
        let name = name.split('[').next().unwrap_or(name);
        if key::holds_secret(name.as_bytes()) {
            Self::Secret
        } else if key::is_about(name.as_bytes()) {
            Self::Open
        } else if SAME.contains(&name) || self == Self::Open {
            self
        } else {
            Self::Below
        }
    }

    fn is_secret(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let is_value = text.len() >= VALUE_BYTES_MIN && !is_placeholder(bytes);
        is_value
            && match self {
                Self::Open => false,
                Self::Below => looks_random(bytes) || looks_like_password(bytes),
                Self::Secret => true,
            }
    }
}

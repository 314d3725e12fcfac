//! Writing values.

use serde_json::{Map, Value};

use crate::{ConfigKey, EntryValue};

/// A list of single values is written on one line up to this many characters.
const LINE_LIST_CHARS_MAX: usize = 80;

/// What a text has that shows nothing: the outermost object with the revision.
pub(crate) const SHOWN_BYTES_AROUND: usize = 48;

/// How a text is written that nobody has laid out.
pub(super) const PLAIN: Style<'static> = Style { line_end: "\n", unit: "  " };

/// Bytes that a text has for `key` alone: its line, and those of the objects around it. Texts of several keys that
/// share such objects have less.
pub(crate) fn shown_bytes(key: &ConfigKey, value: &EntryValue) -> usize {
    let (mut out, mut indent) = (String::new(), String::new());
    for (index, name) in key.segments().iter().enumerate() {
        indent.push_str(PLAIN.unit);
        begin_line(&mut out, 1, PLAIN, &indent);
        text(&mut out, name);
        out.push_str(": ");
        if index + 1 < key.segments().len() {
            out.push('{');
            // Where it ends.
            begin_line(&mut out, 0, PLAIN, &indent);
            out.push('}');
        }
    }
    pretty(&mut out, &value.shown(), PLAIN, &indent);
    out.len()
}

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'s> {
    /// What ends a line.
    pub(super) line_end: &'s str,
    /// What stands before a line, for each level.
    pub(super) unit: &'s str,
}

/// The members of an object by their names, whatever order the map keeps.
pub(super) fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    sorted
}

pub(super) fn text(out: &mut String, text: &str) {
    out.push_str(&Value::from(text).to_string());
}

/// Writes a value without white space, the same text for equal values.
pub(super) fn compact(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in sorted(members).into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                text(out, name);
                out.push(':');
                compact(out, member);
            }
            out.push('}');
        }
        Value::Array(values) => list(out, values, ","),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

fn list(out: &mut String, values: &[Value], comma: &str) {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push_str(comma);
        }
        compact(out, value);
    }
    out.push(']');
}

/// Writes a value over several lines where it has members; `indent` stands before its own line.
pub(super) fn pretty(out: &mut String, value: &Value, style: Style<'_>, indent: &str) {
    let inner = format!("{indent}{}", style.unit);
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push('{');
            for (index, (name, member)) in sorted(members).into_iter().enumerate() {
                begin_line(out, index, style, &inner);
                text(out, name);
                out.push_str(": ");
                pretty(out, member, style, &inner);
            }
            out.push_str(style.line_end);
            out.push_str(indent);
            out.push('}');
        }
        Value::Array(values) if !values.is_empty() => {
            if let Some(line) = line_list(values) {
                out.push_str(&line);
                return;
            }
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                begin_line(out, index, style, &inner);
                pretty(out, value, style, &inner);
            }
            out.push_str(style.line_end);
            out.push_str(indent);
            out.push(']');
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => compact(out, value),
    }
}

fn begin_line(out: &mut String, index: usize, style: Style<'_>, indent: &str) {
    if index > 0 {
        out.push(',');
    }
    out.push_str(style.line_end);
    out.push_str(indent);
}

fn line_list(values: &[Value]) -> Option<String> {
    if values.len() > LINE_LIST_CHARS_MAX
        || values.iter().any(|value| value.is_array() || value.is_object())
    {
        return None;
    }
    let mut line = String::new();
    list(&mut line, values, ", ");
    (line.chars().count() <= LINE_LIST_CHARS_MAX).then_some(line)
}

//! Writing a document into a user's text.

use serde_json::{Map, Value};

use super::REVISION_NAME;
use super::parse::parse;
use super::write::{Style, pretty, text};

/// Writes `document` as a text with that revision.
#[must_use]
pub fn render_text(old: Option<&str>, document: &Value, revision: &str) -> String {
    let empty = Map::new();
    let members = document.as_object().unwrap_or(&empty);
    drop(old.map(parse));
    plain(members, revision)
}

fn plain(members: &Map<String, Value>, revision: &str) -> String {
    let style = Style { line_end: "\n", unit: "  " };
    let mut out = format!("{{\n  \"{REVISION_NAME}\": ");
    text(&mut out, revision);
    for (name, value) in super::write::sorted(members) {
        if name != REVISION_NAME {
            out.push_str(",\n  ");
            text(&mut out, name);
            out.push_str(": ");
            pretty(&mut out, value, style, "  ");
        }
    }
    out.push_str("\n}\n");
    out
}

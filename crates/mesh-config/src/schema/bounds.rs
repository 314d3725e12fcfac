//! How much work a schema makes, found out before it is compiled.

use serde_json::{Map, Value};

use super::{SCHEMA_BYTES_MAX, SchemaError};

/// Most schemas within a schema, each counted as often as references lead to it. It is also how often a
/// value of a document is looked at.
const RULES_MAX: usize = 1000;
/// Most expressions among them, counted likewise.
const PATTERNS_MAX: usize = 64;
/// Deepest a schema stands within others, through references: what leads around in a circle is deeper.
const DEPTH_MAX: usize = 48;
/// Deepest that JSON of a schema goes, so that nothing recurses further.
const NESTING_MAX: usize = 96;
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

const SINGLE: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const MAPS: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
/// Keywords with which a name can mean another place than it seems to.
const REFUSED: [&str; 7] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];

/// How much there is in a schema.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    rules: usize,
    patterns: usize,
    /// Schemas that are alternatives: what is wrong with a value is gathered for each of them.
    alternatives: usize,
}

impl Rules {
    /// How much is gathered at most to say what is wrong with `document`.
    pub(super) fn work(&self, document: &Value) -> usize {
        let per_value = self.rules.saturating_add(self.alternatives.saturating_mul(16));
        weight(document).saturating_mul(per_value)
    }
}

/// Refuses a schema that is too large, or does what is not possible here.
pub(super) fn check(schema: &Value) -> Result<Rules, SchemaError> {
    if !is_shallow(schema, NESTING_MAX) {
        return Err(too_much("levels", NESTING_MAX + 1, NESTING_MAX));
    }
    let bytes = schema.to_string().len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(too_much("bytes", bytes, SCHEMA_BYTES_MAX));
    }
    if let Some(draft) = schema.get("$schema")
        && draft.as_str().is_none_or(|draft| draft.trim_end_matches('#') != DRAFT)
    {
        let reason = "$schema names another draft than 2020-12";
        return Err(SchemaError::Refused { at: String::new(), reason });
    }
    let mut count = Count { root: schema, rules: Rules::default() };
    count.schema(schema, &Place::Root, 0, false)?;
    Ok(count.rules)
}

const fn too_much(what: &'static str, count: usize, max: usize) -> SchemaError {
    SchemaError::TooMuch { what, count, max }
}

/// Where a schema stands. The text is made when it is asked for.
enum Place<'p> {
    Root,
    Member(&'p Self, &'p str),
    Item(&'p Self, usize),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(around, name) => {
                let name = name.replace('~', "~0").replace('/', "~1");
                format!("{}/{name}", around.pointer())
            }
            Self::Item(around, index) => format!("{}/{index}", around.pointer()),
        }
    }

    fn refused(&self, reason: &'static str) -> SchemaError {
        SchemaError::Refused { at: self.pointer(), reason }
    }
}

struct Count<'s> {
    root: &'s Value,
    rules: Rules,
}

impl<'s> Count<'s> {
    fn schema(
        &mut self,
        schema: &'s Value,
        place: &Place<'_>,
        depth: usize,
        is_alternative: bool,
    ) -> Result<(), SchemaError> {
        let Value::Object(members) = schema else { return Ok(()) };
        self.rules.rules += 1;
        self.rules.alternatives += usize::from(is_alternative);
        if self.rules.rules > RULES_MAX {
            return Err(too_much("schemas within it", RULES_MAX + 1, RULES_MAX));
        }
        if depth > DEPTH_MAX {
            return Err(place.refused("it refers to itself, or goes too deep"));
        }
        let is_root = matches!(place, Place::Root);
        for name in members.keys().filter(|name| REFUSED.contains(&name.as_str())) {
            if name != "$id" || !is_root {
                return Err(place.refused(
                    "$id within a schema, anchors, dynamic references and vocabularies are not possible",
                ));
            }
        }
        if members.get("pattern").is_some_and(Value::is_string) {
            self.pattern()?;
        }
        self.reference(members, place, depth, is_alternative)?;
        self.within(members, place, depth, is_alternative)
    }

    fn pattern(&mut self) -> Result<(), SchemaError> {
        self.rules.patterns += 1;
        if self.rules.patterns > PATTERNS_MAX {
            return Err(too_much("expressions", PATTERNS_MAX + 1, PATTERNS_MAX));
        }
        Ok(())
    }

    fn reference(
        &mut self,
        members: &'s Map<String, Value>,
        place: &Place<'_>,
        depth: usize,
        is_alternative: bool,
    ) -> Result<(), SchemaError> {
        let Some(reference) = members.get("$ref") else { return Ok(()) };
        let place = Place::Member(place, "$ref");
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        let Some(pointer) = pointer else {
            return Err(
                place.refused("a reference leads out of the schema, and nothing is fetched")
            );
        };
        // Escaped characters would let two readers see two places.
        if pointer.contains('%') {
            return Err(place.refused("a reference has escaped characters"));
        }
        match self.root.pointer(pointer) {
            Some(target) => self.schema(target, &place, depth + 1, is_alternative),
            None => Err(place.refused("a reference leads to nothing")),
        }
    }

    fn within(
        &mut self,
        members: &'s Map<String, Value>,
        place: &Place<'_>,
        depth: usize,
        is_alternative: bool,
    ) -> Result<(), SchemaError> {
        for (name, member) in members {
            let here = Place::Member(place, name);
            let word = name.as_str();
            let is_choice = is_alternative || matches!(word, "anyOf" | "oneOf" | "propertyNames");
            match member {
                // A list of schemas at `items` is of older drafts, and refused when it is compiled.
                inner if SINGLE.contains(&word) => {
                    self.schema(inner, &here, depth + 1, is_choice)?;
                }
                Value::Array(items) if LISTS.contains(&word) => {
                    for (index, inner) in items.iter().enumerate() {
                        self.schema(inner, &Place::Item(&here, index), depth + 1, is_choice)?;
                    }
                }
                Value::Object(inners) if MAPS.contains(&word) => {
                    for (name, inner) in inners {
                        if word == "patternProperties" {
                            self.pattern()?;
                        }
                        self.schema(inner, &Place::Member(&here, name), depth + 1, is_choice)?;
                    }
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => {}
            }
        }
        Ok(())
    }
}

fn is_shallow(value: &Value, depth_max: usize) -> bool {
    let Some(inner) = depth_max.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|item| is_shallow(item, inner)),
        Value::Object(members) => members.values().all(|member| is_shallow(member, inner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// How many values there are, where a long text counts as several.
fn weight(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.values().map(weight).sum(),
        Value::String(text) => text.len() / 256,
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    inner + 1
}

//! What is wrong with a document, without its values.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::sealed::is_sealed;
use super::{SchemaError, VIOLATIONS_MAX, Violation};
use crate::ConfigKey;

/// Characters of a rule's own text that are told.
const RULE_CHARS_MAX: usize = 120;

/// Adds what `validator` finds wrong with `document`, as far as there is room.
pub(super) fn collect(
    validator: &Validator,
    document: &Value,
    whose: &str,
    violations: &mut Vec<Violation>,
) {
    for error in validator.iter_errors(document) {
        let Some(place) = Place::of(document, error.instance_path()) else { continue };
        for violation in violations_of(&place, error.kind(), whose) {
            if violations.len() < VIOLATIONS_MAX && !violations.contains(&violation) {
                violations.push(violation);
            }
        }
        if violations.len() == VIOLATIONS_MAX {
            return;
        }
    }
}

/// What the compiler says of a schema. The schema is shared by everybody, its rules may be told.
pub(super) fn refused(error: &ValidationError<'_>) -> SchemaError {
    SchemaError::Invalid {
        at: error.instance_path().as_str().to_owned(),
        reason: shorten(&reason(error.kind())),
    }
}

/// Where in a document: the key that one can set, and the way within its value.
struct Place {
    names: Vec<String>,
    within: String,
}

impl Place {
    /// None for what stands in a sealed value, which nobody can judge.
    fn of(document: &Value, path: &Location) -> Option<Self> {
        let mut value = Some(document);
        let mut place = Self { names: Vec::new(), within: String::new() };
        if is_sealed(document) {
            return None;
        }
        for segment in path {
            match segment {
                LocationSegment::Property(name) => {
                    value = value.and_then(|value| value.get(name.as_ref()));
                    if place.within.is_empty() {
                        place.names.push(name.into_owned());
                    } else {
                        place.within.push('.');
                        place.within.push_str(&name);
                    }
                }
                LocationSegment::Index(index) => {
                    value = value.and_then(|value| value.get(index));
                    place.within.push_str(&format!("[{index}]"));
                }
            }
            if value.is_some_and(is_sealed) {
                return None;
            }
        }
        Some(place)
    }

    fn violation(&self, name: Option<&str>, reason: &str, whose: &str) -> Violation {
        let mut names = self.names.clone();
        let mut within = self.within.clone();
        match name {
            Some(name) if within.is_empty() => names.push(name.to_owned()),
            Some(name) => within = format!("{within}.{name}"),
            None => {}
        }
        let path = ConfigKey::new(names).map_or_else(|_| String::new(), |key| key.to_string());
        let at = if within.is_empty() { String::new() } else { format!("at {within}: ") };
        Violation { path, reason: format!("{}{} ({whose})", shorten(&at), shorten(reason)) }
    }
}

fn violations_of(place: &Place, kind: &Kind, whose: &str) -> Vec<Violation> {
    if let Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } =
        kind
    {
        let names = unexpected.iter().take(VIOLATIONS_MAX);
        return names
            .map(|name| place.violation(Some(name), "there is no such member", whose))
            .collect();
    }
    if let Kind::PropertyNames { error } = kind
        && let Value::String(name) = error.instance().as_ref()
    {
        let reason = format!("its name {}", reason(error.kind()));
        return vec![place.violation(Some(name), &reason, whose)];
    }
    vec![place.violation(None, &reason(kind), whose)]
}

/// Says which rule is broken, in words of the rule.
fn reason(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind } => format!("has to be of type {}", types(kind)),
        Kind::Required { property } => format!("lacks the member {property}"),
        Kind::Pattern { pattern } => format!("does not match the pattern {pattern:?}"),
        Kind::Enum { options } => format!("has to be one of {options}"),
        Kind::Constant { expected_value } => format!("has to be {expected_value}"),
        Kind::Format { format } => format!("is not of the format {format:?}"),
        Kind::Minimum { limit } => format!("has to be {limit} or more"),
        Kind::Maximum { limit } => format!("has to be {limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("has to be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("has to be less than {limit}"),
        Kind::MinLength { limit } => format!("has to have {limit} characters or more"),
        Kind::MaxLength { limit } => format!("has to have {limit} characters or less"),
        Kind::MinItems { limit } => format!("has to have {limit} items or more"),
        Kind::MaxItems { limit } => format!("has to have {limit} items or less"),
        Kind::AdditionalItems { limit } => format!("has to have {limit} items or less"),
        Kind::MinProperties { limit } => format!("has to have {limit} members or more"),
        Kind::MaxProperties { limit } => format!("has to have {limit} members or less"),
        Kind::MultipleOf { multiple_of } => format!("has to be a multiple of {multiple_of}"),
        Kind::Custom { message, .. } => message.clone(),
        Kind::Referencing(error) => error.to_string(),
        Kind::AnyOf { .. } => "fits none of the alternatives of anyOf".to_owned(),
        Kind::OneOfNotValid { .. } => "fits none of the alternatives of oneOf".to_owned(),
        Kind::OneOfMultipleValid { .. } => "fits more than one alternative of oneOf".to_owned(),
        Kind::UniqueItems => "has the same item twice".to_owned(),
        Kind::Not { .. } => "is what a not excludes".to_owned(),
        Kind::FalseSchema => "is not possible".to_owned(),
        Kind::Contains
        | Kind::ContentEncoding { .. }
        | Kind::ContentMediaType { .. }
        | Kind::FromUtf8 { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::PropertyNames { .. }
        | Kind::AdditionalProperties { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::UnevaluatedItems { .. } => format!("breaks the rule {}", kind.keyword()),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(several) => {
            several.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= RULE_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(RULE_CHARS_MAX).chain(['…']).collect()
}

//! Whether a document is valid.

use std::fmt;
use std::sync::{Arc, OnceLock};

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

mod bounds;
mod explain;
mod sealed;

use bounds::Rules;
pub(crate) use sealed::is_sealed;

const BUILT_IN: &str = include_str!("schema/built_in.json");

/// Most violations that are told of one document.
pub const VIOLATIONS_MAX: usize = 32;
/// Most bytes of the user's schema as JSON.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Compiled size of one expression. What is larger was not written for names and addresses.
const PATTERN_SIZE_MAX: usize = 256 << 10;
/// Errors take memory: a document times rules beyond this is refused without saying where it is wrong.
const EXPLAINED_MAX: usize = 1_000_000;

/// The rules that a document has to keep: the built-in ones and, where there are any, the user's.
#[derive(Clone)]
pub struct Schema {
    built_in: Arc<Validator>,
    users: Option<Arc<Users>>,
}

struct Users {
    validator: Validator,
    rules: Rules,
}

/// A rule that a document breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The text of the key where it is broken; empty where the document as a whole breaks it.
    pub path: String,
    /// Which rule, and whose. Names rules and never values, which may be private.
    pub reason: String,
}

/// Why a schema of the user's cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is too large, too deep or too much work.
    #[error("mesh.schema has {count} {what}, at most {max} are possible")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there is; where counting was given up, one more than the bound.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// It asks for something that is not to be had here.
    #[error("mesh.schema, at {at:?}: {reason}")]
    Refused {
        /// Where, as a JSON pointer into it.
        at: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// It is no JSON Schema.
    #[error("mesh.schema, at {at:?}, is no JSON Schema: {reason}")]
    Invalid {
        /// Where, as a JSON pointer into it.
        at: String,
        /// What is wrong.
        reason: String,
    },
}

impl Schema {
    /// The built-in rules alone: agents, databases, repositories, settings and `mesh`.
    #[must_use]
    pub fn built_in() -> Self {
        static COMPILED: OnceLock<Arc<Validator>> = OnceLock::new();
        let built_in = COMPILED.get_or_init(|| {
            // The text is part of the program, and a test compiles it.
            let rules = serde_json::from_str(BUILT_IN).unwrap_or(Value::Bool(false));
            let validator = compile(&rules).or_else(|_| compile(&Value::Bool(false)));
            #[expect(clippy::expect_used, reason = "`false` is a schema without keywords")]
            Arc::new(validator.expect("a schema that is a boolean compiles"))
        });
        Self { built_in: Arc::clone(built_in), users: None }
    }

    /// The built-in rules and, beside them, those of `schema`: what stands at `mesh.schema`.
    ///
    /// It is a JSON Schema of the draft 2020-12. References lead to places within it (`#/…`) and not around
    /// in a circle; nothing is fetched.
    ///
    /// # Errors
    /// [`SchemaError`] when it is none, or more than an agent takes upon itself.
    pub fn with_users(schema: &Value) -> Result<Self, SchemaError> {
        let rules = bounds::check(schema)?;
        let mut schema = schema.clone();
        if let Value::Object(members) = &mut schema {
            // Its own name plays no part, and must not stand in for one of the drafts.
            members.remove("$id");
            members.remove("$schema");
        }
        let validator = compile(&schema).map_err(|error| explain::refused(&error))?;
        let users = Some(Arc::new(Users { validator, rules }));
        Ok(Self { users, ..Self::built_in() })
    }

    /// Whether `document` keeps all rules. A sealed value keeps every rule about itself, as nobody can look.
    ///
    /// # Errors
    /// The rules that it breaks, at most [`VIOLATIONS_MAX`].
    pub fn check(&self, document: &Value) -> Result<(), Vec<Violation>> {
        let mut violations = Vec::new();
        if !self.built_in.is_valid(document) {
            explain::collect(&self.built_in, document, "the built-in schema", &mut violations);
        }
        if let Some(users) = &self.users
            && !users.validator.is_valid(document)
        {
            if users.rules.work(document) > EXPLAINED_MAX {
                violations.push(Violation {
                    path: String::new(),
                    reason: "breaks a rule of mesh.schema, and is too large to say which"
                        .to_owned(),
                });
            } else {
                explain::collect(&users.validator, document, "mesh.schema", &mut violations);
            }
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }
}

fn compile(schema: &Value) -> Result<Validator, jsonschema::ValidationError<'static>> {
    // Expressions without backtracking take time in proportion to the text.
    let patterns =
        PatternOptions::regex().size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX);
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(patterns)
        .should_validate_formats(false)
        .offline()
        .build(schema)
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("has_users", &self.users.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

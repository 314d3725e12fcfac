//! The document that is in force: the newest one that is valid.

use std::sync::Arc;

use mesh_config::{ConfigKey, Flat, LocalKeys, Problem, Schema, VIOLATIONS_MAX, Violation};
use serde_json::{Value, json};

use super::SharedConfig;
use crate::shared::lock;

/// The user's schema, as shared configuration itself.
const SCHEMA_KEY: [&str; 2] = ["mesh", "schema"];

/// What users list as keys of each machine alone, as shared configuration.
const LOCAL_KEYS_KEY: [&str; 2] = ["mesh", "local_keys"];

/// The same as the text of a key.
pub(super) const LOCAL_KEYS: &str = "mesh.local_keys";

/// Keys of each machine alone without any list.
const ALWAYS_LOCAL: [&str; 2] = ["cron", "local"];

#[derive(Debug)]
pub(super) struct Standing {
    /// Listed in this agent's settings.
    listed_here: Vec<ConfigKey>,
    /// The same with those that are listed as shared configuration.
    listed: Vec<ConfigKey>,
    local_keys: Arc<LocalKeys>,
    schema: Arc<Schema>,
    /// The schema of the user that it was made of.
    users: Option<Value>,
    /// The newest valid document.
    good: Arc<Value>,
    violations: Arc<Vec<Violation>>,
    /// The state that was looked at last.
    looked_at: Option<u64>,
}

impl Standing {
    pub(super) fn new(listed_here: &[ConfigKey]) -> Self {
        Self {
            listed_here: listed_here.to_vec(),
            listed: listed_here.to_vec(),
            local_keys: Arc::new(LocalKeys::new(listed_here.iter().cloned())),
            schema: Arc::new(Schema::built_in()),
            users: None,
            good: Arc::new(json!({})),
            violations: Arc::default(),
            looked_at: None,
        }
    }

    pub(super) fn local_keys(&self) -> Arc<LocalKeys> {
        Arc::clone(&self.local_keys)
    }

    /// With keys that stayed on this machine so far: that somebody took them off a list elsewhere does not
    /// publish them.
    pub(super) fn local_keys_with(&self, so_far: &Flat) -> LocalKeys {
        LocalKeys::new(self.listed.iter().chain(so_far.keys()).cloned())
    }

    /// The schema of a document with that schema of the user: not the one in force, which a change may take away.
    pub(super) fn schema_for(&self, users: Option<&Value>) -> Result<Arc<Schema>, Violation> {
        if self.users.as_ref() == users {
            return Ok(Arc::clone(&self.schema));
        }
        schema_of(users).map(Arc::new)
    }

    pub(super) const fn has_users_schema(&self) -> bool {
        self.users.is_some()
    }

    /// A document that was valid before, for as long as none is known that is.
    pub(super) fn remember(&mut self, good: Value) {
        if self.looked_at.is_none() || !self.violations.is_empty() {
            self.good = Arc::new(good);
        }
    }

    fn look(&mut self, mut document: Value, problems: &[Problem]) {
        let users = at(&document, &SCHEMA_KEY).cloned();
        let breaches = problems.iter().filter_map(breach);
        let mut violations: Vec<Violation> = breaches.take(VIOLATIONS_MAX).collect();
        if users != self.users {
            match schema_of(users.as_ref()) {
                Ok(schema) => {
                    self.schema = Arc::new(schema);
                    self.users = users;
                }
                Err(violation) => violations.push(violation),
            }
        }
        let listed = at(&document, &LOCAL_KEYS_KEY).and_then(Value::as_array);
        let listed = listed.into_iter().flatten().filter_map(Value::as_str);
        let listed = listed.filter_map(|text| text.parse().ok());
        self.listed = self.listed_here.iter().cloned().chain(listed).collect();
        self.local_keys = Arc::new(LocalKeys::new(self.listed.iter().cloned()));
        self.hide_local(&mut document);
        if let Err(more) = self.schema.check(&document) {
            violations.extend(more);
        }
        if violations.is_empty() {
            self.good = Arc::new(document);
        }
        if let Some(first) = violations.first().filter(|_| *self.violations != violations) {
            let (key, rule, broken) = (&first.path, &first.reason, violations.len());
            tracing::warn!(
                key,
                rule,
                broken,
                "the configuration does not keep to its rules: the last good one stays in force"
            );
        }
        self.violations = Arc::new(violations);
    }

    /// Rows may stand where somebody has listed a key since: each machine has its own there.
    fn hide_local(&self, document: &mut Value) {
        for name in ALWAYS_LOCAL {
            take_out(document, &[name.to_owned()]);
        }
        for key in self.listed.iter().filter(|key| self.local_keys.is_local(key)) {
            take_out(document, key.segments());
        }
    }
}

/// Takes out what stands at these names, and objects that are empty without it.
fn take_out(value: &mut Value, names: &[String]) {
    let Some((first, rest)) = names.split_first() else { return };
    let Some(members) = value.as_object_mut() else { return };
    let is_done = match members.get_mut(first) {
        Some(inner) if !rest.is_empty() => {
            let was_empty = is_empty(inner);
            take_out(inner, rest);
            was_empty || !is_empty(inner)
        }
        Some(_) => false,
        None => true,
    };
    if !is_done {
        members.remove(first);
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// A problem for which the document is not what somebody meant: a key is missing that nobody removed.
fn breach(problem: &Problem) -> Option<Violation> {
    match problem {
        Problem::Hidden { .. } => None,
        // A row that is no key's has no effect, and would only keep what is valid from being in force.
        Problem::Unreadable { key, .. } => {
            key.as_ref().map(|key| Violation { path: key.to_string(), reason: problem.to_string() })
        }
        Problem::Overfull { .. } => {
            Some(Violation { path: String::new(), reason: problem.to_string() })
        }
    }
}

/// The built-in schema, with the user's.
fn schema_of(users: Option<&Value>) -> Result<Schema, Violation> {
    match users {
        None => Ok(Schema::built_in()),
        Some(users) => Schema::with_users(users)
            .map_err(|error| Violation { path: SCHEMA_KEY.join("."), reason: error.to_string() }),
    }
}

/// The user's schema of a document.
pub(super) fn users_schema(document: &Value) -> Option<&Value> {
    at(document, &SCHEMA_KEY)
}

fn at<'v>(document: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(document, |value, name| value.get(name))
}

impl SharedConfig {
    /// The document in force, and what is wrong with the newest one, if anything is.
    pub(super) fn effective(&self) -> (Arc<Value>, Arc<Vec<Violation>>) {
        let count = *self.changed.borrow();
        if lock(&self.standing).looked_at < Some(count) {
            let (document, problems) = {
                let state = lock(&self.state);
                (state.document(None).unwrap_or_else(|| json!({})), state.problems())
            };
            let mut standing = lock(&self.standing);
            // Somebody else may have looked at a newer one meanwhile.
            if standing.looked_at < Some(count) {
                standing.look(document, &problems);
                standing.looked_at = Some(count);
            }
        }
        let standing = lock(&self.standing);
        (Arc::clone(&standing.good), Arc::clone(&standing.violations))
    }

    /// The document in force beneath a key.
    pub(super) fn effective_at(&self, key: Option<&ConfigKey>) -> Option<Value> {
        let (document, _) = self.effective();
        let Some(key) = key else { return Some(Value::clone(&document)) };
        let names: Vec<&str> = key.segments().iter().map(String::as_str).collect();
        at(&document, &names).cloned()
    }
}

#[cfg(test)]
mod tests;

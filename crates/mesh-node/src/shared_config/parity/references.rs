//! Files on this machine that the configuration names: `token_file` and its like. They are looked at, never read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_config::{AGENTS, ConfigKey, EntryValue};
use mesh_control::ConfigProblem;
use serde_json::Value;

use crate::shared::{Shared, lock};

/// Files that are looked at.
const LOOKED_AT_MAX: usize = 256;

/// A file system that takes longer hangs.
const LOOK_WAIT: Duration = Duration::from_secs(2);

/// May be read by everybody on the machine.
const READABLE_BY_OTHERS: u32 = 0o004;

type Reference = (ConfigKey, PathBuf);

/// The file on this machine that a value names.
fn file_of(key: &ConfigKey, value: &Value, home: Option<&Path>) -> Option<PathBuf> {
    let text = value.as_str()?;
    let path = match text.strip_prefix("file:") {
        Some(path) => path.strip_prefix("//").unwrap_or(path),
        None if key.segments().last()?.ends_with("_file") => text,
        None => return None,
    };
    match path.strip_prefix("~/") {
        Some(beneath) => Some(home?.join(beneath)),
        None => Some(PathBuf::from(path)).filter(|path| path.is_absolute()),
    }
}

/// Whether a key is about another machine alone.
fn is_others(key: &ConfigKey, hostname: &str) -> bool {
    matches!(key.segments(), [section, name, ..] if section == AGENTS && name != hostname)
}

fn problem(kind: &str, key: Option<&ConfigKey>, detail: String, hint: String) -> ConfigProblem {
    ConfigProblem { kind: kind.to_owned(), key: key.map(ToString::to_string), detail, hint }
}

/// What is wrong with a file, if anything is.
fn look_at(key: &ConfigKey, path: &Path) -> Option<ConfigProblem> {
    let shown = path.display();
    let missing = |why: String| {
        let hint = format!("put the file there for the agent to use, or change {key}");
        Some(problem("reference_missing", Some(key), format!("{shown} {why}"), hint))
    };
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => missing("is no file".to_owned()),
        Ok(found) if found.mode() & READABLE_BY_OTHERS != 0 => {
            let mode = found.mode() & 0o777;
            let detail =
                format!("{shown} can be read by everybody on this machine (mode {mode:03o})");
            Some(problem("reference_readable", Some(key), detail, format!("chmod o-rwx {shown}")))
        }
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing("is not there".to_owned())
        }
        Err(error) => missing(format!("cannot be looked at: {error}")),
    }
}

fn look_at_all(references: &[Reference]) -> Vec<ConfigProblem> {
    let looked_at = references.iter().take(LOOKED_AT_MAX);
    let mut found: Vec<ConfigProblem> =
        looked_at.filter_map(|(key, path)| look_at(key, path)).collect();
    let left_out = references.len().saturating_sub(LOOKED_AT_MAX);
    if left_out > 0 {
        found.push(unchecked(format!("{left_out} more files that keys name were not looked at")));
    }
    found
}

fn unchecked(detail: String) -> ConfigProblem {
    problem("reference_unchecked", None, detail, String::new())
}

impl Shared {
    /// Looks at the files that the configuration names on this machine, and remembers what is wrong.
    pub(super) async fn look_at_references(&self) {
        let comparing = &self.shared_config.comparing;
        let look = async {
            // One look at a time: while one hangs, no other one begins.
            let alone = Arc::clone(&comparing.looking).lock_owned().await;
            let references = self.references();
            let found = self.tasks.tracker().spawn_blocking(move || {
                let found = look_at_all(&references);
                drop(alone);
                found
            });
            found.await.ok()
        };
        let found = tokio::time::timeout(LOOK_WAIT, look).await.ok().flatten();
        let hangs = "files that keys name cannot be looked at: the file system does not answer";
        let found = found.unwrap_or_else(|| vec![unchecked(hangs.to_owned())]);
        *lock(&comparing.references) = found;
    }

    fn references(&self) -> Vec<Reference> {
        let config = &self.shared_config;
        let home = std::env::home_dir();
        let view = self.view();
        let hostname = view.my_hostname().map(ToString::to_string).unwrap_or_default();
        let reference = |key: &ConfigKey, value: &Value| {
            Some((key.clone(), file_of(key, value, home.as_deref())?))
        };
        let mut references: Vec<Reference> = {
            let state = lock(&config.state);
            let entries = state.entries().filter(|(key, _)| !is_others(key, &hostname));
            let shared = entries.filter_map(|(key, entry)| match &entry.value {
                EntryValue::Plain(value) => reference(key, value),
                EntryValue::Sealed(_) => None,
            });
            shared.collect()
        };
        let local = config.views.first().map(|view| view.local()).unwrap_or_default();
        references.extend(local.iter().filter_map(|(key, value)| reference(key, value)));
        references
    }
}

#[cfg(test)]
mod tests;

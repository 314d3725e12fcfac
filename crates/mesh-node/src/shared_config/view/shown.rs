//! What a file is to show of the configuration, written into it.

use mesh_config::{ConfigKey, Flat, flatten, render_text, revision_of, unflatten};
use mesh_configfile::{ConfigFile, FileContent, FileError};
use mesh_control::ConfigFileState;
use serde_json::{Value, json};

use super::View;
use crate::shared::{Shared, lock};

impl Shared {
    /// Writes what is to be shown, unless that is what stands there.
    pub(super) async fn write_view(
        &self,
        view: &View,
        file: &ConfigFile,
        content: &FileContent,
    ) -> Result<(), FileError> {
        let prefix = view.place.prefix.as_ref();
        let document = self.shared_config.effective_at(prefix).filter(Value::is_object);
        let document = document.unwrap_or_else(|| json!({}));
        let shared = flatten(prefix, &document).unwrap_or_default();
        if prefix.is_none() {
            view.seen().keep_own(&self.shared_config.local_keys());
        }
        let local = view.local();
        let revision = revision_of(&shared);
        let is_shown = {
            let seen = view.seen();
            let is_there = content.stamp().is_some() && seen.stamp == content.stamp();
            // The same under an older revision is left alone: somebody has it open in an editor.
            let is_same = seen.shared == shared && seen.local_wanted.is_none();
            // Without a revision nobody could tell what is deleted from it later.
            is_there && is_same && seen.revision.is_some()
        };
        if !is_shown {
            let is_plain = view.seen().is_plain;
            let old = match content {
                FileContent::Present { bytes, .. } if !is_plain => std::str::from_utf8(bytes).ok(),
                FileContent::Present { .. } | FileContent::Missing => None,
            };
            let text = render_text(old, &with_local(prefix, document, &local), &revision);
            file.keep_version(&revision, text.as_bytes()).await?;
            let stamp = file.replace(text.as_bytes(), content.stamp()).await?;
            let mut seen = view.seen();
            seen.stamp = Some(stamp);
            seen.refused = None;
            seen.revision = Some(revision.clone());
            seen.shared = shared;
            if seen.local_wanted.take_if(|wanted| *wanted == local).is_some() {
                seen.local = local;
            }
            seen.is_known = true;
            seen.is_plain = old.is_none();
        }
        let mut report = lock(&view.report);
        report.state = ConfigFileState::InStep;
        report.revision = Some(revision);
        report.detail.clear();
        (report.line, report.column, report.key, report.rule) = (None, None, None, None);
        Ok(())
    }
}

/// The document with the keys of this machine, which stand in views of everything alone.
fn with_local(prefix: Option<&ConfigKey>, document: Value, local: &Flat) -> Value {
    if local.is_empty() || prefix.is_some() {
        return document;
    }
    let shared = flatten(None, &document).unwrap_or_default();
    unflatten(shared.iter().chain(local).map(|(key, value)| (key, value.clone())))
}

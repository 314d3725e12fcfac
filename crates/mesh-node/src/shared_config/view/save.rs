//! What somebody saved in a file that shows the configuration becomes a change of it.

use mesh_config::{ConfigKey, Flat, LocalKeys, ParsedText, flatten, parse_text, render_text};
use mesh_configfile::{ConfigFile, Stamp};
use mesh_control::ConfigFileState;
use serde_json::Value;

use super::View;
use super::trouble::Trouble;
use crate::error::chain;
use crate::shared::{Shared, lock};
use crate::shared_config::change::Request;

impl Shared {
    /// Makes a change of what somebody saved.
    pub(super) async fn take_save(
        &self,
        view: &View,
        file: &ConfigFile,
        bytes: &[u8],
        stamp: Stamp,
    ) -> Result<(), Trouble> {
        let prefix = view.place.prefix.as_ref();
        let parsed = parse_text(bytes).map_err(|error| Trouble::of_text(&error))?;
        let broken = |error: &dyn std::error::Error| Trouble {
            state: Some(ConfigFileState::Broken),
            detail: chain(error),
            ..Trouble::default()
        };
        let flat = flatten(prefix, &parsed.document).map_err(|error| broken(&error))?;
        let revision = parsed.revision.as_deref().filter(|name| is_revision(name));
        let base = self.base_of(view, file, revision).await;
        let so_far = view.local();
        let local = lock(&self.shared_config.standing).local_keys_with(&so_far);
        if let Some(prefix) = prefix
            && let Some(key) = misplaced(&flat, base.as_ref(), &local)
        {
            return Err(Trouble::of_misplaced(key, &parsed, prefix));
        }
        let (mut own, mut kept) = (Flat::new(), Vec::new());
        let changed = self
            .change_config(|state| {
                let merge = state.merge_file(base.as_ref(), &flat, prefix, &local)?;
                own = merge.local;
                kept = merge.kept;
                // Whoever writes a file without a revision means all that it says. One whose revision is not kept any
                // more was opened a while ago.
                let over =
                    if base.is_none() && revision.is_none() { Vec::new() } else { merge.over };
                let note = Some("file".to_owned());
                Ok(Request { edits: merge.edits, over, note, settles: None })
            })
            .await
            .map_err(|refusal| Trouble::of_refusal(&refusal, &parsed, prefix))?;
        // Whoever has it open in an editor goes on from here, also after a start of the agent.
        if let Some(revision) = revision
            && let Err(error) = file.keep_version(revision, bytes).await
        {
            tracing::warn!(path = %view.place.path.display(), error = %chain(&error), "a save is not kept beside the file");
        }
        if !kept.is_empty() {
            tracing::info!(path = %view.place.path.display(), keys = kept.len(), "keys that a file without a known revision lacks were kept");
        }
        tracing::debug!(path = %view.place.path.display(), version = ?changed.version, "a save was taken");
        let mut seen = view.seen();
        seen.stamp = Some(stamp);
        seen.refused = None;
        seen.revision = revision.map(str::to_owned);
        seen.shared = flat.into_iter().filter(|(key, _)| !local.is_local(key)).collect();
        let wanted = seen.local_wanted.take().map(|wanted| carried(&seen.local, wanted, &own));
        seen.local_wanted = wanted.filter(|wanted| *wanted != own);
        seen.local = own;
        seen.is_known = true;
        seen.is_plain = is_plain(bytes, &parsed);
        Ok(())
    }

    /// What the file was made of: the save before it, or the version that it names.
    async fn base_of(
        &self,
        view: &View,
        file: &ConfigFile,
        revision: Option<&str>,
    ) -> Option<Flat> {
        let revision = revision?;
        {
            let seen = view.seen();
            if seen.is_known && seen.revision.as_deref() == Some(revision) {
                return Some(seen.shared.clone());
            }
        }
        let bytes = file.version(revision).await.ok().flatten()?;
        let parsed = parse_text(&bytes).ok()?;
        let flat = flatten(view.place.prefix.as_ref(), &parsed.document).ok()?;
        let local = self.shared_config.local_keys();
        Some(flat.into_iter().filter(|(key, _)| !local.is_local(key)).collect())
    }
}

/// The keys of this machine as a command wants them that found `before`, where a save has made them `own`: what
/// the command did not touch is as it was saved.
fn carried(before: &Flat, mut wanted: Flat, own: &Flat) -> Flat {
    let mut carried = own.clone();
    carried.retain(|key, _| wanted.contains_key(key) || !before.contains_key(key));
    wanted.retain(|key, value| before.get(key) != Some(value));
    carried.retain(|key, _| !wanted.keys().any(|one| one.is_within(key) || key.is_within(one)));
    carried.extend(wanted);
    carried
}

/// Whether a text could be the name of a revision. Whoever edits a file may write anything there.
fn is_revision(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text is laid out as one that was made without another one: nothing of it is lost when it is
/// written anew.
fn is_plain(bytes: &[u8], parsed: &ParsedText) -> bool {
    let revision = parsed.revision.as_deref().unwrap_or_default();
    render_text(None, &parsed.document, revision).as_bytes() == bytes
}

/// A key of this machine alone that somebody wrote into a view that shows none. What stood there before it
/// became one is nobody's mistake.
fn misplaced<'f>(flat: &'f Flat, base: Option<&Flat>, local: &LocalKeys) -> Option<&'f ConfigKey> {
    let was_there =
        |key: &ConfigKey, value: &Value| base.is_some_and(|base| base.get(key) == Some(value));
    let is_misplaced =
        |(key, value): &(&ConfigKey, &Value)| local.is_local(key) && !was_there(key, value);
    flat.iter().find(is_misplaced).map(|(key, _)| key)
}

#[cfg(test)]
mod tests;

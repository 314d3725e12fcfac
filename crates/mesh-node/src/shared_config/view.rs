//! A file that shows the configuration. What somebody saves in it is a change; what changes elsewhere is
//! written into it.
//!
//! A file that cannot be taken is left as it is, with what changes elsewhere waiting, until it is mended.

mod trouble;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use mesh_config::{
    ConfigKey, EntryValue, Flat, LocalKeys, ParsedText, flatten, parse_text, render_text,
    revision_of, unflatten,
};
use mesh_configfile::{ConfigFile, FileContent, FileError, Stamp};
use mesh_control::{ConfigFileState, ConfigFileView};
use mesh_protocol::ErrorCode;
use mesh_tables::ConfigHistoryQuery;
use serde_json::{Value, json};
use tokio::time::sleep_until;

use self::trouble::Trouble;
use super::ConfigView;
use super::change::Request;
use super::standing::LOCAL_KEYS;
use crate::clock;
use crate::error::chain;
use crate::shared::{Shared, lock};

/// How long to wait after the file system refused.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A file is written no more often than this many times what writing it takes.
const REST_FACTOR: u32 = 10;

/// No file rests for longer than that: what took so long may have been a disk that was full, or a machine that slept.
const REST_MAX: Duration = Duration::from_secs(5);

/// So often a command tries to write the file that somebody else saves meanwhile.
const WRITES_MAX: usize = 3;

/// The name that a sealed value is shown by.
const SEALED: &str = "$sealed";

/// Lists of local keys that are looked at, the newest.
const LISTS_MAX: u64 = 256;

/// A view, and where it stands.
#[derive(Debug)]
pub(super) struct View {
    pub(super) place: ConfigView,
    /// Told to whoever asks.
    pub(super) report: Mutex<ConfigFileView>,
    seen: Mutex<Seen>,
    /// Held by whoever reads or writes the file.
    busy: tokio::sync::Mutex<()>,
    /// While it is watched.
    pub(super) file: Mutex<Option<ConfigFile>>,
}

/// What was seen of the file last.
#[derive(Debug, Default)]
struct Seen {
    /// What stands in it.
    stamp: Option<Stamp>,
    /// The revision that its text names.
    revision: Option<String>,
    /// What was taken from it, or written into it, of the shared keys.
    shared: Flat,
    /// Keys of this machine alone.
    local: Flat,
    /// What is to become of the keys of this machine, by a command.
    local_wanted: Option<Flat>,
    /// It was not taken: it is not looked at again until it is another one.
    refused: Option<Stamp>,
    /// Whether it was looked at since the start.
    is_known: bool,
    /// Nobody has laid it out by hand: it is written as every member writes it.
    is_plain: bool,
}

impl Seen {
    /// What was shown as shared and is of each machine alone by now stays in the file as it was.
    fn keep_own(&mut self, listed: &LocalKeys) {
        let is_own = |key: &ConfigKey| listed.is_local(key);
        let own: Flat = self.shared.extract_if(.., |key, _| is_own(key)).collect();
        // Nobody could make anything of the placeholder of a sealed value.
        let own =
            own.into_iter().filter(|(key, _)| !key.segments().iter().any(|name| name == SEALED));
        for (key, value) in own {
            if let Some(wanted) = &mut self.local_wanted {
                wanted.entry(key.clone()).or_insert_with(|| value.clone());
            }
            self.local.entry(key).or_insert(value);
        }
    }
}

impl View {
    pub(super) fn new(place: ConfigView) -> Self {
        let report = ConfigFileView {
            path: place.path.display().to_string(),
            prefix: place.prefix.as_ref().map(ToString::to_string),
            state: ConfigFileState::Pending,
            detail: String::new(),
            revision: None,
            line: None,
            column: None,
            key: None,
            rule: None,
        };
        Self {
            place,
            report: Mutex::new(report),
            seen: Mutex::default(),
            busy: tokio::sync::Mutex::new(()),
            file: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// The keys of this machine alone that it holds.
    pub(super) fn local(&self) -> Flat {
        let seen = self.seen();
        seen.local_wanted.clone().unwrap_or_else(|| seen.local.clone())
    }
}

/// Lets go of the file of a view when dropped.
struct Watching<'v>(&'v View);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        *lock(&self.0.file) = None;
    }
}

impl Shared {
    /// The loop that keeps a view and the configuration in step.
    pub(super) async fn keep_view(self: Arc<Self>, view: Arc<View>) {
        let settings = self.config.shared_config.clone();
        let path = view.place.path.clone();
        let file = loop {
            match ConfigFile::open(path.clone(), settings.file.clone(), self.tasks.tracker()).await
            {
                Ok(file) => break file,
                Err(error) => {
                    self.view_failed(&view, Trouble::of_file(&error, ConfigFileState::Unreadable));
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        };
        let (mut touched, mut changed) = (file.changes(), self.shared_config.changed.subscribe());
        self.recall(&view, &file).await;
        *lock(&view.file) = Some(file.clone());
        // The handle keeps the watching task, so it goes with this one, however that ends.
        let _watching = Watching(&view);
        loop {
            touched.mark_unchanged();
            changed.mark_unchanged();
            let started = clock::now().instant;
            let is_settled = self.reconcile(&view, &file).await;
            let took = clock::now().instant.saturating_duration_since(started);
            let rest = rest_after(took, settings.rewrite_every);
            let rest = if is_settled { rest } else { rest.max(RETRY_AFTER) };
            self.wait_for_view(&mut touched, &mut changed, started + rest, is_settled).await;
            if touched.has_changed().is_err() || self.tasks.shutdown().is_cancelled() {
                return;
            }
        }
    }

    /// Waits until the file or the configuration has changed. A save is taken at once; what changes elsewhere
    /// waits until `rest` is over, and then goes together.
    async fn wait_for_view(
        &self,
        touched: &mut tokio::sync::watch::Receiver<u64>,
        changed: &mut tokio::sync::watch::Receiver<u64>,
        rest: Instant,
        is_settled: bool,
    ) {
        let later = async {
            if is_settled {
                let _gone = changed.changed().await;
            }
            sleep_until(rest.into()).await;
        };
        tokio::select! {
            _gone = touched.changed() => {}
            () = later => {}
            () = self.tasks.shutdown().cancelled() => {}
        }
    }

    /// What the newest version beside the file says: the keys of this machine alone, should the file be gone,
    /// and the last good configuration, should the table's not be valid.
    async fn recall(&self, view: &View, file: &ConfigFile) {
        let Ok(versions) = file.list_versions().await else { return };
        let once = self.once_local().await;
        for name in versions.iter().filter(|name| !name.starts_with("rescued")) {
            let Ok(Some(bytes)) = file.version(name).await else { continue };
            let Ok(parsed) = parse_text(&bytes) else { continue };
            let Ok(flat) = flatten(view.place.prefix.as_ref(), &parsed.document) else { continue };
            let local = self.shared_config.local_keys();
            let (local, shared): (Flat, Flat) = {
                let state = lock(&self.shared_config.state);
                // What was on a list and is in no table belongs to this machine still: neither does it vanish from
                // the file, nor is it told.
                let is_left = |key: &ConfigKey| once.is_local(key) && state.entry(key).is_none();
                flat.into_iter().partition(|(key, _)| local.is_local(key) || is_left(key))
            };
            if view.place.prefix.is_none() {
                let good = unflatten(shared.iter().map(|(key, value)| (key, value.clone())));
                lock(&self.shared_config.standing).remember(good);
            }
            view.seen().local = local;
            return;
        }
    }

    /// The keys of each machine alone, with all that the list has had, as far as the history says.
    async fn once_local(&self) -> LocalKeys {
        let beneath = format!("{LOCAL_KEYS}.");
        let query = ConfigHistoryQuery::Of { key: LOCAL_KEYS.to_owned(), beneath };
        let items = self.config_history(query, LISTS_MAX).await.unwrap_or_default();
        let values = items.iter().flat_map(|item| item.new.iter().chain(&item.old));
        let listed = values.filter_map(|value| match value {
            EntryValue::Plain(Value::Array(names)) => Some(names),
            EntryValue::Plain(_) | EntryValue::Sealed(_) => None,
        });
        let names = listed.flatten().filter_map(Value::as_str);
        LocalKeys::new(names.filter_map(|name| name.parse().ok()))
    }

    /// Takes what was saved, then writes what is to be shown. Says whether the two are in step, or wait for
    /// somebody to mend the file.
    async fn reconcile(&self, view: &View, file: &ConfigFile) -> bool {
        let _alone = view.busy.lock().await;
        let content = match file.read().await {
            Ok(content) => content,
            // Should it end as it was, nothing is announced, and what is to be written waits.
            Err(FileError::Unsettled { .. }) => return false,
            Err(error) => {
                self.view_failed(view, Trouble::of_file(&error, ConfigFileState::Unreadable));
                // Another file is announced.
                return true;
            }
        };
        if let FileContent::Present { bytes, stamp } = &content {
            let (is_seen, is_refused) = {
                let seen = view.seen();
                (seen.stamp == Some(*stamp), seen.refused == Some(*stamp))
            };
            // What was refused may be taken now that the configuration is another one.
            if (!is_seen || is_refused)
                && let Err(trouble) = self.take_save(view, file, bytes, *stamp).await
            {
                let is_passing = trouble.is_passing();
                if !is_passing {
                    view.seen().refused = Some(*stamp);
                }
                self.view_failed(view, trouble);
                return !is_passing;
            }
        }
        match self.write_view(view, file, &content).await {
            Ok(()) => true,
            Err(FileError::Changed { .. } | FileError::Unsettled { .. }) => false,
            Err(error) => {
                self.view_failed(view, Trouble::of_file(&error, ConfigFileState::Unwritable));
                false
            }
        }
    }

    /// Makes a change of what somebody saved.
    async fn take_save(
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

    /// Writes what is to be shown, unless that is what stands there.
    async fn write_view(
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

    /// Sets keys of this machine alone. They are in the file when this returns.
    pub(super) async fn change_local(
        &self,
        change: impl FnOnce(&mut Flat) + Send,
    ) -> Result<(), crate::NodeError> {
        let Some(view) = self.shared_config.views.first() else { return Ok(()) };
        let refused = lock(&view.report).clone();
        if !matches!(refused.state, ConfigFileState::InStep | ConfigFileState::Pending) {
            let message = format!(
                "{} holds the keys of this machine and cannot be written now: {}; nothing was changed",
                refused.path, refused.detail
            );
            return Err(crate::NodeError::new(ErrorCode::StorageError, message).with_hint(
                "mend the file first; `mesh-ctl config check` says what is wrong with it",
            ));
        }
        {
            let mut seen = view.seen();
            let mut wanted = seen.local_wanted.clone().unwrap_or_else(|| seen.local.clone());
            change(&mut wanted);
            seen.local_wanted = Some(wanted);
        }
        let file = lock(&view.file).clone();
        // Somebody may save it at the same moment.
        for _ in 0..WRITES_MAX {
            if let Some(file) = &file {
                self.reconcile(view, file).await;
            }
            if view.seen().local_wanted.is_none() {
                return Ok(());
            }
        }
        // It is tried again together with the next change.
        self.shared_config.note_changed();
        let path = view.place.path.display();
        let message = format!("the change is not in {path} yet; it is tried again");
        Err(crate::NodeError::new(ErrorCode::StorageError, message)
            .with_hint("`mesh-ctl config check` says what keeps it out of the file"))
    }

    fn view_failed(&self, view: &View, trouble: Trouble) {
        let Trouble { state, detail, line, column, key, rule } = trouble;
        let state = state.unwrap_or(ConfigFileState::Broken);
        let told = {
            let mut report = lock(&view.report);
            let is_told = report.state == state && report.detail == detail && report.line == line;
            report.state = state;
            report.detail.clone_from(&detail);
            (report.line, report.column) = (line, column);
            (report.key, report.rule) = (key.clone(), rule.clone());
            is_told
        };
        if told {
            return;
        }
        let path = view.place.path.display().to_string();
        tracing::warn!(
            path,
            line,
            column,
            key,
            detail,
            "a file of the configuration was not taken"
        );
        let fields = json!({ "path": path, "state": state.as_str(), "detail": detail, "line": line, "column": column, "key": key, "rule": rule });
        self.events.emit(clock::now().wall, "config_file", fields);
    }
}

/// How long a file rests that took so long to be written.
fn rest_after(took: Duration, rewrite_every: Duration) -> Duration {
    rewrite_every.max(took.saturating_mul(REST_FACTOR).min(REST_MAX))
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

/// The document with the keys of this machine, which stand in views of everything alone.
fn with_local(prefix: Option<&ConfigKey>, document: Value, local: &Flat) -> Value {
    if local.is_empty() || prefix.is_some() {
        return document;
    }
    let shared = flatten(None, &document).unwrap_or_default();
    unflatten(shared.iter().chain(local).map(|(key, value)| (key, value.clone())))
}

#[cfg(test)]
mod tests;

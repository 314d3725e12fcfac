//! A file that shows the configuration. What somebody saves in it is a change; what changes elsewhere is
//! written into it.
//!
//! A file that cannot be taken is left as it is, with what changes elsewhere waiting, until it is mended.

mod save;
mod shown;
mod trouble;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use mesh_config::{ConfigKey, EntryValue, Flat, LocalKeys, flatten, parse_text, unflatten};
use mesh_configfile::{ConfigFile, FileContent, FileError, Stamp};
use mesh_control::{ConfigFileState, ConfigFileView};
use mesh_protocol::ErrorCode;
use mesh_tables::ConfigHistoryQuery;
use serde_json::{Value, json};
use tokio::time::sleep_until;

use self::trouble::Trouble;
use super::ConfigView;
use super::standing::LOCAL_KEYS;
use crate::clock;
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

#[cfg(test)]
mod tests;

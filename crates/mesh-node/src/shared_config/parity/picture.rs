//! This node's configuration as it is compared: digests of its table and of its file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh_config::{
    ConfigKey, ConfigState, Digests, Entry, Flat, Parity, ParsedText, ValueDigest, compare,
    flatten, parse_text, range_of,
};
use mesh_configfile::{FileContent, FileError, Stamp};
use mesh_control::{ConfigFileState, ConfigProblem};
use mesh_protocol::{CONFIG_KEYS_PER_FRAME_MAX, ConfigKeyDigests};

use super::is_stuck;
use crate::clock;
use crate::error::chain;
use crate::shared::{Shared, lock};

/// A file that does not show what the table says is given so long to do so.
const FILE_WAIT: Duration = Duration::from_millis(500);

/// How often such a file is looked at, and one that is just being written.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Keys that are named of a file that shows something else.
const NAMED_MAX: usize = 10;

pub(super) type Values = BTreeMap<ConfigKey, ValueDigest>;

/// Keys with their values' digests, and the digests of those by range.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) values: Values,
    pub(super) digests: Digests,
}

impl Known {
    fn new(values: Values) -> Self {
        let digests = Digests::of(values.iter().map(|(key, digest)| (key, *digest)));
        Self { values, digests }
    }

    /// Those of some ranges, up to a text.
    pub(super) fn within(&self, ranges: &BTreeSet<u8>, upto: Option<&str>) -> Values {
        let is_meant = |key: &ConfigKey| {
            ranges.contains(&range_of(key))
                && upto.is_none_or(|upto| key.to_string().as_str() <= upto)
        };
        let meant = self.values.iter().filter(|(key, _)| is_meant(key));
        meant.map(|(key, digest)| (key.clone(), *digest)).collect()
    }
}

/// The file of the whole configuration, as it was read from the disk for this.
#[derive(Debug)]
pub(super) struct SeenFile {
    /// What was read; none when there was nothing.
    stamp: Option<Stamp>,
    /// What it says; none when it cannot be read or understood.
    pub(super) known: Option<Arc<Known>>,
    pub(super) state: ConfigFileState,
    pub(super) detail: String,
}

/// This node's configuration at one moment.
#[derive(Debug)]
pub(super) struct Picture {
    /// The state of which it is one.
    count: u64,
    /// What the table holds, as it was read from the disk for this.
    pub(super) table: Arc<Known>,
    /// The same without rows that nobody can go by.
    readable: Arc<Known>,
    /// What this node goes by.
    memory: Arc<Known>,
    /// What the file is to show.
    pub(super) shown: Arc<Known>,
    pub(super) file: SeenFile,
}

impl Picture {
    /// Whether this node goes by what the table holds. If it is not on its way, somebody else has written there.
    fn is_memory_right(&self) -> bool {
        self.readable.digests == self.memory.digests
    }

    /// Whether nothing is on its way.
    fn is_settled(&self) -> bool {
        let is_shown = self.is_file_right() && self.file.state == ConfigFileState::InStep;
        self.is_memory_right() && (is_shown || is_stuck(self.file.state))
    }

    /// What is wrong with the table and the file on this node's own disk.
    pub(super) fn own_problems(&self) -> Vec<ConfigProblem> {
        let table = (!self.is_memory_right()).then(|| ConfigProblem {
            kind: "table_differs".to_owned(),
            key: None,
            detail: format!(
                "the table in data.db was changed by another program: {}",
                named(&compare(&self.memory.values, &self.readable.values))
            ),
            hint: "mesh-ctl sync --force puts right what other members have".to_owned(),
        });
        table.into_iter().chain(self.file_problem()).collect()
    }

    /// Whether the file shows what it is to show.
    fn is_file_right(&self) -> bool {
        let is_same = |file: &Arc<Known>| file.digests == self.shown.digests;
        self.file.known.as_ref().is_some_and(is_same)
    }

    fn file_problem(&self) -> Option<ConfigProblem> {
        if self.is_file_right() {
            return None;
        }
        let detail = match &self.file.known {
            None => self.file.detail.clone(),
            Some(file) => {
                let parity = compare(&self.shown.values, &file.values);
                format!("the file says something else than the configuration: {}", named(&parity))
            }
        };
        Some(ConfigProblem {
            kind: "file_differs".to_owned(),
            key: None,
            detail,
            hint: "the state of the file below says what keeps the two apart".to_owned(),
        })
    }

    /// A page of the keys of some ranges, in the order of their texts, and whether it is the last one.
    pub(super) fn page(&self, ranges: &BTreeSet<u8>, after: &str) -> (Vec<ConfigKeyDigests>, bool) {
        let nothing = Values::new();
        let file = self.file.known.as_ref().map_or(&nothing, |known| &known.values);
        let keys: BTreeSet<&ConfigKey> = self.table.values.keys().chain(file.keys()).collect();
        let meant = keys.into_iter().filter(|key| ranges.contains(&range_of(key)));
        let texts = meant.map(|key| (key.to_string(), key));
        let mut behind: BTreeMap<String, &ConfigKey> =
            texts.filter(|(text, _)| text.as_str() > after).collect();
        let rest = behind.keys().nth(CONFIG_KEYS_PER_FRAME_MAX).cloned();
        let is_done = rest.is_none();
        if let Some(rest) = rest {
            behind.split_off(&rest);
        }
        let digest = |of: &Values, key: &ConfigKey| of.get(key).map(|digest| *digest.as_bytes());
        let page = behind.into_iter().map(|(text, key)| ConfigKeyDigests {
            key: text,
            table: digest(&self.table.values, key),
            file: digest(file, key),
        });
        (page.collect(), is_done)
    }
}

/// The first keys that are not the same, and how many there are.
fn named(parity: &Parity) -> String {
    let keys = parity.missing.iter().chain(&parity.extra).chain(&parity.different);
    let named: Vec<String> = keys.take(NAMED_MAX).map(ToString::to_string).collect();
    let more = parity.keys().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    format!("{}{more}", named.join(", "))
}

/// What stands for the rows of the table, and keys of which the row is no entry that anybody goes by. A row whose
/// key is not written as keys are is left out.
fn row_values(rows: &[(String, String)]) -> (Values, BTreeSet<ConfigKey>) {
    let (mut values, mut unreadable) = (Values::new(), BTreeSet::new());
    for (text, row) in rows {
        let Ok(key) = text.parse::<ConfigKey>() else { continue };
        if key.to_string() != *text {
            continue;
        }
        let taken = ConfigState::default().put(text, Some(row)).ok().flatten();
        let digest = match taken.and_then(|changed| changed.new) {
            Some(entry) => ValueDigest::of(&entry.value),
            None => {
                unreadable.insert(key.clone());
                ValueDigest::of_plain(&serde_json::Value::String(row.clone()))
            }
        };
        values.insert(key, digest);
    }
    (values, unreadable)
}

/// The rows of the table, with and without those that nobody goes by.
fn table_of(rows: &[(String, String)]) -> (Arc<Known>, Arc<Known>) {
    let (values, unreadable) = row_values(rows);
    let table = Arc::new(Known::new(values));
    if unreadable.is_empty() {
        return (Arc::clone(&table), table);
    }
    let mut readable = table.values.clone();
    readable.retain(|key, _| !unreadable.contains(key));
    (table, Arc::new(Known::new(readable)))
}

/// A sealed value is shown as who can open it, which stands for it as a whole.
fn shown_values(flat: &Flat) -> Values {
    let digest = |(key, value): (&ConfigKey, &serde_json::Value)| {
        let segments = key.segments();
        let sealed = segments.iter().position(|segment| segment == "$sealed");
        let key = match sealed.and_then(|at| segments.get(..at)) {
            Some(before) if !before.is_empty() => ConfigKey::new(before.to_vec()).ok()?,
            Some(_) | None => key.clone(),
        };
        Some((key, ValueDigest::of_plain(value)))
    };
    flat.iter().filter_map(digest).collect()
}

fn broken(line: u64, column: u64, reason: &str) -> String {
    format!("line {line}, column {column}: {reason}")
}

impl Shared {
    /// A picture of this moment. Reads the file, and the table if it is to be or may be another one; digests
    /// anew only what has changed since the picture before.
    async fn picture(self: &Arc<Self>, reads_table: bool) -> Arc<Picture> {
        let mut latest = self.shared_config.comparing.picture.lock().await;
        let content = self.peek_at_file().await;
        let count = *self.shared_config.changed.borrow();
        let is_known = |before: &Arc<Picture>| before.count == count && before.is_memory_right();
        let rows = if !reads_table && latest.as_ref().is_some_and(is_known) {
            None
        } else {
            match self.replication.tables.config_rows().await {
                Ok(rows) => Some(rows),
                Err(error) => {
                    Self::config_failed("the configuration cannot be compared", &error);
                    None
                }
            }
        };
        let (shared, before) = (Arc::clone(self), latest.clone());
        let draw = move || shared.draw(before.as_deref(), rows.as_deref(), content);
        let drawn = self.tasks.tracker().spawn_blocking(draw).await;
        let drawn = match (drawn, latest.as_ref()) {
            (Ok(drawn), _) => Arc::new(drawn),
            (Err(_), Some(before)) => Arc::clone(before),
            // The runtime goes down: nobody will look at it.
            (Err(_), None) => Arc::new(self.draw(None, None, Ok(FileContent::Missing))),
        };
        *latest = Some(Arc::clone(&drawn));
        drawn
    }

    /// The picture that was made last.
    pub(super) async fn latest_picture(self: &Arc<Self>) -> Arc<Picture> {
        let latest = self.shared_config.comparing.picture.lock().await.clone();
        match latest {
            Some(latest) => latest,
            None => self.picture(true).await,
        }
    }

    /// A picture in which everything shows what the table says, unless it does not come to that.
    pub(super) async fn settled_picture(self: &Arc<Self>) -> Arc<Picture> {
        let deadline = clock::now().instant + FILE_WAIT;
        let mut picture = self.picture(true).await;
        while !picture.is_settled() && clock::now().instant < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
            picture = self.picture(false).await;
        }
        picture
    }

    async fn peek_at_file(&self) -> Result<FileContent, FileError> {
        let first = self.shared_config.views.first();
        let file = first.and_then(|view| lock(&view.file).clone());
        let Some(file) = file else { return Ok(FileContent::Missing) };
        let deadline = clock::now().instant + FILE_WAIT;
        loop {
            match file.peek().await {
                Err(FileError::Unsettled { .. }) if clock::now().instant < deadline => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                peeked => return peeked,
            }
        }
    }

    fn draw(
        &self,
        before: Option<&Picture>,
        rows: Option<&[(String, String)]>,
        content: Result<FileContent, FileError>,
    ) -> Picture {
        let config = &self.shared_config;
        let count = *config.changed.borrow();
        let same = before.filter(|before| before.count == count);
        let (memory, shown) = match same {
            Some(before) => (Arc::clone(&before.memory), Arc::clone(&before.shown)),
            None => {
                let memory: Values = {
                    let state = lock(&config.state);
                    let digest = |(key, entry): (&ConfigKey, &Entry)| {
                        (key.clone(), ValueDigest::of(&entry.value))
                    };
                    state.entries().map(digest).collect()
                };
                let (document, _) = config.effective();
                let shown = flatten(None, &document).unwrap_or_default();
                let mut shown = shown_values(&shown);
                // Rows that no machine shows are no difference between those that list their keys and others.
                let local = config.local_keys();
                let hidden = memory.iter().filter(|(key, _)| local.is_local(key));
                shown.extend(hidden.map(|(key, digest)| (key.clone(), *digest)));
                (Arc::new(Known::new(memory)), Arc::new(Known::new(shown)))
            }
        };
        let (table, readable) = match (rows, same) {
            (Some(rows), _) => table_of(rows),
            (None, Some(before)) => (Arc::clone(&before.table), Arc::clone(&before.readable)),
            (None, None) => (Arc::clone(&memory), Arc::clone(&memory)),
        };
        let file = self.draw_file(same, &shown, content);
        Picture { count, table, readable, memory, shown, file }
    }

    fn draw_file(
        &self,
        before: Option<&Picture>,
        shown: &Known,
        content: Result<FileContent, FileError>,
    ) -> SeenFile {
        let config = &self.shared_config;
        let unknown = |state, detail| SeenFile { stamp: None, known: None, state, detail };
        let (bytes, stamp) = match content {
            Ok(FileContent::Present { bytes, stamp }) => (bytes, stamp),
            Ok(FileContent::Missing) => {
                let detail = "the file is not there".to_owned();
                return unknown(ConfigFileState::Pending, detail);
            }
            Err(FileError::Unsettled { .. }) => {
                let detail = "the file is being written all the time".to_owned();
                return unknown(ConfigFileState::Pending, detail);
            }
            Err(error) => return unknown(ConfigFileState::Unreadable, chain(&error)),
        };
        let report = config.views.first().map(|view| lock(&view.report).clone());
        let (state, detail) = report.map_or((ConfigFileState::Pending, String::new()), |report| {
            let place = report.line.zip(report.column);
            let detail = place.map(|(line, column)| broken(line, column, &report.detail));
            (report.state, detail.unwrap_or(report.detail))
        });
        let known = before.map(|before| &before.file).filter(|file| file.stamp == Some(stamp));
        if let Some(known) = known.and_then(|file| file.known.clone()) {
            return SeenFile { stamp: Some(stamp), known: Some(known), state, detail };
        }
        let document = match parse_text(&bytes) {
            Ok(ParsedText { document, .. }) => document,
            Err(error) => {
                let detail = broken(error.line, error.column, &error.reason);
                return unknown(ConfigFileState::Broken, detail);
            }
        };
        let mut flat = match flatten(None, &document) {
            Ok(flat) => flat,
            Err(error) => return unknown(ConfigFileState::Broken, chain(&error)),
        };
        let local = config.local_keys();
        flat.retain(|key, _| !local.is_local(key));
        let mut values = shown_values(&flat);
        // What this machine keeps to itself is nobody else's business, and no difference.
        let kept = shown.values.iter().filter(|(key, _)| local.is_local(key));
        values.extend(kept.map(|(key, digest)| (key.clone(), *digest)));
        SeenFile { stamp: Some(stamp), known: Some(Arc::new(Known::new(values))), state, detail }
    }
}

#[cfg(test)]
mod tests;

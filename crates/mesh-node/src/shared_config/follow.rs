//! The state in memory follows the table, whoever writes it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mesh_config::{ConfigError, ConfigState, HistoryItem, VERSION_JUMP_MAX};
use mesh_protocol::{PeerId, SqlValue};
use mesh_tables::{CONFIG_TABLE, ChangeEvent, Feed, FeedItem, TablesError};

use crate::shared::{Shared, lock};

/// How keys begin that say what the others may be.
const RULES: &str = "mesh.";

/// How long to wait after the database refused.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl Shared {
    /// Reads the whole table. What comes after that is in the feed.
    pub(super) async fn load_config(&self) -> Result<Feed, TablesError> {
        let feed = self.replication.tables.config_feed().await?;
        self.reload_config().await?;
        Ok(feed)
    }

    /// Makes the state what the table says.
    async fn reload_config(&self) -> Result<(), TablesError> {
        // Whoever changes the configuration writes the table and the state: neither alone is read here.
        let _alone = self.shared_config.gate.lock().await;
        let tables = &self.replication.tables;
        let rows = tables.config_rows().await?;
        let known = lock(&self.shared_config.state).version();
        let mut fresh = ConfigState::numbered_from(known);
        let mut left = LeftAlone::default();
        for (key, entry) in &rows {
            left.take(&mut fresh, key, Some(entry));
        }
        left.tell();
        // What a change set may be gone, and its number then stands in the history alone.
        loop {
            let most = fresh.version().saturating_add(VERSION_JUMP_MAX);
            let greatest = tables.config_version_upto(most).await?;
            let Some(version) = greatest.filter(|version| *version > fresh.version()) else {
                break;
            };
            fresh.note_version(version);
            if fresh.version() < version {
                break;
            }
        }
        {
            let mut state = lock(&self.shared_config.state);
            fresh.note_version(state.version());
            *state = fresh;
        }
        self.shared_config.note_changed();
        self.shared_config.effective();
        Ok(())
    }

    /// The loop that follows.
    pub(super) async fn follow_config(self: Arc<Self>, mut feed: Feed) {
        while let Some(first) = feed.next().await {
            let first = match first {
                Ok(first) => first,
                Err(TablesError::Closed) => return,
                Err(error) => {
                    // The log was dropped under the feed: the table itself tells.
                    Self::config_failed("the configuration is read anew", &error);
                    match self.load_config_again().await {
                        Some(fresh) => feed = fresh,
                        None => return,
                    }
                    continue;
                }
            };
            let mut items = vec![first];
            while let Some(item) = feed.next_ready() {
                items.push(item);
            }
            if let Err(error) = self.take_items(items).await {
                // The feed does not name these keys again.
                Self::config_failed("the configuration cannot be read", &error);
                match self.load_config_again().await {
                    Some(fresh) => feed = fresh,
                    None => return,
                }
            }
        }
    }

    /// Tries until it can be read; none when the tables are closed.
    async fn load_config_again(&self) -> Option<Feed> {
        loop {
            match self.load_config().await {
                Ok(feed) => return Some(feed),
                Err(TablesError::Closed) => return None,
                Err(error) => {
                    Self::config_failed("the configuration cannot be followed", &error);
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Takes what became of the keys that the feed names. What a member sent may have lost against what
    /// stands there, so the table itself is asked.
    async fn take_items(&self, items: Vec<FeedItem>) -> Result<(), TablesError> {
        let (mut keys, mut made) = (BTreeSet::new(), Vec::new());
        let mut is_resync = false;
        for item in items {
            match item {
                FeedItem::Change(event) if event.table == CONFIG_TABLE => {
                    keys.extend(column(&event.key, "key").and_then(text).map(str::to_owned));
                }
                FeedItem::Change(event) => made.extend(history_item(&event)),
                FeedItem::Resync { .. } => is_resync = true,
            }
        }
        if is_resync {
            self.reload_config().await?;
        } else if !keys.is_empty() {
            let _alone = self.shared_config.gate.lock().await;
            let rows = self.replication.tables.config_rows_at(keys.into_iter().collect()).await?;
            self.take_config_rows(rows.iter().map(|(key, entry)| (key.as_str(), entry.as_deref())));
        }
        if lock(&self.shared_config.state).is_overfull() {
            // There may be room again for what was left out.
            self.reload_config().await?;
            tokio::time::sleep(RETRY_AFTER).await;
        }
        self.announce_config(made);
        Ok(())
    }

    /// Rows that were committed. Taking them again changes nothing.
    pub(super) fn take_config_rows<'r>(
        &self,
        rows: impl Iterator<Item = (&'r str, Option<&'r str>)>,
    ) {
        let (mut is_changed, mut has_rules) = (false, false);
        let mut left = LeftAlone::default();
        {
            let mut state = lock(&self.shared_config.state);
            for (key, entry) in rows {
                if left.take(&mut state, key, entry) {
                    is_changed = true;
                    has_rules |= key.starts_with(RULES);
                }
            }
        }
        left.tell();
        if is_changed {
            self.shared_config.note_changed();
        }
        if has_rules {
            // The next change is to keep them already.
            self.shared_config.effective();
        }
    }
}

/// Rows of one batch that are no entries. Members may send many.
#[derive(Debug, Default)]
struct LeftAlone {
    first: Option<ConfigError>,
    count: usize,
}

impl LeftAlone {
    /// Says whether anything changed.
    fn take(&mut self, state: &mut ConfigState, key: &str, entry: Option<&str>) -> bool {
        match state.put(key, entry) {
            Ok(changed) => changed.is_some(),
            Err(error) => {
                self.count += 1;
                self.first.get_or_insert(error);
                true
            }
        }
    }

    fn tell(&self) {
        if let Some(first) = &self.first {
            let count = self.count;
            tracing::warn!(%first, count, "entries of the configuration are left alone");
        }
    }
}

fn text(value: &SqlValue) -> Option<&str> {
    match value {
        SqlValue::Text(text) => Some(text),
        SqlValue::Null
        | SqlValue::Integer(_)
        | SqlValue::Real(_)
        | SqlValue::Blob(_)
        | SqlValue::RawText(_) => None,
    }
}

fn column<'e>(columns: &'e [(String, SqlValue)], name: &str) -> Option<&'e SqlValue> {
    columns.iter().find(|(column, _)| column == name).map(|(_, value)| value)
}

fn history_item(event: &ChangeEvent) -> Option<HistoryItem> {
    let version = match column(&event.key, "version")? {
        SqlValue::Integer(version) => u64::try_from(*version).ok()?,
        SqlValue::Null
        | SqlValue::Real(_)
        | SqlValue::Text(_)
        | SqlValue::Blob(_)
        | SqlValue::RawText(_) => return None,
    };
    let by: PeerId = text(column(&event.key, "author")?)?.parse().ok()?;
    let key = text(column(&event.key, "key")?)?;
    // A row of the history that is dropped has no content.
    let change = text(column(&event.data, "change")?)?;
    HistoryItem::parse(version, by, key, change).ok()
}

#[cfg(test)]
mod tests;

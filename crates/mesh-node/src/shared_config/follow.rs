//! The state in memory follows the table, whoever writes it.

use std::sync::Arc;

use mesh_config::{ConfigState, HistoryItem};
use mesh_protocol::{PeerId, SqlValue};
use mesh_tables::{
    CONFIG_TABLE, ChangeEvent, ConfigHistoryQuery, Feed, FeedItem, Operation, TablesError,
};

use crate::shared::{Shared, lock};

impl Shared {
    /// Reads the whole table. What comes after that is in the feed.
    pub(super) async fn load_config(&self) -> Result<Feed, TablesError> {
        let feed = self.replication.tables.config_feed().await?;
        self.reload_config().await?;
        Ok(feed)
    }

    /// Makes the state what the table says.
    async fn reload_config(&self) -> Result<(), TablesError> {
        let tables = &self.replication.tables;
        let rows = tables.config_rows().await?;
        let newest = tables.config_history(ConfigHistoryQuery::Newest, 1).await?;
        let mut fresh = ConfigState::default();
        for (key, entry) in &rows {
            take(&mut fresh, key, Some(entry));
        }
        if let Some(row) = newest.first() {
            fresh.note_version(row.version);
        }
        {
            let mut state = lock(&self.shared_config.state);
            fresh.note_version(state.version());
            *state = fresh;
        }
        self.shared_config.note_changed();
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
                    feed = match self.load_config().await {
                        Ok(feed) => feed,
                        Err(error) => {
                            Self::config_failed("the configuration cannot be followed", &error);
                            return;
                        }
                    };
                    continue;
                }
            };
            let mut items = vec![first];
            while let Some(item) = feed.next_ready() {
                items.push(item);
            }
            if let Err(error) = self.take_items(items).await {
                Self::config_failed("the configuration cannot be read", &error);
            }
        }
    }

    async fn take_items(&self, items: Vec<FeedItem>) -> Result<(), TablesError> {
        let (mut rows, mut made) = (Vec::new(), Vec::new());
        let mut is_resync = false;
        for item in items {
            match item {
                FeedItem::Change(event) if event.table == CONFIG_TABLE => rows.extend(row(event)),
                FeedItem::Change(event) => made.extend(history_item(&event)),
                FeedItem::Resync { .. } => is_resync = true,
            }
        }
        if is_resync {
            self.reload_config().await?;
        } else {
            self.take_config_rows(rows.iter().map(|(key, entry)| (key.as_str(), entry.as_deref())));
        }
        self.announce_config(made);
        Ok(())
    }

    /// Rows that were committed. Taking them again changes nothing.
    pub(super) fn take_config_rows<'r>(
        &self,
        rows: impl Iterator<Item = (&'r str, Option<&'r str>)>,
    ) {
        let mut is_changed = false;
        {
            let mut state = lock(&self.shared_config.state);
            for (key, entry) in rows {
                is_changed |= take(&mut state, key, entry);
            }
        }
        if is_changed {
            self.shared_config.note_changed();
        }
    }
}

/// Says whether anything changed.
fn take(state: &mut ConfigState, key: &str, entry: Option<&str>) -> bool {
    match state.put(key, entry) {
        Ok(changed) => changed.is_some(),
        Err(error) => {
            tracing::warn!(%error, "an entry of the configuration is left alone");
            true
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

fn row(event: ChangeEvent) -> Option<(String, Option<String>)> {
    let key = text(column(&event.key, "key")?)?.to_owned();
    match event.operation {
        Operation::Delete => Some((key, None)),
        Operation::Insert | Operation::Update => {
            let entry = text(column(&event.data, "entry")?)?.to_owned();
            Some((key, Some(entry)))
        }
    }
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

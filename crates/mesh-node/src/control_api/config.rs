//! The shared configuration over the local admin API.

use std::collections::BTreeMap;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_config::{ConfigKey, Difference, Entry, EntryValue, HistoryItem};
use mesh_control::{
    ApiError, CONFIG_ENTRIES_MAX, CONFIG_HISTORY_DEFAULT, CONFIG_HISTORY_MAX, ConfigAction,
    ConfigApi, ConfigChangeView, ConfigChanged, ConfigCheckView, ConfigConflictView,
    ConfigDifference, ConfigEntryView, ConfigHistoryQuery, ConfigHistoryView, ConfigImport,
    ConfigImported, ConfigQuery, ConfigRevert, ConfigSeal, ConfigSet, ConfigStateView, ConfigUnset,
    ConfigView, ConfigWatchQuery,
};
use mesh_protocol::ErrorCode;
use mesh_tables::ConfigHistoryQuery as Rows;
use serde_json::{Value, json};

use crate::error::NodeError;
use crate::node::Node;
use crate::shared_config::{ConfigChange, is_standing, read_key, unknown_key};
use crate::view::View;

fn changed(changed: crate::shared_config::ConfigChanged) -> ConfigChanged {
    let keys = changed.keys.iter().map(ToString::to_string);
    ConfigChanged { version: changed.version, changed: keys.collect() }
}

/// A value as people see it: of a sealed one the names of those who can open it.
fn shown(value: &EntryValue, view: &View) -> Value {
    match value {
        EntryValue::Plain(value) => value.clone(),
        EntryValue::Sealed(_) => json!({ "$sealed": { "to": readers(value, view) } }),
    }
}

fn readers(value: &EntryValue, view: &View) -> Vec<String> {
    match value {
        EntryValue::Plain(_) => Vec::new(),
        EntryValue::Sealed(sealed) => {
            sealed.envelopes.iter().map(|envelope| view.label(&envelope.to)).collect()
        }
    }
}

fn shown_or_null(value: Option<&EntryValue>, view: &View) -> Value {
    value.map_or(Value::Null, |value| shown(value, view))
}

const fn action(value: Option<&EntryValue>) -> ConfigAction {
    match value {
        Some(EntryValue::Plain(_)) => ConfigAction::Set,
        Some(EntryValue::Sealed(_)) => ConfigAction::Seal,
        None => ConfigAction::Unset,
    }
}

fn history_view(item: HistoryItem, view: &View, current: Option<&Entry>) -> ConfigHistoryView {
    // As long as nobody has written the key again, the other one can still be brought back.
    let is_current = is_standing(&item, current);
    let conflict = item.over.filter(|_| is_current);
    ConfigHistoryView {
        value: shown_or_null(item.new.as_ref(), view),
        version: item.version,
        by: view.label(&item.by),
        at: item.at,
        action: action(item.new.as_ref()),
        old: item.old.as_ref().map(|old| shown(old, view)),
        note: item.note,
        conflict: conflict.map(|entry| ConfigConflictView {
            value: shown(&entry.value, view),
            version: entry.version,
            by: view.label(&entry.by),
            at: entry.at,
        }),
        key: item.key.to_string(),
    }
}

fn change_view(change: &ConfigChange, view: &View) -> ConfigChangeView {
    ConfigChangeView {
        key: change.key.to_string(),
        action: action(change.new.as_ref()),
        value: shown_or_null(change.new.as_ref(), view),
        old: change.old.as_ref().map(|old| shown(old, view)),
        version: change.version,
        by: view.label(&change.by),
        at: change.at,
        text: change.text.to_string(),
    }
}

fn difference(difference: Difference) -> ConfigDifference {
    let Difference { key, before, after } = difference;
    ConfigDifference { key: key.to_string(), before, after }
}

impl ConfigApi for Node {
    async fn config_get(&self, query: ConfigQuery) -> Result<ConfigView, ApiError> {
        let key = query.key.as_deref().map(read_key).transpose()?;
        let view = self.shared.view();
        let (entries, version) = self.shared.config_entries(key.as_ref());
        let mut value = match &key {
            None => self.config(None).unwrap_or_else(|| json!({})),
            Some(key) => self.config(Some(key)).ok_or_else(|| unknown_key(key))?,
        };
        let left_out = entries.len().saturating_sub(CONFIG_ENTRIES_MAX) as u64;
        let mut views = Vec::new();
        for (at, entry) in entries.into_iter().take(CONFIG_ENTRIES_MAX) {
            let mut seen = shown(&entry.value, &view);
            if let EntryValue::Sealed(_) = &entry.value {
                match query.reveal.then(|| self.open_config(&at)) {
                    Some(Ok(opened)) => seen = opened,
                    // Asked for itself, it is an error that it cannot be opened; among others it is not.
                    Some(Err(error)) if Some(&at) == key.as_ref() => return Err(error.into()),
                    Some(Err(_)) | None => {}
                }
                replace(&mut value, key.as_ref(), &at, &seen);
            }
            views.push(ConfigEntryView {
                key: at.to_string(),
                value: seen,
                version: entry.version,
                by: view.label(&entry.by),
                at: entry.at,
                sealed_for: readers(&entry.value, &view),
            });
        }
        let key = key.map(|key| key.to_string());
        Ok(ConfigView { key, value, version, entries: views, entries_left_out: left_out })
    }

    async fn config_set(&self, request: ConfigSet) -> Result<ConfigChanged, ApiError> {
        let key = read_key(&request.key)?;
        Ok(changed(self.set_config(&key, &request.value, request.note).await?))
    }

    async fn config_seal(&self, request: ConfigSeal) -> Result<ConfigChanged, ApiError> {
        let key = read_key(&request.key)?;
        let sealed = self.seal_config(&key, &request.value, &request.to, request.note);
        Ok(changed(sealed.await?))
    }

    async fn config_unset(&self, request: ConfigUnset) -> Result<ConfigChanged, ApiError> {
        if self.shared.remove_config_rows(&request.key).await? {
            return Ok(ConfigChanged { version: None, changed: vec![request.key] });
        }
        let key = read_key(&request.key)?;
        Ok(changed(self.unset_config(&key, request.note).await?))
    }

    async fn config_history(
        &self,
        query: ConfigHistoryQuery,
    ) -> Result<Vec<ConfigHistoryView>, ApiError> {
        let limit = query.limit.unwrap_or(CONFIG_HISTORY_DEFAULT).min(CONFIG_HISTORY_MAX);
        let rows = match query.key.as_deref().map(read_key).transpose()? {
            None => Rows::Newest,
            Some(key) => Rows::Of { key: key.to_string(), beneath: format!("{key}.") },
        };
        let items = self.shared.config_history(rows, limit as u64).await?;
        let view = self.shared.view();
        let current: BTreeMap<ConfigKey, Entry> = self.shared.config_entries(None).0;
        let item = |item: HistoryItem| {
            let entry = current.get(&item.key);
            history_view(item, &view, entry)
        };
        Ok(items.into_iter().map(item).collect())
    }

    async fn config_revert(&self, request: ConfigRevert) -> Result<ConfigChanged, ApiError> {
        let ConfigRevert { version, by, force } = request;
        Ok(changed(self.revert_config(version, by.as_deref(), force).await?))
    }

    async fn config_check(&self) -> Result<ConfigCheckView, ApiError> {
        Ok(self.shared.check_config().await?)
    }

    async fn config_state(&self) -> Result<ConfigStateView, ApiError> {
        Ok(self.shared.config_state())
    }

    async fn config_template_export(&self) -> Result<Value, ApiError> {
        Ok(self.config_template()?)
    }

    async fn config_template_import(
        &self,
        request: ConfigImport,
    ) -> Result<ConfigImported, ApiError> {
        let ConfigImport { template, dry_run, note } = request;
        let done = self.shared.import_config(&template, dry_run, note).await?;
        let ConfigChanged { version, changed } = changed(done.changed);
        let differences = done.differences.into_iter().map(difference).collect();
        Ok(ConfigImported { version, changed, differences })
    }

    fn config_watch(
        &self,
        query: ConfigWatchQuery,
    ) -> BoxStream<'static, Result<ConfigChangeView, ApiError>> {
        let prefix = match query.prefix.as_deref().map(read_key).transpose() {
            Ok(prefix) => prefix,
            Err(error) => return stream::iter([Err(error.into())]).boxed(),
        };
        let (node, follower) = (self.clone(), self.config_changes(prefix));
        stream::unfold(Some((node, follower)), async |open| {
            let (node, mut follower) = open?;
            match follower.next().await? {
                Ok(change) => {
                    let view = change_view(&change, &node.shared.view());
                    Some((Ok(view), Some((node, follower))))
                }
                Err(missed) => {
                    let error = NodeError::new(ErrorCode::PositionGone, missed.to_string())
                        .with_hint("read the configuration again, and follow from then on");
                    Some((Err(error.into()), None))
                }
            }
        })
        .boxed()
    }
}

/// Puts `seen` where the entry `at` stands in the document of `key`.
fn replace(document: &mut Value, key: Option<&ConfigKey>, at: &ConfigKey, seen: &Value) {
    let skipped = key.map_or(0, |key| key.segments().len());
    let beneath = at.segments().get(skipped..).unwrap_or_default();
    let place = beneath.iter().try_fold(document, |value, name| value.get_mut(name));
    if let Some(place) = place {
        *place = seen.clone();
    }
}

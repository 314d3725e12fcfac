//! The shared configuration as programs that embed a node use it.

use std::collections::BTreeMap;

use mesh_config::{
    ConfigError, ConfigKey, Difference, Entry, EntryValue, Flat, HistoryItem, Imported,
    RevertError, TemplateError, difference, export, flatten, import_flat,
};
use mesh_control::ConfigFileView;
use mesh_membership::Member;
use mesh_protocol::{ErrorCode, PeerId};
use mesh_tables::ConfigHistoryQuery;
use serde_json::{Value, json};

use super::ConfigFollower;
use super::announce::{IMPORT_NOTE, REVERT_NOTE};
use super::change::{ConfigChanged, Request};
use crate::clock;
use crate::error::{NodeError, chain};
use crate::node::Node;
use crate::shared::{Shared, lock};

impl From<super::change::Refusal> for NodeError {
    fn from(refusal: super::change::Refusal) -> Self {
        refusal.error
    }
}

/// What importing a template does.
#[derive(Debug)]
pub(crate) struct ImportDone {
    pub(crate) changed: ConfigChanged,
    pub(crate) differences: Vec<Difference>,
}

impl Node {
    /// The value at `key` of the shared configuration, or the document of everything beneath it; the whole
    /// configuration without a key. None when nothing is there. A sealed value is shown as who can open it;
    /// [`Node::open_config`] opens it.
    #[must_use]
    pub fn config(&self, key: Option<&ConfigKey>) -> Option<Value> {
        let config = &self.shared.shared_config;
        match key {
            Some(key) if config.local_keys().is_local(key) => {
                let local = config.views.first().map(|view| view.local()).unwrap_or_default();
                let values = local.iter().map(|(key, value)| (key, value.clone()));
                let document = mesh_config::unflatten(values);
                let names = key.segments().iter();
                names.into_iter().try_fold(&document, |value, name| value.get(name)).cloned()
            }
            Some(_) | None => config.effective_at(key),
        }
    }

    /// Sets `key` on every member; an object sets the keys beneath it and removes the others there. It is
    /// committed when this returns.
    ///
    /// # Errors
    /// `secret_found`, `schema_invalid`, `config_key_invalid`, `config_too_large`, …; nothing has changed then.
    pub async fn set_config(
        &self,
        key: &ConfigKey,
        value: &Value,
        note: Option<String>,
    ) -> Result<ConfigChanged, NodeError> {
        if self.shared.shared_config.local_keys().is_local(key) {
            let flat = flatten(Some(key), value)?;
            return self.shared.change_own_keys(key, flat).await;
        }
        let changed = self.shared.change_config(|state| {
            let edits = state.edits_to_set(key, value)?;
            Ok(Request { edits, note: note.clone(), ..Request::default() })
        });
        Ok(changed.await?)
    }

    /// Sets `key` to a value that the members `to` alone can read; the others see that it is there.
    ///
    /// # Errors
    /// As [`Node::set_config`], and `unknown_peer`.
    pub async fn seal_config(
        &self,
        key: &ConfigKey,
        value: &Value,
        to: &[String],
        note: Option<String>,
    ) -> Result<ConfigChanged, NodeError> {
        let view = self.shared.view();
        view.check_member()?;
        let mut members: Vec<Member> = Vec::new();
        for name in to {
            let peer = view.resolve(name, clock::now().wall)?.peer;
            let member = view.verdict.member(&peer).cloned();
            members
                .extend(member.filter(|new| members.iter().all(|one| one.peer_id != new.peer_id)));
        }
        if members.is_empty() {
            let message =
                "a sealed value needs at least one member that can read it; nothing was changed";
            return Err(NodeError::new(ErrorCode::BadRequest, message));
        }
        let sealed = self.shared.seal_value(key, value, &members)?;
        let changed = self.shared.change_config(|state| {
            let edits = state.edits_to_seal(key, sealed.clone());
            Ok(Request { edits, note: note.clone(), ..Request::default() })
        });
        Ok(changed.await?)
    }

    /// Opens the sealed value of `key`.
    ///
    /// # Errors
    /// `unknown_key` when nothing sealed is there, `sealed_unreadable` when it is sealed to others.
    pub fn open_config(&self, key: &ConfigKey) -> Result<Value, NodeError> {
        let value = {
            let state = lock(&self.shared.shared_config.state);
            state.entry(key).map(|entry| entry.value.clone())
        };
        match value {
            Some(EntryValue::Sealed(sealed)) => self.shared.open_value(key, &sealed),
            Some(EntryValue::Plain(_)) | None => {
                Err(NodeError::new(ErrorCode::UnknownKey, format!("nothing sealed is at {key}")))
            }
        }
    }

    /// Removes `key`, with everything beneath it, on every member.
    ///
    /// # Errors
    /// `unknown_key`, `storage_error`.
    pub async fn unset_config(
        &self,
        key: &ConfigKey,
        note: Option<String>,
    ) -> Result<ConfigChanged, NodeError> {
        if self.shared.shared_config.local_keys().is_local(key) {
            let mut own = self.shared.change_own_keys(key, Flat::new()).await?;
            // What was shared before the list had it goes with it.
            let shared = self.shared.change_config(|state| {
                let edits = state.edits_to_unset(key);
                Ok(Request { edits, note: note.clone(), ..Request::default() })
            });
            let shared = shared.await?;
            own.keys.extend(shared.keys);
            own.keys.sort();
            own.keys.dedup();
            return Ok(ConfigChanged { version: shared.version, keys: own.keys });
        }
        let changed = self.shared.change_config(|state| {
            let edits = state.edits_to_unset(key);
            if edits.is_empty() {
                return Err(unknown_key(key));
            }
            Ok(Request { edits, note: note.clone(), ..Request::default() })
        });
        Ok(changed.await?)
    }

    /// Undoes a change: what it touched is as it was before, by a new change. `by` says whose, where several
    /// members made one of that number.
    ///
    /// # Errors
    /// `unknown_version`, `ambiguous_version`, and `changed_since` unless forced.
    pub async fn revert_config(
        &self,
        version: u64,
        by: Option<&str>,
        is_forced: bool,
    ) -> Result<ConfigChanged, NodeError> {
        let (items, author) = self.shared.change_of(version, by).await?;
        let label = self.shared.view().label(&author);
        let changed = self.shared.change_config(|state| {
            let edits = state.edits_to_revert(&items, is_forced).map_err(refused_revert)?;
            let note = Some(format!("{REVERT_NOTE}{version}@{label}"));
            Ok(Request { edits, note, ..Request::default() })
        });
        Ok(changed.await?)
    }

    /// Follows the changes of `prefix` and everything beneath it, or of all, from now on, whoever makes them.
    #[must_use]
    pub fn config_changes(&self, prefix: Option<ConfigKey>) -> ConfigFollower {
        let changes = self.shared.shared_config.changes.subscribe();
        ConfigFollower::new(changes, prefix)
    }

    /// The configuration without secrets and without what belongs to one mesh or machine alone, for another mesh.
    ///
    /// # Errors
    /// None that anybody has seen.
    pub fn config_template(&self) -> Result<Value, NodeError> {
        let config = &self.shared.shared_config;
        let document = config.effective_at(None).unwrap_or_else(|| json!({}));
        let local = config.local_keys();
        let template =
            export(&document, |key| local.is_local(key), |key, value| config.is_secret(key, value));
        Ok(template?)
    }

    /// The files that show the configuration.
    #[must_use]
    pub fn config_files(&self) -> Vec<ConfigFileView> {
        let views = self.shared.shared_config.views.iter();
        views.map(|view| lock(&view.report).clone()).collect()
    }
}

impl Shared {
    /// What a template brings, as one change; or just what it would.
    pub(crate) async fn import_config(
        &self,
        template: &Value,
        is_dry: bool,
        note: Option<String>,
    ) -> Result<ImportDone, NodeError> {
        let local = self.shared_config.local_keys();
        let imported = import_flat(template, |key| local.is_local(key)).map_err(bad_template)?;
        let Imported { values, .. } = imported;
        let mut differences = Vec::new();
        let note =
            note.map_or_else(|| IMPORT_NOTE.to_owned(), |note| format!("{IMPORT_NOTE}: {note}"));
        let changed = self.change_config(|state| {
            let edits = state.edits_to_merge(&values)?;
            let shown = |value: &EntryValue| value.shown();
            let before: Flat = edits
                .iter()
                .filter_map(|edit| Some((edit.key.clone(), shown(&state.entry(&edit.key)?.value))))
                .collect();
            let after = edits
                .iter()
                .filter_map(|edit| Some((edit.key.clone(), shown(edit.value.as_ref()?))));
            differences = difference(&before, &after.collect());
            let edits = if is_dry { Vec::new() } else { edits };
            Ok(Request { edits, note: Some(note.clone()), ..Request::default() })
        });
        let changed = changed.await?;
        Ok(ImportDone { changed, differences })
    }

    /// Keys of this machine alone: those at and beneath `key` become `values`.
    async fn change_own_keys(
        &self,
        key: &ConfigKey,
        values: Flat,
    ) -> Result<ConfigChanged, NodeError> {
        let mut keys: Vec<ConfigKey> = values.keys().cloned().collect();
        self.change_local(|local| {
            keys.extend(local.keys().filter(|one| one.is_within(key)).cloned());
            local.retain(|one, _| !one.is_within(key) && !key.is_within(one));
            local.extend(values);
        })
        .await?;
        keys.sort();
        keys.dedup();
        Ok(ConfigChanged { version: None, keys })
    }

    /// Entries at and beneath a key, and the number of the latest change that is known.
    pub(crate) fn config_entries(
        &self,
        key: Option<&ConfigKey>,
    ) -> (BTreeMap<ConfigKey, Entry>, u64) {
        let local = self.shared_config.local_keys();
        let state = lock(&self.shared_config.state);
        // What stands in the table where each machine has its own counts nowhere.
        let copy = |(key, entry): (&ConfigKey, &Entry)| {
            (!local.is_local(key)).then(|| (key.clone(), entry.clone()))
        };
        let entries = match key {
            None => state.entries().filter_map(copy).collect(),
            Some(key) => state.within(key).filter_map(copy).collect(),
        };
        (entries, state.version())
    }

    /// What the history says, the newest first. Rows that are no history are left out.
    pub(crate) async fn config_history(
        &self,
        query: ConfigHistoryQuery,
        limit: u64,
    ) -> Result<Vec<HistoryItem>, NodeError> {
        let rows = self.replication.tables.config_history(query, limit).await?;
        let items = rows.into_iter().filter_map(|row| {
            HistoryItem::parse(row.version, row.author, &row.key, &row.change).ok()
        });
        Ok(items.collect())
    }

    /// What the change of that number did, and who made it.
    async fn change_of(
        &self,
        version: u64,
        by: Option<&str>,
    ) -> Result<(Vec<HistoryItem>, PeerId), NodeError> {
        let limit = mesh_config::CHANGE_KEYS_MAX as u64 * 4;
        let query = ConfigHistoryQuery::Version(version);
        let items = self.config_history(query, limit).await?;
        let author = match by {
            None => None,
            Some(name) => Some(match name.parse() {
                Ok(peer) => peer,
                Err(_) => self.view().resolve(name, clock::now().wall)?.peer,
            }),
        };
        let is_its = |item: &HistoryItem| author.is_none_or(|author| author == item.by);
        let items: Vec<HistoryItem> = items.into_iter().filter(is_its).collect();
        let Some(first) = items.first() else {
            return Err(NodeError::new(
                ErrorCode::UnknownVersion,
                format!(
                    "no change {version} is known, or it is not kept any more; nothing was changed"
                ),
            )
            .with_hint("`mesh-ctl config history` lists the changes"));
        };
        let maker = first.by;
        if items.iter().any(|item| item.by != maker) {
            let mut makers: Vec<String> = items
                .iter()
                .map(|item| format!("{version}@{}", self.view().label(&item.by)))
                .collect();
            makers.sort();
            makers.dedup();
            return Err(NodeError::new(
                ErrorCode::AmbiguousVersion,
                format!(
                    "several members made a change {version} at once: {}; nothing was changed",
                    makers.join(", ")
                ),
            )
            .with_hint("say which one"));
        }
        Ok((items, maker))
    }
}

pub(crate) fn unknown_key(key: &ConfigKey) -> NodeError {
    NodeError::new(ErrorCode::UnknownKey, format!("nothing is at {key}"))
        .with_hint("`mesh-ctl config get` shows everything that is there")
}

fn bad_template(error: TemplateError) -> NodeError {
    match error {
        TemplateError::Config(error) => error.into(),
        TemplateError::NoObject | TemplateError::Sealed { .. } => {
            NodeError::new(ErrorCode::BadRequest, format!("{}; nothing was changed", chain(&error)))
        }
    }
}

fn refused_revert(error: RevertError) -> NodeError {
    let code = match &error {
        RevertError::ChangedSince { .. } => ErrorCode::ChangedSince,
        RevertError::Unknown => ErrorCode::UnknownVersion,
    };
    let hint = match &error {
        RevertError::ChangedSince { .. } => "--force takes back what was changed since as well",
        RevertError::Unknown => "`mesh-ctl config history` lists the changes",
    };
    NodeError::new(code, format!("{}; nothing was changed", chain(&error))).with_hint(hint)
}

/// Why a text is no key, as an answer.
pub(crate) fn read_key(text: &str) -> Result<ConfigKey, NodeError> {
    text.parse().map_err(|error: ConfigError| error.into())
}

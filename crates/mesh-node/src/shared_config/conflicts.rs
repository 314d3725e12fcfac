//! Changes of the configuration that lost: against another member's of the same moment, or against a file whose
//! editor had not seen them.

use std::collections::BTreeSet;

use mesh_config::{ConfigKey, Entry, EntryValue, HistoryItem};
use mesh_control::{ConflictSide, ConflictView, NamedValues, SqlJson};
use mesh_protocol::{ErrorCode, PeerId, SqlValue, UnixMillis};
use mesh_tables::{CONFIG_TABLE, ConfigHistoryQuery, ConflictInfo};

use super::change::{ConfigChanged, Request};
use crate::error::NodeError;
use crate::shared::{Shared, lock};

/// What a row of the history has in it when it replaced something unseen.
const OVER: &str = "\"over\":{";

/// Rows of the history that are looked at.
const ROWS_MAX: u64 = 1000;

/// Digits of an id, as many as those of other conflicts have.
const ID_DIGITS: usize = 32;

/// A change that lost and that nobody decided upon.
#[derive(Debug)]
pub(crate) struct ConfigConflict {
    id: String,
    key: ConfigKey,
    kept: Side,
    lost: Side,
    /// Its id in the tables, where it is one of theirs.
    settles: Option<String>,
}

/// Changes that stand, or lost against one that stands without anybody having decided upon it.
type Open = BTreeSet<(ConfigKey, u64, PeerId)>;

#[derive(Debug)]
struct Side {
    /// None when the key was removed.
    value: Option<EntryValue>,
    by: String,
    at: UnixMillis,
}

/// Whether nobody has written the key of `item` again, where `current` stands there.
pub(crate) fn is_standing(item: &HistoryItem, current: Option<&Entry>) -> bool {
    match current {
        Some(entry) => entry.change() == (item.version, item.by),
        None => item.new.is_none(),
    }
}

impl Shared {
    fn side(&self, entry: Entry) -> Side {
        Side { by: self.view().label(&entry.by), at: entry.at, value: Some(entry.value) }
    }

    /// Everything that lost, the oldest first. Where both sides set the same value nothing was lost.
    pub(crate) async fn config_conflicts(&self) -> Result<Vec<ConfigConflict>, NodeError> {
        let tables = &self.replication.tables;
        let infos = tables.conflicts(Some(CONFIG_TABLE.to_owned())).await?;
        let mut open = Open::default();
        let mut conflicts = Vec::new();
        for info in infos {
            conflicts.extend(self.of_tables(info, &mut open));
        }
        // The newest first: who replaced something unseen may have been replaced unseen.
        let query = ConfigHistoryQuery::Having(OVER);
        let mut items = self.config_history(query, ROWS_MAX + 1).await?;
        if items.len() as u64 > ROWS_MAX {
            items.pop();
            self.shared_config.told_cut.call_once(|| {
                tracing::warn!(
                    looked_at = ROWS_MAX,
                    "older changes that replaced something unseen are not among the conflicts; the history has them"
                );
            });
        }
        for item in items {
            conflicts.extend(self.of_history(item, &mut open));
        }
        conflicts.retain(|conflict| conflict.kept.value != conflict.lost.value);
        conflicts.sort_by(|one, other| (one.lost.at, &one.id).cmp(&(other.lost.at, &other.id)));
        Ok(conflicts)
    }

    fn of_tables(&self, info: ConflictInfo, open: &mut Open) -> Option<ConfigConflict> {
        let text = |value: &SqlValue| match value {
            SqlValue::Text(text) => Some(text.clone()),
            SqlValue::Null
            | SqlValue::Integer(_)
            | SqlValue::Real(_)
            | SqlValue::Blob(_)
            | SqlValue::RawText(_) => None,
        };
        let name = info.key.first().and_then(|(_, value)| text(value))?;
        let key: ConfigKey = name.parse().ok()?;
        let mut side = |value: &SqlValue, by: Option<mesh_tables::WriteInfo>| {
            let entry = text(value).and_then(|text| Entry::parse(&name, &text).ok());
            if let Some(entry) = &entry {
                let (version, by) = entry.change();
                open.insert((key.clone(), version, by));
            }
            let gone = || Side {
                value: None,
                by: by.map(|by| self.origin_name(&by.origin, by.member)).unwrap_or_default(),
                at: by.map_or(UnixMillis(0), |by| by.clock.time()),
            };
            entry.map_or_else(gone, |entry| self.side(entry))
        };
        let kept = side(&info.kept, info.kept_by);
        let lost = side(&info.lost, Some(info.lost_by));
        Some(ConfigConflict { settles: Some(info.id.clone()), id: info.id, key, kept, lost })
    }

    /// As long as nobody who knew of it has written the key again.
    fn of_history(&self, item: HistoryItem, open: &mut Open) -> Option<ConfigConflict> {
        let is_open = open.contains(&(item.key.clone(), item.version, item.by));
        let is_current = is_open || {
            let state = lock(&self.shared_config.state);
            is_standing(&item, state.entry(&item.key))
        };
        let over = item.over.filter(|_| is_current)?;
        let (version, by) = over.change();
        // Two members that replace one entry unseen at once make one loser of it.
        if !open.insert((item.key.clone(), version, by)) {
            return None;
        }
        let name = format!("{version}@{by}/{}", item.key);
        let mut id =
            mesh_crypto::digest(name.as_bytes()).iter().fold(String::new(), |mut id, byte| {
                id.push_str(&format!("{byte:02x}"));
                id
            });
        id.truncate(ID_DIGITS);
        let kept = Side { value: item.new, by: self.view().label(&item.by), at: item.at };
        Some(ConfigConflict { id, key: item.key, kept, lost: self.side(over), settles: None })
    }

    /// Sets what lost again, where `id`, or the beginning of one, names a conflict of the configuration.
    pub(crate) async fn restore_config_conflict(
        &self,
        id: &str,
    ) -> Result<Option<ConfigConflict>, NodeError> {
        let id = id.to_ascii_lowercase();
        let mut found = self.config_conflicts().await?;
        found.retain(|conflict| !id.is_empty() && conflict.id.starts_with(&id));
        let Some(conflict) = found.pop() else { return Ok(None) };
        if !found.is_empty() {
            let message = "more than one conflict begins like this; nothing was changed";
            return Err(
                NodeError::new(ErrorCode::BadRequest, message).with_hint("give more of its id")
            );
        }
        let note = Some(format!("restored from {}", conflict.lost.by));
        let settles = conflict.settles.clone();
        let _changed: ConfigChanged = self
            .change_config(|state| {
                let edits = match &conflict.lost.value {
                    Some(value) => state.edits_to_put(&conflict.key, value.clone()),
                    None => state.edits_to_unset(&conflict.key),
                };
                let (note, settles) = (note.clone(), settles.clone());
                Ok(Request { edits, note, settles, ..Request::default() })
            })
            .await?;
        Ok(Some(conflict))
    }

    /// How the control API shows it: as one of the table.
    pub(crate) fn config_conflict_view(&self, conflict: ConfigConflict) -> ConflictView {
        let side = |side: Side| {
            let shown = side.value.as_ref().map(EntryValue::shown);
            ConflictSide {
                deleted: shown.is_none(),
                value: SqlJson::from(
                    shown.map_or(SqlValue::Null, |value| SqlValue::Text(value.to_string())),
                ),
                by: side.by,
                at: side.at,
            }
        };
        let key = SqlJson::from(SqlValue::Text(conflict.key.to_string()));
        let (kept, lost) = (side(conflict.kept), side(conflict.lost));
        ConflictView {
            id: conflict.id,
            table: CONFIG_TABLE.to_owned(),
            key: NamedValues(vec![("key".to_owned(), key)]),
            column: Some("entry".to_owned()),
            at: kept.at.max(lost.at),
            kept,
            lost,
        }
    }
}

//! What the tests of the shared configuration do with an agent: change it, look at its file, and compare.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_control::{
    ClientError, ConfigChanged, ConfigFileState, ConfigFileView, ConfigHistoryQuery,
    ConfigHistoryView, ConfigQuery, ConfigSet, ConfigUnset, ConflictQuery, ConflictView, EventView,
};
use serde_json::Value;

use crate::agent::{Agent, eventually};

/// For what has no promise of its own, on a busy machine.
pub(super) const LONG: Duration = Duration::from_secs(60);

impl Agent {
    pub(super) fn config_file(&self) -> PathBuf {
        self.data_dir().join("mesh-config.json")
    }

    /// The text of its file; empty while there is none.
    pub(super) fn config_text(&self) -> String {
        fs::read_to_string(self.config_file()).unwrap_or_default()
    }

    /// What its file says at a key; none while that cannot be read.
    pub(super) fn file_value(&self, pointer: &str) -> Option<Value> {
        let document: Value = serde_json::from_str(&self.config_text()).ok()?;
        document.pointer(pointer).cloned()
    }

    pub(super) async fn try_set(
        &self,
        key: &str,
        value: Value,
    ) -> Result<ConfigChanged, ClientError> {
        self.client().config_set(&ConfigSet { key: key.to_owned(), value, note: None }).await
    }

    /// Sets a key; the number of the change.
    pub(super) async fn set(&self, key: &str, value: impl Into<Value>) -> u64 {
        self.try_set(key, value.into()).await.unwrap().version.unwrap()
    }

    pub(super) async fn unset(&self, key: &str) {
        let request = ConfigUnset { key: key.to_owned(), note: None };
        self.client().config_unset(&request).await.unwrap();
    }

    pub(super) async fn value(&self, key: &str) -> Option<Value> {
        let query = ConfigQuery { key: Some(key.to_owned()), reveal: false };
        self.client().config_get(&query).await.ok().map(|view| view.value)
    }

    /// Waits until the agent and its file have this value.
    pub(super) async fn has(&self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        let pointer = format!("/{}", key.replace('.', "/"));
        let what = format!("{} has {value} at {key}, and its file too", self.name());
        eventually(LONG, &what, async || {
            let is_there = self.value(key).await.as_ref() == Some(&value)
                && self.file_value(&pointer).as_ref() == Some(&value);
            is_there.then_some(())
        })
        .await;
    }

    /// Waits until neither the agent nor its file has the key.
    pub(super) async fn lacks(&self, key: &str) {
        let pointer = format!("/{}", key.replace('.', "/"));
        eventually(LONG, &format!("{} has nothing at {key}", self.name()), async || {
            (self.value(key).await.is_none() && self.file_value(&pointer).is_none()).then_some(())
        })
        .await;
    }

    pub(super) async fn config_history(&self, key: &str) -> Vec<ConfigHistoryView> {
        let query = ConfigHistoryQuery { key: Some(key.to_owned()), limit: None };
        self.client().config_history(&query).await.unwrap()
    }

    pub(super) async fn config_conflicts(&self) -> Vec<ConflictView> {
        self.client().conflict_list(&ConflictQuery::default()).await.unwrap()
    }

    /// How its first file stands.
    pub(super) async fn view(&self) -> ConfigFileView {
        self.client().config_state().await.unwrap().views.swap_remove(0)
    }

    /// Waits until its first file stands like this.
    pub(super) async fn stands(&self, state: ConfigFileState) -> ConfigFileView {
        eventually(LONG, &format!("the file of {} is {state:?}", self.name()), async || {
            Some(self.view().await).filter(|view| view.state == state)
        })
        .await
    }

    pub(super) async fn events_of(&self, kind: &str) -> Vec<EventView> {
        let events = self.client().events(1000).await.unwrap().into_iter();
        events.filter(|event| event.kind == kind).collect()
    }

    /// Waits until its file exists and shows every member.
    pub(super) async fn has_file(&self, names: &[&str]) {
        eventually(LONG, &format!("the file of {} shows {names:?}", self.name()), async || {
            let all = names
                .iter()
                .all(|name| self.file_value(&format!("/agents/{name}/addresses")).is_some());
            all.then_some(())
        })
        .await;
    }
}

/// Changes the text of a file in memory and puts it in place with one rename, as a careful program does.
pub(super) fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = change(fs::read_to_string(path).unwrap());
    put(path, text.as_bytes());
}

pub(super) fn put(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("being-saved");
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, path).unwrap();
}

/// Writes a member at the beginning of the document of a file.
pub(super) fn add_member(path: &Path, member: &str) {
    edit(path, |text| text.replacen('{', &format!("{{\n  {member},"), 1));
}

/// Waits until all have the same configuration, and the same in their files.
pub(super) async fn in_step(agents: &[&Agent], deadline: Duration) {
    eventually(deadline, "all have the same configuration and the same file", async || {
        let mut first = None;
        for agent in agents {
            let document = agent.client().config_get(&ConfigQuery::default()).await.ok()?.value;
            let file: Value = serde_json::from_str(&agent.config_text()).ok()?;
            let mut shown = file;
            shown.as_object_mut()?.remove("$revision");
            if shown != document || *first.get_or_insert_with(|| document.clone()) != document {
                return None;
            }
        }
        Some(())
    })
    .await;
}

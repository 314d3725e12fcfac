use std::fmt;

use mesh_protocol::{PeerId, UnixMillis};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Reads a member that is there as a value, even as `null`: it is left out where there is no value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What of the configuration to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigQuery {
    /// The key, or the object of keys; none reads everything.
    #[serde(default)]
    pub key: Option<String>,
    /// Opens the values that are sealed to this agent.
    #[serde(default)]
    pub reveal: bool,
}

/// A part of the shared configuration.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigView {
    /// The key that was asked for.
    pub key: Option<String>,
    /// The value there, or the document of everything beneath. A sealed value that was not opened is
    /// `{"$sealed": {"to": […]}}` with the hostnames of those who can open it.
    pub value: Value,
    /// The number of the latest change that this agent knows.
    pub version: u64,
    /// Its values by key, in the order of the keys; at most
    /// [`CONFIG_ENTRIES_MAX`](crate::CONFIG_ENTRIES_MAX). What belongs to this machine alone has none.
    pub entries: Vec<ConfigEntryView>,
    /// How many entries more there are.
    #[serde(default)]
    pub entries_left_out: u64,
}

/// The value of a key, and who set it when.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigEntryView {
    /// The key.
    pub key: String,
    /// The value, as in [`ConfigView::value`].
    pub value: Value,
    /// The number of the change that set it.
    pub version: u64,
    /// Who set it: a hostname, or the peer id of one that is no member any more.
    pub by: String,
    /// When, by that member's clock.
    pub at: UnixMillis,
    /// Hostnames of those who can open it, or their peer ids; empty when everybody reads it.
    #[serde(default)]
    pub sealed_for: Vec<String>,
}

/// Sets a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigSet {
    /// The key.
    pub key: String,
    /// What is to be there instead of everything at or beneath it. An object sets the keys beneath.
    pub value: Value,
    /// Why, for people who read the history.
    #[serde(default)]
    pub note: Option<String>,
}

/// Sets a key to a value that only some members can read.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigSeal {
    /// The key.
    pub key: String,
    /// Who can read it: hostnames, peer ids, or the first eight or more digits of them. This agent can
    /// only when it is among them.
    pub to: Vec<String>,
    /// The value. A secret.
    pub value: Value,
    /// Why, for people who read the history.
    #[serde(default)]
    pub note: Option<String>,
}

/// Removes a key with everything beneath it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigUnset {
    /// The key.
    pub key: String,
    /// Why, for people who read the history.
    #[serde(default)]
    pub note: Option<String>,
}

/// What a request changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// The number of the change; none when everything was so already, or when what was changed belongs to
    /// this machine alone.
    pub version: Option<u64>,
    /// The keys that are different, in their order.
    pub changed: Vec<String>,
}

/// Which changes to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigHistoryQuery {
    /// Only those of this key and of what is beneath it.
    #[serde(default)]
    pub key: Option<String>,
    /// At most so many; none means [`CONFIG_HISTORY_DEFAULT`](crate::CONFIG_HISTORY_DEFAULT), and never
    /// more than [`CONFIG_HISTORY_MAX`](crate::CONFIG_HISTORY_MAX).
    #[serde(default)]
    pub limit: Option<usize>,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigAction {
    /// It has a value that everybody reads.
    Set,
    /// It has a value for some members.
    Seal,
    /// It is gone.
    Unset,
}

impl ConfigAction {
    /// The word of the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Seal => "seal",
            Self::Unset => "unset",
        }
    }
}

/// What a change did to a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigHistoryView {
    /// The key.
    pub key: String,
    /// The value since then, as in [`ConfigView::value`]; null when it is gone.
    pub value: Value,
    /// The number of the change. Several members can have made one of the same number at once.
    pub version: u64,
    /// Who made it: a hostname, or the peer id of one that is no member any more.
    pub by: String,
    /// When, by that member's clock.
    pub at: UnixMillis,
    /// What became of the key.
    pub action: ConfigAction,
    /// The value before; left out when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub old: Option<Value>,
    /// Why, as its maker said.
    #[serde(default)]
    pub note: Option<String>,
    /// The change that this one was made without knowing, and that lost against it; none when there was
    /// none, or when the key has been changed since.
    #[serde(default)]
    pub conflict: Option<ConfigConflictView>,
}

/// A change that lost against another one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigConflictView {
    /// What it set; null when it removed the key.
    pub value: Value,
    /// Its number.
    pub version: u64,
    /// Who made it: a hostname, or the peer id of one that is no member any more.
    pub by: String,
    /// When, by that member's clock.
    pub at: UnixMillis,
}

/// Undoes a change: what it touched goes back to what was before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRevert {
    /// The number of the change.
    pub version: u64,
    /// Who made it, where several members made one of this number.
    #[serde(default)]
    pub by: Option<String>,
    /// Also takes back what was changed again since.
    #[serde(default)]
    pub force: bool,
}

/// Something about this agent's configuration that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigProblem {
    /// What it is, as a stable word, such as `schema_invalid`, `clash`, `stale`, `reference_missing` or
    /// `reference_readable`.
    pub kind: String,
    /// The key it is about; none when it is about the whole.
    #[serde(default)]
    pub key: Option<String>,
    /// The same for people.
    pub detail: String,
    /// What to do; empty when nothing is known to help.
    #[serde(default)]
    pub hint: String,
}

/// Where a file and the configuration that it shows stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigFileState {
    /// The file shows what is there.
    InStep,
    /// A change is on its way into it or out of it.
    Pending,
    /// What stands in it was not taken; the file is left as it is until that is mended.
    Broken,
    /// It cannot be read: the permissions, or something else has its name.
    Unreadable,
    /// It cannot be written.
    Unwritable,
}

impl ConfigFileState {
    /// The word of the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InStep => "in_step",
            Self::Pending => "pending",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
            Self::Unwritable => "unwritable",
        }
    }
}

/// A file that shows the configuration or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFileView {
    /// Where it lies.
    pub path: String,
    /// The key whose document it shows; none for everything.
    pub prefix: Option<String>,
    /// Where it stands.
    pub state: ConfigFileState,
    /// What is the matter with it; empty when nothing is.
    #[serde(default)]
    pub detail: String,
    /// Names the content that was last written into it or taken from it.
    pub revision: Option<String>,
    /// The line of what was not taken, from 1.
    #[serde(default)]
    pub line: Option<u64>,
    /// The column there, from 1.
    #[serde(default)]
    pub column: Option<u64>,
    /// The key that was not taken.
    #[serde(default)]
    pub key: Option<String>,
    /// The rule that forbids it, as a word.
    #[serde(default)]
    pub rule: Option<String>,
}

/// This agent's configuration at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStateView {
    /// Whether what the tables hold keeps to the rules. If not, the agent goes on with the last
    /// configuration that did.
    pub valid: bool,
    /// What somebody should look at.
    pub problems: Vec<ConfigProblem>,
    /// How many keys it has.
    #[serde(default)]
    pub keys: u64,
    /// The number of the latest change that this agent knows.
    #[serde(default)]
    pub version: u64,
    /// The files that show it.
    #[serde(default)]
    pub views: Vec<ConfigFileView>,
}

impl Default for ConfigStateView {
    /// The empty configuration, which is valid.
    fn default() -> Self {
        Self { valid: true, problems: Vec::new(), keys: 0, version: 0, views: Vec::new() }
    }
}

/// The shared configuration in an agent's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatusView {
    /// As in [`ConfigStateView::valid`].
    pub valid: bool,
    /// How many keys it has.
    pub keys: u64,
    /// The number of the latest change that this agent knows.
    pub version: u64,
    /// Where the file of the whole configuration stands.
    #[serde(default)]
    pub file: Option<ConfigFileState>,
}

impl Default for ConfigStatusView {
    /// The empty configuration, which is valid.
    fn default() -> Self {
        Self { valid: true, keys: 0, version: 0, file: None }
    }
}

impl From<&ConfigStateView> for ConfigStatusView {
    fn from(state: &ConfigStateView) -> Self {
        let ConfigStateView { valid, keys, version, views, .. } = state;
        let file = views.first().map(|view| view.state);
        Self { valid: *valid, keys: *keys, version: *version, file }
    }
}

/// How a member's file stands to the configuration, as that member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPeerFile {
    /// Where it stands.
    pub state: ConfigFileState,
    /// What is the matter with it; empty when nothing is.
    #[serde(default)]
    pub detail: String,
}

/// How a member's configuration differs from this agent's. The lists have at most
/// [`CONFIG_DIFFERENCES_MAX`](crate::CONFIG_DIFFERENCES_MAX) keys each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPeerView {
    /// The member.
    pub hostname: String,
    /// Its identity.
    pub peer_id: Option<PeerId>,
    /// Whether it has the same; false also when it could not be asked.
    pub in_sync: bool,
    /// Whether it answered.
    pub reachable: bool,
    /// Why it did not; empty when it did.
    #[serde(default)]
    pub detail: String,
    /// Keys that it lacks.
    pub missing: Vec<String>,
    /// Keys that it has and this agent lacks.
    pub extra: Vec<String>,
    /// Keys whose values differ.
    pub different: Vec<String>,
    /// Entries that it has of agents that are no members any more: their keys.
    #[serde(default)]
    pub stale: Vec<String>,
    /// How many keys more there are than the lists have.
    #[serde(default)]
    pub left_out: u64,
    /// Its file; none when it could not be asked.
    #[serde(default)]
    pub file: Option<ConfigPeerFile>,
    /// What else somebody should look at on that machine, such as a missing file that a key names.
    #[serde(default)]
    pub problems: Vec<ConfigProblem>,
}

/// Every member's configuration compared with this agent's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigCheckView {
    /// Whether every member that answered has the same, in its file as well.
    pub in_sync: bool,
    /// The other members, by hostname.
    pub peers: Vec<ConfigPeerView>,
    /// This agent itself.
    pub local: ConfigStateView,
}

/// Takes a template in.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigImport {
    /// The document.
    pub template: Value,
    /// Shows what would be different, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for people who read the history.
    #[serde(default)]
    pub note: Option<String>,
}

/// What a template changes at a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigDifference {
    /// The key.
    pub key: String,
    /// The value before; left out when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub before: Option<Value>,
    /// The value of the template; left out when the key goes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Value>,
}

/// What a template changed, or would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigImported {
    /// The number of the change; none when nothing was changed.
    pub version: Option<u64>,
    /// The keys that were changed, in their order; empty when nothing was.
    pub changed: Vec<String>,
    /// What is different from before, by key.
    pub differences: Vec<ConfigDifference>,
}

/// Which changes to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigWatchQuery {
    /// Only those of this key and of what is beneath it; none follows everything.
    #[serde(default)]
    pub prefix: Option<String>,
}

/// A change of a key, whoever made it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigChangeView {
    /// The key.
    pub key: String,
    /// What became of it.
    pub action: ConfigAction,
    /// The value since then, as in [`ConfigView::value`]; null when it is gone.
    pub value: Value,
    /// The value before; left out when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub old: Option<Value>,
    /// The number of the change.
    pub version: u64,
    /// Who made it: a hostname, or the peer id of one that is no member any more.
    pub by: String,
    /// When, by that member's clock.
    pub at: UnixMillis,
    /// The same for people.
    pub text: String,
}

/// Shows where a value stands and whose it is: values are the users', and may be secrets.
macro_rules! debug_without_values {
    ($($view:ident { $($field:ident),+ })+) => {
        $(impl fmt::Debug for $view {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($view))
                    $(.field(stringify!($field), &self.$field))+
                    .finish_non_exhaustive()
            }
        })+
    };
}

debug_without_values! {
    ConfigView { key, version, entries, entries_left_out }
    ConfigEntryView { key, version, by, at, sealed_for }
    ConfigSet { key }
    ConfigSeal { key, to }
    ConfigHistoryView { key, version, by, at, action, conflict }
    ConfigConflictView { version, by, at }
    ConfigImport { dry_run }
    ConfigDifference { key }
    ConfigChangeView { key, action, version, by, at }
}

#[cfg(test)]
mod tests;

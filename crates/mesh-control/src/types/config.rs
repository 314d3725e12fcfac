mod state;

use std::fmt;

use mesh_protocol::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use state::{
    ConfigCheckView, ConfigFileState, ConfigFileView, ConfigPeerFile, ConfigPeerView,
    ConfigProblem, ConfigStateView, ConfigStatusView,
};

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

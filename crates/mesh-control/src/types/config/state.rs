use mesh_protocol::PeerId;
use serde::{Deserialize, Serialize};

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

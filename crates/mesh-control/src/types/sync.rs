use serde::{Deserialize, Serialize};

/// Asks to bring this agent and the members in step at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Ignores what is believed of the members: compares everything with all of them, and repairs.
    #[serde(default)]
    pub force: bool,
}

/// The three steps of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncStep {
    /// What this agent says of itself is true again.
    HostInfo,
    /// What the members keep in step was compared and exchanged.
    EncryptedData,
    /// Members without a link were looked for and dialled.
    MeshPeers,
}

/// A step that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStepView {
    /// Which.
    pub step: SyncStep,
    /// Its number, from 1.
    pub number: u8,
    /// How many there are.
    pub total: u8,
    /// What it found, for people.
    pub detail: String,
}

/// What comparing a replicated table brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSyncView {
    /// Its name.
    pub table: String,
    /// Whether it is the same on every member that was compared with, after the repair.
    pub in_step: bool,
    /// Rows of this agent that were not, and are.
    pub rows_repaired: u64,
}

/// What a sync did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// Members that were compared with, or dialled.
    pub peers_contacted: u64,
    /// Members that are linked and were not before.
    pub peers_added: u64,
    /// Changes that this agent lacked, or had to repair.
    pub changes_received: u64,
    /// Changes that members lacked.
    pub changes_sent: u64,
    /// The steps, in their order.
    pub steps: Vec<SyncStepView>,
    /// The replicated tables that were compared: all of them when everything is.
    #[serde(default)]
    pub tables: Vec<TableSyncView>,
}

/// What happens during a sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SyncProgress {
    /// A step is done.
    Step(SyncStepView),
    /// All steps are.
    Done(SyncReply),
    /// A step failed; what the steps before it did stands.
    Failed {
        /// Why.
        error: crate::ApiError,
    },
}

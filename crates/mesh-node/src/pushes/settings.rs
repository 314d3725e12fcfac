//! What may be set.

use std::path::PathBuf;
use std::time::Duration;

use mesh_files::{DistributionConfig, SenderConfig};
use mesh_protocol::RootName;
use mesh_tree::{KeepConfig, RootConfig};

/// A folder that others may push into, or read from.
#[derive(Clone, Debug)]
pub struct RootSettings {
    /// Its name in the mesh.
    pub name: RootName,
    /// Where it is. It must exist.
    pub path: PathBuf,
    /// Hostnames or peer ids of those who may push into it; `*` is every member.
    pub allow_from: Vec<String>,
    /// Those who may copy files out of it; nobody when it is empty.
    pub allow_read: Vec<String>,
    /// Tests that a push may ask for. `{file}` stands for each file in turn.
    pub test_commands: Vec<String>,
    /// Whether a push has to ask for one.
    pub require_test: bool,
    /// Whether a member other than the sender has to approve each push.
    pub approve: bool,
    /// How long a test may run.
    pub test_timeout: Duration,
    /// Quotas and modes.
    pub tree: RootConfig,
    /// How much is kept of what was there before.
    pub keep: KeepConfig,
}

impl RootSettings {
    /// A root that every member may push into, without a test.
    #[must_use]
    pub fn new(name: RootName, path: PathBuf) -> Self {
        Self {
            name,
            path,
            allow_from: vec!["*".to_owned()],
            allow_read: Vec::new(),
            test_commands: Vec::new(),
            require_test: false,
            approve: false,
            test_timeout: Duration::from_mins(1),
            tree: RootConfig::default(),
            keep: KeepConfig::default(),
        }
    }
}

/// Settings of pushes.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// Roots beside `default`, which is `inbox-files` in the data directory unless one of these has its name.
    pub roots: Vec<RootSettings>,
    /// Most pushes that are taken in at once; others are told to come again.
    pub incoming_max: usize,
    /// How long a push may wait for its targets.
    pub ttl: Duration,
    /// How patient a sender is.
    pub sender: SenderConfig,
    /// Who serves how much at once.
    pub distribution: DistributionConfig,
    /// Most bytes per second that one push sends; no limit without it.
    pub limit_bytes_per_second: Option<u64>,
    /// Pushes that are remembered after they have ended.
    pub remembered_max: u64,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            incoming_max: 8,
            ttl: Duration::from_hours(7 * 24),
            sender: SenderConfig::default(),
            distribution: DistributionConfig::default(),
            limit_bytes_per_second: None,
            remembered_max: 1000,
        }
    }
}

//! The shared configuration of this node: what is known of it in memory, how it changes, the files that
//! show it, and the entries of the members in it.
//!
//! The table is the truth. What stands in memory follows it, and so do the files; a change goes to the
//! table first, one at a time.

mod agents;
mod announce;
mod change;
mod check;
mod conflicts;
mod facade;
mod follow;
mod follower;
mod parity;
mod sealed;
mod standing;
mod view;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_config::{ConfigKey, ConfigState, LocalKeys};
use mesh_configfile::FileConfig;
use mesh_secrets::Scanner;
use tokio::sync::{broadcast, watch};

use self::parity::Comparing;
use self::standing::Standing;
use self::view::View;
use crate::error::chain;
use crate::shared::{Shared, lock};

pub use self::announce::ConfigChange;
pub use self::change::ConfigChanged;
pub(crate) use self::conflicts::is_standing;
pub(crate) use self::facade::{read_key, unknown_key};
pub use self::follower::{ChangesMissed, ConfigFollower};

/// Announcements that a listener may be behind; a slower one misses some.
const CHANGES_WAITING_MAX: usize = 256;

/// The file of the view that everybody has, in the data directory.
const DEFAULT_VIEW: &str = "mesh-config.json";

/// A file that shows the configuration, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigView {
    /// The file.
    pub path: PathBuf,
    /// What of the configuration it shows; everything without one.
    pub prefix: Option<ConfigKey>,
}

/// How a node shows and watches the shared configuration.
#[derive(Clone, Debug)]
pub struct SharedConfigSettings {
    /// The file of the whole configuration, which holds the keys of this machine alone too;
    /// `mesh-config.json` in the data directory without one.
    pub path: Option<PathBuf>,
    /// More files.
    pub views: Vec<ConfigView>,
    /// Keys of this machine alone, beside `cron` and `local` and everything beneath them.
    pub local_keys: Vec<ConfigKey>,
    /// Least time between two times that a file is written anew.
    pub rewrite_every: Duration,
    /// How long a member's configuration may differ before that is told.
    pub drift_after: Duration,
    /// How often it is compared with the members' for that.
    pub compare_every: Duration,
    /// How files are read and watched.
    pub file: FileConfig,
}

impl Default for SharedConfigSettings {
    fn default() -> Self {
        Self {
            path: None,
            views: Vec::new(),
            local_keys: Vec::new(),
            rewrite_every: Duration::from_millis(200),
            drift_after: Duration::from_secs(300),
            compare_every: Duration::from_secs(60),
            file: FileConfig::default(),
        }
    }
}

/// What is known of the shared configuration.
#[derive(Debug)]
pub(crate) struct SharedConfig {
    state: Mutex<ConfigState>,
    /// Never held together with the state: two that take them in different orders wait for each other for ever, and the
    /// agent with them.
    standing: Mutex<Standing>,
    /// Held by whoever changes the configuration: what is planned is what is written.
    gate: tokio::sync::Mutex<()>,
    /// Counts changes of the state.
    changed: watch::Sender<u64>,
    /// What became of which keys with each change, for whoever follows.
    changes: broadcast::Sender<Arc<Vec<Arc<ConfigChange>>>>,
    /// The first one is the default one.
    views: Vec<Arc<View>>,
    scanner: Scanner,
    opened: sealed::Opened,
    comparing: Comparing,
    /// Called when the list of conflicts was cut for the first time.
    told_cut: std::sync::Once,
    /// Counts changes of the membership.
    pub(crate) members_changed: watch::Sender<u64>,
}

impl SharedConfig {
    /// Without anything in it.
    pub(crate) fn new(settings: &SharedConfigSettings, data_dir: &std::path::Path) -> Self {
        let path = settings.path.clone().unwrap_or_else(|| data_dir.join(DEFAULT_VIEW));
        let first = ConfigView { path, prefix: None };
        let views = std::iter::once(&first).chain(&settings.views);
        Self {
            state: Mutex::new(ConfigState::default()),
            standing: Mutex::new(Standing::new(&settings.local_keys)),
            gate: tokio::sync::Mutex::new(()),
            changed: watch::channel(0).0,
            changes: broadcast::channel(CHANGES_WAITING_MAX).0,
            views: views.map(|view| Arc::new(View::new(view.clone()))).collect(),
            scanner: Scanner::default(),
            opened: sealed::Opened::default(),
            comparing: Comparing::default(),
            told_cut: std::sync::Once::new(),
            members_changed: watch::channel(0).0,
        }
    }

    /// Keys of this machine alone, as they are now.
    fn local_keys(&self) -> Arc<LocalKeys> {
        lock(&self.standing).local_keys()
    }

    fn note_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Shared {
    /// Starts everything that keeps the configuration in step with its table and its files.
    pub(crate) async fn start_shared_config(
        self: &Arc<Self>,
    ) -> Result<(), mesh_tables::TablesError> {
        let feed = self.load_config().await?;
        let following = Arc::clone(self);
        self.tasks.spawn(async move { following.follow_config(feed).await });
        for view in &self.shared_config.views {
            let (shared, view) = (Arc::clone(self), Arc::clone(view));
            self.tasks.spawn(async move { shared.keep_view(view).await });
        }
        self.load_opened().await;
        let sealed = Arc::clone(self);
        self.tasks.spawn(async move { sealed.keep_opened().await });
        let agents = Arc::clone(self);
        self.tasks.spawn(async move { agents.keep_agents_section().await });
        let drift = Arc::clone(self);
        self.tasks.spawn(async move { drift.watch_for_drift().await });
        Ok(())
    }

    fn config_failed(what: &str, error: &dyn std::error::Error) {
        tracing::warn!(error = %chain(error), "{what}");
    }
}

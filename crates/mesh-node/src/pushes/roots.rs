//! The roots that are open, and what their rules say.
//!
//! A root that cannot be opened is a problem that is told, and tried again whenever somebody wants it: its disk may be
//! mounted later.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mesh_control::RootView;
use mesh_protocol::{PushId, RootName};
use mesh_tree::{Root, Staging, TreeError};

use super::pulls;
use super::settings::{PushSettings, RootSettings};
use crate::error::chain;
use crate::shared::{Shared, lock};

#[cfg(test)]
pub(crate) use rules::bounded;
pub(crate) use rules::{is_named, judge, may_push, problem, refuses};

/// The root that every node has.
const DEFAULT: &str = "default";
/// Where it is, in the data directory.
const DEFAULT_FOLDER: &str = "inbox-files";

/// The roots of a node.
#[derive(Debug)]
pub(crate) struct Roots {
    slots: BTreeMap<RootName, Slot>,
}

#[derive(Debug)]
struct Slot {
    settings: Arc<RootSettings>,
    is_own: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Open(Root),
    Closed(Option<String>),
}

/// A root and its settings.
#[derive(Clone, Debug)]
pub(crate) struct OpenRoot {
    pub(crate) settings: Arc<RootSettings>,
    pub(crate) root: Root,
}

/// Why a root cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// There is none of this name.
    #[error("there is no root called {0}")]
    Unknown(RootName),
    /// It cannot be opened at the moment; the next who wants it tries again.
    #[error("the root {name} cannot be opened")]
    Closed {
        /// Which.
        name: RootName,
        /// Why.
        #[source]
        source: TreeError,
    },
}

impl Roots {
    /// The roots of `settings`; none is open yet.
    pub(crate) fn new(settings: &PushSettings, data_dir: &Path) -> Self {
        let mut slots = BTreeMap::new();
        if let Ok(name) = DEFAULT.parse::<RootName>() {
            let own = RootSettings::new(name.clone(), data_dir.join(DEFAULT_FOLDER));
            slots.insert(name, Slot::new(own, true));
        }
        for settings in &settings.roots {
            slots.insert(settings.name.clone(), Slot::new(settings.clone(), false));
        }
        if let Ok(name) = pulls::PULLED.parse::<RootName>() {
            slots.insert(name.clone(), Slot::new(pulls::settings(name, data_dir), true));
        }
        Self { slots }
    }

    /// Opens every root, and finishes what was being put in place when the process stopped. Blocks.
    pub(crate) fn open_all(&self) {
        for (name, slot) in &self.slots {
            if name.as_str() == pulls::PULLED {
                pulls::sweep(&slot.settings.path);
            }
            if let Err(error) = slot.open() {
                tracing::warn!(root = %name, error = %chain(&error), "a root cannot be opened");
            }
        }
    }

    /// Removes what is staged in roots that are open, but for these pushes. Blocks.
    pub(crate) fn discard_except(&self, open: &BTreeSet<PushId>) {
        for (name, slot) in &self.slots {
            let root = match &*lock(&slot.state) {
                State::Open(root) => root.clone(),
                State::Closed(_) => continue,
            };
            if let Err(error) = discard_except(&root, open) {
                tracing::warn!(root = %name, error = %chain(&error), "what is staged in a root cannot be removed");
            }
        }
    }

    /// The root called `name`, which is opened unless it is open. Blocks.
    pub(crate) fn open(&self, name: &RootName) -> Result<OpenRoot, RootError> {
        let slot = self.slots.get(name).ok_or_else(|| RootError::Unknown(name.clone()))?;
        let root = slot.open();
        let root = root.map_err(|source| RootError::Closed { name: name.clone(), source })?;
        Ok(OpenRoot { settings: Arc::clone(&slot.settings), root })
    }

    /// What a root's rules are; none when there is no such root.
    pub(crate) fn settings(&self, name: &RootName) -> Option<Arc<RootSettings>> {
        self.slots.get(name).map(|slot| Arc::clone(&slot.settings))
    }

    fn views(&self) -> Vec<RootView> {
        let view = |slot: &Slot| RootView {
            name: slot.settings.name.clone(),
            path: slot.settings.path.clone(),
            allow_from: slot.settings.allow_from.clone(),
            test_commands: slot.settings.test_commands.clone(),
            require_test: slot.settings.require_test,
            approve: slot.settings.approve,
            problem: slot.problem(),
        };
        let is_shown = |slot: &&Slot| slot.settings.name.as_str() != pulls::PULLED;
        self.slots.values().filter(is_shown).map(view).collect()
    }
}

fn discard_except(root: &Root, open: &BTreeSet<PushId>) -> Result<(), TreeError> {
    for push_id in Staging::list(root)?.into_iter().filter(|push_id| !open.contains(push_id)) {
        Staging::discard(root, push_id)?;
        tracing::info!(%push_id, "what was staged of a push that is over is gone");
    }
    Ok(())
}

impl Slot {
    fn new(settings: RootSettings, is_own: bool) -> Self {
        Self { settings: Arc::new(settings), is_own, state: Mutex::new(State::Closed(None)) }
    }

    /// The lock is held while the root is opened: two who open it at once would be in each other's way.
    fn open(&self) -> Result<Root, TreeError> {
        let mut state = lock(&self.state);
        if let State::Open(root) = &*state {
            return Ok(root.clone());
        }
        let opened = self.open_anew();
        *state = match &opened {
            Ok(root) => State::Open(root.clone()),
            Err(error) => State::Closed(Some(chain(error))),
        };
        opened
    }

    /// Does not wait for somebody who opens it.
    fn problem(&self) -> Option<String> {
        match self.state.try_lock().as_deref() {
            Ok(State::Open(_)) => None,
            Ok(State::Closed(problem)) => problem.clone(),
            Err(_) => Some("it is being opened".to_owned()),
        }
    }

    fn open_anew(&self) -> Result<Root, TreeError> {
        let settings = &self.settings;
        if self.is_own {
            let made =
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.path);
            made.map_err(|source| TreeError::Io {
                path: settings.path.display().to_string(),
                source,
            })?;
        }
        let root = Root::open(&settings.path, settings.tree)?;
        for recovered in root.recover()? {
            tracing::info!(root = %settings.name, ?recovered, "a push that was being put in place");
        }
        Ok(root)
    }
}

impl Shared {
    /// The roots, for people.
    pub(crate) fn root_views(&self) -> Vec<RootView> {
        self.pushes.roots.views()
    }
}

#[cfg(test)]
mod tests;

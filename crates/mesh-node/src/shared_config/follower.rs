use std::collections::VecDeque;
use std::sync::Arc;

use mesh_config::ConfigKey;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::ConfigChange;

/// Changes of the configuration as they are committed here.
#[derive(Debug)]
pub struct ConfigFollower {
    changes: broadcast::Receiver<Arc<Vec<Arc<ConfigChange>>>>,
    /// Of the change that is being told.
    ready: VecDeque<Arc<ConfigChange>>,
    prefix: Option<ConfigKey>,
}

/// A follower was too slow, and does not know what it missed: it reads the configuration again, and follows anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes of the configuration were missed")]
pub struct ChangesMissed;

impl ConfigFollower {
    pub(super) const fn new(
        changes: broadcast::Receiver<Arc<Vec<Arc<ConfigChange>>>>,
        prefix: Option<ConfigKey>,
    ) -> Self {
        Self { changes, ready: VecDeque::new(), prefix }
    }

    /// The next change, waiting for it; none when the node has stopped.
    ///
    /// # Errors
    /// [`ChangesMissed`]; what comes after it is whole again.
    pub async fn next(&mut self) -> Option<Result<Arc<ConfigChange>, ChangesMissed>> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(Ok(change));
            }
            match self.changes.recv().await {
                Ok(changes) => {
                    let prefix = self.prefix.as_ref();
                    let is_wanted = |change: &&Arc<ConfigChange>| {
                        prefix.is_none_or(|prefix| change.key.is_within(prefix))
                    };
                    self.ready.extend(changes.iter().filter(is_wanted).cloned());
                }
                Err(RecvError::Lagged(_)) => return Some(Err(ChangesMissed)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

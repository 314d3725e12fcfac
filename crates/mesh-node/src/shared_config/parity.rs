//! Whether the members have the same configuration: asking them, and saying what is not the same.
//!
//! Digests are compared, of the table and of the file that every machine has; see `docs/protocol.md`.

mod answer;
mod ask;
mod drift;
mod picture;
mod references;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use mesh_control::{ConfigCheckView, ConfigFileState, ConfigPeerView, ConfigProblem};
use mesh_protocol::{ConfigSaid, PeerId};
use tokio::sync::{Semaphore, oneshot};

use self::ask::Compared;
use self::drift::Told;
use self::picture::Picture;
use crate::NodeError;
use crate::clock;
use crate::shared::{Shared, lock};

/// A member that has said nothing for so long counts as not reached.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The same for a member that has answered a moment ago.
const ANSWER_AGAIN_WAIT: Duration = Duration::from_secs(2);

/// What is on its way when members are compared has arrived by then.
const SETTLE: Duration = Duration::from_millis(300);

/// Members that are asked at once.
const ASKED_AT_ONCE: usize = 256;

/// Members whose questions are answered at once.
const ANSWERED_AT_ONCE: usize = 4;

/// What comparing needs to remember.
#[derive(Debug)]
pub(super) struct Comparing {
    /// The latest picture of this node's configuration. Held while one is made.
    picture: tokio::sync::Mutex<Option<Arc<Picture>>>,
    /// Who waits for which answer.
    asked: Mutex<BTreeMap<u64, (PeerId, oneshot::Sender<ConfigSaid>)>>,
    /// Members whose question is being answered.
    answering: Mutex<BTreeSet<PeerId>>,
    turns: Semaphore,
    /// Members that are known to have stayed different.
    told: Mutex<BTreeMap<PeerId, Told>>,
    /// What is wrong with files that the configuration names.
    references: Mutex<Vec<ConfigProblem>>,
    /// Held while those files are looked at.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Comparing {
    fn default() -> Self {
        Self {
            picture: tokio::sync::Mutex::default(),
            asked: Mutex::default(),
            answering: Mutex::default(),
            turns: Semaphore::new(ANSWERED_AT_ONCE),
            told: Mutex::default(),
            references: Mutex::default(),
            looking: Arc::default(),
        }
    }
}

/// Whether the file waits for somebody to mend it.
const fn is_stuck(state: ConfigFileState) -> bool {
    match state {
        ConfigFileState::InStep | ConfigFileState::Pending => false,
        ConfigFileState::Broken | ConfigFileState::Unreadable | ConfigFileState::Unwritable => true,
    }
}

impl Shared {
    /// Every member's configuration compared with this node's, and this node's file with its table.
    pub(crate) async fn check_config(self: &Arc<Self>) -> Result<ConfigCheckView, NodeError> {
        self.look_at_references().await;
        let mine = self.settled_picture().await;
        let deadline = clock::now().instant + ANSWER_WAIT;
        let others: Vec<PeerId> = self.view().others().map(|member| member.peer_id).collect();
        let mut found = self.compare_with(&others, &mine, deadline).await;
        let differing = |found: &BTreeMap<PeerId, Result<Compared, String>>| -> Vec<PeerId> {
            let differs =
                |one: &Result<Compared, String>| one.as_ref().is_ok_and(|one| !one.is_in_sync());
            found.iter().filter(|(_, one)| differs(one)).map(|(peer, _)| *peer).collect()
        };
        let mut mine = mine;
        if !differing(&found).is_empty() {
            // Only what is still different is.
            tokio::time::sleep(SETTLE).await;
            mine = self.settled_picture().await;
            let deadline = clock::now().instant + ANSWER_AGAIN_WAIT;
            for (peer, again) in self.compare_with(&differing(&found), &mine, deadline).await {
                // A member that falls silent now was different when it was heard last.
                if again.is_ok() {
                    found.insert(peer, again);
                }
            }
        }
        let view = self.view();
        let mut peers: Vec<ConfigPeerView> =
            found.into_iter().map(|(peer, found)| told::peer_view(&view, peer, found)).collect();
        peers.sort_by(|one, other| one.hostname.cmp(&other.hostname));
        let mut local = self.config_state();
        let own = mine.own_problems();
        let is_own_in_order = local.valid
            && own.is_empty()
            && !local.views.iter().any(|view| is_stuck(view.state))
            && !local.problems.iter().any(|problem| problem.kind == super::check::STALE);
        local.problems.extend(own);
        let is_equal = peers.iter().all(|peer| peer.in_sync || !peer.reachable);
        Ok(ConfigCheckView { in_sync: is_own_in_order && is_equal, peers, local })
    }

    /// What is different at each of these members, or why that is not known.
    async fn compare_with(
        self: &Arc<Self>,
        peers: &[PeerId],
        mine: &Arc<Picture>,
        deadline: Instant,
    ) -> BTreeMap<PeerId, Result<Compared, String>> {
        let asking = peers.iter().copied().map(|peer| {
            let (shared, mine) = (Arc::clone(self), Arc::clone(mine));
            async move { (peer, shared.compare_with_one(peer, &mine, deadline).await) }
        });
        stream::iter(asking).buffer_unordered(ASKED_AT_ONCE).collect().await
    }

    /// What keeps members from having the same for long, and files that the configuration names.
    pub(super) fn parity_problems(&self) -> Vec<ConfigProblem> {
        let comparing = &self.shared_config.comparing;
        let view = self.view();
        let mut problems: Vec<ConfigProblem> = lock(&comparing.told)
            .iter()
            .map(|(peer, told)| told.problem(&view.label(peer)))
            .collect();
        problems.extend(lock(&comparing.references).iter().cloned());
        problems
    }
}

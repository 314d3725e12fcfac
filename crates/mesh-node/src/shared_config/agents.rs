//! The section of the members, which follows the membership by itself.

use std::sync::Arc;
use std::time::Duration;

use mesh_config::{AGENTS, ConfigKey, ConfigState, Edit, Member, agents_edits};
use mesh_protocol::PeerId;

use super::change::Request;
use crate::clock;
use crate::shared::{Shared, lock};

/// How long what is to be done for others has to stay the same before the steward does it: they may be
/// about to do it themselves.
const STEWARD_WAIT: Duration = Duration::from_secs(1);

/// A newcomer is given so long to write its own entry.
const NEWCOMER_WAIT: Duration = Duration::from_secs(60);

/// How often the section is looked at when nothing is known to have changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Shared {
    /// The loop that keeps the entries right.
    pub(super) async fn keep_agents_section(self: Arc<Self>) {
        let mut members = self.shared_config.members_changed.subscribe();
        let mut links = self.links_changed.subscribe();
        let mut changed = self.shared_config.changed.subscribe();
        // What was to be done for others at the last look.
        let mut waiting: Vec<Edit> = Vec::new();
        loop {
            // Marked before looking, so that what changes meanwhile is seen.
            members.mark_unchanged();
            links.mark_unchanged();
            changed.mark_unchanged();
            self.write_agents(false, |_| true).await;
            let agents = self.agents();
            let due = self.agents_due(&lock(&self.shared_config.state), &agents, true);
            let is_ripe = !due.is_empty() && due == waiting;
            if is_ripe {
                self.write_agents(true, |edits| *edits == due).await;
            }
            waiting = if is_ripe { Vec::new() } else { due };
            if !waiting.is_empty() {
                tokio::time::sleep(STEWARD_WAIT).await;
                continue;
            }
            tokio::select! {
                _gone = members.changed() => {}
                _gone = links.changed() => {}
                _gone = changed.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn agents_due(&self, state: &ConfigState, members: &[Member], for_others: bool) -> Vec<Edit> {
        let steward = members.iter().filter(|one| one.is_active).map(|one| one.peer_id).min();
        let is_steward = for_others && steward == Some(self.me);
        let Ok(section) = ConfigKey::new(vec![AGENTS.to_owned()]) else { return Vec::new() };
        let entries = state.within(&section).map(|(key, entry)| (key, &entry.value));
        agents_edits(entries, members, self.me, is_steward)
    }

    /// Writes what is to be done, if `is_due`.
    async fn write_agents(
        &self,
        for_others: bool,
        is_due: impl Fn(&Vec<Edit>) -> bool + Send + Sync,
    ) {
        let members = self.agents();
        let written = self.change_config(|state| {
            let due = self.agents_due(state, &members, for_others);
            let due = if is_due(&due) { due } else { Vec::new() };
            Ok(Request { edits: due, note: Some("membership".to_owned()), ..Request::default() })
        });
        if let Err(refusal) = written.await {
            Self::config_failed("the section of the agents cannot be written", &refusal.error);
        }
    }

    /// The members as the section shows them.
    pub(super) fn agents(&self) -> Vec<Member> {
        let (view, now) = (self.view(), clock::now().wall);
        let members = view.verdict.members().values();
        members
            .map(|member| Member {
                peer_id: member.peer_id,
                hostname: member.hostname.to_string(),
                addresses: member.addresses.iter().map(ToString::to_string).collect(),
                is_active: self.is_there(&member.peer_id)
                    || now.since(member.joined_at) < NEWCOMER_WAIT,
            })
            .collect()
    }

    fn is_there(&self, peer: &PeerId) -> bool {
        *peer == self.me || self.is_active(peer)
    }
}

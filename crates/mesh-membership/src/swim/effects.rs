//! What foca wishes for while it is called, kept until the call is over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use foca::{Notification, Runtime, Timer};

use mesh_protocol::PeerId;

use super::SwimOutput;
use super::alarms::Alarm;
use super::codec::ENDS_BYTES;
use super::identity::SwimId;

/// Everything around foca that its events change.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Who belongs, without this node.
    pub(super) members: BTreeSet<PeerId>,
    /// Who is up, and in which incarnation.
    pub(super) up: BTreeMap<PeerId, u64>,
    pub(super) outputs: VecDeque<SwimOutput>,
    /// Alarms to be set.
    pub(super) wanted: Vec<(Duration, Alarm)>,
    /// Whether every event that foca asked for before those in `wanted` is void.
    pub(super) has_begun_anew: bool,
    /// Whether this node had to begin another life.
    pub(super) has_renewed: bool,
    /// How often a suspected member is told.
    pub(super) warnings: u32,
}

impl Effects {
    /// foca ignores its earlier events when it begins anew. Kept until they are due, they would pile up
    /// under a peer that makes it begin anew again and again.
    pub(super) fn begin_anew(&mut self) {
        self.wanted.clear();
        self.has_begun_anew = true;
    }

    fn mark_up(&mut self, id: &SwimId) {
        let (peer, incarnation) = (id.peer, id.incarnation);
        if self.members.contains(&peer) && self.up.insert(peer, incarnation) != Some(incarnation) {
            self.outputs.push_back(SwimOutput::Up { peer, incarnation });
        }
    }
}

impl Runtime<SwimId> for Effects {
    fn notify(&mut self, notification: Notification<'_, SwimId>) {
        match notification {
            Notification::MemberUp(id) => self.mark_up(id),
            Notification::MemberDown(id) => {
                if self.up.remove(&id.peer).is_some() {
                    self.outputs.push_back(SwimOutput::Down { peer: id.peer });
                }
            }
            // Another life of a member; news only if it is up.
            Notification::Rename(_, id) if self.up.contains_key(&id.peer) => self.mark_up(id),
            Notification::Rejoin(_) => {
                self.has_renewed = true;
                self.begin_anew();
            }
            Notification::Idle | Notification::Defunct => self.begin_anew(),
            Notification::Active | Notification::Rename(..) => {}
        }
    }

    fn send_to(&mut self, to: SwimId, data: &[u8]) {
        if let Some(data) = data.get(ENDS_BYTES..)
            && self.members.contains(&to.peer)
        {
            self.outputs.push_back(SwimOutput::Send { to: to.peer, data: data.to_vec() });
        }
    }

    fn submit_after(&mut self, event: Timer<SwimId>, after: Duration) {
        if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &event {
            let (suspect, incarnation, times_left) = (*member_id, *incarnation, self.warnings);
            self.wanted.push((Duration::ZERO, Alarm::Warn { suspect, incarnation, times_left }));
        }
        self.wanted.push((after, Alarm::Foca(event)));
    }
}

mod contact;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mesh_protocol::PeerId;

use super::{LinkConfig, LinkInput, LinkOutput, neighbours};
use crate::chance::Chance;
use contact::{Contact, Phase, has_lasted};

/// How much longer the side with the larger id waits before a first attempt. Both sides learn of each
/// other at about the same time; without it they would always dial each other at once.
const GRACE: Duration = Duration::from_millis(150);

/// Decides whom to dial when, and which links to keep alive, close or cut. Up to
/// [`LinkConfig::full_mesh_max`] members that is everybody. In a larger mesh only [`neighbours`] are
/// dialled; a link with anybody else is accepted, and kept while it lives.
#[derive(Clone, Debug)]
pub struct LinkPlanner {
    me: PeerId,
    config: LinkConfig,
    jitter: Chance,
    contacts: BTreeMap<PeerId, Contact>,
    /// When to look at whom. May ring early for a link on which frames arrive, never late.
    alarms: BTreeSet<(Instant, PeerId)>,
    outputs: VecDeque<LinkOutput>,
}

impl LinkPlanner {
    /// Starts without members. `jitter_seed` should differ between nodes.
    #[must_use]
    pub fn new(me: PeerId, config: LinkConfig, jitter_seed: u64) -> Self {
        Self {
            me,
            config: config.clamped(),
            jitter: Chance::new(jitter_seed),
            contacts: BTreeMap::new(),
            alarms: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened. What is due at once comes out at once.
    pub fn handle_input(&mut self, input: LinkInput, now: Instant) {
        match input {
            LinkInput::MembersChanged(members) => self.change_members(&members, now),
            LinkInput::LinkUp { peer } => self.link_up(peer, now),
            LinkInput::LinkDown { peer } => self.link_down(peer, now),
            LinkInput::DialFailed { peer } => self.dial_failed(peer, now),
            LinkInput::AddressesChanged { peer } => self.addresses_changed(peer, now),
            LinkInput::FrameReceived { peer } => {
                // The hot path: the alarm stays and finds out by itself that it rang early.
                if let Some(contact) = self.contacts.get_mut(&peer)
                    && let Phase::Linked { up_at, silent_at, is_tried, .. } = &mut contact.phase
                {
                    *silent_at = now + self.config.silence_max;
                    *is_tried = false;
                    if has_lasted(*up_at, now) {
                        contact.forgive();
                    }
                }
                return;
            }
            LinkInput::StateChanged { peer, is_inactive } => {
                self.change_state(peer, is_inactive, now);
            }
            LinkInput::DialNow { peer } => self.dial_now(peer, now),
            LinkInput::Doubted { peer } => self.doubt(peer, now),
            LinkInput::Woke => self.wake(now),
        }
        self.handle_timeout(now);
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, peer)) = self.alarms.first().copied()
            && at <= now
        {
            self.alarms.remove(&(at, peer));
            let Some(contact) = self.contacts.get_mut(&peer) else { continue };
            contact.alarm = None;
            match &mut contact.phase {
                Phase::Waiting { dial_at, .. } if *dial_at <= now => {
                    contact.phase = Phase::Dialling { is_stale: false };
                    self.outputs.push_back(LinkOutput::Dial { peer });
                }
                Phase::Linked { silent_at, ping_at, is_closing, .. } if !*is_closing => {
                    if now >= *silent_at {
                        *is_closing = true;
                        self.outputs.push_back(LinkOutput::CloseSilent { peer });
                    } else if now >= *ping_at {
                        *ping_at = now + self.config.heartbeat_every;
                        self.outputs.push_back(LinkOutput::Ping { peer });
                    }
                }
                Phase::Idle
                | Phase::Waiting { .. }
                | Phase::Dialling { .. }
                | Phase::Linked { .. } => {}
            }
            self.set_alarm(peer);
        }
    }

    /// When to call [`LinkPlanner::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<LinkOutput> {
        self.outputs.pop_front()
    }

    fn change_members(&mut self, members: &BTreeSet<PeerId>, now: Instant) {
        let gone: Vec<PeerId> =
            self.contacts.keys().filter(|peer| !members.contains(peer)).copied().collect();
        for peer in gone {
            self.drop_member(peer);
        }
        let count = members.len() + usize::from(!members.contains(&self.me));
        let chosen = (count > self.config.full_mesh_max)
            .then(|| neighbours(self.me, members, self.config.degree));
        let me = self.me;
        for peer in members.iter().filter(|peer| **peer != me) {
            let is_wanted = chosen.as_ref().is_none_or(|chosen| chosen.contains(peer));
            let dial_at = now + self.grace(*peer);
            let contact = self.contacts.entry(*peer).or_insert(Contact {
                phase: Phase::Idle,
                is_member: true,
                is_wanted,
                is_inactive: false,
                failures: 0,
                short_links: 0,
                alarm: None,
            });
            contact.is_member = true;
            contact.is_wanted = is_wanted;
            match contact.phase {
                Phase::Idle if is_wanted => {
                    contact.phase = Phase::Waiting { dial_at, is_firm: false };
                }
                Phase::Waiting { .. } if !is_wanted => contact.phase = Phase::Idle,
                Phase::Idle
                | Phase::Waiting { .. }
                | Phase::Dialling { .. }
                | Phase::Linked { .. } => continue,
            }
            self.set_alarm(*peer);
        }
    }

    fn drop_member(&mut self, peer: PeerId) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        match &mut contact.phase {
            Phase::Idle | Phase::Waiting { .. } => self.forget(peer),
            Phase::Dialling { .. } => contact.is_member = false,
            Phase::Linked { is_closing, .. } => {
                if contact.is_member {
                    contact.is_member = false;
                    *is_closing = true;
                    self.outputs.push_back(LinkOutput::CutRemoved { peer });
                    self.set_alarm(peer);
                }
            }
        }
    }

    fn link_up(&mut self, peer: PeerId, now: Instant) {
        let ping_at = now + self.config.heartbeat_every;
        let silent_at = now + self.config.silence_max;
        match self.contacts.get_mut(&peer) {
            Some(contact) => {
                // A removed peer's link may have come up just before the removal was heard of.
                let is_closing = !contact.is_member;
                contact.is_inactive = false;
                let up_at = match contact.phase {
                    Phase::Linked { up_at, .. } => up_at,
                    Phase::Idle | Phase::Waiting { .. } | Phase::Dialling { .. } => now,
                };
                let is_tried = false;
                contact.phase = Phase::Linked { up_at, silent_at, ping_at, is_tried, is_closing };
                if is_closing {
                    self.outputs.push_back(LinkOutput::CutRemoved { peer });
                }
                self.set_alarm(peer);
            }
            None => self.outputs.push_back(LinkOutput::CutRemoved { peer }),
        }
    }

    fn link_down(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        match contact.phase {
            Phase::Linked { up_at, .. } => {
                let is_short = !has_lasted(up_at, now);
                if is_short {
                    contact.short_links = contact.short_links.saturating_add(1);
                } else {
                    contact.forgive();
                }
                self.wait(peer, is_short, now);
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Dialling { .. } => {}
        }
    }

    fn dial_failed(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        match contact.phase {
            Phase::Dialling { is_stale: true } if contact.is_member && contact.is_wanted => {
                contact.forgive();
                contact.phase = Phase::Waiting { dial_at: now, is_firm: false };
                self.set_alarm(peer);
            }
            Phase::Dialling { .. } => self.wait(peer, false, now),
            Phase::Idle | Phase::Waiting { .. } | Phase::Linked { .. } => {}
        }
    }

    fn addresses_changed(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        match &mut contact.phase {
            Phase::Waiting { .. } => {
                // Failures at the old addresses say nothing about the new ones.
                contact.forgive();
                contact.phase = Phase::Waiting { dial_at: now, is_firm: false };
                self.set_alarm(peer);
            }
            Phase::Dialling { is_stale } => *is_stale = true,
            Phase::Idle | Phase::Linked { .. } => {}
        }
    }

    fn change_state(&mut self, peer: PeerId, is_inactive: bool, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        contact.is_inactive = is_inactive;
        if let Phase::Waiting { dial_at, .. } = &mut contact.phase
            && !is_inactive
        {
            *dial_at = (*dial_at).min(now + self.config.backoff_max);
            self.set_alarm(peer);
        }
    }

    fn dial_now(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        contact.failures = contact.short_links;
        // A link that ends at once makes such news itself, and would be dialled without a pause.
        if let Phase::Waiting { dial_at, is_firm: false } = &mut contact.phase {
            *dial_at = now;
            self.set_alarm(peer);
        }
    }

    fn doubt(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        // Only the first doubt counts: a peer that dials again and again must not have it pinged each time.
        if let Phase::Linked { silent_at, ping_at, is_tried, is_closing: false, .. } =
            &mut contact.phase
            && !*is_tried
        {
            *is_tried = true;
            *silent_at = (*silent_at).min(now + self.config.wake_silence_max);
            *ping_at = now;
            self.set_alarm(peer);
        }
    }

    fn wake(&mut self, now: Instant) {
        for contact in self.contacts.values_mut() {
            contact.forgive();
            match &mut contact.phase {
                Phase::Waiting { dial_at, is_firm } => {
                    *dial_at = now;
                    *is_firm = false;
                }
                // It may have begun in the network of before.
                Phase::Dialling { is_stale } => *is_stale = true,
                Phase::Linked { silent_at, ping_at, is_tried, is_closing: false, .. } => {
                    // A second wake must not prolong the trial, or a restless network keeps dead links.
                    if !*is_tried {
                        *is_tried = true;
                        *silent_at = now + self.config.wake_silence_max;
                    }
                    *ping_at = now;
                }
                Phase::Idle | Phase::Linked { is_closing: true, .. } => {}
            }
        }
        let peers: Vec<PeerId> = self.contacts.keys().copied().collect();
        for peer in peers {
            self.set_alarm(peer);
        }
    }

    /// Plans the next dial after a failure, unless the peer is not to be dialled at all.
    fn wait(&mut self, peer: PeerId, is_firm: bool, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        if !contact.is_member {
            self.forget(peer);
            return;
        }
        if !contact.is_wanted {
            contact.phase = Phase::Idle;
            contact.forgive();
            self.set_alarm(peer);
            return;
        }
        contact.failures = contact.failures.saturating_add(1);
        let (failures, is_inactive) = (contact.failures, contact.is_inactive);
        let mut delay = self.backoff(failures, is_inactive);
        if failures == 1 {
            delay += self.grace(peer);
        }
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.phase = Phase::Waiting { dial_at: now + delay, is_firm };
        }
        self.set_alarm(peer);
    }

    fn forget(&mut self, peer: PeerId) {
        if let Some(contact) = self.contacts.remove(&peer)
            && let Some(at) = contact.alarm
        {
            self.alarms.remove(&(at, peer));
        }
    }

    fn set_alarm(&mut self, peer: PeerId) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        let alarm = match contact.phase {
            Phase::Waiting { dial_at, .. } => Some(dial_at),
            Phase::Linked { silent_at, ping_at, is_closing: false, .. } => {
                Some(ping_at.min(silent_at))
            }
            Phase::Idle | Phase::Dialling { .. } | Phase::Linked { is_closing: true, .. } => None,
        };
        if let Some(old) = std::mem::replace(&mut contact.alarm, alarm) {
            self.alarms.remove(&(old, peer));
        }
        if let Some(at) = alarm {
            self.alarms.insert((at, peer));
        }
    }

    fn grace(&self, peer: PeerId) -> Duration {
        if self.me > peer { GRACE } else { Duration::ZERO }
    }

    fn backoff(&mut self, failures: u32, is_inactive: bool) -> Duration {
        let LinkConfig { backoff_min, backoff_max, inactive_backoff_max, .. } = self.config;
        let longest = if is_inactive { inactive_backoff_max } else { backoff_max };
        let doublings = failures.saturating_sub(1).min(31);
        let delay = backoff_min.saturating_mul(1 << doublings);
        self.jitter.around(delay.min(longest))
    }
}

#[cfg(test)]
mod tests;

//! Whom to dial and when: a full mesh of links, kept alive by heartbeats.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mesh_protocol::PeerId;

/// How much longer the side with the larger id waits before a first attempt. Both sides learn of each
/// other at about the same time; without it they would always dial each other at once.
const GRACE: Duration = Duration::from_millis(150);

/// Without a least step a heartbeat would be due again the moment it was sent.
const STEP_MIN: Duration = Duration::from_millis(1);

/// Far enough to mean "never", near enough to be added to any moment.
const STEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Pace of dials and heartbeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Wait after the first failure; doubles with each further one.
    pub backoff_min: Duration,
    /// Longest wait between dials, before up to a quarter is added or taken off by chance.
    pub backoff_max: Duration,
    /// Time between pings on a link.
    pub heartbeat_every: Duration,
    /// A link on which nothing has arrived for so long is closed.
    pub silence_max: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            heartbeat_every: Duration::from_secs(5),
            silence_max: Duration::from_secs(15),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkInput {
    /// These are the members; this node may be among them.
    MembersChanged(BTreeSet<PeerId>),
    /// There is a link to the peer, whoever dialled, or another one took its place.
    LinkUp {
        /// The other side.
        peer: PeerId,
    },
    /// The peer has no link any more.
    LinkDown {
        /// The other side.
        peer: PeerId,
    },
    /// A dial that was asked for came to nothing.
    DialFailed {
        /// Whom it was for.
        peer: PeerId,
    },
    /// The peer can be dialled elsewhere than before.
    AddressesChanged {
        /// Who moved.
        peer: PeerId,
    },
    /// Any frame arrived on the peer's link.
    FrameReceived {
        /// The other side.
        peer: PeerId,
    },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOutput {
    /// Dial the peer; answered by `LinkUp` or `DialFailed`. If an earlier dial is still under way (the
    /// peer's own link came and went meanwhile), that one answers for both.
    Dial {
        /// Whom.
        peer: PeerId,
    },
    /// Send a ping.
    Ping {
        /// To whom.
        peer: PeerId,
    },
    /// Close the link: nothing has arrived for too long. Answered by `LinkDown`.
    CloseSilent {
        /// Whose link.
        peer: PeerId,
    },
    /// Close the link: the peer does not belong. Answered by `LinkDown`.
    CutRemoved {
        /// Whose link.
        peer: PeerId,
    },
}

/// Which of two simultaneous links survives: true for the existing one. Both sides come to the same
/// answer: the link that the smaller id dialled stays; of two in the same direction the newer one,
/// because the dialler would not have dialled if the older one still worked.
#[must_use]
pub fn keeps_existing(
    me: PeerId,
    peer: PeerId,
    existing_dialled_by_me: bool,
    new_dialled_by_me: bool,
) -> bool {
    if existing_dialled_by_me == new_dialled_by_me {
        return false;
    }
    existing_dialled_by_me == (me < peer)
}

/// How things stand with one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No link and no dial; the next dial is due then.
    Waiting { dial_at: Instant },
    /// A dial is under way. `is_stale`: the addresses changed since.
    Dialling { is_stale: bool },
    /// There is a link. `is_closing`: it was ordered to be closed.
    Linked { heard_at: Instant, ping_at: Instant, is_closing: bool },
}

#[derive(Clone, Debug)]
struct Contact {
    phase: Phase,
    /// A peer that does not belong any more is kept until its link or dial has ended.
    is_member: bool,
    /// Dials or links that failed since the last link came up.
    failures: u32,
    /// The entry in the planner's alarms.
    alarm: Option<Instant>,
}

/// Decides whom to dial when, and which links to keep alive, close or cut.
#[derive(Clone, Debug)]
pub struct LinkPlanner {
    me: PeerId,
    config: LinkConfig,
    jitter: Jitter,
    contacts: BTreeMap<PeerId, Contact>,
    /// When to look at whom. May ring early for a link on which frames arrive, never late.
    alarms: BTreeSet<(Instant, PeerId)>,
    outputs: VecDeque<LinkOutput>,
}

impl LinkPlanner {
    /// Starts without members. `jitter_seed` should differ between nodes.
    #[must_use]
    pub fn new(me: PeerId, config: LinkConfig, jitter_seed: u64) -> Self {
        let usable = |duration: Duration| duration.clamp(STEP_MIN, STEP_MAX);
        Self {
            me,
            config: LinkConfig {
                backoff_min: usable(config.backoff_min),
                backoff_max: usable(config.backoff_max),
                heartbeat_every: usable(config.heartbeat_every),
                silence_max: usable(config.silence_max),
            },
            jitter: Jitter(jitter_seed),
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
                if let Some(Contact { phase: Phase::Linked { heard_at, .. }, .. }) =
                    self.contacts.get_mut(&peer)
                {
                    *heard_at = now;
                }
                return;
            }
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
                Phase::Waiting { dial_at } if *dial_at <= now => {
                    contact.phase = Phase::Dialling { is_stale: false };
                    self.outputs.push_back(LinkOutput::Dial { peer });
                }
                Phase::Linked { heard_at, ping_at, is_closing } if !*is_closing => {
                    if now >= *heard_at + self.config.silence_max {
                        *is_closing = true;
                        self.outputs.push_back(LinkOutput::CloseSilent { peer });
                    } else if now >= *ping_at {
                        *ping_at = now + self.config.heartbeat_every;
                        self.outputs.push_back(LinkOutput::Ping { peer });
                    }
                }
                Phase::Waiting { .. } | Phase::Dialling { .. } | Phase::Linked { .. } => {}
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
            let Some(contact) = self.contacts.get_mut(&peer) else { continue };
            match contact.phase {
                Phase::Waiting { .. } => self.forget(peer),
                Phase::Dialling { .. } => contact.is_member = false,
                Phase::Linked { heard_at, ping_at, .. } => {
                    if contact.is_member {
                        contact.is_member = false;
                        contact.phase = Phase::Linked { heard_at, ping_at, is_closing: true };
                        self.outputs.push_back(LinkOutput::CutRemoved { peer });
                        self.set_alarm(peer);
                    }
                }
            }
        }
        for peer in members {
            if *peer == self.me {
                continue;
            }
            if let Some(contact) = self.contacts.get_mut(peer) {
                contact.is_member = true;
                continue;
            }
            let dial_at = now + self.grace(*peer);
            let phase = Phase::Waiting { dial_at };
            let contact = Contact { phase, is_member: true, failures: 0, alarm: None };
            self.contacts.insert(*peer, contact);
            self.set_alarm(*peer);
        }
    }

    fn link_up(&mut self, peer: PeerId, now: Instant) {
        let ping_at = now + self.config.heartbeat_every;
        match self.contacts.get_mut(&peer) {
            Some(contact) => {
                // A removed peer's link may have come up just before the removal was heard of.
                let is_closing = !contact.is_member;
                contact.failures = 0;
                contact.phase = Phase::Linked { heard_at: now, ping_at, is_closing };
                if is_closing {
                    self.outputs.push_back(LinkOutput::CutRemoved { peer });
                }
                self.set_alarm(peer);
            }
            None => self.outputs.push_back(LinkOutput::CutRemoved { peer }),
        }
    }

    fn link_down(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get(&peer) else { return };
        match contact.phase {
            Phase::Linked { .. } => self.wait(peer, now),
            Phase::Waiting { .. } | Phase::Dialling { .. } => {}
        }
    }

    fn dial_failed(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        match contact.phase {
            Phase::Dialling { is_stale: true } if contact.is_member => {
                contact.failures = 0;
                contact.phase = Phase::Waiting { dial_at: now };
                self.set_alarm(peer);
            }
            Phase::Dialling { .. } => self.wait(peer, now),
            Phase::Waiting { .. } | Phase::Linked { .. } => {}
        }
    }

    fn addresses_changed(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        match &mut contact.phase {
            Phase::Waiting { dial_at } => {
                // Failures at the old addresses say nothing about the new ones.
                contact.failures = 0;
                *dial_at = now;
                self.set_alarm(peer);
            }
            Phase::Dialling { is_stale } => *is_stale = true,
            Phase::Linked { .. } => {}
        }
    }

    /// Plans the next dial after a failure, or forgets a peer that does not belong.
    fn wait(&mut self, peer: PeerId, now: Instant) {
        let Some(contact) = self.contacts.get_mut(&peer) else { return };
        if !contact.is_member {
            self.forget(peer);
            return;
        }
        contact.failures = contact.failures.saturating_add(1);
        let failures = contact.failures;
        let mut delay = self.backoff(failures);
        if failures == 1 {
            delay += self.grace(peer);
        }
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.phase = Phase::Waiting { dial_at: now + delay };
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
            Phase::Waiting { dial_at } => Some(dial_at),
            Phase::Linked { heard_at, ping_at, is_closing: false } => {
                Some(ping_at.min(heard_at + self.config.silence_max))
            }
            Phase::Dialling { .. } | Phase::Linked { is_closing: true, .. } => None,
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

    fn backoff(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let delay = self.config.backoff_min.saturating_mul(1 << doublings);
        self.jitter.around(delay.min(self.config.backoff_max))
    }
}

/// A generator of chance that is good enough to spread dials (splitmix64) and repeats by its seed.
#[derive(Clone, Debug)]
struct Jitter(u64);

impl Jitter {
    /// `delay`, give or take up to a quarter.
    fn around(&mut self, delay: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // 500 steps from three quarters to five quarters, in thousandths.
        let thousandths = 750 + u32::try_from(z % 501).unwrap_or(250);
        delay.saturating_mul(thousandths) / 1000
    }
}

#[cfg(test)]
mod tests;

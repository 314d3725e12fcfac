//! Who is up in a mesh that is too large for links between all: SWIM, by the library foca.
//!
//! Every second a node probes one member, asks others to probe it when no answer comes, and calls it
//! suspect when they have none either. News travel on the back of probes and as gossip. A suspect that
//! does not object in time is down; it comes back by beginning another life.
//!
//! foca decides; this room keeps it honest and bounded. Nothing about anybody who does not belong gets
//! in, a sender speaks for itself only, nobody gets a life that could not be outlived, time that the node slept through counts for nothing, a node that
//! hears nobody accuses nobody, a suspect is told of it, and members that are not up are reached out to
//! until they are. A member can still lie
//! about others: gossip decides who is asked for what, never who belongs.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use foca::{Foca, Header, Member, Message, NoCustomBroadcast, Runtime as _, State, Timer};
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use mesh_protocol::PeerId;

mod alarms;
mod codec;
mod config;
mod effects;
mod identity;

use alarms::{Alarm, Alarms};
use codec::{Datagram, SwimCodec};
pub use config::SwimConfig;
use effects::Effects;
use identity::SwimId;

use crate::MEMBERS_MAX;

/// Least time between two lives. Whoever keeps calling this node down cannot make it shout more often.
const RENEW_PAUSE: Duration = Duration::from_millis(250);

/// After so many periods in which nothing arrived the node takes itself for cut off, and spreads no word
/// of anybody's end: it would have the whole mesh called down when it is back.
const DEAF_PERIODS: u32 = 2;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwimInput {
    /// These belong; this node may be among them. Gossip about anybody else is dropped, newcomers are
    /// announced to, and whoever left is forgotten without a word.
    MembersChanged(BTreeSet<PeerId>),
    /// A member sent gossip.
    Received {
        /// Who sent it, as the frame's way says.
        from: PeerId,
        /// The gossip.
        data: Vec<u8>,
        /// The highest incarnation that anybody can have by this time. A life beyond it was made up, and
        /// the member that it is ascribed to could never outlive it.
        incarnation_max: u64,
    },
}

/// What is to be done or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwimOutput {
    /// Send gossip to a member. It may get lost.
    Send {
        /// To whom.
        to: PeerId,
        /// The gossip.
        data: Vec<u8>,
    },
    /// The member is up, for the first time, again, or in another incarnation than before.
    Up {
        /// Who.
        peer: PeerId,
        /// Its incarnation.
        incarnation: u64,
    },
    /// The member is down. Members that were never up are not mentioned.
    Down {
        /// Who.
        peer: PeerId,
    },
}

/// Decides who is up by gossip. Holds no socket, no clock and no task.
pub struct Swim {
    me: PeerId,
    config: SwimConfig,
    foca: Foca<SwimId, SwimCodec, Xoshiro256PlusPlus, NoCustomBroadcast>,
    effects: Effects,
    alarms: Alarms,
    rng: Xoshiro256PlusPlus,
    renewed_at: Option<Instant>,
    /// When gossip last arrived.
    heard_at: Option<Instant>,
    /// Since when it has been arriving without a long pause.
    hears_since: Option<Instant>,
    is_reaching_out: bool,
    refused: u64,
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim")
            .field("identity", self.foca.identity())
            .field("effects", &self.effects)
            .finish_non_exhaustive()
    }
}

impl Swim {
    /// Starts without members. `incarnation` has to be higher than at every earlier start of this peer;
    /// `seed` should differ between nodes.
    #[must_use]
    pub fn new(me: PeerId, incarnation: u64, config: SwimConfig, seed: u64) -> Self {
        let config = config.usable();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let identity = SwimId { peer: me, incarnation, renewal: 0 };
        let foca_rng = Xoshiro256PlusPlus::seed_from_u64(rng.random());
        let effects = Effects { warnings: config.warnings, ..Effects::default() };
        Self {
            me,
            foca: Foca::new(identity, config.for_foca(0), foca_rng, SwimCodec),
            config,
            effects,
            alarms: Alarms::default(),
            rng,
            renewed_at: None,
            heard_at: None,
            hears_since: None,
            is_reaching_out: false,
            refused: 0,
        }
    }

    /// Takes in what happened. What is due at once comes out at once.
    pub fn handle_input(&mut self, input: SwimInput, now: Instant) {
        self.catch_up(now);
        match input {
            SwimInput::MembersChanged(members) => self.change_members(members, now),
            SwimInput::Received { from, data, incarnation_max } => {
                if self.receive(from, &data, incarnation_max, now).is_none() {
                    self.refused = self.refused.saturating_add(1);
                }
            }
        }
        self.settle(now);
        self.handle_timeout(now);
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.catch_up(now);
        while let Some(alarm) = self.alarms.pop_due(now) {
            self.ring(alarm, now);
            self.settle(now);
        }
    }

    /// When [`Swim::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.next_at()
    }

    /// The next thing to do or know.
    pub fn poll_output(&mut self) -> Option<SwimOutput> {
        self.effects.outputs.pop_front()
    }

    /// Whether the member is up, as far as is known. This node is not a member in this sense.
    #[must_use]
    pub fn is_up(&self, peer: &PeerId) -> bool {
        self.effects.up.contains_key(peer)
    }

    /// This node's incarnation. Higher than at the start if others remember a higher one, which happens
    /// to a node that was set back to an old copy of its data.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.foca.identity().incarnation
    }

    /// How many pieces of gossip were refused: malformed, or from or about someone who does not belong.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn change_members(&mut self, mut members: BTreeSet<PeerId>, now: Instant) {
        members.remove(&self.me);
        let members: BTreeSet<PeerId> = members.into_iter().take(MEMBERS_MAX).collect();
        let old = std::mem::replace(&mut self.effects.members, members);
        for peer in old.difference(&self.effects.members).copied().collect::<Vec<_>>() {
            self.forget(peer);
        }
        // Cannot fail: nothing changes that foca does not allow to be changed.
        drop(self.foca.set_config(self.config.for_foca(self.effects.members.len())));
        // One newcomer hears from the many no faster than one node with many newcomers speaks.
        let count = u32::try_from(self.effects.members.len()).unwrap_or(u32::MAX);
        let spread = self.config.introduce_every.saturating_mul(count);
        for peer in self.effects.members.difference(&old).copied() {
            let at = now + self.rng.random_range(Duration::ZERO..=spread);
            self.alarms.set(at, Alarm::Introduce { peer });
        }
        if !self.is_reaching_out {
            self.is_reaching_out = true;
            self.alarms.set(now + self.config.reach_out_period, Alarm::ReachOut);
        }
    }

    fn forget(&mut self, peer: PeerId) {
        self.effects.up.remove(&peer);
        self.alarms.retain(|alarm| match alarm {
            Alarm::Introduce { peer: newcomer } => *newcomer != peer,
            Alarm::Foca(_) | Alarm::Warn { .. } | Alarm::ReachOut => true,
        });
        let Some(id) = self.known(&peer) else { return };
        // Only what is down can be removed. Neither step can fail, for neither sends anything.
        let down = std::iter::once(Member::down(id));
        drop(self.foca.apply_many(down, false, &mut self.effects));
        drop(self.foca.handle_timer(Timer::RemoveDown(id), &mut self.effects));
    }

    /// Checks a datagram and hands the honest part of it to foca; none when it is refused.
    fn receive(
        &mut self,
        from: PeerId,
        data: &[u8],
        incarnation_max: u64,
        now: Instant,
    ) -> Option<()> {
        if data.len() > self.config.max_packet_bytes || !self.effects.members.contains(&from) {
            return None;
        }
        let mut datagram = Datagram::decode(from, self.me, data).ok()?;
        if datagram.third_party().is_some_and(|id| !self.effects.members.contains(&id.peer)) {
            return None;
        }
        let ends = [datagram.header.src, datagram.header.dst].into_iter();
        if !ends.chain(datagram.third_party()).all(|id| id.is_possible(incarnation_max)) {
            return None;
        }
        datagram.updates.retain(|update| update.id().is_possible(incarnation_max));
        let may_renew = self.renewed_at.is_none_or(|at| now.duration_since(at) >= RENEW_PAUSE);
        if may_renew {
            self.outlive(&datagram);
        } else if datagram.header.message == Message::TurnUndead {
            return None;
        }
        let identity = *self.foca.identity();
        if datagram.header.dst != identity {
            if datagram.header.message == Message::TurnUndead {
                return Some(());
            }
            // Said to an earlier life by someone who has not heard of this one. foca would not listen,
            // and where many begin another life at once, nobody would hear anybody.
            datagram.header.dst = identity;
        }
        let (me, members) = (self.me, &self.effects.members);
        datagram.updates.retain(|update| {
            let peer = update.id().peer;
            members.contains(&peer) || (peer == me && (may_renew || update.state() != State::Down))
        });
        let bytes = datagram.encode().ok()?;
        if self.is_deaf(now) {
            self.hears_since = Some(now);
        }
        self.heard_at = Some(now);
        self.foca.handle_data(&bytes, &mut self.effects).ok()
    }

    /// Begins a life beyond any that others ascribe to this node: as long as they believe in a later
    /// one, they hear nothing that it says.
    fn outlive(&mut self, datagram: &Datagram) {
        let of_me =
            datagram.updates.iter().map(|update| *update.id()).filter(|id| id.peer == self.me);
        let latest = of_me.chain([datagram.header.dst]).max_by_key(SwimId::age);
        if let Some(latest) = latest.filter(|id| id.age() > self.foca.identity().age())
            && let Some(next) = latest.next()
            && self.foca.change_identity(next, &mut self.effects).is_ok()
        {
            self.effects.has_renewed = true;
            self.effects.begin_anew();
        }
    }

    fn ring(&mut self, alarm: Alarm, now: Instant) {
        match alarm {
            Alarm::Foca(Timer::ChangeSuspectToDown { member_id, incarnation, .. })
                if !self.may_accuse(now) =>
            {
                self.give_up(Member::new(member_id, incarnation, State::Suspect));
            }
            // The one possible error says that a probe was cut short, which foca has mended then.
            Alarm::Foca(event) => drop(self.foca.handle_timer(event, &mut self.effects)),
            Alarm::Warn { suspect, incarnation, times_left } => {
                let Some(times_left) = times_left.checked_sub(1) else { return };
                let accusation = Member::new(suspect, incarnation, State::Suspect);
                if self.foca.iter_members().any(|member| *member == accusation) {
                    self.warn(accusation);
                    let every = self.config.suspect_to_down_after / self.config.warnings.max(1);
                    let alarm = Alarm::Warn { suspect, incarnation, times_left };
                    self.alarms.set(now + every, alarm);
                }
            }
            Alarm::Introduce { peer } => {
                if self.effects.members.contains(&peer) && !self.effects.up.contains_key(&peer) {
                    self.announce(peer);
                }
            }
            Alarm::ReachOut => {
                self.reach_out();
                self.alarms.set(now + self.config.reach_out_period, Alarm::ReachOut);
            }
        }
    }

    fn is_deaf(&self, now: Instant) -> bool {
        let silence_max = self.config.probe_period * DEAF_PERIODS;
        self.heard_at.is_none_or(|at| now.saturating_duration_since(at) > silence_max)
    }

    /// Whether a suspect's objection would have arrived, and the answer to the probe before it.
    fn may_accuse(&self, now: Instant) -> bool {
        let time_needed = self.config.probe_period + self.config.suspect_to_down_after;
        let hears_for = self.hears_since.map(|since| now.saturating_duration_since(since));
        !self.is_deaf(now) && hears_for.is_some_and(|hears_for| hears_for >= time_needed)
    }

    /// Takes a suspect that has not objected for down without telling anybody.
    fn give_up(&mut self, accusation: Member<SwimId>) {
        if self.foca.iter_members().any(|member| *member == accusation) {
            let down = Member::new(*accusation.id(), accusation.incarnation(), State::Down);
            // Cannot fail: nothing is sent.
            drop(self.foca.apply_many(std::iter::once(down), false, &mut self.effects));
        }
    }

    /// Pings a suspect with the accusation, so that its very answer is the objection.
    fn warn(&mut self, accusation: Member<SwimId>) {
        let to = *accusation.id();
        let header = Header {
            src: *self.foca.identity(),
            // The receiver knows this life already or takes the next word of it for news.
            src_incarnation: 0,
            dst: to,
            message: Message::Ping(0),
        };
        if let Ok(bytes) = (Datagram { header, updates: vec![accusation] }).encode() {
            self.effects.send_to(to, &bytes);
        }
    }

    fn reach_out(&mut self) {
        let effects = &self.effects;
        let absent = effects.members.iter().filter(|peer| !effects.up.contains_key(*peer));
        let count = usize::from(self.config.reach_out_fanout);
        for peer in absent.copied().sample(&mut self.rng, count) {
            self.announce(peer);
        }
    }

    fn announce(&mut self, peer: PeerId) {
        let to = self.known(&peer).unwrap_or(SwimId::unknown(peer));
        // Cannot fail: an announcement fits every datagram.
        drop(self.foca.announce(to, &mut self.effects));
    }

    /// The latest life of the peer that foca has heard of.
    fn known(&self, peer: &PeerId) -> Option<SwimId> {
        self.foca.iter_membership_state().map(Member::id).find(|id| id.peer == *peer).copied()
    }

    /// Sets the alarms that foca asked for, after dropping those that are void.
    fn settle(&mut self, now: Instant) {
        if std::mem::take(&mut self.effects.has_begun_anew) {
            self.alarms.retain(|alarm| match alarm {
                Alarm::Foca(_) | Alarm::Warn { .. } => false,
                Alarm::Introduce { .. } | Alarm::ReachOut => true,
            });
        }
        for (after, alarm) in std::mem::take(&mut self.effects.wanted) {
            self.alarms.set(now + after, alarm);
        }
        if std::mem::take(&mut self.effects.has_renewed) {
            self.renewed_at = Some(now);
            // Those who called this node down think so of others on its side, too.
            self.reach_out();
        }
    }

    /// Puts off what is far overdue. A node that slept missed the answers that it waited for, so
    /// without this it would wake up and call members down.
    fn catch_up(&mut self, now: Instant) {
        let Some(next_at) = self.alarms.next_at() else { return };
        let late = now.saturating_duration_since(next_at);
        if late >= self.config.probe_period {
            self.alarms.postpone(late);
        }
    }
}

#[cfg(test)]
mod tests;

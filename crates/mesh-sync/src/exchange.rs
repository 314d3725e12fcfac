mod behind;
mod chance;
mod feeding;
mod followed;
mod link;
mod listening;
mod ports;
mod snapshots;
mod stated;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use mesh_protocol::{
    NEIGHBOURS_MAX, OriginHave, OriginId, PeerId, SyncHave, UnixMillis, VersionVector,
};

use chance::Chance;
use feeding::Settled;
use followed::Followed;
use link::Link;
use stated::Stated;

pub use ports::{Behind, ExchangeConfig, ExchangeOutput, Feed};

/// What the own database has, as of its last commit.
#[derive(Debug)]
struct Own {
    database: OriginId,
    origins: BTreeMap<OriginId, OriginHave>,
    in_snapshot: bool,
}

impl Own {
    fn upto(&self, origin: &OriginId) -> u64 {
        self.origins.get(origin).map_or(0, |have| have.upto)
    }
}

/// Decides what goes to which member, and when.
///
/// A transaction goes from its maker to every member that is linked with it, at once. Whoever gets one of
/// another member hands it on at once to those of its links that cannot have it from its maker or from
/// where it came: so a line of members is as quick as it can be, and in a full mesh everything is sent to
/// each member once. Whatever slips through these nets is caught when linked members tell each other
/// everything they have: when a link comes up, from time to time, and when something is missing.
///
/// Holds what each member said it has, and no transaction, socket, clock or task.
#[derive(Debug)]
pub struct Exchange {
    me: PeerId,
    config: ExchangeConfig,
    chance: Chance,
    /// The others.
    members: BTreeSet<PeerId>,
    own: Option<Own>,
    /// What is known of members, linked or not.
    known: BTreeMap<PeerId, Stated>,
    /// What of that is here as well.
    followed: BTreeMap<PeerId, Followed>,
    /// Members with a link that is up.
    links: BTreeMap<PeerId, Link>,
    /// Whom members are linked with, as they say.
    neighbours: BTreeMap<PeerId, BTreeSet<PeerId>>,
    /// From whom origins advance at the next commit.
    sources: BTreeMap<OriginId, BTreeSet<PeerId>>,
    settled: Settled,
    /// Origins whose advance is not acknowledged, and when it is to be.
    untold: BTreeSet<OriginId>,
    tell_at: Option<Instant>,
    /// The wall clock at the first moment that was heard of, and that moment.
    started: (UnixMillis, Option<Instant>),
    revision: u64,
    /// What members have had of the own database, while nobody had more of it than it has itself.
    shared_upto: u64,
    /// The database is to take a new origin. Once in a run is enough: afterwards nobody can have more of
    /// it, and whoever says so is wrong.
    is_renewing: bool,
    was_renewed: bool,
    /// From whom a snapshot is being taken.
    taking: Option<PeerId>,
    /// It is complete, and the database has not told yet what it has.
    is_taken: bool,
    /// Since when a peer has forgotten what is missing here, while another one could serve it.
    below_since: Option<Instant>,
    snapshot_at: Option<Instant>,
    /// When a snapshot that nobody can give to its end is abandoned.
    abandon_at: Option<Instant>,
    /// What every member had when that was last told.
    passed: VersionVector,
    now: Option<Instant>,
    outputs: VecDeque<ExchangeOutput>,
}

impl Exchange {
    /// Starts without members, links and a database. `started_at` orders what is said before and after a
    /// restart. Equal inputs give equal outputs.
    #[must_use]
    pub fn new(me: PeerId, config: ExchangeConfig, seed: u64, started_at: UnixMillis) -> Self {
        Self {
            me,
            config: config.clamped(),
            chance: Chance::new(seed),
            members: BTreeSet::new(),
            own: None,
            known: BTreeMap::new(),
            followed: BTreeMap::new(),
            links: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            sources: BTreeMap::new(),
            settled: Settled::default(),
            untold: BTreeSet::new(),
            tell_at: None,
            started: (started_at, None),
            revision: 0,
            shared_upto: 0,
            is_renewing: false,
            was_renewed: false,
            taking: None,
            is_taken: false,
            below_since: None,
            snapshot_at: None,
            abandon_at: None,
            passed: VersionVector::default(),
            now: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in who belongs to the mesh: everybody who must have something before it may be forgotten.
    /// What is known of others is dropped.
    pub fn members(&mut self, mut members: BTreeSet<PeerId>, now: Instant) {
        self.now = Some(now);
        let wanted = self.wants_changes();
        members.remove(&self.me);
        self.known.retain(|peer, _| members.contains(peer));
        self.followed.retain(|peer, _| members.contains(peer));
        self.neighbours.retain(|peer, _| members.contains(peer));
        let gone: Vec<PeerId> =
            self.links.keys().filter(|peer| !members.contains(peer)).copied().collect();
        self.members = members;
        for peer in gone {
            self.link_down(peer, now);
        }
        for link in self.links.values_mut() {
            link.relayed.retain(|peer, _| self.members.contains(peer));
        }
        self.look_for_snapshot(wanted, now);
    }

    /// A link came up. It counts when the peer is a member by then.
    pub fn link_up(&mut self, peer: PeerId, now: Instant) {
        self.now = Some(now);
        if !self.members.contains(&peer) {
            return;
        }
        self.lose_giver(peer);
        self.links.insert(peer, Link::default());
        self.compare(peer, now);
    }

    /// A link went down, with everything that was under way on it.
    pub fn link_down(&mut self, peer: PeerId, now: Instant) {
        self.now = Some(now);
        let wanted = self.wants_changes();
        if self.links.remove(&peer).is_some() {
            self.lose_giver(peer);
            self.look_for_snapshot(wanted, now);
        }
    }

    /// Takes in whom a member is linked with, as its link state says.
    pub fn neighbours(&mut self, peer: PeerId, linked: BTreeSet<PeerId>) {
        if !self.members.contains(&peer) {
            return;
        }
        let linked: BTreeSet<PeerId> = linked.into_iter().take(NEIGHBOURS_MAX).collect();
        let before = self.neighbours.get(&peer).cloned().unwrap_or_default();
        let lost: Vec<PeerId> = before.difference(&linked).copied().collect();
        let lost: Vec<PeerId> =
            lost.into_iter().filter(|other| self.are_linked(&peer, other)).collect();
        self.neighbours.insert(peer, linked);
        // What each of the two left to the other may not have gone through.
        for end in lost.iter().chain(lost.first().map(|_| &peer)) {
            self.aim_at_everything(end);
        }
    }

    /// Some origins are about to advance, up to these numbers, by what `peer` has sent: tell so before
    /// [`Exchange::own`].
    pub fn applied_from(&mut self, transactions: &[(OriginId, u64)], peer: PeerId) {
        let (Some(now), Some(link)) = (self.now, self.links.get_mut(&peer)) else { return };
        link.got_something();
        for (origin, sequence) in transactions {
            let stated = self.known.get(&peer).map_or(0, |stated| stated.upto(origin));
            link.raise(*origin, *sequence, stated, now);
            self.sources.entry(*origin).or_default().insert(peer);
        }
    }

    /// Takes in what the own database has: at the start and after every commit.
    pub fn own(
        &mut self,
        database: OriginId,
        origins: Vec<OriginHave>,
        in_snapshot: bool,
        now: Instant,
    ) {
        self.now = Some(now);
        let origins = origins.into_iter().map(|have| (have.origin, have)).collect();
        let wanted = self.wants_changes();
        let before = self.own.replace(Own { database, origins, in_snapshot });
        if self.is_taken && !in_snapshot {
            self.is_taken = false;
            if let Some(giver) = self.taking.take() {
                self.judge_giver(&giver, now);
            }
        }
        self.catch_up();
        let is_same = before.as_ref().is_some_and(|before| before.database == database);
        if !is_same {
            self.is_renewing = false;
            self.shared_upto = 0;
        }
        let changed = self.changed_since(before.as_ref());
        self.hand_on(before.as_ref(), &changed, now);
        self.sources.clear();
        if changed.iter().any(|origin| *origin != database) && self.below_since.is_some() {
            self.below_since = Some(now);
        }
        self.seek_snapshot(now);
        if !is_same || wanted != self.wants_changes() {
            self.tell_all(now);
        } else if !changed.is_empty() {
            self.untold.extend(changed);
            self.tell_at.get_or_insert(now + self.config.tell_after);
        }
    }

    /// A linked member says what it has, or what another one has.
    pub fn have_received(&mut self, from: PeerId, have: SyncHave, now: Instant) {
        self.now = Some(now);
        if !self.links.contains_key(&from) {
            return;
        }
        if have.member == from {
            self.hear(from, have, now);
        } else {
            self.overhear(from, have);
        }
    }

    /// Something that `from` sent could not be applied, because something before it is missing. It is asked
    /// for at once, if that has not just been done.
    pub fn missing(&mut self, from: PeerId, now: Instant) {
        self.now = Some(now);
        if let Some(link) = self.links.get_mut(&from) {
            link.lacks_something();
            self.ask(from, now);
        }
    }

    /// The feeder has handed these transactions to the link.
    pub fn fed(&mut self, peer: PeerId, sent: &[(OriginId, u64)]) {
        let (Some(now), Some(link)) = (self.now, self.links.get_mut(&peer)) else { return };
        for (origin, sequence) in sent {
            let stated = self.known.get(&peer).map_or(0, |stated| stated.upto(origin));
            link.send(*origin, *sequence, stated, now);
        }
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        let peers: Vec<PeerId> = self.links.keys().copied().collect();
        for peer in peers {
            self.ask(peer, now);
            let Some(link) = self.links.get(&peer) else { continue };
            let (answer, compare) = (link.answer_at, link.compare_at);
            if answer.is_some_and(|due| due <= now) {
                self.answer(peer, now);
            }
            if compare.is_some_and(|due| due <= now) {
                self.compare(peer, now);
                self.trim();
            }
        }
        if self.tell_at.is_some_and(|due| due <= now) {
            self.tell_changes(now);
        }
        if self.snapshot_at.is_some_and(|due| due <= now) {
            self.look_for_snapshot(self.wants_changes(), now);
        }
    }

    /// When [`Exchange::handle_timeout`] wants to be called; none while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let now = self.now?;
        let asks = self.wants_changes() && self.own.is_some();
        let links = self.links.values().flat_map(|link| {
            let ask_at = link.ask_at(&self.config, now).filter(|_| asks);
            [link.compare_at, link.answer_at, ask_at]
        });
        links.chain([self.tell_at, self.snapshot_at]).flatten().min()
    }

    /// Gives the next wish out, oldest first.
    pub fn poll_output(&mut self) -> Option<ExchangeOutput> {
        self.outputs.pop_front()
    }

    fn trim(&mut self) {
        let passed = self.passed_by_all();
        if passed != self.passed {
            self.passed = passed;
            self.outputs.push_back(ExchangeOutput::Trim);
        }
    }

    /// Whether two others are linked, as both say.
    fn are_linked(&self, one: &PeerId, two: &PeerId) -> bool {
        let says = |one, two| self.neighbours.get(one).is_some_and(|linked| linked.contains(two));
        says(one, two) && says(two, one)
    }
}

#[cfg(test)]
mod tests;

//! One engine, its clock, and short words for what a driver does.

use super::*;

pub(super) struct Desk {
    pub(super) engine: Exchange,
    pub(super) now: Instant,
    revision: u64,
}

impl Desk {
    /// In a mesh of this node and the peers 1 to 9, without links, with an empty database.
    pub(super) fn new() -> Self {
        let config = ExchangeConfig { compare_jitter: Duration::ZERO, ..ExchangeConfig::default() };
        let engine = Exchange::new(ME, config, 1, UnixMillis(1_000_000));
        let mut desk = Self { engine, now: some_instant(), revision: 0 };
        desk.engine.members((0..10).map(id).collect(), desk.now);
        desk.own(&[]);
        desk
    }

    pub(super) fn own(&mut self, origins: &[OriginHave]) {
        self.engine.own(OWN, origins.to_vec(), false, self.now);
    }

    pub(super) fn snapshot_begins(&mut self, origins: &[OriginHave]) {
        self.engine.own(OWN, origins.to_vec(), true, self.now);
    }

    /// A link is up and the peer has told what it has, in its own database and others.
    pub(super) fn linked(&mut self, peer: u8, origins: &[OriginHave]) {
        self.engine.link_up(id(peer), self.now);
        self.whole(peer, origins);
    }

    fn words(&mut self, peer: u8, origins: &[OriginHave]) -> SyncHave {
        self.revision += 1;
        SyncHave {
            member: id(peer),
            database: db(peer),
            revision: self.revision,
            origins: origins.to_vec(),
            wants_answer: false,
            is_whole: true,
            wants_changes: true,
        }
    }

    pub(super) fn said(
        &mut self,
        peer: u8,
        origins: &[OriginHave],
        change: impl FnOnce(&mut SyncHave),
    ) {
        let mut have = self.words(peer, origins);
        change(&mut have);
        self.engine.have_received(id(peer), have, self.now);
    }

    pub(super) fn whole(&mut self, peer: u8, origins: &[OriginHave]) {
        self.said(peer, origins, |_| ());
    }

    pub(super) fn acknowledged(&mut self, peer: u8, origins: &[OriginHave]) {
        self.said(peer, origins, |have| have.is_whole = false);
    }

    pub(super) fn asked(&mut self, peer: u8, origins: &[OriginHave]) {
        self.said(peer, origins, |have| have.wants_answer = true);
    }

    /// `by` says what `peer` has.
    pub(super) fn relayed(&mut self, by: u8, peer: u8, revision: u64, origins: &[OriginHave]) {
        let mut have = self.words(peer, origins);
        have.revision = revision;
        self.engine.have_received(id(by), have, self.now);
    }

    pub(super) fn neighbours(&mut self, links: &[(u8, u8)]) {
        for peer in 1..10 {
            let ends = links.iter().filter_map(|(one, two)| match peer {
                _ if *one == peer => Some(id(*two)),
                _ if *two == peer => Some(id(*one)),
                _ => None,
            });
            self.engine.neighbours(id(peer), ends.collect());
        }
    }

    /// Lets time pass, waking the engine when it wants to be.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut wakes = 0;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.engine.handle_timeout(self.now);
            wakes += 1;
            assert!(wakes < 10_000, "it wants to be woken without end");
        }
        self.now = end;
        self.engine.handle_timeout(self.now);
    }

    pub(super) fn outputs(&mut self) -> Vec<ExchangeOutput> {
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    /// What was said to a peer since the outputs were last looked at.
    pub(super) fn told(&mut self, peer: u8) -> Vec<SyncHave> {
        let mut said = Vec::new();
        for output in self.outputs() {
            if let ExchangeOutput::SendHave { to, have } = output
                && to == id(peer)
            {
                said.push(have);
            }
        }
        said
    }

    pub(super) fn snapshots(&mut self) -> Vec<PeerId> {
        let mut taken = Vec::new();
        for output in self.outputs() {
            if let ExchangeOutput::TakeSnapshot { from } = output {
                taken.push(from);
            }
        }
        taken
    }

    /// What a feeder would send to a peer: database and number, up to number 20.
    pub(super) fn feed(&self, peer: u8) -> Vec<(u8, u64)> {
        let Some(feed) = self.engine.feed_of(id(peer)) else { return Vec::new() };
        let dots = (0..10).flat_map(|database| (1..=20).map(move |number| (database, number)));
        let wanted = dots.filter(|(database, sequence)| {
            let dot = mesh_protocol::Dot { origin: db(*database), sequence: *sequence };
            feed.goal.knows(&dot) && !feed.have.knows(&dot)
        });
        wanted.collect()
    }

    pub(super) fn fed(&mut self, peer: u8, sent: &[(u8, u64)]) {
        let sent: Vec<(OriginId, u64)> =
            sent.iter().map(|(database, sequence)| (db(*database), *sequence)).collect();
        self.engine.fed(id(peer), &sent);
    }
}

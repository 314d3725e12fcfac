//! The exchange of changes of the replicated tables: what it hears, and what it wishes.

use mesh_delivery::Now;
use mesh_protocol::{Dot, OriginId, PeerId, SyncHave, VersionVector};
use mesh_sync::{Behind, ExchangeOutput, Feed};
use mesh_tables::Have;

use super::{Core, Wish};

impl Core {
    /// The database committed something, of which this came from members.
    pub(crate) fn tables_have(&mut self, have: &Have, sources: &[(Dot, PeerId)], now: Now) {
        for (dot, from) in sources {
            self.exchange.applied_from(&[(dot.origin, dot.sequence)], *from);
        }
        let Have { database, origins, in_snapshot, .. } = have;
        self.exchange.own(*database, origins.clone(), *in_snapshot, now.instant);
        self.collect(now);
    }

    /// A member says what it, or another one, has.
    pub(crate) fn have_received(&mut self, from: PeerId, have: SyncHave, now: Now) {
        self.exchange.have_received(from, have, now.instant);
        self.collect(now);
    }

    /// What a member sent cannot be applied, because something before it is missing.
    pub(crate) fn tables_missing(&mut self, from: PeerId, now: Now) {
        self.exchange.missing(from, now.instant);
        self.collect(now);
    }

    /// What was sent to a member over its link.
    pub(crate) fn tables_fed(&mut self, peer: PeerId, sent: &[(OriginId, u64)], now: Now) {
        self.exchange.fed(peer, sent);
        self.collect(now);
    }

    /// Whether this node lacks nothing that the member has, nor the other way round, as far as it has said.
    pub(crate) fn tables_in_step(&self, peer: &PeerId) -> bool {
        let behind = self.exchange.behind();
        let of_it = behind.iter().find(|behind| behind.peer == *peer);
        of_it.is_some_and(|behind| behind.they == Some(0) && behind.we == Some(0))
    }

    /// What should be sent to a member now; none when it has everything.
    pub(crate) fn tables_feed(&self, peer: &PeerId) -> Option<Feed> {
        self.exchange.feed_of(*peer)
    }

    /// A snapshot ended, one way or the other.
    pub(crate) fn tables_snapshot_ended(&mut self, from: PeerId, is_whole: bool, now: Now) {
        self.exchange.snapshot_ended(from, is_whole, now.instant);
        self.collect(now);
    }

    /// Compares with a member at once.
    pub(crate) fn tables_compare(&mut self, peer: PeerId, now: Now) {
        self.exchange.compare_now(peer, now.instant);
        self.collect(now);
    }

    /// What every member has.
    pub(crate) fn tables_passed_by_all(&self) -> VersionVector {
        self.exchange.passed_by_all()
    }

    /// How far the linked members and this node are behind each other.
    pub(crate) fn tables_behind(&self) -> Vec<Behind> {
        self.exchange.behind()
    }

    /// The member whose database an origin is; none when nobody said so.
    pub(crate) fn member_of_origin(&self, origin: &OriginId) -> Option<PeerId> {
        self.exchange.member_of(origin)
    }

    /// The members that say to be linked with this one.
    pub(crate) fn linked_with(&self, peer: &PeerId) -> Vec<PeerId> {
        self.topology.reached_by(peer)
    }

    /// Tells the exchange who says to be linked with whom.
    pub(super) fn follow_neighbours(&mut self, peers: impl IntoIterator<Item = PeerId>) {
        for peer in peers {
            let linked = self.topology.reached_by(&peer).into_iter().collect();
            self.exchange.neighbours(peer, linked);
        }
    }

    /// Hands on what the exchange has to say. True when there was something.
    pub(super) fn collect_exchange(&mut self) -> bool {
        let mut is_quiet = true;
        while let Some(output) = self.exchange.poll_output() {
            is_quiet = false;
            self.wishes.push_back(match output {
                ExchangeOutput::SendHave { to, have } => Wish::SendHave { to, have },
                ExchangeOutput::Feed { peer } => Wish::Feed { peer },
                ExchangeOutput::TakeSnapshot { from } => Wish::TakeSnapshot { from },
                ExchangeOutput::AbandonSnapshot => Wish::AbandonSnapshot,
                ExchangeOutput::Trim => Wish::TrimLog,
                ExchangeOutput::RenewOrigin { shared_upto } => Wish::RenewOrigin { shared_upto },
            });
        }
        !is_quiet
    }
}

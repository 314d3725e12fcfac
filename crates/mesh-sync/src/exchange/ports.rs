use std::time::Duration;

use mesh_protocol::{PeerId, SyncHave, VersionVector};

/// When members are told and asked. Every value has a working default.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// How often linked members tell each other everything they have.
    pub compare_every: Duration,
    /// How much sooner or later than that, at most.
    pub compare_jitter: Duration,
    /// How long acknowledgements are gathered before they go.
    pub tell_after: Duration,
    /// How long an answer is waited for when something is missing, before it is asked for again.
    pub ask_again_after: Duration,
    /// The least time between two such questions to the same member, answered or not.
    pub ask_pause: Duration,
    /// How long something that was handed to a link and is not acknowledged counts as under way. Doubles
    /// each time it was in vain.
    pub resend_after: Duration,
    /// From how many transactions on a newcomer takes the state rather than the transactions.
    pub snapshot_transactions_min: u64,
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            compare_every: Duration::from_secs(30),
            compare_jitter: Duration::from_secs(5),
            tell_after: Duration::from_secs(1),
            ask_again_after: Duration::from_secs(2),
            ask_pause: Duration::from_millis(50),
            resend_after: Duration::from_secs(10),
            snapshot_transactions_min: 10_000,
        }
    }
}

impl ExchangeConfig {
    /// Makes intervals of zero harmless: they would keep the driver busy for nothing.
    pub(super) fn clamped(mut self) -> Self {
        const LEAST: Duration = Duration::from_millis(1);
        for interval in [
            &mut self.compare_every,
            &mut self.tell_after,
            &mut self.ask_again_after,
            &mut self.ask_pause,
            &mut self.resend_after,
        ] {
            *interval = (*interval).max(LEAST);
        }
        self.compare_jitter = self.compare_jitter.min(self.compare_every / 2);
        self
    }
}

/// What [`Exchange`](super::Exchange) wants to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeOutput {
    /// A linked member is to hear this.
    SendHave {
        /// Who.
        to: PeerId,
        /// What.
        have: SyncHave,
    },
    /// There is something to send to a linked member: see [`Exchange::feed_of`](super::Exchange::feed_of).
    Feed {
        /// Who.
        peer: PeerId,
    },
    /// The state is to be taken from a linked member. Ends with
    /// [`Exchange::snapshot_ended`](super::Exchange::snapshot_ended), whatever becomes of it, or with the link.
    TakeSnapshot {
        /// From whom.
        from: PeerId,
    },
    /// The taking of the state that was begun is to end with what has come of it: whoever is a member has
    /// begun one, too, and nobody could give the rest. Wished for again as long as
    /// [`Exchange::own`](super::Exchange::own) tells that it goes on.
    AbandonSnapshot,
    /// What every member has may have grown: see [`Exchange::passed_by_all`](super::Exchange::passed_by_all).
    Trim,
    /// The database is an old copy of itself, or another's: it needs a new origin, and nothing is sent
    /// until [`Exchange::own`](super::Exchange::own) tells of one. Wished for once.
    RenewOrigin {
        /// Its own transactions up to this number are those that others have under these names; later ones
        /// have to move to the new origin.
        shared_upto: u64,
    },
}

/// What a link's feeder is to send: every transaction that `goal` knows and `have` does not, in the order in
/// which they were applied here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// What the peer has, keeps aside, or has been sent.
    pub have: VersionVector,
    /// What it is to have.
    pub goal: VersionVector,
}

/// How far a linked member and this one are apart, in transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The member.
    pub peer: PeerId,
    /// How many it has not applied that are applied here, as far as it has said. None before it has said
    /// what it has.
    pub they: Option<u64>,
    /// How many it has that are not applied here.
    pub we: Option<u64>,
}

//! Who has joined writes nothing before it has what the others had.
//!
//! A deletion is forgotten when every member has applied it. A write of somebody who knows nothing of it, and came
//! later than that, would bring the row back where it is forgotten and lose where it is not: the tables would differ
//! for good. So they would when it wrote between the pieces of a snapshot: what it changed then rests on rows of which it
//! cannot say that it knows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_protocol::{ErrorCode, OriginId, PeerId, SyncHave};
use mesh_tables::Have;

use crate::NodeError;
use crate::shared::Shared;

/// How long a write waits; what is there by then is a few thousand transactions, or the beginning of much.
const WAIT: Duration = Duration::from_secs(20);

/// How far somebody has come who has joined, or takes over a member's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Newcomer {
    /// It has what the others had.
    #[default]
    Settled,
    /// No member has said yet what there is.
    Unheard,
    /// Somebody had more.
    Lacking(Lack),
}

/// What is still to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lack {
    /// The first member that said what there is; none while it is but a snapshot that is being taken.
    said_by: Option<PeerId>,
    /// What that one had, by database.
    wanted: BTreeMap<OriginId, u64>,
}

impl Newcomer {
    /// Whether it is but taking a snapshot.
    fn lacks_nothing(&self) -> bool {
        matches!(self, Self::Lacking(lack) if lack.wanted.is_empty())
    }

    /// A member has said everything that it has. What one had who is none any more may never come.
    fn heard(&mut self, said: &SyncHave, is_member: impl Fn(&PeerId) -> bool) {
        let is_first = match self {
            Self::Settled => false,
            Self::Unheard => true,
            Self::Lacking(lack) => lack.said_by.is_some_and(|member| !is_member(&member)),
        };
        if is_first {
            let others = said.origins.iter().map(|theirs| (theirs.origin, theirs.upto));
            *self = Self::Lacking(Lack { said_by: Some(said.member), wanted: others.collect() });
        }
    }

    /// What is kept aside counts as had: a clock that is ahead must not stop anybody.
    fn has(&mut self, own: &Have) {
        if *self == Self::Settled && own.in_snapshot {
            *self = Self::Lacking(Lack::default());
        }
        let Self::Lacking(Lack { wanted, .. }) = self else { return };
        let upto: BTreeMap<OriginId, u64> =
            own.origins.iter().map(|had| (had.origin, had.upto)).collect();
        let is_had = |(origin, wanted): (&OriginId, &u64)| {
            upto.get(origin).is_some_and(|upto| upto >= wanted)
        };
        if !own.in_snapshot && wanted.iter().all(is_had) {
            *self = Self::Settled;
        }
    }
}

impl Shared {
    /// This node has joined others.
    pub(crate) fn begin_as_newcomer(&self) {
        self.replication.newcomer.send_replace(Newcomer::Unheard);
    }

    /// Whether this node joined, and was stopped before it had anything of the others. A founder joined nobody.
    pub(super) fn is_still_new(&self) -> bool {
        let view = self.view();
        let has_joined = view.verdict.member(&self.me).is_some_and(|me| me.sponsor.is_some());
        let have = self.replication.tables.have();
        let have = have.borrow();
        has_joined && have.origins.iter().all(|had| had.origin == have.database || had.upto == 0)
    }

    pub(super) fn newcomer_heard(&self, said: &SyncHave) {
        let view = self.view();
        self.come_further(|newcomer| newcomer.heard(said, |peer| view.verdict.is_member(peer)));
    }

    /// Something was committed, or said.
    pub(super) fn newcomer_has(&self) {
        let own = Arc::clone(&self.replication.tables.have().borrow());
        self.come_further(|newcomer| newcomer.has(&own));
    }

    fn come_further(&self, step: impl FnOnce(&mut Newcomer)) {
        self.replication.newcomer.send_if_modified(|newcomer| {
            let before = newcomer.clone();
            step(newcomer);
            *newcomer != before
        });
    }

    /// Waits until this node may write what is replicated.
    pub(crate) async fn wait_until_settled(&self) -> Result<(), NodeError> {
        let mut newcomer = self.replication.newcomer.subscribe();
        let is_settled = |newcomer: &Newcomer| *newcomer == Newcomer::Settled;
        if is_settled(&newcomer.borrow()) || self.view().others().next().is_none() {
            return Ok(());
        }
        match tokio::time::timeout(WAIT, newcomer.wait_for(is_settled)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(NodeError::stopping()),
            // Of a snapshot perhaps no piece has come: the tables know that.
            Err(_) if self.replication.newcomer.borrow().lacks_nothing() => Ok(()),
            Err(_) => Err(self.too_new()),
        }
    }

    fn too_new(&self) -> NodeError {
        let detail = match &*self.replication.newcomer.borrow() {
            Newcomer::Unheard => "no member has told it yet what there is",
            Newcomer::Settled | Newcomer::Lacking(_) => "it is taking them over",
        };
        let message = format!(
            "this agent does not have the tables of the mesh yet: {detail}; nothing was changed"
        );
        NodeError::new(ErrorCode::RateLimited, message)
            .with_hint("try again in a while; `mesh-ctl status` says how far it has come")
    }
}

#[cfg(test)]
mod tests;

//! Expelling members, alone or with others.

use std::sync::Arc;

use mesh_membership::{Member, RemovalPlan};
use mesh_protocol::{
    Admission, ErrorCode, MeshId, PeerId, Record, RecordId, Removal, TokenId, UnixMillis,
    VerifiedRecord,
};

use crate::clock;
use crate::error::NodeError;
use crate::shared::{Shared, lock};

impl Shared {
    /// Asks for the removal of a member. It is one at once where this node's word is enough, or where it
    /// was the last that was missing; the view tells.
    pub(crate) async fn remove_peer(
        self: &Arc<Self>,
        name: &str,
        reason: String,
    ) -> Result<Member, NodeError> {
        let now = clock::now().wall;
        let view = self.view();
        view.check_member()?;
        let peer = view.resolve(name, now)?.peer;
        if peer == self.me {
            return Err(NodeError::new(
                ErrorCode::BadRequest,
                "an agent cannot remove itself; nothing was done",
            )
            .with_hint("run `mesh-ctl peers remove` on another member"));
        }
        if reason.len() > mesh_protocol::TEXT_BYTES_MAX {
            return Err(NodeError::new(
                ErrorCode::BadRequest,
                "the reason is longer than 1,024 bytes; nothing was done",
            ));
        }
        let Some(member) = view.verdict.member(&peer).cloned() else {
            return Err(NodeError::new(ErrorCode::UnknownPeer, "the peer is no member any more"));
        };
        let has_asked = |pending: &mesh_membership::Pending| pending.by.contains(&self.me);
        if view.verdict.pending_removal_of(&peer).is_some_and(has_asked) {
            return Ok(member);
        }
        let (plan, lost, removed_at) = {
            let core = lock(&self.core);
            let membership = core.membership();
            let plan = membership.plan_removal(&peer, &self.me);
            let lost =
                plan.lost.iter().map(|subject| (*subject, membership.plan_admission(subject)));
            let lost: Vec<(PeerId, Vec<RecordId>)> = lost.collect();
            (plan, lost, membership.date_for(&self.me, now))
        };
        if !plan.has_vote {
            return Err(NodeError::new(
                ErrorCode::BadRequest,
                "in this mesh several members have to ask for a removal, and those alone whom its founder admitted; nothing was done",
            )
            .with_hint("run `mesh-ctl peers remove` on the founder, and on members that joined with its tokens"));
        }
        if !plan.is_effective && !plan.pending.as_ref().is_some_and(has_asked) {
            return Err(NodeError::new(
                ErrorCode::NotAMember,
                format!("a removal by {name} outranks one by this agent; nothing was done"),
            )
            .with_hint("remove it on a member that is closer to the mesh's founder"));
        }
        let mut records = self.vouch_for(view.mesh_id, lost, removed_at)?;
        let RemovalPlan { standing, .. } = plan;
        records.push(self.sign(&Record::Removal(Removal {
            mesh_id: view.mesh_id,
            subject: peer,
            remover: self.me,
            removed_at,
            reason,
            standing,
        }))?);
        self.insert_verified(records, None).await?;
        Ok(member)
    }

    /// A removal can name only so many admissions that stand; the rest are vouched for anew.
    fn vouch_for(
        &self,
        mesh_id: MeshId,
        lost: Vec<(PeerId, Vec<RecordId>)>,
        admitted_at: UnixMillis,
    ) -> Result<Vec<VerifiedRecord>, NodeError> {
        let admissions = lost.into_iter().map(|(subject, overrides)| {
            self.sign(&Record::Admission(Admission {
                mesh_id,
                subject,
                sponsor: self.me,
                token_id: TokenId::from_bytes([0; TokenId::LEN]),
                admitted_at,
                overrides,
            }))
        });
        admissions.collect()
    }
}

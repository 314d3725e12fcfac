//! Joining a mesh.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mesh_control::JoinStep;
use mesh_crypto::{JoinToken, Verifier};
use mesh_membership::{Inserted, Membership};
use mesh_protocol::{
    ErrorCode, Frame, JoinReply, JoinRequest, MeshId, Record, Refused, SignedRecord,
    VerifiedRecord, VersionRange,
};
use mesh_store::NewMesh;
use mesh_transport::JoinRoute;
use serde_json::json;

use crate::clock;
use crate::error::{NodeError, chain};
use crate::records::stored;
use crate::shared::Shared;
use crate::view::View;

/// How long a join waits for links with the members; those that are away link when they are back.
const LINK_WAIT: Duration = Duration::from_secs(3);

/// A step of a join that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinStepDone {
    /// Which.
    pub step: JoinStep,
    /// For people.
    pub detail: String,
}

/// What a join led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The mesh.
    pub mesh_id: MeshId,
    /// Its members, this node included.
    pub members: usize,
    /// Members that were linked when the join returned, this node not included.
    pub linked: usize,
}

/// The records of a mesh, checked.
struct CheckedMesh {
    membership: Membership,
    records: Vec<VerifiedRecord>,
}

fn check_records(mesh_id: MeshId, signed: Vec<SignedRecord>) -> Result<CheckedMesh, NodeError> {
    let wrong = |why: &str| {
        NodeError::new(
            ErrorCode::TokenInvalid,
            format!(
                "the issuer's answer does not prove the token's mesh: {why}; nothing was changed"
            ),
        )
        .with_hint("ask for a new token; if this repeats, the issuer is not to be trusted")
    };
    let mut records = Vec::with_capacity(signed.len());
    for record in signed {
        records.push(record.verify(&Verifier).map_err(|error| wrong(&error.to_string()))?);
    }
    let founding = records
        .iter()
        .find(|record| {
            matches!(record.record(), Record::Founding(_)) && record.mesh_id() == mesh_id
        })
        .ok_or_else(|| wrong("the founding record is missing"))?;
    let mut membership =
        Membership::new(founding.clone()).map_err(|error| wrong(&error.to_string()))?;
    for record in &records {
        if let Inserted::Refused(reason) = membership.insert(record.clone()) {
            return Err(wrong(&format!("a record was refused ({reason:?})")));
        }
    }
    Ok(CheckedMesh { membership, records })
}

fn refusal(refused: &Refused) -> NodeError {
    let hint = if matches!(
        refused.code,
        ErrorCode::TokenExpired
            | ErrorCode::TokenUsed
            | ErrorCode::TokenRevoked
            | ErrorCode::TokenInvalid
    ) {
        "ask a member for a new token (`mesh-ctl token create`)"
    } else if refused.code == ErrorCode::HostnameTaken {
        "rename this agent first (`mesh-ctl hostname NEW`, or start it with `--hostname NEW` when it was removed from a mesh), then join with the same token"
    } else if refused.code == ErrorCode::VersionUnsupported {
        "update the older of the two agents"
    } else if refused.code == ErrorCode::NotAMember {
        "the issuer was removed from its mesh; ask another member for a token"
    } else {
        ""
    };
    NodeError::new(
        refused.code,
        format!("the issuer refused: {}; nothing was changed here", refused.message),
    )
    .with_hint(hint)
}

impl Shared {
    /// Joins the mesh of the token's issuer, telling each step as it is done.
    pub(crate) async fn join(
        self: &Arc<Self>,
        text: &str,
        told: &(dyn Fn(JoinStepDone) + Send + Sync),
    ) -> Result<Joined, NodeError> {
        let step = |step, detail: String| told(JoinStepDone { step, detail });
        let _gate = self.admission_gate.lock().await;
        let token = self.check_token(text)?;
        step(
            JoinStep::TokenChecked,
            format!(
                "the token is whole and in time: mesh {}, issuer {}",
                token.mesh_id.short(),
                token.issuer.short()
            ),
        );
        let before = self.view();
        self.check_free_to_join(&before, &token)?;
        let reply = self.ask_issuer(&before, &token).await?;
        step(
            JoinStep::IssuerReached,
            format!("the issuer answered and proved the key {}", token.issuer.short()),
        );
        let checked = check_records(token.mesh_id, reply.records)?;
        let verdict = checked.membership.verdict();
        if !verdict.is_member(&self.me) || !verdict.is_member(&token.issuer) {
            return Err(NodeError::new(
                ErrorCode::TokenInvalid,
                "the issuer's records do not admit this agent; nothing was changed",
            ));
        }
        let issuer = verdict.member(&token.issuer).map(|member| member.hostname.to_string());
        step(JoinStep::Admitted, format!("admitted by {}", issuer.unwrap_or_default()));
        let names: Vec<String> =
            verdict.members().values().map(|member| member.hostname.to_string()).collect();
        step(
            JoinStep::PeersReceived,
            format!("received and checked {} members: {}", names.len(), names.join(", ")),
        );
        self.enter_mesh(checked).await?;
        step(JoinStep::PeersStored, format!("stored {} members", names.len()));
        let linked = self.wait_for_links().await;
        step(
            JoinStep::MembersLinked,
            format!("linked with {linked} of {} members", names.len().saturating_sub(1)),
        );
        Ok(Joined { mesh_id: token.mesh_id, members: names.len(), linked })
    }

    fn check_token(&self, text: &str) -> Result<JoinToken, NodeError> {
        let token = JoinToken::parse(text).map_err(|error| {
            NodeError::new(error.code(), format!("{error}; nothing was changed"))
                .with_hint("copy the whole text that `mesh-ctl token create` printed")
        })?;
        if token.expires_at <= clock::now().wall {
            return Err(NodeError::new(ErrorCode::TokenExpired, "the token's time is over; nothing was changed")
                .with_hint("ask a member for a new token; if it was just made, compare the two machines' clocks"));
        }
        if token.issuer == self.me {
            return Err(NodeError::new(
                ErrorCode::BadRequest,
                "this agent issued the token itself; nothing was changed",
            )
            .with_hint("run the command on the machine that is to join"));
        }
        Ok(token)
    }

    fn check_free_to_join(&self, view: &View, token: &JoinToken) -> Result<(), NodeError> {
        if view.is_removed() || view.mesh_id == token.mesh_id {
            return Ok(());
        }
        let others = view.others().count();
        if others > 0 {
            return Err(NodeError::new(
                ErrorCode::AlreadyMember,
                format!("this agent is in mesh {} with {others} other members; nothing was changed", view.mesh_id.short()),
            )
            .with_hint("an agent is in one mesh: have a member remove this one first, or use another data directory"));
        }
        Ok(())
    }

    async fn ask_issuer(&self, view: &View, token: &JoinToken) -> Result<JoinReply, NodeError> {
        let member = view.verdict.member(&self.me);
        let (hostname, revision) = match member {
            Some(member) if view.mesh_id == token.mesh_id => {
                (member.hostname.clone(), member.revision.saturating_add(1))
            }
            Some(member) => (member.hostname.clone(), 1),
            None => (self.configured_hostname(), 1),
        };
        let profile = self.make_profile(token.mesh_id, hostname, Vec::new(), revision)?;
        let request = Frame::JoinRequest(JoinRequest {
            versions: VersionRange::SUPPORTED,
            token_id: token.token_id,
            secret: *token.secret().bytes(),
            profile: profile.signed().clone(),
        });
        let call =
            self.transport.join_call(token.issuer, &token.addresses, JoinRoute::Join, request);
        match call.await {
            Ok(Frame::JoinReply(reply)) if reply.issuer == token.issuer => Ok(reply),
            Ok(Frame::Refused(refused)) => Err(refusal(&refused)),
            Ok(_) => Err(NodeError::new(
                ErrorCode::ProtocolError,
                "the issuer answered with something else; nothing was changed here",
            )),
            Err(error) => {
                let tried: Vec<String> = token.addresses.iter().map(ToString::to_string).collect();
                Err(NodeError::new(
                    ErrorCode::IssuerUnreachable,
                    format!("no answer from the issuer at {}: {}", tried.join(", "), chain(&error)),
                )
                .with_hint("is the issuer running, and is its port open to this machine? The same token can be tried again"))
            }
        }
    }

    /// Makes the issuer's records this node's.
    ///
    /// In a task of its own: a caller that gives up must not leave memory and disk in two meshes.
    async fn enter_mesh(self: &Arc<Self>, checked: CheckedMesh) -> Result<(), NodeError> {
        let shared = Arc::clone(self);
        let entered = self.tasks.isolate(async move {
            let view = shared.view();
            if view.mesh_id == checked.membership.mesh_id() && !view.is_removed() {
                // A member that repeats its join keeps its outbox, tokens and secrets.
                shared.insert_verified(checked.records, None).await?;
            } else {
                shared.replace_mesh(checked).await?;
            }
            let _is_new = shared.refresh_profile(None).await?;
            let view = shared.view();
            let members = view.verdict.members().len();
            let detail = json!({ "mesh_id": view.mesh_id, "members": members });
            shared.emit_audited(clock::now().wall, "joined_mesh", Some(shared.me), detail);
            Ok(())
        });
        entered.await.unwrap_or_else(|_| Err(NodeError::stopping()))
    }

    /// Leaves one mesh for another: on disk in one transaction, then in memory.
    async fn replace_mesh(self: &Arc<Self>, checked: CheckedMesh) -> Result<(), NodeError> {
        let mut unstored = self.membership_gate.lock().await;
        let kept: BTreeSet<_> = checked.membership.record_ids().into_iter().collect();
        let records = checked
            .records
            .iter()
            .filter(|record| kept.contains(&record.id()))
            .map(|record| stored(record, None))
            .collect();
        self.store.replace_mesh(NewMesh { records }).await.map_err(NodeError::storage)?;
        self.membership_gate.catch_up(&mut unstored);
        self.begin_as_newcomer();
        // What the database has forgotten must not be offered to anybody.
        self.keyring().forget_all_peers();
        self.bodies().clear();
        self.drive(|core, now| {
            self.set_view(View::new(self.me, &checked.membership));
            core.replace_mesh(checked.membership, now);
        });
        self.sync_peer_rows().await
    }

    async fn wait_for_links(&self) -> usize {
        let mut changes = self.links_changed.subscribe();
        let all_linked = async {
            loop {
                let _changes = changes.borrow_and_update();
                drop(_changes);
                let view = self.view();
                let links = self.links().len();
                if links >= view.others().count() || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _in_time = tokio::time::timeout(LINK_WAIT, all_linked).await;
        self.links().len()
    }
}

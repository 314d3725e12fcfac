//! Joining a mesh, and admitting whoever joins through this node.

use std::sync::Arc;
use std::time::Duration;

use mesh_control::JoinStep;
use mesh_crypto::{JoinToken, Verifier, token_secret_matches};
use mesh_membership::{Inserted, Membership};
use mesh_protocol::{
    Admission, ErrorCode, Frame, Hostname, Introduce, JoinReply, JoinRequest, MeshId, PeerId,
    Record, Records, Refused, SignedRecord, TokenId, VerifiedRecord, VersionRange,
};
use mesh_store::{NewMesh, Redeem};
use mesh_transport::{JoinCall, JoinRoute};
use serde_json::json;

use crate::clock;
use crate::error::{NodeError, chain};
use crate::records::stored;
use crate::shared::{Shared, lock};
use crate::view::View;

/// How long a join waits for links with the members; those that are away link when they are back.
const LINK_WAIT: Duration = Duration::from_secs(3);

/// Removals that a removed peer is shown at the most.
const OWN_REMOVALS_MAX: usize = 16;

/// Why somebody at the join port is turned away.
type Refusal = (ErrorCode, &'static str);

/// What somebody at the join port is told.
type Answer = Result<Frame, Refusal>;

const STORAGE: Refusal = (ErrorCode::StorageError, "the issuer's database refused");
const INVALID: Refusal = (ErrorCode::TokenInvalid, "the issuer does not know this token");

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
        "rename this agent first (`mesh-ctl hostname NEW`), then join with the same token"
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

/// Checks that a joiner shows its own profile for this mesh.
fn check_profile(
    profile: SignedRecord,
    joiner: PeerId,
    mesh_id: MeshId,
) -> Result<VerifiedRecord, Refusal> {
    let profile = profile
        .verify(&Verifier)
        .map_err(|_| (ErrorCode::BadRequest, "the profile is not signed by the joiner"))?;
    match profile.record() {
        Record::Profile(claimed) if claimed.peer == joiner && claimed.mesh_id == mesh_id => {
            Ok(profile)
        }
        Record::Profile(_) => {
            Err((ErrorCode::BadRequest, "the profile is somebody else's or for another mesh"))
        }
        Record::Founding(_) | Record::Admission(_) | Record::Removal(_) => {
            Err((ErrorCode::BadRequest, "the profile is another kind of record"))
        }
    }
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

    /// Leaves the mesh of one for the new mesh: on disk in one transaction, then in memory.
    async fn enter_mesh(self: &Arc<Self>, checked: CheckedMesh) -> Result<(), NodeError> {
        {
            let _gate = self.membership_gate.lock().await;
            let kept: Vec<_> = checked.membership.record_ids();
            let records = checked
                .records
                .iter()
                .filter(|record| kept.contains(&record.id()))
                .map(|record| stored(record, None))
                .collect();
            self.store.replace_mesh(NewMesh { records }).await.map_err(NodeError::storage)?;
            self.bodies().clear();
            self.drive(|core, now| {
                self.set_view(View::new(self.me, &checked.membership));
                core.replace_mesh(checked.membership, now);
            });
            self.sync_peer_rows().await?;
        }
        self.refresh_profile(None).await?;
        let now = clock::now().wall;
        let view = self.view();
        let detail = json!({ "mesh_id": view.mesh_id, "members": view.verdict.members().len() });
        self.emit_audited(now, "joined_mesh", Some(self.me), detail);
        Ok(())
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

    /// Answers whoever knocks at the join port.
    pub(crate) async fn answer_join_call(self: Arc<Self>, call: JoinCall) {
        let peer = call.peer;
        let answer = match (call.route, call.frame.clone()) {
            (JoinRoute::Join, Frame::JoinRequest(request)) => self.admit(peer, request).await,
            (JoinRoute::Introduce, Frame::Introduce(introduce)) => self.meet(peer, introduce).await,
            (JoinRoute::Join | JoinRoute::Introduce, _) => {
                Err((ErrorCode::BadRequest, "this route takes another frame"))
            }
        };
        call.answer(answer.unwrap_or_else(|(code, message)| {
            tracing::info!(peer = %peer.short(), %code, "refused at the join port");
            Frame::Refused(Refused { code, message: message.to_owned() })
        }));
    }

    /// Admits a joiner that shows a good token.
    async fn admit(self: &Arc<Self>, joiner: PeerId, request: JoinRequest) -> Answer {
        let version = request
            .versions
            .negotiate(VersionRange::SUPPORTED)
            .ok_or((ErrorCode::VersionUnsupported, "no protocol version in common"))?;
        let _gate = self.admission_gate.lock().await;
        let view = self.view();
        if view.is_removed() {
            return Err((ErrorCode::NotAMember, "the issuer was removed from its mesh"));
        }
        let token = self.store.token(&request.token_id).await.map_err(|_| STORAGE)?;
        // Unknown id and wrong secret are one answer: neither tells a guesser anything.
        let token = token
            .filter(|token| {
                token_secret_matches(&token.secret_hash, &request.token_id, &request.secret)
            })
            .ok_or(INVALID)?;
        let profile = check_profile(request.profile, joiner, view.mesh_id)?;
        let Record::Profile(claimed) = profile.record() else { return Err(INVALID) };
        let is_back = token.used_by == Some(joiner);
        let mut members = view.verdict.members().values();
        if !is_back
            && members.any(|held| held.peer_id != joiner && held.hostname == claimed.hostname)
        {
            return Err((ErrorCode::HostnameTaken, "another member has this hostname"));
        }
        let hostname = claimed.hostname.clone();
        self.redeem(&view, joiner, request.token_id, profile, &hostname).await?;
        let records =
            lock(&self.core).membership().records().map(|record| record.signed().clone()).collect();
        Ok(Frame::JoinReply(JoinReply { version, issuer: self.me, records }))
    }

    /// Spends the token and admits the joiner in one transaction, then tells the members.
    async fn redeem(
        self: &Arc<Self>,
        view: &View,
        joiner: PeerId,
        token_id: TokenId,
        profile: VerifiedRecord,
        hostname: &Hostname,
    ) -> Result<(), Refusal> {
        let now = clock::now().wall;
        let (overrides, admitted_at) = {
            let core = lock(&self.core);
            let membership = core.membership();
            (membership.plan_admission(&joiner), membership.date_for(&self.me, now))
        };
        let admission = Admission {
            mesh_id: view.mesh_id,
            subject: joiner,
            sponsor: self.me,
            token_id,
            admitted_at,
            overrides,
        };
        let admission = self
            .sign(&Record::Admission(admission))
            .map_err(|_| (ErrorCode::Internal, "the admission cannot be signed"))?;
        let rows = vec![stored(&admission, None), stored(&profile, None)];
        let redeemed = self.store.redeem_token(token_id, joiner, now, rows).await;
        match redeemed.map_err(|_| STORAGE)? {
            Redeem::Spent => {
                let detail =
                    json!({ "token_id": token_id, "used_by": joiner, "hostname": hostname });
                self.emit_audited(now, "token_used", Some(joiner), detail);
                self.insert_verified(vec![admission, profile], None).await.map_err(|_| STORAGE)
            }
            // The joiner lost the reply and repeats: the same key with the same token gets the same answer.
            Redeem::AlreadyMine if view.verdict.is_member(&joiner) => {
                self.insert_verified(vec![profile], None).await.map_err(|_| STORAGE)
            }
            Redeem::AlreadyMine | Redeem::Used => {
                Err((ErrorCode::TokenUsed, "the token has admitted a peer already"))
            }
            Redeem::Revoked => Err((ErrorCode::TokenRevoked, "the token was revoked")),
            Redeem::Expired => Err((ErrorCode::TokenExpired, "the token's time is over")),
            Redeem::Unknown => Err(INVALID),
        }
    }

    /// Takes in a member that this node has not heard of yet, when its records prove it one.
    async fn meet(self: &Arc<Self>, peer: PeerId, introduce: Introduce) -> Answer {
        const REFUSED: (ErrorCode, &str) = (ErrorCode::NotAMember, "not a member of this mesh");
        let view = self.view();
        if view.is_removed() || introduce.mesh_id != view.mesh_id {
            return Err(REFUSED);
        }
        if view.verdict.is_member(&peer) {
            return Ok(Frame::Records(Records { records: Vec::new() }));
        }
        let mut verified = Vec::with_capacity(introduce.records.len());
        for record in introduce.records {
            verified.push(record.verify(&Verifier).map_err(|_| REFUSED)?);
        }
        // Tried on a copy: records of a stranger must not make this node's set grow.
        let mut trial = lock(&self.core).membership().clone();
        for record in &verified {
            let _outcome = trial.insert(record.clone());
        }
        if !trial.verdict().is_member(&peer) {
            return self.own_removals(&peer).ok_or(REFUSED);
        }
        let theirs: Vec<_> = verified.iter().map(VerifiedRecord::id).collect();
        self.insert_verified(verified, None)
            .await
            .map_err(|_| (ErrorCode::StorageError, "the member's database refused"))?;
        let mut records = lock(&self.core).membership().missing_from(&theirs);
        records.truncate(mesh_protocol::RECORDS_PER_FRAME_MAX);
        Ok(Frame::Records(Records { records }))
    }

    /// What a removed peer is told: its own removals, so that it knows, and nothing else of the mesh.
    fn own_removals(&self, peer: &PeerId) -> Option<Frame> {
        let core = lock(&self.core);
        let removals = core.membership().records().filter(|record| {
            matches!(record.record(), Record::Removal(removal) if removal.subject == *peer)
        });
        let records: Vec<SignedRecord> =
            removals.map(|record| record.signed().clone()).take(OWN_REMOVALS_MAX).collect();
        (!records.is_empty()).then_some(Frame::Records(Records { records }))
    }
}

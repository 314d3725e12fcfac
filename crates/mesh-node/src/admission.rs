//! The join port: admitting whoever joins through this node, and meeting members it has not heard of.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_crypto::{Verifier, token_secret_matches};
use mesh_protocol::{
    Admission, ErrorCode, FRAME_BODY_BYTES_MAX, Frame, Hostname, Introduce, JOIN_BODY_BYTES_MAX,
    JOIN_RECORDS_MAX, JoinReply, JoinRequest, MeshId, PeerId, Record, Records, Refused,
    SignedRecord, TokenId, VerifiedRecord, VersionRange,
};
use mesh_store::Redeem;
use mesh_transport::{JoinCall, JoinRoute};
use serde_json::json;

use crate::clock;
use crate::records::stored;
use crate::shared::{Shared, lock};
use crate::view::View;

/// Removals that a removed peer is shown at the most.
const OWN_REMOVALS_MAX: usize = mesh_protocol::REMOVE_QUORUM_MAX as usize;

/// Signer, signature and lengths of a record, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// Records in the answer to a joiner, which has to fit one frame.
const JOIN_RECORDS_BYTES_MAX: usize = FRAME_BODY_BYTES_MAX - 1024;

/// Records in an introduction, which a join port has to take.
pub(crate) const PROOF_BYTES_MAX: usize = JOIN_BODY_BYTES_MAX - 1024;

/// Why somebody at the join port is turned away.
type Refusal = (ErrorCode, &'static str);

/// What somebody at the join port is told.
type Answer = Result<Frame, Refusal>;

const STORAGE: Refusal = (ErrorCode::StorageError, "the issuer's database refused");
const INVALID: Refusal = (ErrorCode::TokenInvalid, "the issuer does not know this token");

/// As many of `records`, from the first on, as have room in `bytes_max`.
pub(crate) fn fitting(
    records: impl Iterator<Item = SignedRecord>,
    bytes_max: usize,
) -> impl Iterator<Item = SignedRecord> {
    let mut bytes = 0_usize;
    records.take_while(move |record| {
        bytes = bytes.saturating_add(record.body.len() + RECORD_OVERHEAD_BYTES);
        bytes <= bytes_max
    })
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
        let is_unspent = token.used_by.is_none()
            && token.revoked_at.is_none()
            && token.expires_at > clock::now().wall;
        if is_unspent && view.verdict.is_member(&joiner) {
            // A member that joins once more needs no token, so it spends none.
            self.insert_verified(vec![profile], None).await.map_err(|_| STORAGE)?;
        } else {
            let hostname = claimed.hostname.clone();
            self.redeem(&view, joiner, request.token_id, profile, &hostname).await?;
        }
        let records = self.records_for(&joiner);
        Ok(Frame::JoinReply(JoinReply { version, issuer: self.me, records }))
    }

    /// Every record, or of a mesh that is too large for one answer what proves the joiner and this node
    /// members, and as much beyond as fits. The rest comes over the link.
    fn records_for(&self, joiner: &PeerId) -> Vec<SignedRecord> {
        let core = lock(&self.core);
        let membership = core.membership();
        let proofs = membership.proof_of(joiner).into_iter().chain(membership.proof_of(&self.me));
        let all = proofs.chain(membership.missing_from(&[]));
        let mut seen = BTreeSet::new();
        let fresh = all.filter(|record| seen.insert(*record.signature.as_bytes()));
        fitting(fresh, JOIN_RECORDS_BYTES_MAX).take(JOIN_RECORDS_MAX).collect()
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
        let records = lock(&self.core).membership().removals_to_show(peer, OWN_REMOVALS_MAX);
        (!records.is_empty()).then_some(Frame::Records(Records { records }))
    }
}

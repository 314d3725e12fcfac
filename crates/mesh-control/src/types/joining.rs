use mesh_protocol::{MeshId, TokenId, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{PeerRef, PeerView};

/// Asks for a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreate {
    /// Lifetime; none means 24 hours.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// For people; at most 1,024 bytes.
    #[serde(default)]
    pub note: String,
}

/// A new token. The only time that its text is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// The text to hand to the joiner. A secret.
    pub token: String,
    /// Names the token without revealing it.
    pub token_id: TokenId,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl std::fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCreated").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It admits one peer.
    Unused,
    /// It has admitted one.
    Used,
    /// Its time is over.
    Expired,
    /// It was withdrawn.
    Revoked,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Names the token.
    pub token_id: TokenId,
    /// For people.
    pub note: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends.
    pub expires_at: UnixMillis,
    /// What became of it.
    pub state: TokenState,
    /// The member that it admitted.
    pub used_by: Option<PeerRef>,
}

/// Asks to join.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequestBody {
    /// The token's text. A secret.
    pub token: String,
}

impl std::fmt::Debug for JoinRequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequestBody").finish_non_exhaustive()
    }
}

/// The six steps of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStep {
    /// The token's text is whole and its time is not over.
    TokenChecked,
    /// The issuer answered and proved its key.
    IssuerReached,
    /// The issuer admitted this agent.
    Admitted,
    /// The full list of members was received and checked.
    PeersReceived,
    /// The members are stored.
    PeersStored,
    /// The members that could be reached know this agent and are linked with it.
    MembersLinked,
}

/// What happens during a join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum JoinProgress {
    /// A step is done.
    Step {
        /// Which.
        step: JoinStep,
        /// Its number, from 1.
        number: u8,
        /// How many there are.
        total: u8,
        /// For people.
        detail: String,
    },
    /// This agent is a member.
    Done {
        /// The mesh.
        mesh_id: MeshId,
        /// Its members.
        peers: Vec<PeerView>,
    },
    /// The join failed; this agent is in the mesh it was in before, unless the text says otherwise.
    Failed {
        /// Why.
        error: crate::ApiError,
    },
}

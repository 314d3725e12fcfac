//! Join tokens of this node: made, listed, withdrawn.

use std::sync::Arc;
use std::time::Duration;

use mesh_crypto::{JoinToken, TokenSecret};
use mesh_protocol::{ErrorCode, TokenId, UnixMillis};
use mesh_store::{RevokeOutcome, TokenRow};
use rand::Rng as _;
use serde_json::json;
use zeroize::Zeroizing;

use crate::clock;
use crate::config::TOKEN_TTL;
use crate::error::NodeError;
use crate::shared::Shared;

/// A token lives a year at the most.
const TOKEN_TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A new join token.
#[derive(Debug)]
pub struct IssuedToken {
    /// The text to hand to the joiner. A secret, and the only copy of it.
    pub text: Zeroizing<String>,
    /// Names the token without revealing it.
    pub token_id: TokenId,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl Shared {
    pub(crate) async fn create_token(
        self: &Arc<Self>,
        ttl: Option<Duration>,
        note: String,
    ) -> Result<IssuedToken, NodeError> {
        let view = self.view();
        view.check_member()?;
        let ttl = ttl.unwrap_or(TOKEN_TTL);
        if ttl < Duration::from_secs(1) || ttl > TOKEN_TTL_MAX {
            return Err(NodeError::new(
                ErrorCode::BadRequest,
                "a token lives between a second and a year; none was made",
            ));
        }
        if note.len() > mesh_protocol::TEXT_BYTES_MAX {
            return Err(NodeError::new(
                ErrorCode::BadRequest,
                "the note is longer than 1,024 bytes; no token was made",
            ));
        }
        let now = clock::now().wall;
        let expires_at = now.plus(ttl);
        let (token_id, secret) = {
            let mut rng = clock::rng();
            let mut id = [0; TokenId::LEN];
            rng.fill_bytes(&mut id);
            (TokenId::from_bytes(id), TokenSecret::generate(&mut rng))
        };
        let row = TokenRow {
            token_id,
            secret_hash: secret.hash(&token_id),
            issuer: self.me,
            note: note.clone(),
            created_at: now,
            expires_at,
            revoked_at: None,
            used_by: None,
            used_at: None,
        };
        self.store.insert_token(row).await.map_err(NodeError::storage)?;
        let addresses = self.addresses();
        let token = JoinToken::new(view.mesh_id, self.me, token_id, secret, expires_at, addresses);
        let detail = json!({ "token_id": token_id, "expires_at": expires_at, "note": note });
        self.emit_audited(now, "token_created", Some(self.me), detail);
        Ok(IssuedToken { text: token.encode(), token_id, expires_at })
    }

    pub(crate) async fn list_tokens(&self) -> Result<Vec<TokenRow>, NodeError> {
        self.store.list_tokens().await.map_err(NodeError::storage)
    }

    /// Withdraws the token that `prefix` names.
    pub(crate) async fn revoke_token(&self, prefix: &str) -> Result<TokenRow, NodeError> {
        let wanted = prefix.to_ascii_lowercase();
        let tokens = self.list_tokens().await?;
        let mut matching = tokens
            .iter()
            .filter(|row| wanted.len() >= 4 && row.token_id.to_string().starts_with(&wanted));
        let (Some(found), None) = (matching.next(), matching.next()) else {
            return Err(NodeError::new(
                ErrorCode::NotFound,
                "this agent issued no token of that id, or several begin like it; nothing was revoked",
            )
            .with_hint("`mesh-ctl token list` shows the ids; only the issuer can revoke a token"));
        };
        let now = clock::now().wall;
        let outcome =
            self.store.revoke_token(&found.token_id, now).await.map_err(NodeError::storage)?;
        match outcome {
            RevokeOutcome::Revoked | RevokeOutcome::AlreadyRevoked => {
                let detail = json!({ "token_id": found.token_id });
                self.emit_audited(now, "token_revoked", Some(self.me), detail);
                Ok(TokenRow { revoked_at: found.revoked_at.or(Some(now)), ..found.clone() })
            }
            RevokeOutcome::AlreadyUsed => Err(NodeError::new(
                ErrorCode::TokenUsed,
                "the token has admitted a peer already; nothing was revoked",
            )
            .with_hint("`mesh-ctl peers remove` expels the peer it admitted")),
            RevokeOutcome::NotFound => {
                Err(NodeError::new(ErrorCode::NotFound, "the token is gone; nothing was revoked"))
            }
        }
    }
}

//! `join_tokens`: what this node issued. Only a hash of each secret is known here.

use std::fmt;

use mesh_protocol::{PeerId, TEXT_BYTES_MAX, TokenId, UnixMillis};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns, Value};
use crate::query::{execute, fetch_all, fetch_one, fetch_optional};
use crate::records::{self, StoredRecord};
use crate::statements::statements;
use crate::{Store, StoreError};

/// Most tokens, spent and revoked ones included; a month after their time they are pruned.
const TOKENS_MAX: usize = 10_000;

/// A join token without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Names it.
    pub token_id: TokenId,
    /// Hash of the secret, the column `token`.
    pub secret_hash: [u8; 32],
    /// The member that issued it.
    pub issuer: PeerId,
    /// For people.
    pub note: String,
    /// When it was issued.
    pub created_at: UnixMillis,
    /// When its time is over.
    pub expires_at: UnixMillis,
    /// When it was withdrawn.
    pub revoked_at: Option<UnixMillis>,
    /// The peer that it admitted.
    pub used_by: Option<PeerId>,
    /// When it admitted that peer.
    pub used_at: Option<UnixMillis>,
}

impl fmt::Debug for TokenRow {
    /// Leaves the secret out, although it is of no use without more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRow")
            .field("token_id", &self.token_id)
            .field("issuer", &self.issuer)
            .field("note", &self.note)
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .field("used_by", &self.used_by)
            .field("used_at", &self.used_at)
            .finish_non_exhaustive()
    }
}

/// What became of an attempt to spend a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redeem {
    /// It was spent by this call, and the admission was stored with it.
    Spent,
    /// The same joiner spent it before. Nothing was stored.
    AlreadyMine,
    /// Somebody else spent it.
    Used,
    /// It was withdrawn.
    Revoked,
    /// Its time is over.
    Expired,
    /// There is no such token.
    Unknown,
}

/// What became of an attempt to withdraw a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It was withdrawn by this call.
    Revoked,
    /// It has admitted a peer.
    AlreadyUsed,
    /// There is no such token.
    NotFound,
    /// It was withdrawn before.
    AlreadyRevoked,
}

/// Columns of [`TokenRow`].
macro_rules! columns {
    () => {
        "token_id, token, issuer, note, created_at, expires_at, revoked_at, used_by, used_at"
    };
}

statements! {
    SELECT_ALL = concat!(
        "SELECT ", columns!(), " FROM join_tokens ORDER BY created_at, token_id"
    );
    SELECT_ONE = concat!("SELECT ", columns!(), " FROM join_tokens WHERE token_id = ?");
    COUNT = "SELECT count(*) FROM join_tokens";
    INSERT = concat!(
        "INSERT INTO join_tokens (", columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    REVOKE = "UPDATE join_tokens SET revoked_at = ?
        WHERE token_id = ? AND revoked_at IS NULL AND used_by IS NULL";
    SPEND = "UPDATE join_tokens SET used_by = ?1, used_at = ?2
        WHERE token_id = ?3 AND used_by IS NULL AND revoked_at IS NULL AND expires_at > ?2";
}

fn read_row(row: &SqliteRow) -> Result<TokenRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(TokenRow {
        token_id: columns.token_id()?,
        secret_hash: columns.array("token")?,
        issuer: columns.peer()?,
        note: columns.text()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
        revoked_at: columns.time_or_none()?,
        used_by: columns.peer_or_none()?,
        used_at: columns.time_or_none()?,
    })
}

async fn select(
    conn: &mut SqliteConnection,
    token_id: &TokenId,
) -> Result<Option<TokenRow>, StoreError> {
    let row = fetch_optional(conn, SELECT_ONE, [Value::blob(token_id.as_bytes())]).await?;
    row.as_ref().map(read_row).transpose()
}

async fn redeem(
    conn: &mut SqliteConnection,
    token_id: TokenId,
    joiner: PeerId,
    now: UnixMillis,
    admission: &[StoredRecord],
) -> Result<Redeem, StoreError> {
    let values =
        [Value::blob(joiner.as_bytes()), Value::time(now), Value::blob(token_id.as_bytes())];
    if execute(conn, SPEND, values).await? == 1 {
        records::insert(conn, admission).await?;
        return Ok(Redeem::Spent);
    }
    Ok(match select(conn, &token_id).await? {
        None => Redeem::Unknown,
        Some(token) if token.used_by == Some(joiner) => Redeem::AlreadyMine,
        Some(token) if token.used_by.is_some() => Redeem::Used,
        Some(token) if token.revoked_at.is_some() => Redeem::Revoked,
        Some(_) => Redeem::Expired,
    })
}

impl Store {
    /// Commits a new token.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::TooMany`], or the database refused (as it does when the id
    /// is taken). Nothing was written.
    pub async fn insert_token(&self, row: TokenRow) -> Result<(), StoreError> {
        if row.note.len() > TEXT_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "note", bytes_max: TEXT_BYTES_MAX });
        }
        self.write(move |desk| {
            Box::pin(async move {
                let count = fetch_one(&mut desk.conn, COUNT, []).await?;
                if Columns::of(&count).small::<usize>("count")? >= TOKENS_MAX {
                    return Err(StoreError::TooMany { what: "tokens", count_max: TOKENS_MAX });
                }
                let used_by = row.used_by.map_or(Value::Null, |peer| Value::blob(peer.as_bytes()));
                let values = [
                    Value::blob(row.token_id.as_bytes()),
                    Value::blob(&row.secret_hash),
                    Value::blob(row.issuer.as_bytes()),
                    Value::Text(row.note),
                    Value::time(row.created_at),
                    Value::time(row.expires_at),
                    Value::time_or_null(row.revoked_at),
                    used_by,
                    Value::time_or_null(row.used_at),
                ];
                execute(&mut desk.conn, INSERT, values).await.map(drop)
            })
        })
        .await
    }

    /// Every token, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn list_tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                fetch_all(conn, SELECT_ALL, []).await?.iter().map(read_row).collect()
            })
        })
        .await
    }

    /// The token of that id.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn token(&self, token_id: &TokenId) -> Result<Option<TokenRow>, StoreError> {
        let token_id = *token_id;
        self.read(move |conn| Box::pin(async move { select(conn, &token_id).await })).await
    }

    /// Withdraws a token that was not spent.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. Nothing was written.
    pub async fn revoke_token(
        &self,
        token_id: &TokenId,
        now: UnixMillis,
    ) -> Result<RevokeOutcome, StoreError> {
        let token_id = *token_id;
        self.write(move |desk| {
            Box::pin(async move {
                let values = [Value::time(now), Value::blob(token_id.as_bytes())];
                if execute(&mut desk.conn, REVOKE, values).await? == 1 {
                    return Ok(RevokeOutcome::Revoked);
                }
                Ok(match select(&mut desk.conn, &token_id).await? {
                    None => RevokeOutcome::NotFound,
                    Some(token) if token.used_by.is_some() => RevokeOutcome::AlreadyUsed,
                    Some(_) => RevokeOutcome::AlreadyRevoked,
                })
            })
        })
        .await
    }

    /// Spends a token and stores the admission, in one transaction: of many racers exactly one wins. The
    /// caller has compared the secret.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused; the token is not spent then.
    pub async fn redeem_token(
        &self,
        token_id: TokenId,
        joiner: PeerId,
        now: UnixMillis,
        admission: Vec<StoredRecord>,
    ) -> Result<Redeem, StoreError> {
        self.write(move |desk| {
            Box::pin(async move { redeem(&mut desk.conn, token_id, joiner, now, &admission).await })
        })
        .await
    }
}

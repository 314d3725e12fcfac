use futures_util::future::join_all;
use mesh_protocol::{TokenId, UnixMillis};
use mesh_store::{Redeem, RevokeOutcome, StoreConfig, StoreError, TokenRow};

use crate::support::{Home, NOW, peer, record, token};

#[tokio::test]
async fn of_twenty_joiners_at_once_exactly_one_spends_the_token() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_token(token(7)).await.unwrap();
    let calls = (10..30_u8).map(|joiner| {
        store.redeem_token(token(7).token_id, peer(joiner), NOW, vec![record(joiner)])
    });
    let outcomes: Vec<Redeem> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Redeem::Spent).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Redeem::Used).count(), 19);
    let spent = store.token(&token(7).token_id).await.unwrap().unwrap();
    let winner = spent.used_by.unwrap();
    assert_eq!(spent.used_at, Some(NOW));
    let records = store.load_records().await.unwrap();
    assert_eq!(records.len(), 1, "only the winner's admission");
    assert_eq!(records[0].signer, winner);

    let again = store.redeem_token(token(7).token_id, winner, NOW, vec![record(99)]).await.unwrap();
    assert_eq!(again, Redeem::AlreadyMine, "the joiner lost the reply and repeats");
    assert_eq!(store.load_records().await.unwrap().len(), 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn each_way_to_fail_has_its_own_answer_and_stores_nothing() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_token(token(1)).await.unwrap();
    store.insert_token(token(2)).await.unwrap();
    let revoked = store.revoke_token(&token(1).token_id, UnixMillis(NOW.0 + 5)).await.unwrap();
    assert_eq!(revoked, RevokeOutcome::Revoked);
    let redeem = async |number: u8, now| {
        let id = TokenId::from_bytes([number; 16]);
        store.redeem_token(id, peer(5), now, vec![record(5)]).await.unwrap()
    };
    assert_eq!(redeem(1, NOW).await, Redeem::Revoked);
    assert_eq!(redeem(2, token(2).expires_at).await, Redeem::Expired);
    assert_eq!(redeem(3, NOW).await, Redeem::Unknown);
    assert!(store.load_records().await.unwrap().is_empty());
    let just = UnixMillis(token(2).expires_at.0 - 1);
    assert_eq!(redeem(2, just).await, Redeem::Spent);
    // The same joiner is answered the same even when the token's time is over.
    assert_eq!(redeem(2, token(2).expires_at).await, Redeem::AlreadyMine);

    let revoke = async |number: u8| {
        store.revoke_token(&TokenId::from_bytes([number; 16]), NOW).await.unwrap()
    };
    assert_eq!(revoke(1).await, RevokeOutcome::AlreadyRevoked);
    assert_eq!(revoke(2).await, RevokeOutcome::AlreadyUsed);
    assert_eq!(revoke(3).await, RevokeOutcome::NotFound);
    let held = store.token(&token(1).token_id).await.unwrap().unwrap();
    assert_eq!(held.revoked_at, Some(UnixMillis(NOW.0 + 5)), "the first date stands");
    store.close().await.unwrap();
}

#[tokio::test]
async fn tokens_are_listed_oldest_first_and_pruned_a_month_after_their_time() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    for number in [3, 1, 2] {
        store.insert_token(token(number)).await.unwrap();
    }
    let listed = store.list_tokens().await.unwrap();
    assert_eq!(listed, [token(1), token(2), token(3)]);
    let twice = store.insert_token(token(1)).await;
    assert!(matches!(twice, Err(StoreError::Database { .. })), "{twice:?}");
    let wordy = TokenRow { note: "x".repeat(1025), ..token(9) };
    let refused = store.insert_token(wordy).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let month = UnixMillis(token(1).expires_at.0 + 30 * 24 * 3600 * 1000);
    assert_eq!(store.prune(UnixMillis(month.0 - 1)).await.unwrap().tokens, 0);
    assert_eq!(store.prune(month).await.unwrap().tokens, 3);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_number_of_tokens_is_bounded() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let mut conn = home.meddle().await;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
         INSERT INTO join_tokens (token_id, token, issuer, note, created_at, expires_at)
         SELECT unhex(printf('%032d', i)), zeroblob(32), zeroblob(32), '', 0, 9e15 FROM n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    store.insert_token(token(200)).await.unwrap();
    let refused = store.insert_token(token(201)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_columns_promised_to_users_are_there() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_token(token(1)).await.unwrap();
    store.redeem_token(token(1).token_id, peer(5), NOW, Vec::new()).await.unwrap();
    let mut conn = home.meddle().await;
    let row: (Vec<u8>, Vec<u8>, i64, i64, Vec<u8>) =
        sqlx::query_as("SELECT token, issuer, expires_at, used, used_by FROM join_tokens")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert_eq!((row.0, row.1, row.3, row.4), (vec![1; 32], vec![1; 32], 1, vec![5; 32]));
    for sql in [
        "SELECT hostname, tailscale_ip, tailscale_hostname, public_key, status, last_seen_at, joined_at \
         FROM agent_peers",
        "SELECT peer, shared_secret, algorithm FROM peer_keys",
    ] {
        sqlx::query(sql).fetch_all(&mut conn).await.unwrap();
    }
    store.close().await.unwrap();
}

//! A token admits one peer once, and every other outcome has a word of its own.

use futures_util::future::join_all;
use mesh_control::{RenameRequest, TokenCreate, TokenState};
use mesh_crypto::{JoinToken, TokenSecret};
use mesh_protocol::{ErrorCode, UnixMillis};
use zeroize::Zeroizing;

use crate::agent::{Agent, PATIENCE, eventually, mesh};
use crate::stranger::{Stranger, key};

#[tokio::test]
async fn a_token_redeemed_by_twenty_at_once_admits_exactly_one() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    let agents = [
        Agent::start(dir.path(), "agent-1").await,
        Agent::start(dir.path(), "agent-2").await,
        Agent::start(dir.path(), "agent-3").await,
    ];
    let strangers: Vec<Stranger> = (1..=17).map(|number| Stranger::new(key(number))).collect();
    let text = issuer.token().await;
    let token = JoinToken::parse(&text).unwrap();

    let by_agents = join_all(agents.iter().map(async |agent| {
        let joined = agent.join(&text).await;
        (agent.peer_id(), joined.map(|_| ()).map_err(|error| error.code))
    }));
    let by_strangers = join_all(strangers.iter().enumerate().map(async |(number, stranger)| {
        let joined = stranger.redeem(&token, &format!("stranger-{number}")).await;
        (stranger.peer_id(), joined.map(|_| ()))
    }));
    let (by_agents, by_strangers) = tokio::join!(by_agents, by_strangers);

    let outcomes = [by_agents, by_strangers].concat();
    assert_eq!(outcomes.len(), 20);
    let (winners, losers): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|(_, outcome)| outcome.is_ok());
    let [(winner, _)] = winners[..] else { panic!("admitted: {winners:?}") };
    for (loser, outcome) in losers {
        assert_eq!(outcome, Err(ErrorCode::TokenUsed), "{loser:?}");
    }
    let members: Vec<_> = issuer.peers().await.into_iter().map(|peer| peer.peer_id).collect();
    assert_eq!(members.len(), 2, "{members:?}");
    assert!(members.contains(&winner) && members.contains(&issuer.peer_id()));
    let tokens = issuer.client().token_list().await.unwrap();
    assert_eq!(tokens[0].state, TokenState::Used);
    assert_eq!(tokens[0].used_by.as_ref().unwrap().peer_id, winner);
}

#[tokio::test]
async fn an_expired_token_is_refused_by_joiner_and_issuer() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    let joiner = Agent::start(dir.path(), "joiner").await;
    let request = TokenCreate { ttl_seconds: Some(1), note: String::new() };
    let created = issuer.client().token_create(&request).await.unwrap();
    eventually(PATIENCE, "the token is expired", async || {
        let tokens = issuer.client().token_list().await.unwrap();
        (tokens[0].state == TokenState::Expired).then_some(())
    })
    .await;

    assert_eq!(joiner.join_error(&created.token).await, ErrorCode::TokenExpired);
    // The issuer does not trust the expiry that the joiner shows.
    let genuine = JoinToken::parse(&created.token).unwrap();
    let stretched = with(&genuine, None, Some(UnixMillis(u64::MAX)));
    assert_eq!(joiner.join_error(&stretched.encode()).await, ErrorCode::TokenExpired);
    assert_eq!(Agent::peers(&issuer).await.len(), 1);
}

#[tokio::test]
async fn a_revoked_token_is_refused_as_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    let joiner = Agent::start(dir.path(), "joiner").await;
    let created = issuer.client().token_create(&TokenCreate::default()).await.unwrap();
    let id = created.token_id.to_string();
    let revoked = issuer.client().token_revoke(&id[..8]).await.unwrap();
    assert_eq!(revoked.state, TokenState::Revoked);
    assert_eq!(joiner.join_error(&created.token).await, ErrorCode::TokenRevoked);
    // Others are not touched by it.
    let other = issuer.token().await;
    joiner.join(&other).await.unwrap();
    // And what was used cannot be withdrawn any more.
    let used = JoinToken::parse(&other).unwrap().token_id.to_string();
    let error = issuer.client().token_revoke(&used).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TokenUsed);
}

#[tokio::test]
async fn a_forged_or_damaged_token_is_refused_as_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    let joiner = Agent::start(dir.path(), "joiner").await;
    let text = issuer.token().await;
    let genuine = JoinToken::parse(&text).unwrap();

    // Another secret under a good checksum: only the issuer can tell.
    let mut altered = *genuine.secret().bytes();
    altered[31] ^= 1;
    let forged = with(&genuine, Some(altered), None);
    assert_eq!(joiner.join_error(&forged.encode()).await, ErrorCode::TokenInvalid);
    // A token that the issuer never made.
    let mut id = *genuine.token_id.as_bytes();
    id[0] ^= 1;
    let invented = JoinToken::new(
        genuine.mesh_id,
        genuine.issuer,
        mesh_protocol::TokenId::from_bytes(id),
        genuine.secret().clone(),
        genuine.expires_at,
        genuine.addresses.clone(),
    );
    assert_eq!(joiner.join_error(&invented.encode()).await, ErrorCode::TokenInvalid);
    let half = &text[..text.len() / 2];
    let one_short = &text[..text.len() - 1];
    let mut swapped = text.clone().into_bytes();
    let last = swapped.len() - 20;
    swapped[last] = if swapped[last] == b'A' { b'B' } else { b'A' };
    let swapped = String::from_utf8(swapped).unwrap();
    for damaged in [half, one_short, &swapped, "meshjoin1_", "", "a word"] {
        assert_eq!(joiner.join_error(damaged).await, ErrorCode::TokenInvalid, "{damaged:?}");
    }
    let from_the_future = text.replacen("meshjoin1_", "meshjoin2_", 1);
    assert_eq!(joiner.join_error(&from_the_future).await, ErrorCode::VersionUnsupported);

    // None of it used the token up, and white space around it does not matter.
    joiner.join(&format!("  {text}\n")).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_away_or_another_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let mut issuer = Agent::start(dir.path(), "issuer").await;
    let joiner = Agent::start(dir.path(), "joiner").await;
    let impostor = Agent::start(dir.path(), "impostor").await;
    let text = issuer.token().await;
    issuer.kill9();
    assert_eq!(joiner.join_error(&text).await, ErrorCode::IssuerUnreachable);
    // Whoever else answers at the issuer's address is told nothing.
    let genuine = JoinToken::parse(&text).unwrap();
    let led_astray = JoinToken::new(
        genuine.mesh_id,
        genuine.issuer,
        genuine.token_id,
        genuine.secret().clone(),
        genuine.expires_at,
        vec![impostor.address().into()],
    );
    assert_eq!(joiner.join_error(&led_astray.encode()).await, ErrorCode::IssuerUnreachable);
    // The same token works when the issuer is back.
    issuer.restart().await;
    joiner.join(&text).await.unwrap();
}

#[tokio::test]
async fn a_taken_hostname_is_told_and_the_token_is_good_for_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "oak").await;
    let elsewhere = dir.path().join("elsewhere");
    let joiner = Agent::start(&elsewhere, "oak").await;
    let text = issuer.token().await;
    assert_eq!(joiner.join_error(&text).await, ErrorCode::HostnameTaken);
    let rename = RenameRequest { hostname: String::from("Elm") };
    let renamed = joiner.client().rename(&rename).await.unwrap();
    assert_eq!((renamed.hostname.as_str(), renamed.former.as_str()), ("elm", "oak"));
    let peers = joiner.join(&text).await.unwrap();
    let names: Vec<&str> = peers.iter().map(|peer| peer.hostname.as_str()).collect();
    assert_eq!(names, ["elm", "oak"]);
}

#[tokio::test]
async fn an_agent_with_companions_does_not_leave_them_for_another_mesh() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let other = Agent::start(dir.path(), "other").await;
    let token = other.token().await;
    assert_eq!(two.join_error(&token).await, ErrorCode::AlreadyMember);
    assert_eq!(one.join_error(&token).await, ErrorCode::AlreadyMember);
    assert_eq!(other.peers().await.len(), 1);
    // An agent does not join itself either.
    assert_eq!(other.join_error(&token).await, ErrorCode::BadRequest);
}

fn with(token: &JoinToken, secret: Option<[u8; 32]>, expires_at: Option<UnixMillis>) -> JoinToken {
    let secret = secret.map_or_else(
        || token.secret().clone(),
        |secret| TokenSecret::from_bytes(Zeroizing::new(secret)),
    );
    JoinToken::new(
        token.mesh_id,
        token.issuer,
        token.token_id,
        secret,
        expires_at.unwrap_or(token.expires_at),
        token.addresses.clone(),
    )
}

use mesh_crypto::{JoinToken, TokenError, TokenSecret, token_secret_matches};
use mesh_protocol::{ADDRESSES_MAX, Address, ErrorCode, MeshId, PeerId, TokenId, UnixMillis};
use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::support::{Counter, beginnings, fixture, flipped_texts};

fn secret(fill: u8) -> TokenSecret {
    TokenSecret::from_bytes(Zeroizing::new([fill; 32]))
}

fn fake(addresses: &[&str]) -> JoinToken {
    JoinToken::new(
        MeshId::from_bytes([0x11; 32]),
        PeerId::from_bytes([0x22; 32]),
        TokenId::from_bytes([0x33; 16]),
        secret(0x44),
        UnixMillis(1_800_000_000_000),
        addresses.iter().map(|text| text.parse().unwrap()).collect(),
    )
}

fn assert_same(left: &JoinToken, right: &JoinToken) {
    assert_eq!(left.mesh_id, right.mesh_id);
    assert_eq!(left.issuer, right.issuer);
    assert_eq!(left.token_id, right.token_id);
    assert_eq!(left.expires_at, right.expires_at);
    assert_eq!(left.addresses, right.addresses);
    assert_eq!(left.secret().bytes(), right.secret().bytes());
}

#[test]
fn the_text_of_a_token_never_drifts() {
    let token = fake(&["192.0.2.7:13500", "[2001:db8::7]:13500", "mint.example:13500"]);
    let golden = fixture("join-token-v1.txt");
    assert_eq!(token.encode().as_str(), golden.trim_end());
    assert_same(&JoinToken::parse(&golden).unwrap(), &token);
}

#[test]
fn white_space_around_a_token_does_not_matter() {
    let token = fake(&["mint.example:13500"]);
    let pasted = format!(" \t\r\n{}\n\n", *token.encode());
    assert_same(&JoinToken::parse(&pasted).unwrap(), &token);
}

#[test]
fn every_flipped_bit_is_refused() {
    let text = fake(&["192.0.2.7:13500"]).encode();
    for damaged in flipped_texts(&text) {
        assert!(JoinToken::parse(&damaged).is_err(), "{damaged}");
    }
}

#[test]
fn every_beginning_is_refused() {
    let text = fake(&["192.0.2.7:13500"]).encode();
    for cut in beginnings(&text) {
        let error = JoinToken::parse(cut).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TokenInvalid, "{cut}");
    }
}

#[test]
fn each_kind_of_bad_text_has_its_own_answer() {
    let text = fake(&["192.0.2.7:13500"]).encode();
    let cases = [
        ("", TokenError::Prefix),
        ("hello", TokenError::Prefix),
        ("meshjoin_AAAA", TokenError::Prefix),
        ("meshjoin2_AAAA", TokenError::Version),
        ("meshjoin1_", TokenError::Checksum),
        ("meshjoin1_AAAA AAAA", TokenError::Characters),
        ("meshjoin1_AAAA====", TokenError::Characters),
    ];
    for (text, expected) in cases {
        assert_eq!(JoinToken::parse(text).unwrap_err(), expected, "{text}");
    }
    let long = format!("{}{}", *text, "A".repeat(8 << 10));
    assert_eq!(JoinToken::parse(&long).unwrap_err(), TokenError::Characters);
    let mistyped = text.replace("REREREQ", "REREREU").replace("RERERER", "REREREx");
    assert_ne!(mistyped, *text);
    assert_eq!(JoinToken::parse(&mistyped).unwrap_err(), TokenError::Checksum);
    assert_eq!(TokenError::Version.code(), ErrorCode::VersionUnsupported);
}

#[test]
fn only_as_many_addresses_travel_as_a_profile_may_have() {
    let addresses: Vec<String> = (1..40).map(|port| format!("mint.example:{port}")).collect();
    let token = fake(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    let parsed = JoinToken::parse(&token.encode()).unwrap();
    assert_eq!(parsed.addresses, token.addresses[..ADDRESSES_MAX]);
}

#[test]
fn the_longest_token_is_accepted() {
    let label = "a".repeat(62);
    let host = [label.as_str(); 4].join(".");
    let addresses: Vec<String> =
        (0..ADDRESSES_MAX).map(|n| format!("{host}{n:02}:{}", 65_000 + n)).collect();
    let token = fake(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    assert_same(&JoinToken::parse(&token.encode()).unwrap(), &token);
}

#[test]
fn a_stored_hash_matches_its_own_token_and_secret_alone() {
    let id = TokenId::from_bytes([1; 16]);
    let hash = secret(0x44).hash(&id);
    assert!(token_secret_matches(&hash, &id, &[0x44; 32]));
    assert!(!token_secret_matches(&hash, &id, &[0x45; 32]));
    assert!(!token_secret_matches(&hash, &TokenId::from_bytes([2; 16]), &[0x44; 32]));
    assert_ne!(hash, [0x44; 32]);
}

proptest! {
    #[test]
    fn tokens_survive_the_text(
        start in any::<u8>(),
        expires_at in any::<u64>(),
        ports in proptest::collection::vec(1..=u16::MAX, 0..=ADDRESSES_MAX),
    ) {
        let token = JoinToken::new(
            MeshId::from_bytes([start; 32]),
            PeerId::from_bytes([start.wrapping_add(1); 32]),
            TokenId::from_bytes([start.wrapping_add(2); 16]),
            TokenSecret::generate(&mut Counter(start)),
            UnixMillis(expires_at),
            ports.iter().map(|port| format!("mint.example:{port}").parse::<Address>().unwrap()).collect(),
        );
        assert_same(&JoinToken::parse(&token.encode()).unwrap(), &token);
    }

    #[test]
    fn no_text_panics(text in "meshjoin1_[A-Za-z0-9_-]{0,300}") {
        prop_assert!(JoinToken::parse(&text).is_err());
    }
}

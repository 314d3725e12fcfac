use mesh_crypto::{JoinToken, TokenSecret};
use mesh_protocol::{MeshId, PeerId, TokenId, UnixMillis};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

fn token(addresses: &[&str]) -> String {
    let secret = TokenSecret::generate(&mut StdRng::seed_from_u64(3));
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let (mesh, issuer, id) =
        (MeshId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]), TokenId::from_bytes([3; 16]));
    JoinToken::new(mesh, issuer, id, secret, UnixMillis(9), addresses).encode().to_string()
}

#[test]
fn a_token_of_every_size_is_found_whatever_stands_behind_it() {
    let all = ["a.test:1", "10.0.0.1:13500", "[fd00::1]:13500", "oak:2"];
    for count in 0..=all.len() {
        let token = token(&all[..count]);
        let encoded = token.strip_prefix("meshjoin1_").unwrap();
        for behind in ["", "A", "_-", "abc", "abcd", "----_"] {
            assert!(is_join_token(format!("{encoded}{behind}").as_bytes()), "{count} {behind}");
        }
    }
}

#[test]
fn a_token_with_one_letter_changed_or_missing_is_none() {
    let token = token(&["oak:2"]);
    let encoded = token.strip_prefix("meshjoin1_").unwrap().as_bytes();
    for index in 0..encoded.len() - 1 {
        let mut altered = encoded.to_vec();
        altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
        assert!(!is_join_token(&altered), "{index}");
        assert!(!is_join_token(&encoded[..index]), "{index}");
    }
}

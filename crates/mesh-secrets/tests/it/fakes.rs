//! Values that have the shape of secrets and open nothing. Each is put together here from pieces, so that no file of the
//! project holds one.

use mesh_crypto::{JoinToken, TokenSecret};
use mesh_protocol::{MeshId, PeerId, TokenId, UnixMillis};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// 64 letters of every kind in no order.
pub(crate) const LETTERS: &str = "Zq7Xw2Vk9Tb4Rn6Pm1Lj8Hg3Fd5Sa0YuIeOcQxWvEzKtUbRyNiMpLoJhGfDsAa";
/// 64 hexadecimal digits in no order.
pub(crate) const DIGITS: &str = "4f9a1c7e0b3d8265e1f7a9c04d6b3821957ce0a8f2b4d61370c9e5a8b1d2f463";

/// `prefix` and as many letters.
pub(crate) fn letters(prefix: &[&str], count: usize) -> String {
    format!("{}{}", prefix.concat(), LETTERS.repeat(2).get(..count).unwrap())
}

/// A token that a mesh of this project could have issued.
pub(crate) fn join_token() -> String {
    let secret = TokenSecret::generate(&mut StdRng::seed_from_u64(5));
    let addresses = vec!["oak.test:13500".parse().unwrap(), "10.0.0.7:13500".parse().unwrap()];
    let (mesh, issuer, id) =
        (MeshId::from_bytes([7; 32]), PeerId::from_bytes([8; 32]), TokenId::from_bytes([9; 16]));
    JoinToken::new(mesh, issuer, id, secret, UnixMillis(1), addresses).encode().to_string()
}

/// The longest token that there is.
pub(crate) fn longest_join_token() -> String {
    let secret = TokenSecret::generate(&mut StdRng::seed_from_u64(6));
    let host = ["abcdefghi."; 25].concat();
    let addresses =
        (0..16).map(|index| format!("{}{index:02}:13500", &host[..249]).parse().unwrap()).collect();
    let (mesh, issuer, id) =
        (MeshId::from_bytes([7; 32]), PeerId::from_bytes([8; 32]), TokenId::from_bytes([9; 16]));
    JoinToken::new(mesh, issuer, id, secret, UnixMillis(1), addresses).encode().to_string()
}

use std::fmt;

use mesh_protocol::{
    ADDRESS_HOST_BYTES_MAX, ADDRESSES_MAX, Address, MeshId, PeerId, TokenId, UnixMillis,
};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::digest::checksum;
use crate::{TokenError, encoding};

/// What every join token starts with; the digit is the version, so that secret scanners and people
/// know one when they see it.
const PREFIX: &str = "meshjoin1_";
const PREFIX_OF_ANY_VERSION: &str = "meshjoin";

const CHECKSUM_PURPOSE: &str = "agent-mesh v1 checksum of a join token";
const SECRET_HASH_PURPOSE: &str = "agent-mesh v1 stored hash of a join token's secret";
const CHECKSUM_BYTES: usize = 8;

/// Mesh id, issuer, token id, expiry, secret, number of addresses.
const FIXED_BYTES: usize = 32 + 32 + 16 + 8 + 32 + 1;
/// A host, two brackets, a colon and a port.
const ADDRESS_BYTES_MAX: usize = ADDRESS_HOST_BYTES_MAX + 8;
const BODY_BYTES_MAX: usize = FIXED_BYTES + ADDRESSES_MAX * (2 + ADDRESS_BYTES_MAX);
/// Longer texts are refused unread.
const TEXT_BYTES_MAX: usize = PREFIX.len() + encoding::text_len(BODY_BYTES_MAX + CHECKSUM_BYTES);

/// The secret that is worth one admission. Its holder is let in; its issuer keeps only a hash.
#[derive(Clone)]
pub struct TokenSecret {
    secret: Zeroizing<[u8; 32]>,
}

impl TokenSecret {
    /// Makes a new secret of 256 bits.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        Self { secret }
    }

    /// Takes a secret that came in a request.
    #[must_use]
    pub const fn from_bytes(secret: Zeroizing<[u8; 32]>) -> Self {
        Self { secret }
    }

    /// The secret itself, to be shown to the issuer and nobody else.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.secret
    }

    /// What the issuer stores: a hash bound to the token's id. A fast hash is enough for 256 random bits.
    #[must_use]
    pub fn hash(&self, token_id: &TokenId) -> [u8; 32] {
        hash(token_id, &self.secret)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSecret").finish_non_exhaustive()
    }
}

fn hash(token_id: &TokenId, secret: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(SECRET_HASH_PURPOSE);
    hasher.update(token_id.as_bytes()).update(secret);
    *hasher.finalize().as_bytes()
}

/// Whether `secret` is the one that `stored_hash` was made of; takes the same time for every answer.
#[must_use]
pub fn token_secret_matches(stored_hash: &[u8; 32], token_id: &TokenId, secret: &[u8; 32]) -> bool {
    hash(token_id, secret).ct_eq(stored_hash).into()
}

/// All that a newcomer needs to get in: where to go, whom to expect there, and what to show.
///
/// As text: `meshjoin1_`, then base64url without padding of
/// ```text
///  mesh_id 32 | issuer 32 | token_id 16 | expires_at 8 | secret 32 | count 1 | { bytes 2 | address }* | checksum 8
/// ```
/// Integers are little-endian, addresses UTF-8, the checksum the start of a BLAKE3 digest of what is before.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// The mesh that the token leads into.
    pub mesh_id: MeshId,
    /// The member that made the token. The joiner tells its secret to nobody else.
    pub issuer: PeerId,
    /// Names the token without its secret.
    pub token_id: TokenId,
    /// When the token is worthless, by the issuer's clock.
    pub expires_at: UnixMillis,
    /// Where the issuer listens, the preferred address first. Only the first [`ADDRESSES_MAX`] travel.
    pub addresses: Vec<Address>,
    secret: TokenSecret,
}

impl JoinToken {
    /// Puts a token together.
    #[must_use]
    pub const fn new(
        mesh_id: MeshId,
        issuer: PeerId,
        token_id: TokenId,
        secret: TokenSecret,
        expires_at: UnixMillis,
        addresses: Vec<Address>,
    ) -> Self {
        Self { mesh_id, issuer, token_id, expires_at, addresses, secret }
    }

    /// What admits the newcomer.
    #[must_use]
    pub const fn secret(&self) -> &TokenSecret {
        &self.secret
    }

    /// The token as text.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        // Room for the longest: growing would leave a copy of the secret behind.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX + CHECKSUM_BYTES));
        body.extend_from_slice(self.mesh_id.as_bytes());
        body.extend_from_slice(self.issuer.as_bytes());
        body.extend_from_slice(self.token_id.as_bytes());
        body.extend_from_slice(&self.expires_at.0.to_le_bytes());
        body.extend_from_slice(self.secret.bytes());
        let addresses = encoded_addresses(&self.addresses);
        body.push(u8::try_from(addresses.len()).unwrap_or(u8::MAX));
        for (bytes, address) in &addresses {
            body.extend_from_slice(&bytes.to_le_bytes());
            body.extend_from_slice(address.as_bytes());
        }
        let sum = checksum(CHECKSUM_PURPOSE, &body);
        body.extend_from_slice(&sum);
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
        text.push_str(PREFIX);
        encoding::push(&mut text, &body);
        text
    }

    /// Reads a token; white space around it does not matter. Whether it is expired, used or revoked
    /// only its issuer knows.
    ///
    /// # Errors
    /// [`TokenError`]: another version, cut short, altered, or no token.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| refused_prefix(text))?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenError::Characters);
        }
        let bytes = encoding::read(encoded).ok_or(TokenError::Characters)?;
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TokenError::Checksum)?;
        if !bool::from(checksum(CHECKSUM_PURPOSE, body).ct_eq(sum)) {
            return Err(TokenError::Checksum);
        }
        read_body(body).ok_or(TokenError::Malformed)
    }
}

/// A newer agent's token has a newer number behind the same word, which deserves a better answer than
/// "not a join token".
fn refused_prefix(text: &str) -> TokenError {
    let version = text
        .strip_prefix(PREFIX_OF_ANY_VERSION)
        .and_then(|rest| rest.split_once('_'))
        .map(|(version, _)| version);
    match version {
        Some(version) if version.parse::<u16>().is_ok() => TokenError::Version,
        Some(_) | None => TokenError::Prefix,
    }
}

fn encoded_addresses(addresses: &[Address]) -> Vec<(u16, String)> {
    addresses
        .iter()
        .take(ADDRESSES_MAX)
        .map(ToString::to_string)
        .filter_map(|text| u16::try_from(text.len()).ok().map(|bytes| (bytes, text)))
        .collect()
}

fn read_body(body: &[u8]) -> Option<JoinToken> {
    let (mesh_id, rest) = body.split_first_chunk()?;
    let (issuer, rest) = rest.split_first_chunk()?;
    let (token_id, rest) = rest.split_first_chunk()?;
    let (expires_at, rest) = rest.split_first_chunk()?;
    let (secret, rest) = rest.split_first_chunk()?;
    let (&count, mut rest) = rest.split_first()?;
    let count = usize::from(count);
    if count > ADDRESSES_MAX {
        return None;
    }
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        let (bytes, behind) = rest.split_first_chunk()?;
        let (address, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*bytes)))?;
        addresses.push(str::from_utf8(address).ok()?.parse().ok()?);
        rest = behind;
    }
    rest.is_empty().then(|| {
        JoinToken::new(
            MeshId::from_bytes(*mesh_id),
            PeerId::from_bytes(*issuer),
            TokenId::from_bytes(*token_id),
            TokenSecret::from_bytes(Zeroizing::new(*secret)),
            UnixMillis(u64::from_le_bytes(*expires_at)),
            addresses,
        )
    })
}

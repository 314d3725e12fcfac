//! Keys and what is done with them: signatures, sealed messages, join tokens, the key file, sealing at
//! rest, digests.
//!
//! Never in here: IO, a clock, global randomness, or a decision about who may do what. Randomness
//! arrives as an argument; key material is zeroed when dropped and never shown by `Debug`.
//!
//! Start reading at [`NodeKey`] (who an agent is), [`Sealer`] and [`Opener`] (messages that only their
//! receiver can read) and [`JoinToken`] (how a stranger gets in). The bytes are described in
//! `docs/protocol.md`, the reasons in `docs/decisions/`.

mod aead;
mod at_rest;
mod context_cache;
mod digest;
mod encoding;
mod envelope;
mod error;
mod hpke_context;
mod join_token;
mod key_file;
mod node_key;
mod opener;
mod scratch;
mod sealer;
mod sealing_key;
mod spki;

pub use at_rest::StoreKey;
pub use digest::{digest, records_digest};
pub use envelope::verify_envelope;
pub use error::{AtRestError, KeyFileError, OpenError, SealError, TokenError};
pub use join_token::{JoinToken, TokenSecret, token_secret_matches};
pub use key_file::KeyFile;
pub use node_key::{Domain, NodeKey, Verifier, verify};
pub use opener::Opener;
pub use sealer::Sealer;
pub use sealing_key::{PAIR_EXPORTER_LABEL, PairSecret, SealingKey, sealing_key_id};
pub use spki::{peer_id_from_spki, spki_der};

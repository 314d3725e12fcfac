use std::fmt;

use hpke::aead::AesGcm256;
use mesh_protocol::{
    Envelope, EnvelopeHeader, KeyId, MeshMessage, PeerId, ProtocolVersion, Recipient,
    SealingPublicKey,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::aead::seal_in_place;
use crate::context_cache::ContextCache;
use crate::envelope::{MESSAGE_NONCE, context_info, message_key, signing_bytes};
use crate::hpke_context::{PreShared, SenderContext, setup_as_sender};
use crate::{Domain, NodeKey, PairSecret, SealError, sealing_key_id};

/// Messages that share one encapsulation. Bounds what a thief of this process's memory reads of the past.
const MESSAGES_PER_ENCAPSULATION_MAX: u32 = 1024;

/// Seals messages from one node.
///
/// Encapsulations are kept per receiver key and pair secret and used again: the two scalar
/// multiplications of a new one cost more than sealing 64 KiB. Keys are never used again: each message's
/// is derived with 16 random bytes and the message's id.
pub struct Sealer {
    node_key: NodeKey,
    encapsulations: ContextCache<Target, Encapsulation>,
}

/// Whom an encapsulation is for and which secrets are in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    to: PeerId,
    sealing_key_id: KeyId,
    pair_key_id: Option<KeyId>,
}

struct Encapsulation {
    encapsulated_key: [u8; 32],
    context: SenderContext<AesGcm256>,
    messages: u32,
}

impl Sealer {
    /// Starts without encapsulations.
    #[must_use]
    pub const fn new(node_key: NodeKey) -> Self {
        Self { node_key, encapsulations: ContextCache::new() }
    }

    /// Seals `message` so that only `to`, the owner of `sealing_key`, can read it, and signs it.
    ///
    /// `pair` is the secret that both peers are known to have, if there is one; with it a thief of the
    /// receiver's sealing key alone reads nothing.
    ///
    /// # Errors
    /// [`SealError`]: the message is from or for somebody else, too large, or the key is not one.
    pub fn seal(
        &mut self,
        rng: &mut impl CryptoRng,
        message: &MeshMessage,
        to: PeerId,
        sealing_key: &SealingPublicKey,
        pair: Option<&PairSecret>,
    ) -> Result<Envelope, SealError> {
        let from = self.node_key.peer_id();
        if message.from != from {
            return Err(SealError::Sender);
        }
        match message.to {
            Recipient::Peer(peer) if peer != to => return Err(SealError::Recipient),
            Recipient::Peer(_) | Recipient::Broadcast => {}
        }
        let mut ciphertext = message.encode().map_err(SealError::Encode)?;
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let target = Target {
            to,
            sealing_key_id: sealing_key_id(sealing_key),
            pair_key_id: pair.map(PairSecret::key_id),
        };
        let mut header = EnvelopeHeader {
            version: ProtocolVersion::CURRENT,
            message_id: message.message_id,
            from,
            to,
            timestamp: message.timestamp,
            sealing_key_id: target.sealing_key_id,
            pair_key_id: target.pair_key_id,
            encapsulated_key: [0; 32],
            salt,
        };
        let key = self.message_key(rng, &target, &mut header, sealing_key, pair)?;
        let header_bytes = header.encode().map_err(SealError::Encode)?;
        // Only the encapsulation can fail, and only for a point of small order; exporting 32 bytes and
        // sealing less than 64 GiB cannot, and need no errors of their own.
        seal_in_place(&key, &MESSAGE_NONCE, &header_bytes, &mut ciphertext, 0)
            .map_err(|_| SealError::SealingKey)?;
        let signed = signing_bytes(&header_bytes, &ciphertext);
        let signature = self.node_key.sign(Domain::Envelope, &signed);
        Ok(Envelope { header, ciphertext, signature })
    }

    /// Destroys every encapsulation that `key_id`, a sealing key's or a pair secret's, took part in.
    pub fn forget_key(&mut self, key_id: &KeyId) {
        self.encapsulations.retain(|target| {
            target.sealing_key_id != *key_id && target.pair_key_id.as_ref() != Some(key_id)
        });
    }

    /// Destroys every encapsulation: whoever reads this process's memory later reads nothing that was
    /// sealed before.
    pub fn forget_all(&mut self) {
        self.encapsulations.clear();
    }

    /// The key for the message of `header`, whose encapsulated key is filled in.
    fn message_key(
        &mut self,
        rng: &mut impl CryptoRng,
        target: &Target,
        header: &mut EnvelopeHeader,
        sealing_key: &SealingPublicKey,
        pair: Option<&PairSecret>,
    ) -> Result<Zeroizing<[u8; 32]>, SealError> {
        if let Some(kept) = self.encapsulations.get(target)
            && kept.messages < MESSAGES_PER_ENCAPSULATION_MAX
        {
            kept.messages += 1;
            return kept.message_key(header);
        }
        let info = context_info(&header.from, &target.to, &target.sealing_key_id);
        let pre_shared = PreShared::of(pair, target.pair_key_id.as_ref());
        let (encapsulated_key, context) =
            setup_as_sender(rng, sealing_key.as_bytes(), &info, pre_shared)
                .map_err(|_| SealError::SealingKey)?;
        let fresh = Box::new(Encapsulation { encapsulated_key, context, messages: 1 });
        let key = fresh.message_key(header)?;
        self.encapsulations.insert(*target, fresh);
        Ok(key)
    }
}

impl Encapsulation {
    fn message_key(&self, header: &mut EnvelopeHeader) -> Result<Zeroizing<[u8; 32]>, SealError> {
        header.encapsulated_key = self.encapsulated_key;
        message_key(
            |context, out| self.context.export(context, out),
            &header.salt,
            &header.message_id,
        )
        .map_err(|_| SealError::SealingKey)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("node_key", &self.node_key)
            .field("encapsulations", &self.encapsulations.len())
            .finish()
    }
}

use std::fmt;

use hpke::aead::AesGcm256;
use mesh_protocol::{Envelope, EnvelopeHeader, KeyId, MeshMessage, PeerId, Recipient};
use zeroize::Zeroizing;

use crate::context_cache::ContextCache;
use crate::envelope::{MESSAGE_NONCE, context_info, is_signed, message_key};
use crate::hpke_context::{PreShared, ReceiverContext, setup_as_receiver};
use crate::scratch::Scratch;
use crate::{OpenError, PairSecret, SealingKey, aead};

/// Opens envelopes that were sealed for this node.
///
/// Contexts are kept, so that the messages of one encapsulation cost its scalar multiplications once.
/// Only an envelope that opened leaves a context behind: what is forged displaces nothing.
pub struct Opener {
    contexts: ContextCache<ContextId, ReceiverContext<AesGcm256>>,
    scratch: Scratch,
}

/// Everything that a context is made of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ContextId {
    encapsulated_key: [u8; 32],
    from: PeerId,
    to: PeerId,
    sealing_key_id: KeyId,
    pair_key_id: Option<KeyId>,
}

impl ContextId {
    const fn of(header: &EnvelopeHeader) -> Self {
        Self {
            encapsulated_key: header.encapsulated_key,
            from: header.from,
            to: header.to,
            sealing_key_id: header.sealing_key_id,
            pair_key_id: header.pair_key_id,
        }
    }
}

impl Opener {
    /// Starts without contexts.
    #[must_use]
    pub const fn new() -> Self {
        Self { contexts: ContextCache::new(), scratch: Scratch::new() }
    }

    /// Checks the signature, opens the envelope with the keys that its header names, and checks that
    /// the message inside is the one that the header announces.
    ///
    /// The caller finds the keys by `sealing_key_id` and `pair_key_id` of the header, decides whether
    /// the header's `from` is a member and its `to` is this node, and drops what it has seen before.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the content is handed out.
    pub fn open(
        &mut self,
        envelope: &Envelope,
        sealing_key: &SealingKey,
        pair: Option<&PairSecret>,
    ) -> Result<MeshMessage, OpenError> {
        let header = &envelope.header;
        // A header that cannot be encoded cannot have been signed.
        let header_bytes = header.encode().map_err(|_| OpenError::Signature)?;
        if !is_signed(envelope, &header_bytes) {
            return Err(OpenError::Signature);
        }
        if sealing_key.key_id() != header.sealing_key_id {
            return Err(OpenError::SealingKey);
        }
        if pair.map(PairSecret::key_id) != header.pair_key_id {
            return Err(OpenError::PairSecret);
        }
        let context_id = ContextId::of(header);
        let (key, fresh) = match self.contexts.get(&context_id) {
            Some(context) => (key_from(context, header)?, None),
            None => {
                let context = Box::new(context_for(header, sealing_key, pair)?);
                (key_from(&context, header)?, Some(context))
            }
        };
        let len = aead::opened_len(&envelope.ciphertext).map_err(|_| OpenError::Ciphertext)?;
        let message = self.scratch.lend(len, |plaintext| {
            aead::open_into(&key, &MESSAGE_NONCE, &header_bytes, &envelope.ciphertext, plaintext)
                .map_err(|_| OpenError::Ciphertext)?;
            Ok(MeshMessage::decode(plaintext).map_err(OpenError::Decode))
        })?;
        if let Some(fresh) = fresh {
            self.contexts.insert(context_id, fresh);
        }
        let message = message?;
        check_agreement(header, &message)?;
        Ok(message)
    }

    /// Destroys every context that `key_id`, a sealing key's or a pair secret's, took part in. To be
    /// called when the key is destroyed: until then its contexts still open what it was used for.
    pub fn forget_key(&mut self, key_id: &KeyId) {
        self.contexts.retain(|context| {
            context.sealing_key_id != *key_id && context.pair_key_id.as_ref() != Some(key_id)
        });
    }
}

impl Default for Opener {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("contexts", &self.contexts.len()).finish_non_exhaustive()
    }
}

fn context_for(
    header: &EnvelopeHeader,
    sealing_key: &SealingKey,
    pair: Option<&PairSecret>,
) -> Result<ReceiverContext<AesGcm256>, OpenError> {
    let info = context_info(&header.from, &header.to, &header.sealing_key_id);
    let pre_shared = PreShared::of(pair, header.pair_key_id.as_ref());
    // Fails for an encapsulated key that is a point of small order.
    setup_as_receiver(&sealing_key.secret_bytes(), &header.encapsulated_key, &info, pre_shared)
        .map_err(|_| OpenError::Ciphertext)
}

fn key_from(
    context: &ReceiverContext<AesGcm256>,
    header: &EnvelopeHeader,
) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    message_key(|label, out| context.export(label, out), &header.salt, &header.message_id)
        .map_err(|_| OpenError::Ciphertext)
}

/// The header is what relays and the receiver's bookkeeping go by; the message is what the application
/// sees. A sender that lets them differ could have one thing recorded and another read.
fn check_agreement(header: &EnvelopeHeader, message: &MeshMessage) -> Result<(), OpenError> {
    let is_recipient = match message.to {
        Recipient::Peer(peer) => peer == header.to,
        Recipient::Broadcast => true,
    };
    let checks = [
        (message.message_id == header.message_id, "id"),
        (message.from == header.from, "sender"),
        (is_recipient, "recipient"),
        (message.timestamp == header.timestamp, "timestamp"),
    ];
    match checks.into_iter().find(|(agrees, _)| !agrees) {
        Some((_, field)) => Err(OpenError::Disagreement { field }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

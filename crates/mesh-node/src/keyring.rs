//! The keys that this node holds while it runs, and what is sealed and opened with them.

use std::collections::{BTreeMap, BTreeSet};

use mesh_crypto::{KeyFile, NodeKey, Opener, PairSecret, Sealer, SealingKey, StoreKey};
use mesh_membership::Member;
use mesh_protocol::{
    Envelope, ErrorCode, KeyId, MeshMessage, PeerId, SealingPublicKey, UnixMillis,
};
use mesh_store::PairKeyRow;
use zeroize::Zeroizing;

use crate::clock;
use crate::config::PAIR_KEY_AGE_MAX;
use crate::error::{NodeError, chain};

/// Algorithm name of a pair's secret in `peer_keys`.
pub(crate) const PAIR_ALGORITHM: &str = "tls13-exporter/hpke-psk";

/// Most secrets held per peer, as in the database: a member that links anew without pause must not make
/// them pile up. Unconfirmed ones go first, then the oldest.
const PAIR_KEYS_MAX: usize = 16;

struct HeldPairKey {
    secret: PairSecret,
    created_at: UnixMillis,
    /// Whether the peer said that it has committed the secret too: only then may it seal.
    confirmed: bool,
    destroy_at: Option<UnixMillis>,
}

struct HeldSealingKey {
    key: SealingKey,
    created_at: UnixMillis,
}

/// Every key of this node. Shows nothing of them.
pub(crate) struct Keyring {
    node_key: NodeKey,
    store_key: StoreKey,
    /// Oldest first; the last one is in the profile.
    sealing: Vec<HeldSealingKey>,
    pairs: BTreeMap<PeerId, BTreeMap<KeyId, HeldPairKey>>,
    /// Peers that said that they have lost the pair's secret; among those of `pairs`.
    unpaired: BTreeSet<PeerId>,
    /// Confirmations that came before this side's own commit; one per member.
    early: BTreeMap<PeerId, KeyId>,
    sealer: Sealer,
    opener: Opener,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

fn pair_context(peer: &PeerId, key_id: &KeyId) -> Vec<u8> {
    [b"pair-key\0".as_slice(), peer.as_bytes(), key_id.as_bytes()].concat()
}

fn sealing_context(key_id: &KeyId) -> Vec<u8> {
    [b"sealing-key\0".as_slice(), key_id.as_bytes()].concat()
}

fn secret_array(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    if bytes.len() != secret.len() {
        return None;
    }
    secret.copy_from_slice(bytes);
    Some(secret)
}

fn newest_confirmed(keys: Option<&BTreeMap<KeyId, HeldPairKey>>) -> Option<(&KeyId, &HeldPairKey)> {
    let confirmed = keys?.iter().filter(|(_, held)| held.confirmed);
    confirmed.max_by_key(|(key_id, held)| (held.created_at, **key_id))
}

impl Keyring {
    pub(crate) fn new(keys: KeyFile) -> Self {
        let KeyFile { node_key, store_key } = keys;
        Self {
            sealer: Sealer::new(node_key.clone()),
            opener: Opener::new(),
            node_key,
            store_key,
            sealing: Vec::new(),
            pairs: BTreeMap::new(),
            unpaired: BTreeSet::new(),
            early: BTreeMap::new(),
        }
    }

    pub(crate) const fn node_key(&self) -> &NodeKey {
        &self.node_key
    }

    /// Seals `bytes` for this node's own disk. `context` says what they are.
    pub(crate) fn seal_at_rest(&self, context: &[u8], bytes: &[u8]) -> Vec<u8> {
        self.store_key.seal(&mut clock::rng(), context, bytes)
    }

    /// Opens what [`Keyring::seal_at_rest`] sealed; none when it is anything else.
    pub(crate) fn open_at_rest(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.store_key.open(context, sealed).ok()
    }

    /// Takes in a stored sealing key; false when it cannot be opened with this key file.
    pub(crate) fn restore_sealing_key(
        &mut self,
        key_id: KeyId,
        sealed: &[u8],
        created_at: UnixMillis,
    ) -> bool {
        let Ok(bytes) = self.store_key.open(&sealing_context(&key_id), sealed) else {
            return false;
        };
        let Some(secret) = secret_array(&bytes) else { return false };
        let key = SealingKey::from_secret_bytes(&secret);
        self.sealing.push(HeldSealingKey { key, created_at });
        self.sealing.sort_by_key(|held| held.created_at);
        true
    }

    /// When the sealing key in use was made; none when there is none yet.
    pub(crate) fn sealing_key_created_at(&self) -> Option<UnixMillis> {
        self.sealing.last().map(|held| held.created_at)
    }

    /// The sealing keys that were replaced.
    pub(crate) fn replaced_sealing_keys(&self) -> Vec<KeyId> {
        let replaced = self.sealing.split_last().map(|(_, replaced)| replaced);
        replaced.into_iter().flatten().map(|held| held.key.key_id()).collect()
    }

    /// The public half of the sealing key in use.
    pub(crate) fn sealing_public_key(&self) -> Option<SealingPublicKey> {
        self.sealing.last().map(|held| held.key.public())
    }

    /// Makes a sealing key and returns what is to be stored of it. It is used once it is stored.
    pub(crate) fn new_sealing_key(&self) -> (SealingKey, KeyId, Vec<u8>) {
        let mut rng = clock::rng();
        let key = SealingKey::generate(&mut rng);
        let key_id = key.key_id();
        let sealed =
            self.store_key.seal(&mut rng, &sealing_context(&key_id), key.secret_bytes().as_ref());
        (key, key_id, sealed)
    }

    /// Uses a sealing key that was stored.
    pub(crate) fn add_sealing_key(&mut self, key: SealingKey, created_at: UnixMillis) {
        self.sealing.push(HeldSealingKey { key, created_at });
    }

    /// Forgets sealing keys that were replaced before `replaced_before`.
    pub(crate) fn forget_sealing_keys(&mut self, replaced_before: UnixMillis) {
        while let [_, second, ..] = self.sealing.as_slice() {
            if second.created_at >= replaced_before {
                break;
            }
            let old = self.sealing.remove(0);
            self.opener.forget_key(&old.key.key_id());
        }
    }

    /// Takes in a stored secret of a pair; false when it cannot be opened with this key file.
    pub(crate) fn restore_pair_key(&mut self, row: &PairKeyRow) -> bool {
        let context = pair_context(&row.peer, &row.key_id);
        let Ok(bytes) = self.store_key.open(&context, &row.sealed_secret) else { return false };
        let Some(secret) = secret_array(&bytes) else { return false };
        let held = HeldPairKey {
            secret: PairSecret::from_bytes(secret),
            created_at: row.created_at,
            confirmed: row.confirmed,
            destroy_at: row.destroy_at,
        };
        self.pairs.entry(row.peer).or_default().insert(row.key_id, held);
        true
    }

    /// The secret that a new link would go on using: confirmed and young.
    pub(crate) fn young_pair_key(&self, peer: &PeerId, now: UnixMillis) -> Option<KeyId> {
        newest_confirmed(self.pairs.get(peer))
            .filter(|_| !self.unpaired.contains(peer))
            .filter(|(_, held)| now.since(held.created_at) < PAIR_KEY_AGE_MAX)
            .map(|(key_id, _)| *key_id)
    }

    /// Whether this node holds the secret.
    pub(crate) fn has_pair_key(&self, peer: &PeerId, key_id: &KeyId) -> bool {
        self.pairs.get(peer).is_some_and(|held| held.contains_key(key_id))
    }

    /// What is to be stored of a new secret.
    pub(crate) fn pair_key_row(
        &self,
        peer: PeerId,
        secret: &PairSecret,
        now: UnixMillis,
    ) -> PairKeyRow {
        let key_id = secret.key_id();
        let context = pair_context(&peer, &key_id);
        PairKeyRow {
            peer,
            key_id,
            sealed_secret: self.store_key.seal(&mut clock::rng(), &context, secret.bytes()),
            algorithm: PAIR_ALGORITHM.to_owned(),
            created_at: now,
            confirmed: false,
            destroy_at: None,
        }
    }

    /// Uses a secret that was stored. It seals once the peer has confirmed it: true when the
    /// peer was quicker and has done so already.
    pub(crate) fn add_pair_key(
        &mut self,
        peer: PeerId,
        secret: PairSecret,
        now: UnixMillis,
    ) -> bool {
        let key_id = secret.key_id();
        let held = HeldPairKey { created_at: now, confirmed: false, destroy_at: None, secret };
        let keys = self.pairs.entry(peer).or_default();
        keys.insert(key_id, held);
        while keys.len() > PAIR_KEYS_MAX {
            let others = keys.iter().filter(|(id, _)| **id != key_id);
            let least = others.min_by_key(|(_, held)| (held.confirmed, held.created_at));
            let Some(least) = least.map(|(id, _)| *id) else { break };
            keys.remove(&least);
            self.sealer.forget_key(&least);
            self.opener.forget_key(&least);
        }
        self.early.remove(&peer) == Some(key_id)
    }

    /// The peer has the secret too. The ones before it end at `destroy_at`.
    pub(crate) fn confirm_pair_key(
        &mut self,
        peer: &PeerId,
        key_id: &KeyId,
        destroy_at: UnixMillis,
    ) -> bool {
        let Some(keys) = self.pairs.get_mut(peer).filter(|keys| keys.contains_key(key_id)) else {
            self.early.insert(*peer, *key_id);
            return false;
        };
        for (id, held) in keys.iter_mut() {
            if id == key_id {
                held.confirmed = true;
            } else if held.destroy_at.is_none() {
                held.destroy_at = Some(destroy_at);
            }
        }
        self.unpaired.remove(peer);
        true
    }

    /// Destroys secrets whose time is over.
    pub(crate) fn forget_pair_keys(&mut self, now: UnixMillis) {
        for keys in self.pairs.values_mut() {
            for (key_id, _) in
                keys.extract_if(.., |_, held| held.destroy_at.is_some_and(|at| at <= now))
            {
                self.sealer.forget_key(&key_id);
                self.opener.forget_key(&key_id);
            }
        }
        self.pairs.retain(|_, keys| !keys.is_empty());
    }

    /// Destroys every secret shared with a peer.
    pub(crate) fn forget_peer(&mut self, peer: &PeerId) {
        for key_id in self.pairs.remove(peer).unwrap_or_default().keys() {
            self.sealer.forget_key(key_id);
            self.opener.forget_key(key_id);
        }
        self.early.remove(peer);
        self.unpaired.remove(peer);
    }

    /// Destroys every secret shared with anybody.
    pub(crate) fn forget_all_peers(&mut self) {
        for peer in self.paired_peers() {
            self.forget_peer(&peer);
        }
        self.early.clear();
    }

    /// Peers that secrets are shared with.
    pub(crate) fn paired_peers(&self) -> Vec<PeerId> {
        self.pairs.keys().copied().collect()
    }

    /// Seals `message` so that `to` alone can read it.
    pub(crate) fn seal(
        &mut self,
        message: &MeshMessage,
        to: &Member,
    ) -> Result<Envelope, NodeError> {
        let Some(sealing_key) = to.sealing_key else {
            return Err(NodeError::new(
                ErrorCode::SealInvalid,
                format!("{} has not told its sealing key yet; nothing was sent", to.hostname),
            )
            .with_hint("wait until it has been linked once, or send without --seal"));
        };
        // Looked up by field, because the sealer is borrowed beside it.
        let pairs = self.pairs.get(&to.peer_id).filter(|_| !self.unpaired.contains(&to.peer_id));
        let pair = newest_confirmed(pairs).map(|(_, held)| &held.secret);
        self.sealer.seal(&mut clock::rng(), message, to.peer_id, &sealing_key, pair).map_err(
            |error| {
                NodeError::new(
                    error.code(),
                    format!("cannot seal for {}: {}; nothing was sent", to.hostname, chain(&error)),
                )
            },
        )
    }

    /// Seals `message` so that `to` can read it for as long as it keeps its sealing key: secrets of a pair are
    /// destroyed sooner.
    pub(crate) fn seal_for_long(
        &mut self,
        message: &MeshMessage,
        to: &Member,
    ) -> Result<Envelope, NodeError> {
        let peer = to.peer_id;
        let is_new = self.unpaired.insert(peer);
        let sealed = self.seal(message, to);
        if is_new {
            self.unpaired.remove(&peer);
        }
        sealed
    }

    /// Seals for `peer` without the pair's secret, which the peer has lost, until there is a new one.
    pub(crate) fn distrust_pair_keys(&mut self, peer: PeerId) {
        if self.pairs.contains_key(&peer) {
            self.unpaired.insert(peer);
        }
    }

    /// Opens what was sealed to this node.
    pub(crate) fn open(&mut self, envelope: &Envelope) -> Result<MeshMessage, ErrorCode> {
        let header = &envelope.header;
        let sealing = self.sealing.iter().find(|held| held.key.key_id() == header.sealing_key_id);
        let Some(sealing) = sealing else { return Err(ErrorCode::SealInvalid) };
        let pair = match &header.pair_key_id {
            None => None,
            Some(key_id) => match self.pairs.get(&header.from).and_then(|keys| keys.get(key_id)) {
                None => return Err(ErrorCode::SealInvalid),
                Some(held) => Some(&held.secret),
            },
        };
        self.opener.open(envelope, &sealing.key, pair).map_err(|error| error.code())
    }
}

#[cfg(test)]
mod tests;

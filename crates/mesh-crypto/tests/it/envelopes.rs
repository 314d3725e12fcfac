use mesh_crypto::{
    Domain, NodeKey, OpenError, Opener, SealError, Sealer, SealingKey, digest, verify_envelope,
};
use mesh_protocol::{
    Envelope, ErrorCode, MeshMessage, MessageId, PeerId, Recipient, SealingPublicKey, UnixMillis,
};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Deserialize;

use crate::support::{Counter, fixture, flipped, message, node_key, pair_secret, sealing_key};

/// A sender, a receiver and one message between them.
struct Scene {
    sender: NodeKey,
    receiver: PeerId,
    sealing_key: SealingKey,
    message: MeshMessage,
    rng: StdRng,
}

impl Scene {
    fn new() -> Self {
        let sender = node_key(0x11);
        let receiver = node_key(0x22).peer_id();
        let message = message(&sender, receiver, "hello");
        let rng = StdRng::seed_from_u64(7);
        Self { sender, receiver, sealing_key: sealing_key(0x33), message, rng }
    }

    fn seal_with(&mut self, sealer: &mut Sealer) -> Envelope {
        let public = self.sealing_key.public();
        sealer.seal(&mut self.rng, &self.message, self.receiver, &public, None).unwrap()
    }

    fn seal(&mut self) -> Envelope {
        let mut sealer = Sealer::new(self.sender.clone());
        self.seal_with(&mut sealer)
    }

    fn open(&self, envelope: &Envelope) -> Result<MeshMessage, OpenError> {
        Opener::new().open(envelope, &self.sealing_key, None)
    }

    /// Signs an envelope as only its sender can, whatever stands in it.
    fn sign_again(&self, envelope: &mut Envelope) {
        let header = envelope.header.encode().unwrap();
        let signed = [header.as_slice(), &digest(&envelope.ciphertext)].concat();
        envelope.signature = self.sender.sign(Domain::Envelope, &signed);
    }
}

#[derive(Deserialize)]
struct Golden {
    #[serde(with = "hex::serde")]
    sender_node_key: [u8; 32],
    #[serde(with = "hex::serde")]
    receiver_node_key: [u8; 32],
    #[serde(with = "hex::serde")]
    receiver_sealing_key: [u8; 32],
    #[serde(with = "hex::serde")]
    pair_secret: [u8; 32],
    text: String,
    #[serde(with = "hex::serde")]
    base_envelope: Vec<u8>,
    #[serde(with = "hex::serde")]
    psk_envelope: Vec<u8>,
}

#[test]
fn an_envelope_sealed_long_ago_still_opens_and_none_drifts() {
    let golden: Golden = serde_json::from_str(&fixture("envelope-v1.json")).unwrap();
    let sender = node_key(golden.sender_node_key[0]);
    let receiver = node_key(golden.receiver_node_key[0]).peer_id();
    let sealing_key = sealing_key(golden.receiver_sealing_key[0]);
    let pair = pair_secret(golden.pair_secret[0]);
    let message = message(&sender, receiver, &golden.text);
    let mut sealer = Sealer::new(sender);
    for (pair, bytes) in [(None, golden.base_envelope), (Some(&pair), golden.psk_envelope)] {
        let sealed =
            sealer.seal(&mut Counter(0), &message, receiver, &sealing_key.public(), pair).unwrap();
        assert_eq!(hex::encode(sealed.encode().unwrap()), hex::encode(&bytes));
        let envelope = Envelope::decode(&bytes).unwrap();
        assert_eq!(Opener::new().open(&envelope, &sealing_key, pair).unwrap(), message);
    }
}

#[test]
fn a_sealed_message_opens_and_shows_nothing_on_the_way() {
    let mut scene = Scene::new();
    let envelope = scene.seal();
    assert!(verify_envelope(&envelope));
    let on_the_way = envelope.encode().unwrap();
    assert!(!on_the_way.windows(5).any(|window| window == b"hello"));
    assert_eq!(scene.open(&envelope).unwrap(), scene.message);
}

#[test]
fn a_broadcast_is_sealed_for_each_receiver() {
    let mut scene = Scene::new();
    scene.message.to = Recipient::Broadcast;
    let envelope = scene.seal();
    assert_eq!(envelope.header.to, scene.receiver);
    assert_eq!(scene.open(&envelope).unwrap(), scene.message);
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut scene = Scene::new();
    let pair = pair_secret(0x44);
    let public = scene.sealing_key.public();
    let envelope = Sealer::new(scene.sender.clone())
        .seal(&mut scene.rng, &scene.message, scene.receiver, &public, Some(&pair))
        .unwrap();
    let bytes = envelope.encode().unwrap();
    let mut opener = Opener::new();
    assert_eq!(opener.open(&envelope, &scene.sealing_key, Some(&pair)), Ok(scene.message.clone()));
    for bit in 0..bytes.len() * 8 {
        let Ok(forged) = Envelope::decode(&flipped(&bytes, bit)) else { continue };
        assert!(!verify_envelope(&forged), "bit {bit}");
        let error = opener.open(&forged, &scene.sealing_key, Some(&pair)).unwrap_err();
        assert_eq!(error, OpenError::Signature, "bit {bit}");
    }
}

/// The signature hides what the seal alone refuses: a sender can sign what it altered itself.
#[test]
fn what_its_sender_altered_and_signed_again_is_refused_too() {
    let mut scene = Scene::new();
    let envelope = scene.seal();
    for bit in 0..envelope.ciphertext.len() * 8 {
        let ciphertext = flipped(&envelope.ciphertext, bit);
        let mut forged = Envelope { ciphertext, ..envelope.clone() };
        scene.sign_again(&mut forged);
        assert_eq!(scene.open(&forged), Err(OpenError::Ciphertext), "bit {bit}");
    }
    let alterations: [fn(&mut Envelope); 6] = [
        |envelope| envelope.header.version.minor += 1,
        |envelope| envelope.header.message_id = MessageId::from_bytes([1; 16]),
        |envelope| envelope.header.to = node_key(0x66).peer_id(),
        |envelope| envelope.header.timestamp = UnixMillis(1),
        |envelope| envelope.header.encapsulated_key = *sealing_key(9).public().as_bytes(),
        |envelope| envelope.header.salt[0] ^= 1,
    ];
    for alter in alterations {
        let mut forged = envelope.clone();
        alter(&mut forged);
        scene.sign_again(&mut forged);
        assert_eq!(scene.open(&forged), Err(OpenError::Ciphertext), "{forged:?}");
    }
}

#[test]
fn every_beginning_is_refused() {
    let mut scene = Scene::new();
    let envelope = scene.seal();
    let bytes = envelope.encode().unwrap();
    for end in 0..bytes.len() {
        assert!(Envelope::decode(&bytes[..end]).is_err(), "first {end} bytes");
    }
    for end in 0..envelope.ciphertext.len() {
        let mut cut = envelope.clone();
        cut.ciphertext.truncate(end);
        assert_eq!(scene.open(&cut), Err(OpenError::Signature));
        scene.sign_again(&mut cut);
        assert_eq!(scene.open(&cut), Err(OpenError::Ciphertext));
    }
}

#[test]
fn nobody_else_can_pass_a_sealed_message_on_as_his_own() {
    let mut scene = Scene::new();
    let mut envelope = scene.seal();
    scene.sender = node_key(0x55);
    envelope.header.from = scene.sender.peer_id();
    scene.sign_again(&mut envelope);
    assert!(verify_envelope(&envelope));
    assert_eq!(scene.open(&envelope), Err(OpenError::Ciphertext));
}

#[test]
fn a_cached_context_serves_its_own_sender_alone() {
    let mut scene = Scene::new();
    let envelope = scene.seal();
    let mut opener = Opener::new();
    opener.open(&envelope, &scene.sealing_key, None).unwrap();
    let mut stolen = envelope;
    scene.sender = node_key(0x55);
    stolen.header.from = scene.sender.peer_id();
    scene.sign_again(&mut stolen);
    let outcome = opener.open(&stolen, &scene.sealing_key, None);
    assert_eq!(outcome, Err(OpenError::Ciphertext));
}

#[test]
fn a_message_must_be_from_the_sealer_and_for_the_receiver() {
    let mut scene = Scene::new();
    let public = scene.sealing_key.public();
    let mut stranger = Sealer::new(node_key(0x55));
    let error = stranger.seal(&mut scene.rng, &scene.message, scene.receiver, &public, None);
    assert_eq!(error.unwrap_err(), SealError::Sender);
    let mut sealer = Sealer::new(scene.sender.clone());
    let elsewhere = node_key(0x66).peer_id();
    let error = sealer.seal(&mut scene.rng, &scene.message, elsewhere, &public, None);
    assert_eq!(error.unwrap_err(), SealError::Recipient);
    assert_eq!(SealError::Recipient.code(), ErrorCode::MessageMisdirected);
}

#[test]
fn a_sealing_key_of_small_order_is_refused() {
    let mut scene = Scene::new();
    let zero = SealingPublicKey::from_bytes([0; 32]);
    let mut sealer = Sealer::new(scene.sender.clone());
    let error = sealer.seal(&mut scene.rng, &scene.message, scene.receiver, &zero, None);
    assert_eq!(error.unwrap_err(), SealError::SealingKey);
    let mut envelope = scene.seal();
    envelope.header.encapsulated_key = [0; 32];
    scene.sign_again(&mut envelope);
    assert_eq!(scene.open(&envelope), Err(OpenError::Ciphertext));
}

#[test]
fn keys_that_the_header_does_not_name_are_refused() {
    let mut scene = Scene::new();
    let (pair, other_pair) = (pair_secret(0x44), pair_secret(0x45));
    let mut opener = Opener::new();
    let plain = scene.seal();
    let outcome = opener.open(&plain, &sealing_key(0x34), None);
    assert_eq!(outcome, Err(OpenError::SealingKey));
    let outcome = opener.open(&plain, &scene.sealing_key, Some(&pair));
    assert_eq!(outcome, Err(OpenError::PairSecret));
    let public = scene.sealing_key.public();
    let paired = Sealer::new(scene.sender.clone())
        .seal(&mut scene.rng, &scene.message, scene.receiver, &public, Some(&pair))
        .unwrap();
    assert_eq!(paired.header.pair_key_id, Some(pair.key_id()));
    for wrong in [None, Some(&other_pair)] {
        let outcome = opener.open(&paired, &scene.sealing_key, wrong);
        assert_eq!(outcome, Err(OpenError::PairSecret));
    }
    let outcome = opener.open(&paired, &scene.sealing_key, Some(&pair));
    assert_eq!(outcome, Ok(scene.message.clone()));
    assert_eq!(OpenError::PairSecret.code(), ErrorCode::SealInvalid);
}

/// Whoever stole the sealing key but not the pair secret cannot open by naming another mode either.
#[test]
fn the_pair_secret_cannot_be_left_out_afterwards() {
    let mut scene = Scene::new();
    let public = scene.sealing_key.public();
    let mut envelope = Sealer::new(scene.sender.clone())
        .seal(&mut scene.rng, &scene.message, scene.receiver, &public, Some(&pair_secret(0x44)))
        .unwrap();
    envelope.header.pair_key_id = None;
    scene.sign_again(&mut envelope);
    assert_eq!(scene.open(&envelope), Err(OpenError::Ciphertext));
}

#[test]
fn an_encapsulation_serves_1024_messages_and_no_key_serves_two() {
    let mut scene = Scene::new();
    let mut sealer = Sealer::new(scene.sender.clone());
    let mut opener = Opener::new();
    let first = scene.seal_with(&mut sealer);
    let mut salts = std::collections::BTreeSet::from([first.header.salt]);
    for _ in 1..1024 {
        let next = scene.seal_with(&mut sealer);
        assert_eq!(next.header.encapsulated_key, first.header.encapsulated_key);
        assert_ne!(next.ciphertext, first.ciphertext);
        assert!(salts.insert(next.header.salt));
    }
    let renewed = scene.seal_with(&mut sealer);
    assert_ne!(renewed.header.encapsulated_key, first.header.encapsulated_key);
    for envelope in [&first, &renewed, &first] {
        assert_eq!(opener.open(envelope, &scene.sealing_key, None).as_ref(), Ok(&scene.message));
    }
}

#[test]
fn each_receiver_and_pair_secret_has_an_encapsulation_of_its_own() {
    let mut scene = Scene::new();
    scene.message.to = Recipient::Broadcast;
    let mut sealer = Sealer::new(scene.sender.clone());
    let pair = pair_secret(0x44);
    let mut seen = std::collections::BTreeSet::new();
    for (key, pair) in [(0x33, None), (0x33, Some(&pair)), (0x34, None), (0x34, Some(&pair))] {
        let public = sealing_key(key).public();
        for _ in 0..2 {
            let envelope =
                sealer.seal(&mut scene.rng, &scene.message, scene.receiver, &public, pair).unwrap();
            seen.insert(envelope.header.encapsulated_key);
        }
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_forgotten_key_takes_part_in_nothing_more() {
    let mut scene = Scene::new();
    let mut sealer = Sealer::new(scene.sender.clone());
    let mut opener = Opener::new();
    let first = scene.seal_with(&mut sealer);
    opener.open(&first, &scene.sealing_key, None).unwrap();
    assert!(format!("{sealer:?}").contains("encapsulations: 1"));
    assert!(format!("{opener:?}").contains("contexts: 1"));
    sealer.forget_key(&sealing_key(0x77).key_id());
    opener.forget_key(&sealing_key(0x77).key_id());
    assert!(format!("{sealer:?}").contains("encapsulations: 1"));
    sealer.forget_key(&scene.sealing_key.key_id());
    opener.forget_key(&scene.sealing_key.key_id());
    assert!(format!("{sealer:?}").contains("encapsulations: 0"));
    assert!(format!("{opener:?}").contains("contexts: 0"));
    let second = scene.seal_with(&mut sealer);
    assert_ne!(second.header.encapsulated_key, first.header.encapsulated_key);
    sealer.forget_all();
    assert!(format!("{sealer:?}").contains("encapsulations: 0"));
}

#[test]
fn more_receivers_than_are_remembered_are_served_all_the_same() {
    let mut scene = Scene::new();
    scene.message.to = Recipient::Broadcast;
    let mut sealer = Sealer::new(scene.sender.clone());
    let mut opener = Opener::new();
    for seed in 0..300_u16 {
        let mut secret = zeroize::Zeroizing::new([0x33; 32]);
        // The lowest bits of the first byte mean nothing to X25519.
        secret[1..3].copy_from_slice(&seed.to_le_bytes());
        let key = SealingKey::from_secret_bytes(&secret);
        let envelope = sealer
            .seal(&mut scene.rng, &scene.message, scene.receiver, &key.public(), None)
            .unwrap();
        assert_eq!(opener.open(&envelope, &key, None).as_ref(), Ok(&scene.message));
    }
    assert!(format!("{sealer:?}").contains("encapsulations: 256"));
    assert!(format!("{opener:?}").contains("contexts: 256"));
}

#[test]
fn a_forged_envelope_leaves_no_context_behind() {
    let mut scene = Scene::new();
    let mut envelope = scene.seal();
    envelope.header.salt[0] ^= 1;
    scene.sign_again(&mut envelope);
    let mut opener = Opener::new();
    assert_eq!(opener.open(&envelope, &scene.sealing_key, None), Err(OpenError::Ciphertext));
    assert!(format!("{opener:?}").contains("contexts: 0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_survives_and_any_damage_is_refused(
        text in "\\PC{0,200}",
        seed in any::<u64>(),
        with_pair in any::<bool>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let mut scene = Scene::new();
        scene.rng = StdRng::seed_from_u64(seed);
        scene.message = message(&scene.sender, scene.receiver, &text);
        let pair = with_pair.then(|| pair_secret(0x44));
        let public = scene.sealing_key.public();
        let envelope = Sealer::new(scene.sender.clone())
            .seal(&mut scene.rng, &scene.message, scene.receiver, &public, pair.as_ref())
            .unwrap();
        let bytes = envelope.encode().unwrap();
        let mut opener = Opener::new();
        let arrived = Envelope::decode(&bytes).unwrap();
        let opened = opener.open(&arrived, &scene.sealing_key, pair.as_ref());
        prop_assert_eq!(opened.as_ref(), Ok(&scene.message));
        if let Ok(forged) = Envelope::decode(&flipped(&bytes, bit.index(bytes.len() * 8))) {
            prop_assert!(!verify_envelope(&forged));
            prop_assert!(opener.open(&forged, &scene.sealing_key, pair.as_ref()).is_err());
        }
    }
}

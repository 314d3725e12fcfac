use mesh_protocol::{Encryption, MessageId, Payload, Ping, ProtocolVersion, Signature, UnixMillis};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::envelope::signing_bytes;
use crate::hpke_context::setup_as_sender;
use crate::{Domain, NodeKey};

fn node_key(fill: u8) -> NodeKey {
    NodeKey::from_secret_bytes(&Zeroizing::new([fill; 32]))
}

fn sealing_key() -> SealingKey {
    SealingKey::from_secret_bytes(&Zeroizing::new([0x33; 32]))
}

fn message() -> MeshMessage {
    MeshMessage {
        message_id: MessageId::from_bytes([1; 16]),
        from: node_key(0x11).peer_id(),
        to: Recipient::Peer(node_key(0x22).peer_id()),
        payload: Payload::Ping(Ping { nonce: 1, sent_at: UnixMillis(2) }),
        encryption: Encryption::Sealed,
        timestamp: UnixMillis(3),
    }
}

/// Seals any content under the header of [`message`], as only a sender that lies can.
fn sealed_by_a_liar(content: Vec<u8>) -> Envelope {
    let (sender, announced) = (node_key(0x11), message());
    let (to, sealing_key) = (node_key(0x22).peer_id(), sealing_key());
    let info = context_info(&announced.from, &to, &sealing_key.key_id());
    let public = sealing_key.public();
    let mut rng = StdRng::seed_from_u64(1);
    let (encapsulated_key, context) =
        setup_as_sender::<AesGcm256>(&mut rng, public.as_bytes(), &info, None).unwrap();
    let header = EnvelopeHeader {
        version: ProtocolVersion::CURRENT,
        message_id: announced.message_id,
        from: announced.from,
        to,
        timestamp: announced.timestamp,
        sealing_key_id: sealing_key.key_id(),
        pair_key_id: None,
        encapsulated_key,
        salt: [4; 16],
    };
    let export = |label: &[u8], out: &mut [u8]| context.export(label, out);
    let key = message_key(export, &header.salt, &header.message_id).unwrap();
    let header_bytes = header.encode().unwrap();
    let mut ciphertext = content;
    aead::seal_in_place(&key, &MESSAGE_NONCE, &header_bytes, &mut ciphertext, 0).unwrap();
    let signed = signing_bytes(&header_bytes, &ciphertext);
    let signature: Signature = sender.sign(Domain::Envelope, &signed);
    Envelope { header, ciphertext, signature }
}

fn open(envelope: &Envelope) -> Result<MeshMessage, OpenError> {
    Opener::new().open(envelope, &sealing_key(), None)
}

#[test]
fn a_message_that_is_not_the_announced_one_is_refused() {
    assert_eq!(open(&sealed_by_a_liar(message().encode().unwrap())), Ok(message()));
    let lies: [(fn(&mut MeshMessage), _); 4] = [
        (|message| message.message_id = MessageId::from_bytes([9; 16]), "id"),
        (|message| message.from = node_key(0x55).peer_id(), "sender"),
        (|message| message.to = Recipient::Peer(node_key(0x55).peer_id()), "recipient"),
        (|message| message.timestamp = UnixMillis(9), "timestamp"),
    ];
    for (lie, field) in lies {
        let mut inside = message();
        lie(&mut inside);
        let outcome = open(&sealed_by_a_liar(inside.encode().unwrap()));
        assert_eq!(outcome, Err(OpenError::Disagreement { field }));
    }
}

#[test]
fn content_that_is_no_message_is_refused() {
    for content in [vec![], vec![1], vec![0xFF; 300]] {
        assert!(matches!(open(&sealed_by_a_liar(content)), Err(OpenError::Decode(_))));
    }
}

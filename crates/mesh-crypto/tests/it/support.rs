//! Keys that are obviously fake, and ways to damage bytes.

use mesh_crypto::{NodeKey, PairSecret, SealingKey};
use mesh_protocol::{
    CustomJson, Encryption, JsonText, MeshMessage, MessageId, Payload, PeerId, Recipient,
    UnixMillis,
};
use rand_core::{Infallible, TryCryptoRng, TryRng};
use zeroize::Zeroizing;

/// Counts instead of drawing, so that golden files can be made again byte by byte.
pub(crate) struct Counter(pub(crate) u8);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

pub(crate) fn node_key(fill: u8) -> NodeKey {
    NodeKey::from_secret_bytes(&Zeroizing::new([fill; 32]))
}

pub(crate) fn sealing_key(fill: u8) -> SealingKey {
    SealingKey::from_secret_bytes(&Zeroizing::new([fill; 32]))
}

pub(crate) fn pair_secret(fill: u8) -> PairSecret {
    PairSecret::from_bytes(Zeroizing::new([fill; 32]))
}

pub(crate) fn message(from: &NodeKey, to: PeerId, text: &str) -> MeshMessage {
    let document = serde_json::json!({ "text": text }).to_string();
    MeshMessage {
        message_id: MessageId::from_parts(UnixMillis(1_800_000_000_000), &[9; 10]),
        from: from.peer_id(),
        to: Recipient::Peer(to),
        payload: Payload::CustomJson(CustomJson {
            app_type: "test.note".to_owned(),
            data: JsonText::parse(&document).unwrap(),
        }),
        encryption: Encryption::Sealed,
        timestamp: UnixMillis(1_800_000_000_000),
    }
}

/// `bytes` with one bit turned over.
pub(crate) fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// Every text that differs from `text` in one bit and is still UTF-8: no other reaches a parser of text.
pub(crate) fn flipped_texts(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter_map(|bit| String::from_utf8(flipped(text.as_bytes(), bit)).ok())
}

/// Every beginning of `text`.
pub(crate) fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len()).filter_map(|end| text.get(..end))
}

pub(crate) fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/crypto/");
    std::fs::read_to_string(format!("{folder}{name}")).unwrap()
}

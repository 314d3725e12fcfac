use hpke::aead::{AesGcm128, AesGcm256};
use rand_core::{Infallible, TryCryptoRng, TryRng};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Fixture {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    mode: u8,
    kem_id: u16,
    kdf_id: u16,
    aead_id: u16,
    #[serde(with = "hex::serde")]
    info: Vec<u8>,
    #[serde(with = "hex::serde")]
    ikm_e: [u8; 32],
    #[serde(with = "hex::serde")]
    sk_r: [u8; 32],
    #[serde(with = "hex::serde")]
    pk_r: [u8; 32],
    #[serde(with = "hex::serde")]
    psk: Vec<u8>,
    #[serde(with = "hex::serde")]
    psk_id: Vec<u8>,
    #[serde(with = "hex::serde")]
    enc: [u8; 32],
    #[serde(with = "hex::serde")]
    plaintext: Vec<u8>,
    encryptions: Vec<Encryption>,
    exports: Vec<Export>,
}

#[derive(Deserialize)]
struct Encryption {
    #[serde(with = "hex::serde")]
    aad: Vec<u8>,
    #[serde(with = "hex::serde")]
    ciphertext: Vec<u8>,
}

#[derive(Deserialize)]
struct Export {
    #[serde(with = "hex::serde")]
    context: Vec<u8>,
    #[serde(with = "hex::serde")]
    value: [u8; 32],
}

/// Hands out the published key material where a sender would draw its own.
struct Published(Vec<u8>);

impl TryRng for Published {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("key material is drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("key material is drawn as bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Published {}

fn check<A: Aead>(vector: &Vector) {
    let name = &vector.name;
    let pre_shared =
        (vector.mode == 1).then_some(PreShared { key: &vector.psk, id: &vector.psk_id });
    let mut rng = Published(vector.ikm_e.to_vec());
    let (enc, mut sender) =
        setup_as_sender::<A>(&mut rng, &vector.pk_r, &vector.info, pre_shared).unwrap();
    assert_eq!(enc, vector.enc, "{name}");
    let mut receiver =
        setup_as_receiver::<A>(&vector.sk_r, &vector.enc, &vector.info, pre_shared).unwrap();
    for Encryption { aad, ciphertext } in &vector.encryptions {
        assert_eq!(&sender.seal(&vector.plaintext, aad).unwrap(), ciphertext, "{name}");
        assert_eq!(receiver.open(ciphertext, aad).unwrap(), vector.plaintext, "{name}");
    }
    for Export { context, value } in &vector.exports {
        let mut exported = [0; 32];
        sender.export(context, &mut exported).unwrap();
        assert_eq!(&exported, value, "{name}");
        receiver.export(context, &mut exported).unwrap();
        assert_eq!(&exported, value, "{name}");
    }
}

#[test]
fn published_vectors_come_out_on_both_sides() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/crypto/hpke-rfc9180.json");
    let fixture: Fixture = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for vector in &fixture.vectors {
        assert_eq!((vector.kem_id, vector.kdf_id), (0x0020, 0x0001), "{}", vector.name);
        match vector.aead_id {
            0x0001 => check::<AesGcm128>(vector),
            0x0002 => check::<AesGcm256>(vector),
            other => panic!("no AEAD {other} here"),
        }
    }
    let modes: Vec<_> = fixture.vectors.iter().map(|v| (v.mode, v.aead_id)).collect();
    assert_eq!(modes, [(0, 2), (0, 1), (1, 1)]);
}

#[test]
fn a_receiver_key_of_small_order_is_refused() {
    let mut rng = Published(vec![7; 32]);
    assert!(setup_as_sender::<AesGcm256>(&mut rng, &[0; 32], b"info", None).is_err());
}

#[test]
fn an_encapsulated_key_of_small_order_is_refused() {
    assert!(setup_as_receiver::<AesGcm256>(&[7; 32], &[0; 32], b"info", None).is_err());
}

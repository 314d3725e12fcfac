use mesh_crypto::{AtRestError, StoreKey};
use mesh_protocol::ErrorCode;
use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::support::{Counter, fixture, flipped};

fn store_key(fill: u8) -> StoreKey {
    StoreKey::from_secret_bytes(Zeroizing::new([fill; 32]))
}

#[test]
fn a_value_sealed_long_ago_still_opens() {
    const SECRET: &[u8] = b"an obviously fake secret";
    let golden = fixture("at-rest-v1.hex");
    let sealed = store_key(0x11).seal(&mut Counter(0), b"peer_keys/secret/1", SECRET);
    assert_eq!(hex::encode(&sealed), golden.trim());
    let opened = store_key(0x11).open(b"peer_keys/secret/1", &sealed).unwrap();
    assert_eq!(opened.as_slice(), SECRET);
}

#[test]
fn the_same_value_never_looks_the_same_twice() {
    let mut rng = Counter(0);
    let key = store_key(0x11);
    assert_ne!(key.seal(&mut rng, b"place", b"value"), key.seal(&mut rng, b"place", b"value"));
}

#[test]
fn an_empty_value_and_an_empty_context_are_sealed_too() {
    let key = store_key(0x11);
    let sealed = key.seal(&mut Counter(0), b"", b"");
    assert!(key.open(b"", &sealed).unwrap().is_empty());
    assert_eq!(key.open(b"x", &sealed).unwrap_err(), AtRestError::Sealed);
}

#[test]
fn an_unknown_version_says_so() {
    let key = store_key(0x11);
    let mut sealed = key.seal(&mut Counter(0), b"place", b"value");
    sealed[0] = 2;
    assert_eq!(key.open(b"place", &sealed).unwrap_err(), AtRestError::Version);
    assert_eq!(key.open(b"place", &[]).unwrap_err(), AtRestError::Version);
    assert_eq!(AtRestError::Version.code(), ErrorCode::StorageError);
}

proptest! {
    #[test]
    fn what_is_sealed_opens_with_its_key_and_context_alone(
        fill in any::<u8>(),
        start in any::<u8>(),
        context in proptest::collection::vec(any::<u8>(), 0..40),
        plaintext in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let key = store_key(fill);
        let sealed = key.seal(&mut Counter(start), &context, &plaintext);
        let opened = key.open(&context, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
        prop_assert!(store_key(fill ^ 1).open(&context, &sealed).is_err());
        let elsewhere = [context.as_slice(), b"!"].concat();
        prop_assert!(key.open(&elsewhere, &sealed).is_err());
    }

    #[test]
    fn a_flipped_bit_or_a_missing_byte_is_refused(
        plaintext in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let key = store_key(0x22);
        let sealed = key.seal(&mut Counter(3), b"place", &plaintext);
        for bit in 0..sealed.len() * 8 {
            prop_assert!(key.open(b"place", &flipped(&sealed, bit)).is_err(), "bit {}", bit);
        }
        for end in 0..sealed.len() {
            prop_assert!(key.open(b"place", &sealed[..end]).is_err(), "first {} bytes", end);
        }
    }
}

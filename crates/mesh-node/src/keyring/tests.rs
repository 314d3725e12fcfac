use mesh_crypto::{KeyFile, PairSecret};
use mesh_protocol::{KeyId, PeerId, UnixMillis};
use zeroize::Zeroizing;

use super::{Keyring, PAIR_KEYS_MAX};
use crate::clock;

const PEER: PeerId = PeerId::from_bytes([7; 32]);

fn keyring() -> Keyring {
    Keyring::new(KeyFile::generate(&mut clock::rng()))
}

fn add(keyring: &mut Keyring, number: u8) -> KeyId {
    let secret = PairSecret::from_bytes(Zeroizing::new([number; 32]));
    let key_id = secret.key_id();
    keyring.add_pair_key(PEER, secret, UnixMillis(number.into()));
    key_id
}

#[test]
fn a_peer_that_links_without_end_costs_a_bounded_number_of_secrets() {
    let mut keyring = keyring();
    let confirmed = add(&mut keyring, 1);
    assert!(keyring.confirm_pair_key(&PEER, &confirmed, UnixMillis(1000)));
    let ids: Vec<KeyId> = (2..=100).map(|number| add(&mut keyring, number)).collect();
    assert_eq!(keyring.pairs[&PEER].len(), PAIR_KEYS_MAX);
    assert!(keyring.has_pair_key(&PEER, &confirmed), "the one in use stays");
    assert!(keyring.has_pair_key(&PEER, ids.last().unwrap()), "and the newest");
    assert!(!keyring.has_pair_key(&PEER, &ids[0]));
}

#[test]
fn a_confirmation_may_come_before_the_commit_and_leaves_nothing_behind() {
    let mut keyring = keyring();
    let key_id = PairSecret::from_bytes(Zeroizing::new([1; 32])).key_id();
    assert!(!keyring.confirm_pair_key(&PEER, &key_id, UnixMillis(1000)));
    assert!(keyring.paired_peers().is_empty());
    let secret = PairSecret::from_bytes(Zeroizing::new([1; 32]));
    assert!(keyring.add_pair_key(PEER, secret, UnixMillis(1)));
    assert!(keyring.confirm_pair_key(&PEER, &key_id, UnixMillis(1000)));
    assert_eq!(keyring.young_pair_key(&PEER, UnixMillis(2)), Some(key_id));
}

#[test]
fn a_secret_that_was_replaced_ends_at_its_time_and_all_end_with_the_peer() {
    let mut keyring = keyring();
    let old = add(&mut keyring, 1);
    assert!(keyring.confirm_pair_key(&PEER, &old, UnixMillis(0)));
    let new = add(&mut keyring, 2);
    assert!(keyring.confirm_pair_key(&PEER, &new, UnixMillis(1000)));
    keyring.forget_pair_keys(UnixMillis(999));
    assert!(keyring.has_pair_key(&PEER, &old));
    keyring.forget_pair_keys(UnixMillis(1000));
    assert!(!keyring.has_pair_key(&PEER, &old) && keyring.has_pair_key(&PEER, &new));
    keyring.forget_all_peers();
    assert!(keyring.paired_peers().is_empty());
}

//! What travels through others: parcels that are kept, and the links that a peer says it has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_crypto::Verifier;
use mesh_protocol::{Parcel, Signature, SignedLinkState};

fn read_parcel(bytes: &[u8]) {
    let Ok(parcel) = Parcel::decode(bytes) else { return };
    assert_eq!(parcel.encode().as_deref(), Ok(bytes), "a parcel has one form");
    assert!(!parcel.is_genuine(&Verifier), "a signature was guessed");
}

fn read_link_state(bytes: &[u8]) {
    let signature = Signature::from_bytes([0; Signature::LEN]);
    let signed = SignedLinkState { body: bytes.to_vec(), signature };
    let Ok(state) = signed.peek() else { return };
    assert_eq!(state.encode().as_deref(), Ok(bytes), "a link state has one form");
    assert!(signed.verify(&Verifier).is_err(), "nobody signed this");
}

fuzz_target!(|bytes: &[u8]| {
    read_parcel(bytes);
    read_link_state(bytes);
});

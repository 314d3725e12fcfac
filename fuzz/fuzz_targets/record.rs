//! Canonical bytes of membership records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_crypto::Verifier;
use mesh_protocol::{Record, Signature, SignedRecord};

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = Record::decode(bytes) else { return };
    // An address can grow when it is brought into its usual form, and the record with it beyond its bound.
    if let Ok(again) = record.encode() {
        assert_eq!(Record::decode(&again), Ok(record.clone()));
    }
    let signature = Signature::from_bytes([0; Signature::LEN]);
    let signed = SignedRecord { signer: record.signer(), body: bytes.to_vec(), signature };
    assert!(signed.verify(&Verifier).is_err(), "nobody signed this");
});

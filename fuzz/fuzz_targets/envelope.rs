//! Envelopes are read before any key is at hand.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_crypto::verify_envelope;
use mesh_protocol::Envelope;

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::decode(bytes) else { return };
    let again = envelope.encode().expect("what was read keeps every bound");
    assert_eq!(Envelope::decode(&again), Ok(envelope.clone()));
    assert!(!verify_envelope(&envelope), "a signature was guessed");
});

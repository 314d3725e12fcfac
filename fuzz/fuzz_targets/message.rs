//! The same for messages, in both of their forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_protocol::{MeshMessage, WireMessage};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = MeshMessage::decode(bytes) {
        let again = message.encode().expect("what was read keeps every bound");
        assert_eq!(MeshMessage::decode(&again), Ok(message.clone()));

        let json = serde_json::to_string(&message).expect("every message has a JSON form");
        assert!(!json.contains('\n'));
        let read: MeshMessage = serde_json::from_str(&json).expect("our own JSON can be read");
        assert_eq!(serde_json::to_string(&read).expect("twice"), json);
    }
    if let Ok(message) = WireMessage::decode(bytes) {
        let again = message.encode().expect("what was read keeps every bound");
        assert_eq!(WireMessage::decode(&again), Ok(message));
    }
});

use mesh_crypto::{KeyFile, KeyFileError, StoreKey};
use mesh_protocol::ErrorCode;
use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::support::{Counter, beginnings, fixture, flipped_texts, node_key};

fn fake() -> KeyFile {
    KeyFile {
        node_key: node_key(0x11),
        store_key: StoreKey::from_secret_bytes(Zeroizing::new([0x22; 32])),
    }
}

#[test]
fn the_text_of_a_key_file_never_drifts() {
    let golden = fixture("key-file-v1.txt");
    assert_eq!(fake().encode().as_str(), golden);
    let parsed = KeyFile::parse(&golden).unwrap();
    assert_eq!(parsed.node_key.secret_bytes(), fake().node_key.secret_bytes());
    assert_eq!(parsed.store_key.secret_bytes(), fake().store_key.secret_bytes());
}

#[test]
fn every_flipped_bit_is_refused() {
    let text = fake().encode();
    for damaged in flipped_texts(&text) {
        assert!(KeyFile::parse(&damaged).is_err(), "{damaged}");
    }
}

#[test]
fn every_beginning_is_refused() {
    let text = fake().encode();
    for cut in beginnings(&text) {
        assert!(KeyFile::parse(cut).is_err(), "{cut}");
    }
}

#[test]
fn what_was_appended_is_refused() {
    let text = fake().encode();
    for more in ["\n", " ", "node-key AAAA\n", &"#".repeat(1024)] {
        assert!(KeyFile::parse(&format!("{}{more}", *text)).is_err());
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let text = fake().encode().replace("mesh-keys 1", "mesh-keys 2");
    assert_eq!(KeyFile::parse(&text).unwrap_err(), KeyFileError::Version);
    assert_eq!(KeyFileError::Version.code(), ErrorCode::VersionUnsupported);
    let text = fake().encode().replace("IiIi", "IiIj");
    assert_eq!(KeyFile::parse(&text).unwrap_err(), KeyFileError::Checksum);
    assert_eq!(KeyFile::parse("ssh-ed25519 AAAA").unwrap_err(), KeyFileError::Malformed);
    assert_eq!(KeyFileError::Malformed.code(), ErrorCode::StorageError);
}

proptest! {
    #[test]
    fn generated_keys_survive_the_text(start in any::<u8>()) {
        let keys = KeyFile::generate(&mut Counter(start));
        let parsed = KeyFile::parse(&keys.encode()).unwrap();
        prop_assert_eq!(parsed.node_key.peer_id(), keys.node_key.peer_id());
        prop_assert_eq!(parsed.store_key.secret_bytes(), keys.store_key.secret_bytes());
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,400}") {
        prop_assert!(KeyFile::parse(&text).is_err());
    }
}

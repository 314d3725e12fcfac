//! Newer minor versions only add; newer major versions are refused.

use super::{decode_frame, fix_body_length, samples};
use crate::{
    DecodeError, Envelope, ErrorCode, MeshMessage, Payload, ProtocolVersion, Unknown, VersionRange,
};

const ADDITION: &[u8] = b"a field of the future";

const fn version(major: u8, minor: u8) -> ProtocolVersion {
    ProtocolVersion { major, minor }
}

fn range(min: (u8, u8), max: (u8, u8)) -> VersionRange {
    VersionRange { min: version(min.0, min.1), max: version(max.0, max.1) }
}

/// The message's bytes with `addition` behind the fields of its payload.
fn with_longer_payload(message: &MeshMessage, addition: &[u8]) -> Vec<u8> {
    let mut bytes = message.encode().unwrap();
    let body_bytes = super::encode_body(&message.payload).len();
    let length_at = bytes.len() - body_bytes - 8;
    let longer = (body_bytes + addition.len()) as u64;
    bytes[length_at..length_at + 8].copy_from_slice(&longer.to_le_bytes());
    bytes.extend_from_slice(addition);
    bytes
}

#[test]
fn fields_that_a_newer_minor_version_appends_to_a_frame_are_skipped() {
    for (name, frame) in samples::frames() {
        let mut bytes = frame.encode().unwrap();
        bytes[5] = 7;
        bytes.extend_from_slice(ADDITION);
        fix_body_length(&mut bytes);
        assert_eq!(decode_frame(&bytes).unwrap(), frame, "{name}");
        // The same bytes under this version's number are an error of the sender.
        bytes[5] = 0;
        assert_eq!(decode_frame(&bytes), Err(DecodeError::Malformed { what: "frame" }), "{name}");
    }
}

#[test]
fn fields_that_a_newer_minor_version_appends_to_a_message_or_payload_are_skipped() {
    for (name, payload) in samples::payloads() {
        let is_unknown = matches!(payload, Payload::Unknown(_));
        let message = samples::message(payload);
        let mut longer = message.encode().unwrap();
        longer[1] = 7;
        longer.extend_from_slice(ADDITION);
        assert_eq!(MeshMessage::decode(&longer).unwrap(), message, "{name}");

        let mut longer = with_longer_payload(&message, ADDITION);
        longer[1] = 7;
        // What is not understood is kept whole.
        let is_same = MeshMessage::decode(&longer).unwrap() == message;
        assert_eq!(is_same, !is_unknown, "{name}");
        longer[1] = 0;
        assert_eq!(MeshMessage::decode(&longer).is_ok(), is_unknown, "{name}");
    }
}

#[test]
fn an_envelope_of_a_newer_minor_version_keeps_the_version_that_was_authenticated() {
    let mut envelope = samples::envelope();
    envelope.header.version = version(1, 7);
    let mut bytes = envelope.encode().unwrap();
    bytes.extend_from_slice(ADDITION);
    let decoded = Envelope::decode(&bytes).unwrap();
    assert_eq!(decoded, envelope);
    assert_eq!(decoded.header.encode().unwrap(), envelope.header.encode().unwrap());
}

#[test]
fn another_major_version_is_refused_by_its_number() {
    for major in [0, 2, 255] {
        let theirs = version(major, 0);
        let refused = |result: Option<DecodeError>| {
            let refusal = result.unwrap();
            assert_eq!(refusal, DecodeError::Version { theirs });
            assert_eq!(refusal.code(), ErrorCode::VersionUnsupported);
        };
        for (name, mut bytes) in samples::all_bytes() {
            if name.starts_with("frame_") {
                bytes[4] = major;
                refused(decode_frame(&bytes).err());
            } else if name.starts_with("message_") {
                bytes[0] = major;
                refused(MeshMessage::decode(&bytes).err());
            } else if name == "envelope" {
                bytes[0] = major;
                refused(Envelope::decode(&bytes).err());
            }
        }
    }
}

#[test]
fn payloads_of_unknown_kinds_survive_the_wire_byte_for_byte() {
    for kind in [0, 10, 4711, Unknown::KIND_NAMED] {
        let unknown = Unknown { kind, body: (0..=255).collect() };
        let message = samples::message(Payload::Unknown(unknown.clone()));
        let bytes = message.encode().unwrap();
        let decoded = MeshMessage::decode(&bytes).unwrap();
        assert_eq!(decoded.payload, Payload::Unknown(unknown));
        assert_eq!(decoded.encode().unwrap(), bytes);
    }
}

#[test]
fn an_unknown_payload_cannot_pose_as_a_known_kind() {
    for kind in 1..=9 {
        let unknown = Unknown { kind, body: vec![1, 2, 3] };
        assert!(samples::message(Payload::Unknown(unknown)).encode().is_err(), "{kind}");
    }
}

#[test]
fn both_sides_agree_on_the_newest_version_that_they_share() {
    for (ours, theirs, agreed) in [
        (range((1, 0), (1, 0)), range((1, 0), (1, 0)), Some(version(1, 0))),
        (range((1, 0), (1, 0)), range((1, 0), (1, 9)), Some(version(1, 0))),
        (range((1, 0), (1, 4)), range((1, 2), (1, 9)), Some(version(1, 4))),
        (range((1, 0), (2, 3)), range((1, 5), (1, 9)), Some(version(1, 9))),
        (range((1, 0), (1, 2)), range((1, 3), (2, 0)), None),
        (range((1, 0), (1, 9)), range((2, 0), (2, 4)), None),
        // A range that is upside down holds no version.
        (range((1, 0), (1, 9)), range((1, 5), (1, 2)), None),
    ] {
        assert_eq!(ours.negotiate(theirs), agreed, "{ours:?} {theirs:?}");
        assert_eq!(theirs.negotiate(ours), agreed, "{theirs:?} {ours:?}");
    }
    let ours = VersionRange::SUPPORTED;
    assert_eq!(ours.negotiate(ours), Some(ProtocolVersion::CURRENT));
}

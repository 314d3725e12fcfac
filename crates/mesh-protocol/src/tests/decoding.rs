//! Bytes that nobody should send.

use serde::de::value::{Error as ValueError, SeqDeserializer};

use super::{decode_frame, fix_body_length, samples};
use crate::codec::list;
use crate::{
    DecodeError, EncodeError, Envelope, ErrorCode, FRAME_HEADER_BYTES, Frame, FrameHeader,
    ManifestPage, MeshMessage, Parcel, PushEvent, PushMessage, Record, SnapshotChunk,
    TransactionPart, WireMessage,
};

/// Hands the bytes to the decoder that the golden file's name asks for; says whether it took them.
fn decode(name: &str, bytes: &[u8]) -> bool {
    match name.split('_').next().unwrap() {
        "frame" => is_stable(bytes, decode_frame, Frame::encode),
        "record" => is_stable(bytes, Record::decode, Record::encode),
        "envelope" => is_stable(bytes, Envelope::decode, Envelope::encode),
        "wire" => is_stable(bytes, WireMessage::decode, WireMessage::encode),
        "parcel" => is_stable(bytes, Parcel::decode, Parcel::encode),
        "message" => is_stable(bytes, MeshMessage::decode, MeshMessage::encode),
        "transaction" => is_stable(bytes, TransactionPart::decode, TransactionPart::encode),
        "snapshot" => is_stable(bytes, SnapshotChunk::decode, SnapshotChunk::encode),
        "push" => is_stable(bytes, super::files::decode, PushMessage::encode),
        "manifest" => is_stable(bytes, ManifestPage::decode, ManifestPage::encode),
        "event" => is_stable(bytes, PushEvent::decode, PushEvent::encode),
        other => panic!("no decoder for {other}"),
    }
}

/// Whether `decode` takes the bytes. What it takes keeps every bound, so it can be written, and reads
/// back the same; and it can be shown.
fn is_stable<T: std::fmt::Debug + PartialEq>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, DecodeError>,
    encode: fn(&T) -> Result<Vec<u8>, EncodeError>,
) -> bool {
    let Ok(value) = decode(bytes) else { return false };
    let again = decode(&encode(&value).unwrap()).unwrap();
    assert_eq!(again, value);
    !format!("{value:?}").is_empty()
}

#[test]
fn bytes_that_end_early_are_refused_wherever_they_end() {
    for (name, bytes) in samples::all_bytes() {
        assert!(decode(&name, &bytes), "{name}");
        for end in 0..bytes.len() {
            assert!(!decode(&name, &bytes[..end]), "{name} cut at {end}");
        }
    }
}

#[test]
fn a_frame_whose_header_announces_the_shorter_body_is_refused_too() {
    for (name, frame) in samples::frames() {
        let bytes = frame.encode().unwrap();
        for end in FRAME_HEADER_BYTES..bytes.len() {
            let mut cut = bytes[..end].to_vec();
            fix_body_length(&mut cut);
            assert!(decode_frame(&cut).is_err(), "{name} cut at {end}");
        }
    }
}

#[test]
fn bytes_that_run_on_are_refused() {
    for (name, mut bytes) in samples::all_bytes() {
        bytes.push(0);
        if name.starts_with("frame_") {
            fix_body_length(&mut bytes);
        }
        assert!(!decode(&name, &bytes), "{name}");
    }
}

/// Places in a sample: all of a small one; of a large one, which is mostly a list of digests, both ends and some
/// of what is between.
fn places(bytes: usize) -> impl Iterator<Item = usize> {
    (0..bytes).filter(move |at| *at < 512 || at + 512 > bytes || at % 61 == 0)
}

#[test]
fn any_flipped_bit_gives_an_error_or_another_value() {
    for (name, mut bytes) in samples::all_bytes() {
        for (at, bit) in places(bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            bytes[at] ^= 1 << bit;
            let _is_taken = decode(&name, &bytes);
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn lengths_inside_that_promise_too_much_are_refused_without_making_room() {
    // Whatever eight bytes hold a length, some offset hits them. A decoder that believed one of these
    // would abort the process, which is what this test watches for.
    for (name, bytes) in samples::all_bytes() {
        for length in [u64::MAX, 1 << 60, 1 << 40, u64::from(u32::MAX), 1 << 31] {
            for offset in places(bytes.len().saturating_sub(8)) {
                let mut bytes = bytes.clone();
                bytes[offset..offset + 8].copy_from_slice(&length.to_le_bytes());
                let _is_taken = decode(&name, &bytes);
            }
        }
    }
}

#[test]
fn short_lengths_that_promise_too_much_are_refused_without_making_room() {
    // In the compact form a length of eight bytes stands behind the byte 253.
    let tables = samples::tables::encoded();
    let tables = tables.into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    for (name, bytes) in tables.chain(samples::files::encoded()) {
        for length in [u64::MAX, 1 << 60, 1 << 40, u64::from(u32::MAX), 1 << 31] {
            for offset in 0..bytes.len() {
                let mut bytes = bytes.clone();
                let promise = [&[253][..], &length.to_le_bytes()].concat();
                bytes.splice(offset..=offset, promise);
                let _is_taken = decode(&name, &bytes);
            }
        }
    }
}

#[test]
fn a_list_makes_room_for_what_came_and_not_for_what_was_announced() {
    /// Announces 1,000 elements and holds one.
    struct Boaster(Option<u64>);

    impl Iterator for Boaster {
        type Item = u64;

        fn next(&mut self) -> Option<u64> {
            self.0.take()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            if self.0.is_some() { (1000, Some(1000)) } else { (0, Some(0)) }
        }
    }

    let elements = SeqDeserializer::<_, ValueError>::new(Boaster(Some(7)));
    let read: Vec<u64> = list::<_, _, 1000>(elements).unwrap();
    assert_eq!(read, [7]);
    assert!(read.capacity() < 10);

    let elements = SeqDeserializer::<_, ValueError>::new(Boaster(Some(7)));
    assert!(list::<_, u64, 999>(elements).is_err());
}

#[test]
fn a_list_without_an_announced_length_stops_at_its_bound() {
    let endless = std::iter::repeat(7_u64);
    let elements = SeqDeserializer::<_, ValueError>::new(endless);
    assert!(list::<_, u64, 3>(elements).is_err());
}

#[test]
fn four_gibibytes_are_refused_by_the_header_alone() {
    let mut header = *b"MESH\x01\x00\x04\x00\xff\xff\xff\xff";
    let refusal = FrameHeader::decode(&header).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::MessageTooLarge);
    assert!(matches!(refusal, DecodeError::TooLarge { bytes: 0xffff_ffff, .. }));
    header[8..].copy_from_slice(&0_u32.to_le_bytes());
    assert_eq!(FrameHeader::decode(&header).unwrap().body_bytes, 0);
}

#[test]
fn what_does_not_start_with_the_magic_is_no_frame() {
    for stranger in [b"GET / HTTP/1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", &[0; 12]]
    {
        assert_eq!(FrameHeader::decode(stranger), Err(DecodeError::Magic));
    }
}

#[test]
fn a_frame_of_an_unknown_kind_says_so_and_can_be_skipped() {
    for kind in [0_u16, 34, 4711, u16::MAX] {
        let mut bytes = Frame::Ping(crate::LinkPing { nonce: 1, sent_at: 2 }).encode().unwrap();
        bytes[6..8].copy_from_slice(&kind.to_le_bytes());
        let refusal = decode_frame(&bytes).unwrap_err();
        assert_eq!(refusal, DecodeError::UnknownKind { kind });
        assert_eq!(refusal.code(), ErrorCode::ProtocolError);
    }
}

#[test]
fn a_message_of_an_unknown_form_is_refused() {
    let mut bytes = WireMessage::Plain(samples::ping_message()).encode().unwrap();
    bytes[0] = 2;
    assert_eq!(WireMessage::decode(&bytes), Err(DecodeError::Malformed { what: "message form" }));
    assert_eq!(WireMessage::decode(&[]), Err(DecodeError::Malformed { what: "message form" }));
}

#[test]
fn a_wire_message_names_its_id_and_sender_in_both_forms() {
    for message in
        [WireMessage::Plain(samples::ping_message()), WireMessage::Sealed(samples::envelope())]
    {
        assert_eq!(message.message_id(), samples::message_id());
        assert_eq!(message.from(), samples::BAULDER);
    }
}

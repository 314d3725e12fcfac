//! What goes out comes back, and no bytes whatever make a decoder panic.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{decode_frame, fix_body_length, samples, strategies};
use crate::{
    Envelope, FRAME_HEADER_BYTES, Frame, FrameHeader, HOPS_MAX, JsonText, LinkState, Live,
    MeshMessage, Parcel, Payload, Record, Signature, SignedLinkState, SnapshotChunk,
    TransactionPart, WireMessage,
};

/// Gives the bytes to every decoder. What one takes must be fit to be encoded or refused in order.
fn decode_all(bytes: &[u8]) {
    let _message =
        MeshMessage::decode(bytes).map(|message| (message.encode(), message.payload.to_json()));
    let _wire_message = WireMessage::decode(bytes).map(|message| message.encode());
    let _envelope = Envelope::decode(bytes).map(|envelope| envelope.encode());
    let _record = Record::decode(bytes).map(|record| record.encode());
    let _frame = decode_frame(bytes).map(|frame| frame.encode());
    let _parcel = Parcel::decode(bytes).map(|parcel| parcel.encode());
    // What one of these takes is written again, in its shortest form, and is the same.
    if let Ok(part) = TransactionPart::decode(bytes) {
        let written = part.encode().unwrap();
        assert!(written.len() <= bytes.len());
        assert_eq!(TransactionPart::decode(&written).unwrap(), part);
    }
    if let Ok(chunk) = SnapshotChunk::decode(bytes) {
        let written = chunk.encode().unwrap();
        assert!(written.len() <= bytes.len());
        assert_eq!(SnapshotChunk::decode(&written).unwrap(), chunk);
    }
    let _link_state = signed(bytes.to_vec()).peek().map(|state| state.encode());
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _document = JsonText::parse(text).map(|document| document.to_value());
        let _payload = serde_json::from_str::<Payload>(text).map(|payload| payload.to_json());
    }
}

fn signed(body: Vec<u8>) -> SignedLinkState {
    SignedLinkState { body, signature: Signature::from_bytes([0; 64]) }
}

proptest! {
    #[test]
    fn messages_survive_the_wire(message in strategies::message()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(MeshMessage::decode(&bytes).unwrap(), message.clone());
        let wire = WireMessage::Plain(message);
        prop_assert_eq!(WireMessage::decode(&wire.encode().unwrap()).unwrap(), wire);
    }

    #[test]
    fn a_live_frame_is_the_same_however_it_is_made(message in strategies::message(), request_id: u64) {
        let wire = WireMessage::Plain(message);
        let frame = Frame::Live(Live { request_id, message: wire.encode().unwrap() });
        prop_assert_eq!(Frame::encode_live(request_id, wire.as_ref()).unwrap(), frame.encode().unwrap());
    }

    #[test]
    fn messages_survive_json(message in strategies::message()) {
        let json = serde_json::to_string(&message).unwrap();
        prop_assert!(!json.contains('\n'));
        let read: MeshMessage = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
        prop_assert_eq!(read, message);
    }

    #[test]
    fn payloads_survive_as_json_values(payload in strategies::payload()) {
        prop_assert_eq!(Payload::from_json(&payload.to_json()).unwrap(), payload);
    }

    #[test]
    fn envelopes_survive_the_wire(envelope in strategies::envelope()) {
        let bytes = envelope.encode().unwrap();
        prop_assert!(bytes.starts_with(&envelope.header.encode().unwrap()));
        prop_assert_eq!(Envelope::decode(&bytes).unwrap(), envelope.clone());
        let wire = WireMessage::Sealed(envelope);
        prop_assert_eq!(WireMessage::decode(&wire.encode().unwrap()).unwrap(), wire);
    }

    #[test]
    fn frames_survive_the_wire(frame in strategies::frame()) {
        prop_assert_eq!(decode_frame(&frame.encode().unwrap()).unwrap(), frame);
    }

    #[test]
    fn link_states_survive_the_wire_and_have_one_form(state in strategies::link_state()) {
        let signed = signed(state.encode().unwrap());
        let peeked: LinkState = signed.peek().unwrap();
        prop_assert_eq!(peeked.encode().unwrap(), signed.body);
        prop_assert_eq!(peeked, state);
    }

    #[test]
    fn parcels_survive_being_kept(parcel in strategies::parcel()) {
        prop_assert_eq!(Parcel::decode(&parcel.encode().unwrap()).unwrap(), parcel);
    }

    #[test]
    fn changes_of_tables_survive_the_log_and_the_wire(part in strategies::tables::part()) {
        let bytes = part.encode().unwrap();
        let is_whole = part.part == 0 && part.is_last;
        prop_assert_eq!(TransactionPart::peek(&bytes), Some((part.dot, is_whole)));
        prop_assert_eq!(TransactionPart::decode(&bytes).unwrap(), part);
    }

    #[test]
    fn pieces_of_a_snapshot_survive_the_wire(chunk in strategies::tables::chunk()) {
        prop_assert_eq!(SnapshotChunk::decode(&chunk.encode().unwrap()).unwrap(), chunk);
    }

    #[test]
    fn any_bytes_are_a_part_or_a_piece_or_refused(
        bytes in vec(prop_oneof![Just(0_u8), 0..4_u8, any::<u8>()], 0..300),
    ) {
        decode_all(&bytes);
    }

    #[test]
    fn a_way_onward_is_never_a_circle_and_never_too_long(
        way in strategies::itinerary(),
        me in any::<Index>(),
    ) {
        let known = [&way.hops[..], &[way.origin, way.destination, samples::OAK]].concat();
        let me = *me.get(&known);
        let onward = way.through(me);
        let is_on_the_way = me == way.origin || me == way.destination || way.hops.contains(&me);
        prop_assert_eq!(onward.is_some(), !is_on_the_way && way.hops.len() + 2 <= HOPS_MAX);
        if let Some(onward) = onward {
            prop_assert_eq!((onward.origin, onward.destination), (way.origin, way.destination));
            prop_assert_eq!(onward.hops, [&way.hops[..], &[me]].concat());
        }
    }

    #[test]
    fn records_survive_the_wire(record in strategies::record()) {
        // Everything together can exceed the bound of a record; then it is refused, not cut.
        if let Ok(bytes) = record.encode() {
            prop_assert_eq!(Record::decode(&bytes).unwrap(), record);
        }
    }

    #[test]
    fn random_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..600)) {
        decode_all(&bytes);
    }

    #[test]
    fn random_bodies_of_every_kind_are_refused_or_read(
        kind in 0..34_u16,
        minor in 0..3_u8,
        body in vec(prop_oneof![Just(0_u8), 0..4_u8, any::<u8>()], 0..300),
    ) {
        let mut frame = b"MESH\x01".to_vec();
        frame.push(minor);
        frame.extend_from_slice(&kind.to_le_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&body);
        fix_body_length(&mut frame);
        decode_all(&frame);
        let _payload = Payload::decode_body(kind, &body, minor > 0);
        let _parcel = Parcel::decode(&body);
        let _link_state = signed(body.clone()).peek();
        let _record = Record::decode(&[&kind.to_le_bytes()[..], &body].concat());
    }

    #[test]
    fn damaged_bytes_are_refused_or_read(
        which in any::<Index>(),
        places in vec((any::<Index>(), any::<u8>()), 1..8),
        cut in any::<Index>(),
    ) {
        let all = samples::all_bytes();
        let (_, mut bytes) = which.get(&all).clone();
        for (place, byte) in places {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        decode_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        decode_all(&bytes);
    }

    #[test]
    fn random_headers_are_refused_or_bounded(bytes in any::<[u8; FRAME_HEADER_BYTES]>(), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic {
            bytes[..5].copy_from_slice(b"MESH\x01");
        }
        if let Ok(header) = FrameHeader::decode(&bytes) {
            prop_assert!(header.body_bytes <= crate::FRAME_BODY_BYTES_MAX);
        }
    }

    #[test]
    fn random_text_is_a_document_or_refused(text in "[\\[\\]{}:,\"\\\\a-f0-9.eE+ \n-]{0,60}") {
        if let Ok(document) = JsonText::parse(&text) {
            // What was taken has a value, and its JSON form is the same document.
            let shown = serde_json::to_string(&document).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(document.to_value(), value.clone());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}

//! Each bound: the largest that is taken, and one more.

mod config;
mod routing;
mod tables;

use super::{decode_frame, fix_body_length, samples};
use crate::{
    ADDRESS_HOST_BYTES_MAX, ADDRESSES_MAX, APP_TYPE_BYTES_MAX, Address, CustomJson,
    DELIVER_ITEMS_MAX, DecodeError, Deliver, DeliverOutcome, DeliverResult, EncodeError, Envelope,
    ErrorCode, ErrorNotice, FORMER_HOSTNAMES_MAX, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, Frame,
    FrameHeader, HOSTNAME_BYTES_MAX, Hostname, Introduce, JOIN_RECORDS_MAX, JSON_DEPTH_MAX,
    JoinReply, JsonText, Live, MESSAGE_BYTES_MAX, MediaStream, MediaType, MeshMessage,
    PRIORITY_MAX, Payload, ProtocolVersion, RECORD_BYTES_MAX, RECORD_IDS_MAX,
    RECORD_REFERENCES_MAX, RECORDS_PER_FRAME_MAX, Record, RecordId, RecordIds, Records, Refused,
    Signature, SignedRecord, TEXT_BYTES_MAX, Unknown, WireMessage,
};

/// A counted list in the body of a frame.
struct List<'e> {
    count_at: usize,
    /// What stands behind the list.
    tail_bytes: usize,
    element: &'e [u8],
}

impl List<'_> {
    /// The frame with one more element than it has.
    fn grow(&self, frame: &Frame) -> Vec<u8> {
        let mut bytes = frame.encode().unwrap();
        let at = FRAME_HEADER_BYTES + self.count_at;
        let count = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) + 1;
        bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
        let end = bytes.len() - self.tail_bytes;
        bytes.splice(end..end, self.element.iter().copied());
        fix_body_length(&mut bytes);
        bytes
    }

    /// `frame(max)` passes, `frame(max + 1)` is refused by the encoder, and its bytes by the decoder.
    fn check(&self, max: usize, frame: impl Fn(usize) -> Frame) {
        let largest = frame(max);
        assert_eq!(decode_frame(&largest.encode().unwrap()).unwrap(), largest);
        let grown = decode_frame(&self.grow(&frame(max - 1)));
        assert!(grown.is_ok(), "the element is sound: {grown:?}");
        assert!(matches!(frame(max + 1).encode(), Err(EncodeError::FieldTooLarge { .. })));
        let refused = decode_frame(&self.grow(&largest));
        assert!(matches!(refused, Err(DecodeError::Malformed { .. })), "{refused:?}");
    }
}

/// [`List::check`] of a list that ends the body.
fn check_list(max: usize, count_at: usize, element: &[u8], frame: impl Fn(usize) -> Frame) {
    List { count_at, tail_bytes: 0, element }.check(max, frame);
}

fn short_record() -> SignedRecord {
    SignedRecord { signer: samples::MINT, body: vec![], signature: Signature::from_bytes([1; 64]) }
}

fn short_record_bytes() -> Vec<u8> {
    [&[0x31; 32][..], &[0; 8], &[1; 64]].concat()
}

#[test]
fn a_batch_holds_so_many_messages() {
    let item = crate::DeliverItem { message: vec![], ..samples::deliver_item(1) };
    let element = [&[0; 16][..], &[1], &[0; 16]].concat();
    check_list(DELIVER_ITEMS_MAX, 8, &element, |count| {
        Frame::Deliver(Deliver { batch_id: 1, items: vec![item.clone(); count] })
    });
    check_list(DELIVER_ITEMS_MAX, 8, &0_u32.to_le_bytes(), |count| {
        let outcomes = vec![DeliverOutcome::Stored; count];
        Frame::DeliverResult(DeliverResult { batch_id: 1, outcomes })
    });
}

#[test]
fn a_frame_holds_so_many_records_and_ids() {
    let records = |count| vec![short_record(); count];
    check_list(RECORDS_PER_FRAME_MAX, 0, &short_record_bytes(), |count| {
        Frame::Records(Records { records: records(count) })
    });
    check_list(RECORDS_PER_FRAME_MAX, 32, &short_record_bytes(), |count| {
        Frame::Introduce(Introduce { mesh_id: samples::MESH, records: records(count) })
    });
    check_list(JOIN_RECORDS_MAX, 2 + 32, &short_record_bytes(), |count| {
        let version = ProtocolVersion::CURRENT;
        Frame::JoinReply(JoinReply { version, issuer: samples::MINT, records: records(count) })
    });
    check_list(RECORD_IDS_MAX, 0, &[7; 32], |count| {
        Frame::RecordIds(RecordIds { ids: vec![RecordId::from_bytes([7; 32]); count] })
    });
}

#[test]
fn there_are_three_priorities() {
    let frame = |priority| {
        Frame::Deliver(Deliver { batch_id: 1, items: vec![samples::deliver_item(priority)] })
    };
    for priority in 0..=PRIORITY_MAX {
        assert_eq!(decode_frame(&frame(priority).encode().unwrap()).unwrap(), frame(priority));
    }
    assert_eq!(
        frame(PRIORITY_MAX + 1).encode(),
        Err(EncodeError::FieldTooLarge { what: "priority" })
    );
    let mut bytes = frame(0).encode().unwrap();
    // Header, batch id, count, stream, sequence.
    bytes[FRAME_HEADER_BYTES + 32] = PRIORITY_MAX + 1;
    assert_eq!(decode_frame(&bytes), Err(DecodeError::Malformed { what: "priority" }));
}

#[test]
fn a_frame_body_ends_at_two_mebibytes() {
    // A live frame adds a request id and a length to its message.
    let live = |bytes| Frame::Live(Live { request_id: 1, message: vec![0; bytes] });
    let largest = live(FRAME_BODY_BYTES_MAX - 16);
    let bytes = largest.encode().unwrap();
    assert_eq!(bytes.len(), FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX);
    assert_eq!(decode_frame(&bytes).unwrap(), largest);
    assert_eq!(
        live(FRAME_BODY_BYTES_MAX - 15).encode(),
        Err(EncodeError::TooLarge { bytes_max: FRAME_BODY_BYTES_MAX })
    );
    let mut header: [u8; FRAME_HEADER_BYTES] = bytes[..FRAME_HEADER_BYTES].try_into().unwrap();
    header[8] = 1;
    let refusal = FrameHeader::decode(&header).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::MessageTooLarge);
}

#[test]
fn a_message_ends_at_one_mebibyte() {
    let message = |bytes| {
        samples::message(Payload::MediaStream(MediaStream {
            stream_id: [0; 16],
            media_type: MediaType::Video,
            codec: String::new(),
            sequence: 0,
            presentation_micros: 0,
            is_keyframe: false,
            is_final: false,
            data: vec![0; bytes],
        }))
    };
    let around = message(0).encode().unwrap().len();
    let largest = message(MESSAGE_BYTES_MAX - around);
    let bytes = largest.encode().unwrap();
    assert_eq!(bytes.len(), MESSAGE_BYTES_MAX);
    assert_eq!(MeshMessage::decode(&bytes).unwrap(), largest);
    let refusal = message(MESSAGE_BYTES_MAX - around + 1).encode().unwrap_err();
    assert_eq!(refusal, EncodeError::TooLarge { bytes_max: MESSAGE_BYTES_MAX });
    assert_eq!(refusal.code(), ErrorCode::MessageTooLarge);
    let refusal = MeshMessage::decode(&[1; MESSAGE_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::MessageTooLarge);

    let unknown = Unknown { kind: 4711, body: vec![0; MESSAGE_BYTES_MAX + 1] };
    let refused = samples::message(Payload::Unknown(unknown)).encode();
    assert!(matches!(refused, Err(EncodeError::TooLarge { .. })));
}

#[test]
fn a_sealed_message_of_the_largest_size_fits_its_envelope_and_the_envelope_a_frame() {
    let mut envelope = samples::envelope();
    // The ciphertext is as long as the message and its tag of sixteen bytes.
    envelope.ciphertext = vec![0; MESSAGE_BYTES_MAX + 16];
    let bytes = envelope.encode().unwrap();
    assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
    let message = WireMessage::Sealed(envelope.clone()).encode().unwrap();
    let item = crate::DeliverItem { message, ..samples::deliver_item(2) };
    Frame::Deliver(Deliver { batch_id: 1, items: vec![item] }).encode().unwrap();

    envelope.ciphertext = vec![0; MESSAGE_BYTES_MAX + 1024];
    assert!(matches!(envelope.encode(), Err(EncodeError::TooLarge { .. })));
    let refused = Envelope::decode(&[1; MESSAGE_BYTES_MAX + 1025]);
    assert!(matches!(refused, Err(DecodeError::TooLarge { .. })));
}

#[test]
fn an_application_type_and_a_text_have_their_length() {
    let custom = |bytes| {
        let app_type = "a".repeat(bytes);
        let data = JsonText::parse("1").unwrap();
        samples::message(Payload::CustomJson(CustomJson { app_type, data }))
    };
    let error = |bytes| {
        let message = "e".repeat(bytes);
        let code = ErrorCode::Internal;
        samples::message(Payload::Error(ErrorNotice { code, message, message_id: None }))
    };
    for (largest, too_large) in [
        (custom(APP_TYPE_BYTES_MAX), custom(APP_TYPE_BYTES_MAX + 1)),
        (error(TEXT_BYTES_MAX), error(TEXT_BYTES_MAX + 1)),
    ] {
        assert_eq!(MeshMessage::decode(&largest.encode().unwrap()).unwrap(), largest);
        assert!(matches!(too_large.encode(), Err(EncodeError::FieldTooLarge { .. })));
    }
    let refused = |bytes| {
        let message = "r".repeat(bytes);
        Frame::Refused(Refused { code: ErrorCode::Internal, message })
    };
    decode_frame(&refused(TEXT_BYTES_MAX).encode().unwrap()).unwrap();
    assert_eq!(
        refused(TEXT_BYTES_MAX + 1).encode(),
        Err(EncodeError::FieldTooLarge { what: "refusal" })
    );
}

#[test]
fn texts_beyond_their_length_are_refused_by_the_decoder_too() {
    let message = "r".repeat(TEXT_BYTES_MAX);
    let mut bytes =
        Frame::Refused(Refused { code: ErrorCode::Internal, message }).encode().unwrap();
    // The text's length stands behind the code, "internal" with its own length.
    let at = FRAME_HEADER_BYTES + 16;
    bytes[at..at + 8].copy_from_slice(&1025_u64.to_le_bytes());
    bytes.push(b'r');
    fix_body_length(&mut bytes);
    assert_eq!(decode_frame(&bytes), Err(DecodeError::Malformed { what: "refusal" }));

    let data = JsonText::parse("1").unwrap();
    let custom = CustomJson { app_type: "a".repeat(APP_TYPE_BYTES_MAX + 1), data };
    let body = crate::codec::encode(&custom, MESSAGE_BYTES_MAX).unwrap();
    let refused = Payload::decode_body(5, &body, false);
    assert_eq!(refused, Err(DecodeError::Malformed { what: "app_type" }));
}

#[test]
fn a_document_is_nested_only_so_deep() {
    let nested = |levels: u32| {
        let levels = usize::try_from(levels).unwrap();
        format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
    };
    let document = JsonText::parse(&nested(JSON_DEPTH_MAX)).unwrap();
    let message =
        |data| samples::message(Payload::CustomJson(CustomJson { app_type: String::new(), data }));
    message(document).encode().unwrap();
    let too_deep = nested(JSON_DEPTH_MAX + 1);
    assert!(JsonText::parse(&too_deep).is_err());
    assert!(JsonText::parse(&"[".repeat(1 << 20)).is_err());
    assert!(JsonText::parse(&r#"{"a":"#.repeat(1 << 16)).is_err());

    // A value can be deeper than a text that was read; it cannot be sent.
    let value: serde_json::Value = serde_json::from_str(&too_deep).unwrap();
    let refused = message(JsonText::from(&value)).encode();
    assert_eq!(refused, Err(EncodeError::FieldTooLarge { what: "data" }));
}

#[test]
fn a_hostname_and_an_address_have_their_length() {
    let name = |bytes| "h".repeat(bytes);
    assert!(name(HOSTNAME_BYTES_MAX).parse::<Hostname>().is_ok());
    assert!(name(HOSTNAME_BYTES_MAX + 1).parse::<Hostname>().is_err());
    let address = |bytes| format!("{}:13500", name(bytes)).parse::<Address>();
    assert_eq!(address(ADDRESS_HOST_BYTES_MAX).unwrap().host().len(), ADDRESS_HOST_BYTES_MAX);
    assert!(address(ADDRESS_HOST_BYTES_MAX + 1).is_err());
}

#[test]
fn a_record_bounds_its_lists_and_texts() {
    let pass = |record: &Record| record.encode().is_ok();
    let records = samples::records();
    let find = |wanted: &str| records.iter().find(|(name, _)| *name == wanted).unwrap().1.clone();
    let references = |count| vec![RecordId::from_bytes([7; 32]); count];

    let Record::Admission(mut admission) = find("admission") else { panic!("no admission") };
    admission.overrides = references(RECORD_REFERENCES_MAX);
    assert!(pass(&Record::Admission(admission.clone())));
    admission.overrides = references(RECORD_REFERENCES_MAX + 1);
    assert!(!pass(&Record::Admission(admission)));

    let Record::Removal(mut removal) = find("removal") else { panic!("no removal") };
    removal.standing = references(RECORD_REFERENCES_MAX);
    removal.reason = "r".repeat(TEXT_BYTES_MAX);
    assert!(pass(&Record::Removal(removal.clone())));
    removal.standing = references(RECORD_REFERENCES_MAX + 1);
    assert!(!pass(&Record::Removal(removal.clone())));
    removal.standing = vec![];
    removal.reason = "r".repeat(TEXT_BYTES_MAX + 1);
    assert!(!pass(&Record::Removal(removal)));

    let profile = samples::profile();
    let address = || profile.addresses[0].clone();
    let former = || profile.former_hostnames[0].clone();
    let with = |change: &dyn Fn(&mut crate::Profile)| {
        let mut profile = profile.clone();
        change(&mut profile);
        pass(&Record::Profile(profile))
    };
    assert!(with(&|p| p.addresses = vec![address(); ADDRESSES_MAX]));
    assert!(!with(&|p| p.addresses = vec![address(); ADDRESSES_MAX + 1]));
    assert!(with(&|p| p.former_hostnames = vec![former(); FORMER_HOSTNAMES_MAX]));
    assert!(!with(&|p| p.former_hostnames = vec![former(); FORMER_HOSTNAMES_MAX + 1]));
    assert!(with(&|p| p.agent_version = "1".repeat(TEXT_BYTES_MAX)));
    assert!(!with(&|p| p.agent_version = "1".repeat(TEXT_BYTES_MAX + 1)));
    assert!(!with(&|p| p.tailscale_ip = Some("1".repeat(TEXT_BYTES_MAX + 1))));
    assert!(!with(&|p| p.tailscale_hostname = Some("1".repeat(TEXT_BYTES_MAX + 1))));
}

#[test]
fn a_record_ends_at_eight_kibibytes() {
    let long = "h".repeat(ADDRESS_HOST_BYTES_MAX);
    let mut profile = samples::profile();
    profile.addresses = vec![format!("{long}:13500").parse().unwrap(); ADDRESSES_MAX];
    let text = || "1".repeat(TEXT_BYTES_MAX);
    profile.agent_version = text();
    profile.tailscale_ip = Some(text());
    profile.tailscale_hostname = Some(text());
    let mut former = profile.former_hostnames[0].clone();
    former.hostname = "h".repeat(HOSTNAME_BYTES_MAX).parse().unwrap();
    profile.former_hostnames = vec![former; FORMER_HOSTNAMES_MAX];
    // A profile that reaches every bound of its own just fits.
    let bytes = Record::Profile(profile).encode().unwrap();
    assert!((8000..=RECORD_BYTES_MAX).contains(&bytes.len()), "{}", bytes.len());
    assert_eq!(
        Record::decode(&[1; RECORD_BYTES_MAX + 1]),
        Err(DecodeError::TooLarge { bytes: 8193, bytes_max: RECORD_BYTES_MAX })
    );
}

#[test]
fn an_unknown_record_kind_is_refused() {
    let mut bytes = samples::records()[0].1.encode().unwrap();
    bytes[0] = 6;
    assert_eq!(Record::decode(&bytes), Err(DecodeError::UnknownKind { kind: 6 }));
}

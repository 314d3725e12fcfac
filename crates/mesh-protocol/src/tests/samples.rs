//! One value of everything that travels. The golden files are made from these.

pub(super) mod config;
pub(super) mod files;
pub(super) mod tables;

use std::num::NonZeroU8;

use crate::{
    Ack, Admission, ConfigUpdate, Custody, CustodyResult, CustomJson, DatabaseOperation,
    DatabaseSync, Deliver, DeliverItem, DeliverOutcome, DeliverResult, Encryption, Envelope,
    EnvelopeHeader, ErrorCode, ErrorNotice, FileTransfer, FormerHostname, Forward, Founding, Frame,
    Hello, Introduce, Itinerary, JoinReply, JoinRequest, JsonText, KeyId, LinkPing, LinkState,
    LinkStateVersions, LinkStates, Live, LiveResult, MediaStream, MediaType, MeshId, MeshMessage,
    MessageId, Neighbour, PairKeyStored, Parcel, Payload, PeerId, Ping, Pong, Probe, ProbeResult,
    Profile, ProtocolVersion, Receipt, Receipts, Recipient, Record, RecordId, RecordIds,
    RecordVerifier, Records, Refused, Removal, RoutedPing, SealingPublicKey, Signature,
    SignedLinkState, SignedRecord, Swim, TokenId, UnixMillis, Unknown, VersionRange, Welcome,
    WireMessage,
};

pub(super) const BAULDER: PeerId = PeerId::from_bytes([0xb1; 32]);
pub(super) const MINT: PeerId = PeerId::from_bytes([0x31; 32]);
pub(super) const MESH: MeshId = MeshId::from_bytes([0x3e; 32]);
/// 2026-11-01 12:00 UTC.
pub(super) const NOON: UnixMillis = UnixMillis(1_793_534_400_000);

pub(super) fn message_id() -> MessageId {
    MessageId::from_parts(NOON, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

fn document(text: &str) -> JsonText {
    JsonText::parse(text).unwrap()
}

/// Every payload kind under the name of its golden files.
pub(super) fn payloads() -> Vec<(&'static str, Payload)> {
    let database_sync = DatabaseSync {
        origin: BAULDER,
        sequence: 41,
        index: 2,
        is_final: true,
        stamp: NOON.0 << 16 | 7,
        table: "agents".to_owned(),
        operation: DatabaseOperation::Update,
        key: document(r#"{"name":"oak"}"#),
        data: document(r#"{"port":8080,"note":null}"#),
    };
    let file_transfer = FileTransfer {
        transfer_id: [0x7f; 16],
        path: "scripts/restart.sh".to_owned(),
        mode: 0o755,
        file_bytes_total: 70_000,
        file_checksum: [0xfc; 32],
        chunk_index: 1,
        chunk_count: 2,
        offset: 65_536,
        chunk_data: b"echo restarted\n".to_vec(),
        checksum: [0xcc; 32],
        is_final: true,
    };
    let media_stream = MediaStream {
        stream_id: [0x5d; 16],
        media_type: MediaType::Audio,
        codec: "opus".to_owned(),
        sequence: 9,
        presentation_micros: 180_000,
        is_keyframe: true,
        is_final: false,
        data: vec![0xfc, 0xff, 0xfe],
    };
    let custom_json = CustomJson {
        app_type: "text".to_owned(),
        // A number that no float holds, and keys that are not sorted.
        data: document(r#"{"text":"hello, oak","id":12345678901234567890123,"at":1.50}"#),
    };
    let error = ErrorNotice {
        code: ErrorCode::QueueFull,
        message: "the queue of mint is full".to_owned(),
        message_id: Some(message_id()),
    };
    let pong = Pong { nonce: 77, ping_sent_at: NOON, sent_at: UnixMillis(NOON.0 + 3) };
    vec![
        ("database_sync", Payload::DatabaseSync(database_sync)),
        ("file_transfer", Payload::FileTransfer(file_transfer)),
        ("media_stream", Payload::MediaStream(media_stream)),
        ("config_update", Payload::ConfigUpdate(config_update(Some("null")))),
        ("config_removal", Payload::ConfigUpdate(config_update(None))),
        ("custom_json", Payload::CustomJson(custom_json)),
        ("ping", Payload::Ping(Ping { nonce: 77, sent_at: NOON })),
        ("pong", Payload::Pong(pong)),
        ("ack", Payload::Ack(Ack { message_id: message_id(), received_at: NOON })),
        ("error", Payload::Error(error)),
        ("unknown_number", Payload::Unknown(Unknown { kind: 4711, body: vec![1, 2, 3, 0xff] })),
        ("unknown_name", Payload::Unknown(named_unknown(r#"{"type":"poll","data":{"of":[1.0]}}"#))),
    ]
}

fn config_update(value: Option<&str>) -> ConfigUpdate {
    ConfigUpdate {
        key: "agents.oak.port".to_owned(),
        value: value.map(document),
        version: 3,
        author: MINT,
        stamp: NOON.0 << 16,
    }
}

pub(super) fn named_unknown(text: &str) -> Unknown {
    Unknown { kind: Unknown::KIND_NAMED, body: text.as_bytes().to_vec() }
}

pub(super) fn message(payload: Payload) -> MeshMessage {
    MeshMessage {
        message_id: message_id(),
        from: BAULDER,
        to: Recipient::Peer(MINT),
        payload,
        encryption: Encryption::Link,
        timestamp: NOON,
    }
}

pub(super) fn ping_message() -> MeshMessage {
    message(Payload::Ping(Ping { nonce: 77, sent_at: NOON }))
}

pub(super) fn broadcast() -> MeshMessage {
    MeshMessage { to: Recipient::Broadcast, encryption: Encryption::Sealed, ..ping_message() }
}

pub(super) fn envelope() -> Envelope {
    Envelope {
        header: EnvelopeHeader {
            version: ProtocolVersion::CURRENT,
            message_id: message_id(),
            from: BAULDER,
            to: MINT,
            timestamp: NOON,
            sealing_key_id: KeyId::from_bytes([0x5e; 16]),
            pair_key_id: Some(KeyId::from_bytes([0x9a; 16])),
            encapsulated_key: [0xec; 32],
            salt: [0x5a; 16],
        },
        ciphertext: vec![0xc1; 40],
        signature: Signature::from_bytes([0x51; 64]),
    }
}

/// Every record kind under the name of its golden file.
pub(super) fn records() -> Vec<(&'static str, Record)> {
    let founding = Founding {
        founder: BAULDER,
        founded_at: NOON,
        nonce: [0x0f; 32],
        remove_quorum: NonZeroU8::MIN,
    };
    let of_two = Founding { remove_quorum: NonZeroU8::MIN.saturating_add(1), ..founding.clone() };
    let admission = Admission {
        mesh_id: MESH,
        subject: MINT,
        sponsor: BAULDER,
        token_id: TokenId::from_bytes([0x70; 16]),
        admitted_at: NOON,
        overrides: vec![RecordId::from_bytes([0x0e; 32])],
    };
    let removal = Removal {
        mesh_id: MESH,
        subject: MINT,
        remover: BAULDER,
        removed_at: NOON,
        reason: "retired".to_owned(),
        standing: vec![RecordId::from_bytes([0xad; 32])],
    };
    vec![
        ("founding", Record::Founding(founding)),
        ("admission", Record::Admission(admission)),
        ("profile", Record::Profile(profile())),
        ("removal", Record::Removal(removal)),
        ("founding_quorum", Record::Founding(of_two)),
    ]
}

pub(super) fn profile() -> Profile {
    Profile {
        mesh_id: MESH,
        peer: MINT,
        revision: 2,
        updated_at: NOON,
        hostname: "mint".parse().unwrap(),
        former_hostnames: vec![FormerHostname {
            hostname: "frigg".parse().unwrap(),
            until: UnixMillis(NOON.0 + 86_400_000),
        }],
        addresses: vec![
            "100.64.0.7:13500".parse().unwrap(),
            "[2001:db8::7]:13500".parse().unwrap(),
            "mint.example:13500".parse().unwrap(),
        ],
        sealing_key: SealingPublicKey::from_bytes([0x5e; 32]),
        tailscale_ip: Some("100.64.0.7".to_owned()),
        tailscale_hostname: None,
        agent_version: "0.1.0".to_owned(),
        versions: VersionRange::SUPPORTED,
    }
}

pub(super) fn signed_record() -> SignedRecord {
    SignedRecord {
        signer: MINT,
        body: Record::Profile(profile()).encode().unwrap(),
        signature: Signature::from_bytes([0x51; 64]),
    }
}

pub(super) fn deliver_item(priority: u8) -> DeliverItem {
    DeliverItem {
        stream: 0x0123_4567_89ab_cdef,
        sequence: 12,
        priority,
        expires_at: NOON.0 + 604_800_000,
        message: WireMessage::Plain(ping_message()).encode().unwrap(),
    }
}

/// Every frame kind under the name of its golden file.
pub(super) fn frames() -> Vec<(&'static str, Frame)> {
    let key_id = KeyId::from_bytes([0x9a; 16]);
    let hello = Hello {
        versions: VersionRange::SUPPORTED,
        mesh_id: MESH,
        records_digest: [0xd1; 32],
        pair_key_id: Some(key_id),
    };
    let welcome = Welcome {
        version: ProtocolVersion::CURRENT,
        records_digest: [0xd2; 32],
        is_pair_key_renewed: true,
    };
    let refused = Refused {
        code: ErrorCode::NotAMember,
        message: "mint was removed from this mesh".to_owned(),
    };
    let outcomes = vec![
        DeliverOutcome::Stored,
        DeliverOutcome::Duplicate,
        DeliverOutcome::Deferred(ErrorCode::QueueFull),
        DeliverOutcome::Refused(ErrorCode::MessageMisdirected),
    ];
    let join_request = JoinRequest {
        versions: VersionRange::SUPPORTED,
        token_id: TokenId::from_bytes([0x70; 16]),
        secret: [0x5c; 32],
        profile: signed_record(),
    };
    let join_reply = JoinReply {
        version: ProtocolVersion::CURRENT,
        issuer: BAULDER,
        records: vec![signed_record()],
    };
    let live = Live { request_id: 6, message: WireMessage::Sealed(envelope()).encode().unwrap() };
    let ids = vec![RecordId::from_bytes([0x1d; 32]), RecordId::from_bytes([0x2d; 32])];
    vec![
        ("hello", Frame::Hello(hello)),
        ("welcome", Frame::Welcome(welcome)),
        ("refused", Frame::Refused(refused)),
        ("deliver", Frame::Deliver(Deliver { batch_id: 5, items: vec![deliver_item(1)] })),
        ("deliver_result", Frame::DeliverResult(DeliverResult { batch_id: 5, outcomes })),
        ("live", Frame::Live(live)),
        ("live_result", Frame::LiveResult(LiveResult { request_id: 6, error: None })),
        ("ping", Frame::Ping(LinkPing { nonce: 8, sent_at: NOON.0 })),
        ("pong", Frame::Pong(LinkPing { nonce: 8, sent_at: NOON.0 })),
        ("pair_key_stored", Frame::PairKeyStored(PairKeyStored { key_id })),
        ("record_ids", Frame::RecordIds(RecordIds { ids })),
        ("records", Frame::Records(Records { records: vec![signed_record()] })),
        ("join_request", Frame::JoinRequest(join_request)),
        ("join_reply", Frame::JoinReply(join_reply)),
        (
            "introduce",
            Frame::Introduce(Introduce { mesh_id: MESH, records: vec![signed_record()] }),
        ),
    ]
    .into_iter()
    .chain(routing_frames())
    .chain(tables::frames())
    .chain(config::frames())
    .collect()
}

pub(super) const OAK: PeerId = PeerId::from_bytes([0x0a; 32]);

pub(super) fn link_state() -> LinkState {
    LinkState {
        mesh_id: MESH,
        origin: MINT,
        incarnation: NOON.0,
        version: 3,
        neighbours: vec![
            Neighbour { peer: OAK, rtt_micros: 800 },
            Neighbour { peer: BAULDER, rtt_micros: 0 },
        ],
    }
}

pub(super) fn parcel() -> Parcel {
    let message = WireMessage::Sealed(envelope()).encode().unwrap();
    Parcel {
        mesh_id: MESH,
        from: BAULDER,
        to: MINT,
        message_id: message_id(),
        item: DeliverItem { message, ..deliver_item(1) },
        signature: Signature::from_bytes([0x51; 64]),
    }
}

pub(super) fn receipt() -> Receipt {
    Receipt {
        mesh_id: MESH,
        from: MINT,
        to: BAULDER,
        message_id: message_id(),
        outcome: DeliverOutcome::Stored,
        at: NOON,
        signature: Signature::from_bytes([0x52; 64]),
    }
}

fn routing_frames() -> Vec<(&'static str, Frame)> {
    let way = Itinerary { hops: vec![OAK], ..Itinerary::new(BAULDER, MINT) };
    let back = Itinerary::new(MINT, BAULDER);
    let probe_result = ProbeResult {
        nonce: 9,
        subject: MINT,
        is_reached: true,
        incarnation: NOON.0,
        last_seen_at: NOON.0 + 5,
    };
    let signature = Signature::from_bytes([0x51; 64]);
    let state = SignedLinkState { body: link_state().encode().unwrap(), signature };
    let versions = LinkStateVersions { versions: vec![link_state().version()], wants_answer: true };
    let outcomes = vec![DeliverOutcome::Stored, DeliverOutcome::Deferred(ErrorCode::QueueFull)];
    let ping = RoutedPing {
        itinerary: back.clone(),
        nonce: 10,
        sent_at: NOON.0,
        answered_via: Some(vec![OAK]),
    };
    vec![
        ("probe", Frame::Probe(Probe { nonce: 9, subject: MINT })),
        ("probe_result", Frame::ProbeResult(probe_result)),
        ("link_state_versions", Frame::LinkStateVersions(versions)),
        ("link_states", Frame::LinkStates(LinkStates { states: vec![state] })),
        ("forward", Frame::Forward(Forward { itinerary: way.clone(), parcels: vec![parcel()] })),
        ("receipts", Frame::Receipts(Receipts { itinerary: back, receipts: vec![receipt()] })),
        ("custody", Frame::Custody(Custody { request_id: 11, parcels: vec![parcel()] })),
        ("custody_result", Frame::CustodyResult(CustodyResult { request_id: 11, outcomes })),
        ("routed_ping", Frame::RoutedPing(ping)),
        ("swim", Frame::Swim(Swim { itinerary: way, data: vec![0x5f; 24] })),
    ]
}

/// What is signed of everything that travels through others.
pub(super) fn signing_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let parcel = parcel().signing_bytes(&FixedDigest).unwrap();
    vec![
        ("link_state", SignedLinkState::signing_bytes(&link_state().encode().unwrap())),
        ("parcel", parcel),
        ("receipt", receipt().signing_bytes().unwrap()),
    ]
}

/// Stands in a golden file for the digest of a message: this crate makes none.
struct FixedDigest;

impl RecordVerifier for FixedDigest {
    fn is_signed_by(&self, _: &PeerId, _: &[u8], _: &Signature) -> bool {
        false
    }

    fn digest(&self, _: &[u8]) -> [u8; 32] {
        [0xd6; 32]
    }
}

/// The encoded form of everything above.
pub(super) fn all_bytes() -> Vec<(String, Vec<u8>)> {
    let messages = payloads()
        .into_iter()
        .map(|(name, payload)| (format!("message_{name}"), message(payload).encode().unwrap()));
    let frames = frames()
        .into_iter()
        .map(|(name, frame)| (format!("frame_{name}"), frame.encode().unwrap()));
    let records = records()
        .into_iter()
        .map(|(name, record)| (format!("record_{name}"), record.encode().unwrap()));
    let others = [
        ("message_broadcast", broadcast().encode().unwrap()),
        ("envelope", envelope().encode().unwrap()),
        ("parcel", parcel().encode().unwrap()),
        ("wire_message_plain", WireMessage::Plain(ping_message()).encode().unwrap()),
        ("wire_message_sealed", WireMessage::Sealed(envelope()).encode().unwrap()),
    ];
    let others = others.into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    let tables = tables::encoded().into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    let all = messages.chain(frames).chain(records).chain(others).chain(tables);
    all.chain(files::encoded()).collect()
}

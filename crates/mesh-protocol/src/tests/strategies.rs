//! Any value of every type.

mod config;
mod routing;
pub(super) mod tables;

use std::num::NonZeroU8;

use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

pub(super) use self::routing::{itinerary, link_state, parcel};
use crate::{
    Ack, Address, Admission, ConfigUpdate, CustomJson, DatabaseOperation, DatabaseSync, Deliver,
    DeliverItem, DeliverOutcome, DeliverResult, Encryption, Envelope, EnvelopeHeader, ErrorCode,
    ErrorNotice, FileTransfer, FormerHostname, Founding, Frame, Hello, Hostname, Introduce,
    JoinReply, JoinRequest, JsonText, KeyId, LinkPing, Live, LiveResult, MediaStream, MediaType,
    MeshId, MeshMessage, MessageId, PairKeyStored, Payload, PeerId, Ping, Pong, Profile,
    ProtocolVersion, Recipient, Record, RecordId, RecordIds, Records, Refused, Removal,
    SealingPublicKey, Signature, SignedRecord, TokenId, UnixMillis, Unknown, VersionRange, Welcome,
};

fn array16() -> impl Strategy<Value = [u8; 16]> + Clone {
    proptest::array::uniform16(any::<u8>())
}

fn array32() -> impl Strategy<Value = [u8; 32]> + Clone {
    uniform32(any::<u8>())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn peer_id() -> impl Strategy<Value = PeerId> {
    array32().prop_map(PeerId::from_bytes)
}

fn mesh_id() -> impl Strategy<Value = MeshId> {
    array32().prop_map(MeshId::from_bytes)
}

fn record_ids() -> impl Strategy<Value = Vec<RecordId>> {
    vec(array32().prop_map(RecordId::from_bytes), 0..5)
}

fn message_id() -> impl Strategy<Value = MessageId> {
    array16().prop_map(MessageId::from_bytes)
}

fn key_id() -> impl Strategy<Value = KeyId> {
    array16().prop_map(KeyId::from_bytes)
}

fn signature() -> impl Strategy<Value = Signature> {
    (array32(), array32()).prop_map(|(r, s)| Signature::from_slice(&[r, s].concat()).unwrap())
}

fn time() -> impl Strategy<Value = UnixMillis> {
    any::<u64>().prop_map(UnixMillis)
}

fn error_code() -> impl Strategy<Value = ErrorCode> {
    select(ErrorCode::ALL)
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    any::<(u8, u8)>().prop_map(|(major, minor)| ProtocolVersion { major, minor })
}

fn versions() -> impl Strategy<Value = VersionRange> {
    (version(), version()).prop_map(|(min, max)| VersionRange { min, max })
}

fn hostname() -> impl Strategy<Value = Hostname> {
    "[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?".prop_map(|name| name.parse().unwrap())
}

fn address() -> impl Strategy<Value = Address> {
    let port = 1..=u16::MAX;
    prop_oneof![
        (any::<[u8; 4]>(), port.clone())
            .prop_map(|address| std::net::SocketAddr::from(address).into()),
        (any::<[u8; 16]>(), port.clone())
            .prop_map(|address| std::net::SocketAddr::from(address).into()),
        ("[a-z0-9-]{1,20}\\.example", port)
            .prop_map(|(name, port)| format!("{name}:{port}").parse().unwrap()),
    ]
}

/// Any document that a float holds exactly, so that its value says the same as its text.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

fn document() -> impl Strategy<Value = JsonText> {
    value().prop_map(|value| JsonText::from(&value))
}

fn database_sync() -> impl Strategy<Value = DatabaseSync> {
    let operations =
        [DatabaseOperation::Insert, DatabaseOperation::Update, DatabaseOperation::Delete];
    let place = (peer_id(), any::<u64>(), any::<u32>(), any::<bool>(), any::<u64>());
    (place, text(), select(operations.to_vec()), document(), document()).prop_map(
        |((origin, sequence, index, is_final, stamp), table, operation, key, data)| DatabaseSync {
            origin,
            sequence,
            index,
            is_final,
            stamp,
            table,
            operation,
            key,
            data,
        },
    )
}

fn file_transfer() -> impl Strategy<Value = FileTransfer> {
    let file = (array16(), text(), any::<u32>(), any::<u64>(), array32());
    let chunk = (any::<u32>(), any::<u32>(), any::<u64>(), bytes(), array32(), any::<bool>());
    (file, chunk).prop_map(|(file, chunk)| {
        let (transfer_id, path, mode, file_bytes_total, file_checksum) = file;
        let (chunk_index, chunk_count, offset, chunk_data, checksum, is_final) = chunk;
        FileTransfer {
            transfer_id,
            path,
            mode,
            file_bytes_total,
            file_checksum,
            chunk_index,
            chunk_count,
            offset,
            chunk_data,
            checksum,
            is_final,
        }
    })
}

fn media_stream() -> impl Strategy<Value = MediaStream> {
    let media_types = select(vec![MediaType::Audio, MediaType::Video]);
    let numbers = (any::<u64>(), any::<u64>(), any::<bool>(), any::<bool>());
    (array16(), media_types, text(), numbers, bytes()).prop_map(
        |(stream_id, media_type, codec, numbers, data)| {
            let (sequence, presentation_micros, is_keyframe, is_final) = numbers;
            MediaStream {
                stream_id,
                media_type,
                codec,
                sequence,
                presentation_micros,
                is_keyframe,
                is_final,
                data,
            }
        },
    )
}

fn config_update() -> impl Strategy<Value = ConfigUpdate> {
    (text(), option::of(document()), any::<u64>(), peer_id(), any::<u64>()).prop_map(
        |(key, value, version, author, stamp)| ConfigUpdate { key, value, version, author, stamp },
    )
}

fn unknown() -> impl Strategy<Value = Unknown> {
    let named = ("[A-Z]{1,9}", value()).prop_map(|(name, data)| Unknown {
        kind: Unknown::KIND_NAMED,
        body: serde_json::json!({ "type": name, "data": data }).to_string().into_bytes(),
    });
    prop_oneof![
        (prop_oneof![Just(0), 10..=u16::MAX], bytes())
            .prop_map(|(kind, body)| Unknown { kind, body }),
        named,
    ]
}

pub(super) fn payload() -> impl Strategy<Value = Payload> {
    let custom = (text(), document()).prop_map(|(app_type, data)| CustomJson { app_type, data });
    let custom = custom.prop_filter("128 bytes", |custom| custom.app_type.len() <= 128);
    let ping = (any::<u64>(), time()).prop_map(|(nonce, sent_at)| Ping { nonce, sent_at });
    let pong = (any::<u64>(), time(), time()).prop_map(|(nonce, ping_sent_at, sent_at)| Pong {
        nonce,
        ping_sent_at,
        sent_at,
    });
    let ack = (message_id(), time())
        .prop_map(|(message_id, received_at)| Ack { message_id, received_at });
    let error = (error_code(), text(), option::of(message_id()))
        .prop_map(|(code, message, message_id)| ErrorNotice { code, message, message_id });
    prop_oneof![
        database_sync().prop_map(Payload::DatabaseSync),
        file_transfer().prop_map(Payload::FileTransfer),
        media_stream().prop_map(Payload::MediaStream),
        config_update().prop_map(Payload::ConfigUpdate),
        custom.prop_map(Payload::CustomJson),
        ping.prop_map(Payload::Ping),
        pong.prop_map(Payload::Pong),
        ack.prop_map(Payload::Ack),
        error.prop_map(Payload::Error),
        unknown().prop_map(Payload::Unknown),
    ]
}

pub(super) fn message() -> impl Strategy<Value = MeshMessage> {
    let to = prop_oneof![peer_id().prop_map(Recipient::Peer), Just(Recipient::Broadcast)];
    let encryption = select(vec![Encryption::Link, Encryption::Sealed]);
    (message_id(), peer_id(), to, payload(), encryption, time()).prop_map(
        |(message_id, from, to, payload, encryption, timestamp)| MeshMessage {
            message_id,
            from,
            to,
            payload,
            encryption,
            timestamp,
        },
    )
}

pub(super) fn envelope() -> impl Strategy<Value = Envelope> {
    let version = any::<u8>().prop_map(|minor| ProtocolVersion { major: 1, minor });
    let who = (version, message_id(), peer_id(), peer_id(), time());
    let keys = (key_id(), option::of(key_id()), array32(), array16());
    (who, keys, bytes(), signature()).prop_map(|(who, keys, ciphertext, signature)| {
        let (version, message_id, from, to, timestamp) = who;
        let (sealing_key_id, pair_key_id, encapsulated_key, salt) = keys;
        let header = EnvelopeHeader {
            version,
            message_id,
            from,
            to,
            timestamp,
            sealing_key_id,
            pair_key_id,
            encapsulated_key,
            salt,
        };
        Envelope { header, ciphertext, signature }
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    let former =
        (hostname(), time()).prop_map(|(hostname, until)| FormerHostname { hostname, until });
    let who = (mesh_id(), peer_id(), any::<u64>(), time());
    let where_ = (hostname(), vec(former, 0..=8), vec(address(), 0..=16));
    let sealing_key = array32().prop_map(SealingPublicKey::from_bytes);
    let tailscale = (option::of(text()), option::of(text()));
    (who, where_, sealing_key, tailscale, text(), versions()).prop_map(
        |(who, where_, sealing_key, tailscale, agent_version, versions)| {
            let (mesh_id, peer, revision, updated_at) = who;
            let (hostname, former_hostnames, addresses) = where_;
            let (tailscale_ip, tailscale_hostname) = tailscale;
            Profile {
                mesh_id,
                peer,
                revision,
                updated_at,
                hostname,
                former_hostnames,
                addresses,
                sealing_key,
                tailscale_ip,
                tailscale_hostname,
                agent_version,
                versions,
            }
        },
    )
}

pub(super) fn record() -> impl Strategy<Value = Record> {
    let founding = (peer_id(), time(), array32(), 1..=crate::REMOVE_QUORUM_MAX).prop_map(
        |(founder, founded_at, nonce, remove_quorum)| Founding {
            founder,
            founded_at,
            nonce,
            remove_quorum: NonZeroU8::new(remove_quorum).unwrap(),
        },
    );
    let token_id = array16().prop_map(TokenId::from_bytes);
    let admission = (mesh_id(), peer_id(), peer_id(), token_id, time(), record_ids()).prop_map(
        |(mesh_id, subject, sponsor, token_id, admitted_at, overrides)| Admission {
            mesh_id,
            subject,
            sponsor,
            token_id,
            admitted_at,
            overrides,
        },
    );
    let removal = (mesh_id(), peer_id(), peer_id(), time(), text(), record_ids()).prop_map(
        |(mesh_id, subject, remover, removed_at, reason, standing)| Removal {
            mesh_id,
            subject,
            remover,
            removed_at,
            reason,
            standing,
        },
    );
    prop_oneof![
        founding.prop_map(Record::Founding),
        admission.prop_map(Record::Admission),
        profile().prop_map(Record::Profile),
        removal.prop_map(Record::Removal),
    ]
}

fn signed_record() -> impl Strategy<Value = SignedRecord> {
    (peer_id(), bytes(), signature()).prop_map(|(signer, body, signature)| SignedRecord {
        signer,
        body,
        signature,
    })
}

fn signed_records() -> impl Strategy<Value = Vec<SignedRecord>> {
    vec(signed_record(), 0..5)
}

fn deliver_item() -> impl Strategy<Value = DeliverItem> {
    (any::<u64>(), any::<u64>(), 0..=2_u8, any::<u64>(), bytes()).prop_map(
        |(stream, sequence, priority, expires_at, message)| DeliverItem {
            stream,
            sequence,
            priority,
            expires_at,
            message,
        },
    )
}

fn outcome() -> impl Strategy<Value = DeliverOutcome> {
    prop_oneof![
        Just(DeliverOutcome::Stored),
        Just(DeliverOutcome::Duplicate),
        error_code().prop_map(DeliverOutcome::Deferred),
        error_code().prop_map(DeliverOutcome::Refused),
    ]
}

/// Frames that open a link or carry messages.
fn message_frame() -> impl Strategy<Value = Frame> {
    let hello = (versions(), mesh_id(), array32(), option::of(key_id())).prop_map(
        |(versions, mesh_id, records_digest, pair_key_id)| Hello {
            versions,
            mesh_id,
            records_digest,
            pair_key_id,
        },
    );
    let welcome = (version(), array32(), any::<bool>()).prop_map(
        |(version, records_digest, is_pair_key_renewed)| Welcome {
            version,
            records_digest,
            is_pair_key_renewed,
        },
    );
    let refused = (error_code(), text()).prop_map(|(code, message)| Refused { code, message });
    let deliver = (any::<u64>(), vec(deliver_item(), 0..5))
        .prop_map(|(batch_id, items)| Deliver { batch_id, items });
    let result = (any::<u64>(), vec(outcome(), 0..9))
        .prop_map(|(batch_id, outcomes)| DeliverResult { batch_id, outcomes });
    let live =
        (any::<u64>(), bytes()).prop_map(|(request_id, message)| Live { request_id, message });
    let live_result = (any::<u64>(), option::of(error_code()))
        .prop_map(|(request_id, error)| LiveResult { request_id, error });
    prop_oneof![
        hello.prop_map(Frame::Hello),
        welcome.prop_map(Frame::Welcome),
        refused.prop_map(Frame::Refused),
        deliver.prop_map(Frame::Deliver),
        result.prop_map(Frame::DeliverResult),
        live.prop_map(Frame::Live),
        live_result.prop_map(Frame::LiveResult),
    ]
}

pub(super) fn frame() -> impl Strategy<Value = Frame> {
    let ping = any::<(u64, u64)>().prop_map(|(nonce, sent_at)| LinkPing { nonce, sent_at });
    let token = (versions(), array16().prop_map(TokenId::from_bytes), array32(), signed_record());
    let join_request = token.prop_map(|(versions, token_id, secret, profile)| JoinRequest {
        versions,
        token_id,
        secret,
        profile,
    });
    let join_reply = (version(), peer_id(), signed_records())
        .prop_map(|(version, issuer, records)| JoinReply { version, issuer, records });
    let introduce =
        (mesh_id(), signed_records()).prop_map(|(mesh_id, records)| Introduce { mesh_id, records });
    prop_oneof![
        7 => message_frame(),
        1 => ping.clone().prop_map(Frame::Ping),
        1 => ping.prop_map(Frame::Pong),
        1 => key_id().prop_map(|key_id| Frame::PairKeyStored(PairKeyStored { key_id })),
        1 => record_ids().prop_map(|ids| Frame::RecordIds(RecordIds { ids })),
        1 => signed_records().prop_map(|records| Frame::Records(Records { records })),
        1 => join_request.prop_map(Frame::JoinRequest),
        1 => join_reply.prop_map(Frame::JoinReply),
        1 => introduce.prop_map(Frame::Introduce),
        10 => routing::frame(),
        5 => tables::frame(),
        2 => config::frame(),
    ]
}

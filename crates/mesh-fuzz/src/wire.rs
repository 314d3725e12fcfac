//! Bytes from peers: frames, messages, records, tables, pushes and git. Each is refused or read, and what was
//! read can be written and says the same then.
//!
//! The order of the readers is part of every stored input: new ones go to the end.

use std::fmt::Debug;

use mesh_crypto::{Verifier, verify_envelope};
use mesh_files::{BundleKind, BundleReader, decode_replies, encode_replies, from_transfer};
use mesh_protocol::{
    DecodeError, EncodeError, Envelope, FRAME_HEADER_BYTES, Frame, FrameHeader, GitPiece,
    GitPieces, ManifestPage, MeshMessage, PUSH_HEADER_BYTES, Parcel, Payload, PushEvent,
    PushHeader, PushMessage, Record, RelativePath, Signature, SignedLinkState, SignedRecord,
    SnapshotChunk, TransactionPart, WireMessage,
};

use crate::input::{Input, choose};

/// Reads bytes as a peer could send them.
pub fn wire(bytes: &[u8]) {
    choose(
        bytes,
        &[
            frame,
            message,
            wire_message,
            envelope,
            record,
            parcel,
            link_state,
            part,
            snapshot,
            push_message,
            push_event,
            page,
            git,
            bundle,
            replies,
            path,
        ],
    );
}

/// What was read says the same when it is written and read again.
fn same<T: Debug + PartialEq>(
    read: &T,
    encode: impl Fn(&T) -> Result<Vec<u8>, EncodeError>,
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
) -> Vec<u8> {
    let written = encode(read).expect("what was read keeps every bound");
    assert_eq!(decode(&written).as_ref(), Ok(read));
    written
}

const SHORT: DecodeError = DecodeError::Malformed { what: "header" };

fn decode_frame(bytes: &[u8]) -> Result<Frame, DecodeError> {
    let (header, body) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or(SHORT)?;
    Frame::decode(&FrameHeader::decode(header)?, body)
}

fn frame(bytes: &[u8]) {
    let Ok(frame) = decode_frame(bytes) else { return };
    let again = frame.encode().expect("what was read keeps every bound");
    assert_eq!(decode_frame(&again), Ok(frame));
}

fn message(bytes: &[u8]) {
    let Ok(message) = MeshMessage::decode(bytes) else { return };
    let again = message.encode().expect("what was read keeps every bound");
    assert_eq!(MeshMessage::decode(&again).as_ref(), Ok(&message));

    let json = serde_json::to_string(&message).expect("every message has a JSON form");
    assert!(!json.contains('\n'));
    let read: MeshMessage = serde_json::from_str(&json).expect("our own JSON can be read");
    assert_eq!(serde_json::to_string(&read).expect("twice"), json);

    if let Payload::FileTransfer(transfer) = &message.payload
        && let Ok(Some(found)) = from_transfer(transfer)
    {
        match found.kind {
            BundleKind::Push => bundle(found.bytes),
            BundleKind::Replies => replies(found.bytes),
        }
    }
}

fn wire_message(bytes: &[u8]) {
    let Ok(message) = WireMessage::decode(bytes) else { return };
    let again = message.encode().expect("what was read keeps every bound");
    assert_eq!(WireMessage::decode(&again), Ok(message));
}

fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(bytes) else { return };
    let again = envelope.encode().expect("what was read keeps every bound");
    assert_eq!(Envelope::decode(&again).as_ref(), Ok(&envelope));
    assert!(!verify_envelope(&envelope), "a signature was guessed");
}

fn record(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    // An address can grow when it is brought into its usual form, and the record with it beyond its bound.
    if let Ok(again) = record.encode() {
        assert_eq!(Record::decode(&again).as_ref(), Ok(&record));
    }
    let signature = Signature::from_bytes([0; Signature::LEN]);
    let signed = SignedRecord { signer: record.signer(), body: bytes.to_vec(), signature };
    assert!(signed.verify(&Verifier).is_err(), "nobody signed this");
}

fn parcel(bytes: &[u8]) {
    let Ok(parcel) = Parcel::decode(bytes) else { return };
    assert_eq!(parcel.encode().as_deref(), Ok(bytes), "a parcel has one form");
    assert!(!parcel.is_genuine(&Verifier), "a signature was guessed");
}

fn link_state(bytes: &[u8]) {
    let signature = Signature::from_bytes([0; Signature::LEN]);
    let signed = SignedLinkState { body: bytes.to_vec(), signature };
    let Ok(state) = signed.peek() else { return };
    assert_eq!(state.encode().as_deref(), Ok(bytes), "a link state has one form");
    assert!(signed.verify(&Verifier).is_err(), "nobody signed this");
}

fn part(bytes: &[u8]) {
    let Ok(part) = TransactionPart::decode(bytes) else { return };
    assert_eq!(TransactionPart::peek(bytes).map(|(dot, _)| dot), Some(part.dot));
    let written = same(&part, TransactionPart::encode, TransactionPart::decode);
    assert!(written.len() <= bytes.len(), "the shortest form is written");
}

fn snapshot(bytes: &[u8]) {
    let Ok(chunk) = SnapshotChunk::decode(bytes) else { return };
    let written = same(&chunk, SnapshotChunk::encode, SnapshotChunk::decode);
    assert!(written.len() <= bytes.len(), "the shortest form is written");
}

fn decode_push(bytes: &[u8]) -> Result<PushMessage, DecodeError> {
    let (header, body) = bytes.split_first_chunk::<PUSH_HEADER_BYTES>().ok_or(SHORT)?;
    PushMessage::decode(PushHeader::decode(header)?, body)
}

fn push_message(bytes: &[u8]) {
    let Ok(message) = decode_push(bytes) else { return };
    same(&message, PushMessage::encode, decode_push);
}

fn push_event(bytes: &[u8]) {
    let Ok(event) = PushEvent::decode(bytes) else { return };
    same(&event, PushEvent::encode, PushEvent::decode);
}

fn page(bytes: &[u8]) {
    match ManifestPage::decode(bytes) {
        Ok(page) => {
            assert_eq!(ManifestPage::refused_path(bytes), None, "its paths were taken");
            same(&page, ManifestPage::encode, ManifestPage::decode);
        }
        Err(_) => drop(ManifestPage::refused_path(bytes)),
    }
}

/// Every piece that is there, and whether an error ended them.
fn pieces(mut bytes: &[u8], step: usize) -> (Vec<GitPiece>, bool) {
    let (mut reader, mut found) = (GitPieces::default(), Vec::new());
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(step.clamp(1, bytes.len()));
        bytes = rest;
        reader.feed(piece);
        loop {
            match reader.next() {
                Ok(Some(piece)) => found.push(piece),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// Pieces do not depend on where the bytes that carry them are cut.
fn git(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let step = usize::from(input.byte());
    let bytes = input.rest();
    let whole = pieces(bytes, usize::MAX);
    assert_eq!(pieces(bytes, step), whole);
    let mut written = Vec::new();
    whole.0.iter().for_each(|piece| piece.encode(&mut written));
    // A piece without content has no form, and what is not UTF-8 in a reason is replaced.
    let again = pieces(&written, usize::MAX).0;
    let said = |piece: &&GitPiece| !matches!(piece, GitPiece::Output(b) | GitPiece::Complaint(b) if b.is_empty());
    assert_eq!(again.len(), whole.0.iter().filter(said).count());
}

fn bundle(bytes: &[u8]) {
    let Ok(reader) = BundleReader::new(bytes) else { return };
    let mut has_failed = false;
    for message in reader {
        assert!(!has_failed, "nothing follows behind an error");
        has_failed = message.is_err();
    }
}

fn replies(bytes: &[u8]) {
    let Ok(replies) = decode_replies(bytes) else { return };
    let written = encode_replies(&replies).expect("what was read keeps every bound");
    assert_eq!(decode_replies(&written), Ok(replies));
}

/// A path that was taken leads beneath its root.
fn path(bytes: &[u8]) {
    let Ok(path) = RelativePath::parse(bytes) else { return };
    assert_eq!(path.as_bytes(), bytes);
    let is_sound = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    assert!(path.is_root() || bytes.split(|byte| *byte == b'/').all(is_sound));
    assert!(path.to_string().chars().all(|c| !c.is_control()), "nothing hides in what is shown");
}

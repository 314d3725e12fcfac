//! The bytes of version 1, kept in `fixtures/wire/v1`. `UPDATE_GOLDEN=1` rewrites the files: do that
//! for a new kind only, because agents in the field speak the old bytes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::{decode_frame, samples};
use crate::{
    Envelope, Frame, MeshMessage, Parcel, Payload, Record, SnapshotChunk, TransactionPart,
    WireMessage,
};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/wire/v1"))
}

fn protocol_page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    std::fs::read_to_string(path).unwrap()
}

/// Compares with the file, or writes it when asked to; returns what the file holds.
fn check(file: &str, expected: &str) -> String {
    let path = folder().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let golden = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{file} ({error}): run the tests with UPDATE_GOLDEN=1"));
    assert_eq!(golden, expected, "{file}: the form of version 1 has drifted");
    golden
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn check_hex(name: &str, bytes: &[u8]) -> Vec<u8> {
    from_hex(&check(&format!("{name}.hex"), &to_hex(bytes)))
}

#[test]
fn every_payload_keeps_its_json_form() {
    for (name, payload) in samples::payloads() {
        let json = serde_json::to_string(&payload).unwrap() + "\n";
        let golden = check(&format!("payload_{name}.json"), &json);
        assert_eq!(serde_json::from_str::<Payload>(&golden).unwrap(), payload, "{name}");
    }
}

#[test]
fn a_message_keeps_its_json_form() {
    for (name, message) in
        [("message", samples::ping_message()), ("message_broadcast", samples::broadcast())]
    {
        let json = serde_json::to_string(&message).unwrap() + "\n";
        let golden = check(&format!("{name}.json"), &json);
        assert_eq!(serde_json::from_str::<MeshMessage>(&golden).unwrap(), message, "{name}");
    }
}

#[test]
fn every_message_keeps_its_wire_form() {
    let messages = samples::payloads()
        .into_iter()
        .map(|(name, payload)| (name, samples::message(payload)))
        .chain([("broadcast", samples::broadcast())]);
    for (name, message) in messages {
        let golden = check_hex(&format!("message_{name}"), &message.encode().unwrap());
        assert_eq!(MeshMessage::decode(&golden).unwrap(), message, "{name}");
    }
}

#[test]
fn both_forms_of_a_travelling_message_keep_their_bytes() {
    for (name, message) in [
        ("wire_message_plain", WireMessage::Plain(samples::ping_message())),
        ("wire_message_sealed", WireMessage::Sealed(samples::envelope())),
    ] {
        let golden = check_hex(name, &message.encode().unwrap());
        assert_eq!(WireMessage::decode(&golden).unwrap(), message, "{name}");
    }
    let golden = check_hex("envelope", &samples::envelope().encode().unwrap());
    assert_eq!(Envelope::decode(&golden).unwrap(), samples::envelope());
}

#[test]
fn every_frame_keeps_its_bytes() {
    for (name, frame) in samples::frames() {
        let golden = check_hex(&format!("frame_{name}"), &frame.encode().unwrap());
        assert_eq!(decode_frame(&golden).unwrap(), frame, "{name}");
    }
}

#[test]
fn every_record_keeps_its_canonical_bytes() {
    for (name, record) in samples::records() {
        let golden = check_hex(&format!("record_{name}"), &record.encode().unwrap());
        assert_eq!(Record::decode(&golden).unwrap(), record, "{name}");
    }
}

#[test]
fn what_is_signed_keeps_its_bytes() {
    for (name, bytes) in samples::signing_bytes() {
        check_hex(&format!("signing_{name}"), &bytes);
    }
}

#[test]
fn a_parcel_that_is_kept_keeps_its_bytes() {
    let golden = check_hex("parcel", &samples::parcel().encode().unwrap());
    assert_eq!(Parcel::decode(&golden).unwrap(), samples::parcel());
}

#[test]
fn changes_of_tables_keep_their_bytes() {
    for (name, part) in samples::tables::parts() {
        let golden = check_hex(name, &part.encode().unwrap());
        assert_eq!(TransactionPart::decode(&golden).unwrap(), part, "{name}");
    }
    let golden = check_hex("snapshot_chunk", &samples::tables::chunk().encode().unwrap());
    assert_eq!(SnapshotChunk::decode(&golden).unwrap(), samples::tables::chunk());
}

#[test]
fn what_pushes_are_made_of_keeps_its_bytes() {
    for (name, bytes) in samples::files::encoded() {
        assert_eq!(check_hex(&name, &bytes), bytes);
    }
    let kinds: BTreeSet<u8> =
        samples::files::messages().iter().map(|(_, sample)| sample.encode().unwrap()[0]).collect();
    assert_eq!(kinds, (1..=13).collect());
}

#[test]
fn the_protocol_page_names_every_message_and_reason_of_a_push() {
    let page = protocol_page();
    for (_, message) in samples::files::messages() {
        let shown = format!("{message:?}");
        let name = shown.split('(').next().unwrap();
        let row = format!("\n| {} | {name} | ", message.encode().unwrap()[0]);
        assert!(page.contains(&row), "{row}");
    }
    for reason in crate::PushReason::ALL {
        assert!(page.contains(&format!("`{reason}`")), "{reason}");
    }
}

#[test]
fn every_golden_file_is_read_by_a_test() {
    let hex = samples::all_bytes().into_iter().map(|(name, _)| format!("{name}.hex"));
    let payloads = samples::payloads();
    let json = payloads.iter().map(|(name, _)| format!("payload_{name}.json"));
    let messages = ["message.json", "message_broadcast.json"].map(str::to_owned);
    let signing = samples::signing_bytes();
    let signing = signing.iter().map(|(name, _)| format!("signing_{name}.hex"));
    let expected: BTreeSet<String> = hex.chain(signing).chain(json).chain(messages).collect();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    let present: BTreeSet<String> = std::fs::read_dir(folder()).unwrap().map(name).collect();
    let stale: Vec<_> = present.difference(&expected).collect();
    assert!(stale.is_empty(), "no test reads {stale:?}");
}

fn kind_of(frame: &Frame) -> u16 {
    let bytes = frame.encode().unwrap();
    u16::from_le_bytes([bytes[6], bytes[7]])
}

#[test]
fn every_known_kind_has_a_golden_file() {
    let named: BTreeSet<_> = samples::payloads().iter().map(|(_, p)| p.type_name()).collect();
    assert_eq!(named.len(), 10);
    let kinds: BTreeSet<u16> = samples::frames().iter().map(|(_, frame)| kind_of(frame)).collect();
    assert_eq!(kinds, (1..=33).collect());
}

#[test]
fn the_worked_example_of_the_protocol_page_is_the_golden_frame() {
    let page = protocol_page();
    let (_, example) = page.split_once("## 18. Worked example").unwrap();
    let block = example.split("```").nth(1).unwrap().trim_start_matches("text\n");
    // Bytes, at least two blanks, what they mean.
    let bytes: String = block.lines().filter_map(|line| line.split("  ").next()).collect();
    let (_, deliver) = samples::frames().into_iter().find(|(name, _)| *name == "deliver").unwrap();
    assert_eq!(from_hex(&bytes), deliver.encode().unwrap());
}

#[test]
fn the_protocol_page_names_every_frame_payload_and_error_code() {
    let page = protocol_page();
    for (name, payload) in samples::payloads() {
        let row = format!("| {} | `{}` |", payload.kind(), payload.type_name());
        let is_unknown = matches!(payload, Payload::Unknown(_));
        assert_eq!(page.contains(&row), !is_unknown, "{name}");
    }
    for code in crate::ErrorCode::ALL {
        assert!(page.contains(&format!("`{code}`")), "{code}");
    }
    for (_, frame) in samples::frames() {
        let shown = format!("{frame:?}");
        let name = shown.split('(').next().unwrap();
        let row = format!("\n| {} | {name} | ", kind_of(&frame));
        assert!(page.contains(&row), "{row}");
    }
}

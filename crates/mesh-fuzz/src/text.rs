//! Texts that people, files and other programs hand in: the file of the configuration, join tokens, key files, allow
//! lists, what is scanned for secrets, Tailscale's status, messages in JSON, requests on the control socket.
//!
//! The order of the readers is part of every stored input: new ones go to the end.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_config::{
    ConfigKey, ConfigState, Entry, EntryValue, Flat, LocalKeys, flatten, parse_text, render_text,
    unflatten,
};
use mesh_crypto::{JoinToken, KeyFile};
use mesh_discovery::{DEVICES_MAX, MeshPrefix, PeerPrefix, TailscaleStatus};
use mesh_protocol::{
    Address, Hostname, JsonText, MeshId, MeshMessage, MessageId, PeerId, PushId, RootName, TokenId,
    UnixMillis,
};
use mesh_secrets::{AllowList, FINDINGS_MAX, Scanner};
use serde_json::Value;

use crate::control::control;
use crate::input::{Input, choose};

/// Reads bytes as a file or a program could hold them.
pub fn text(bytes: &[u8]) {
    choose(
        bytes,
        &[
            config_text,
            config_merge,
            token,
            key_file,
            allow_list,
            scan,
            tailscale,
            json,
            words,
            control,
        ],
    );
}

/// A text that was read says the same once it is written anew, whatever stands around its members.
fn config_text(bytes: &[u8]) {
    let Ok(parsed) = parse_text(bytes) else { return };
    let old = std::str::from_utf8(bytes).expect("what was read is text");
    let text = render_text(Some(old), &parsed.document, "r2");
    let again = parse_text(text.as_bytes()).expect("our own text can be read");
    assert_eq!((&again.document, again.revision.as_deref()), (&parsed.document, Some("r2")));
    assert_eq!(render_text(Some(&text), &parsed.document, "r2"), text, "nothing is left to change");
    // And it takes another content.
    let other = serde_json::json!({ "a": { "b": [1, "x"] }, "c": null });
    let text = render_text(Some(old), &other, "r3");
    assert_eq!(parse_text(text.as_bytes()).expect("our own text can be read").document, other);
}

/// Where two sides changed a file's content, nothing that either wrote is lost without being named.
fn config_merge(bytes: &[u8]) {
    let mut texts = bytes.split(|byte| *byte == 0).map(|text| parse_text(text).ok());
    let (Some(file), Some(Some(ours))) = (texts.next().flatten(), texts.next()) else { return };
    let base = texts.next().flatten();
    let flat = |document: &Value| flatten(None, document).ok();
    let (Some(file), Some(ours)) = (flat(&file.document), flat(&ours.document)) else { return };
    let base = base.and_then(|base| flat(&base.document));
    let Some(state) = state_of(&ours) else { return };
    let Ok(merge) = state.merge_file(base.as_ref(), &file, None, &LocalKeys::new([])) else {
        return;
    };
    let (by, at) = (PeerId::from_bytes([9; 32]), UnixMillis(77));
    let planned = state.plan(merge.edits.clone(), merge.over.clone(), by, at, None);
    let Ok(change) = planned else { return };
    let after = flatten(None, &state.after(&change)).expect("a document has keys");
    let is_empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
    for (key, entry) in state.standing() {
        let value = entry.value.shown();
        let is_known = match &base {
            Some(base) => base.get(key) == Some(&value),
            None => file.contains_key(key),
        };
        let is_over = merge.over.contains(&(key.clone(), entry.clone()));
        let is_there = after.get(key) == Some(&value) || merge.local.contains_key(key);
        assert!(is_there || is_known || is_over || is_empty(&value), "{key} is lost");
    }
    for (key, value) in file.iter().filter(|(key, _)| !merge.local.contains_key(*key)) {
        let is_edited = base.as_ref().is_none_or(|base| base.get(key) != Some(value));
        let has_members = after.keys().any(|inner| inner.is_within(key) && inner != key);
        let is_there = after.get(key) == Some(value) || is_empty(value) && has_members;
        assert!(!is_edited || is_there, "{key} is not {value}");
    }
}

/// The state in which those values stand; none when they break a bound.
fn state_of(values: &Flat) -> Option<ConfigState> {
    let mut state = ConfigState::default();
    state.note_version(1);
    for (key, value) in values {
        let value = EntryValue::Plain(value.clone());
        let entry = Entry { value, version: 1, by: PeerId::from_bytes([1; 32]), at: UnixMillis(1) };
        state.put(&key.to_string(), Some(&entry.to_text())).ok()?;
    }
    let shown: Vec<(&ConfigKey, Value)> =
        state.standing().into_iter().map(|(key, entry)| (key, entry.value.shown())).collect();
    assert_eq!(state.document(None), Some(unflatten(shown)));
    Some(state)
}

fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_token(text);
    }
    // Without this the checksum would keep the fuzzer out of what is behind it.
    let sum = blake3::derive_key("agent-mesh v1 checksum of a join token", bytes);
    let body = [bytes, &sum[..8]].concat();
    check_token(&format!("meshjoin1_{}", URL_SAFE_NO_PAD.encode(body)));
}

fn check_token(text: &str) {
    let Ok(token) = JoinToken::parse(text) else { return };
    let again = token.encode();
    let read = JoinToken::parse(&again).expect("our own token can be read");
    assert_eq!(*read.encode(), *again);
}

fn key_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check_key_file(text);
    let sum = blake3::derive_key("agent-mesh v1 checksum of a key file", bytes);
    check_key_file(&format!("{text}checksum {}\n", URL_SAFE_NO_PAD.encode(&sum[..8])));
}

fn check_key_file(text: &str) {
    let Ok(keys) = KeyFile::parse(text) else { return };
    let written = keys.encode();
    let read = KeyFile::parse(&written).expect("our own file can be read");
    assert_eq!(*read.encode(), *written);
    // Only the words of the comment are free.
    let behind = |text: &str| text.split_once('\n').map(|(_, rest)| rest.len());
    assert_eq!(behind(text), behind(&written));
}

fn allow_list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(list) = AllowList::parse(text) else { return };
    for now in [i64::MIN, 0, 1_800_000_000, i64::MAX] {
        let expired = list.expired(now);
        for entry in &expired {
            assert!(entry.line >= 1 && !entry.reason.trim().is_empty());
        }
        drop(Scanner::new(list.clone()).scan_text("docs/a.md", bytes, now));
    }
    assert!(list.expired(i64::MIN).is_empty(), "nothing has expired before time began");
}

/// What is found does not depend on where the pieces end, and is never told.
fn scan(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let step = usize::from(input.byte()) + 1;
    let content = input.rest();
    let scanner = Scanner::default();
    let Ok(found) = scanner.scan_text("a/b.env", content, 0) else { return };
    assert!(found.len() <= FINDINGS_MAX);
    let mut scan = scanner.file_scan("a/b.env", 0).expect("the name was taken");
    content.chunks(step).for_each(|piece| scan.feed(piece));
    assert_eq!(scan.finish(), found);
    let lines = content.split(|byte| *byte == b'\n').count() as u64;
    let is_wide = matches!(content, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    assert!(is_wide || found.iter().all(|finding| finding.line <= lines));
    if let Ok(value) = serde_json::from_slice::<Value>(content) {
        let found = scanner.scan_value("agents.oak.token", &value, 0);
        assert!(found.is_ok_and(|found| found.len() <= FINDINGS_MAX));
    }
}

fn tailscale(bytes: &[u8]) {
    let Ok(status) = TailscaleStatus::parse(bytes) else { return };
    assert!(status.peers.len() <= DEVICES_MAX);
    let names = status.peers.iter().flat_map(|peer| [&peer.host_name, &peer.dns_name]);
    assert!(names.chain([&status.own.dns_name]).all(|name| name.chars().count() <= 255 * 3));
    assert!(status.peers.iter().all(|peer| !peer.is_online || peer.last_seen.is_none()));
}

fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(message) = serde_json::from_str::<MeshMessage>(text) {
        let json = serde_json::to_string(&message).expect("every message has a JSON form");
        let read: MeshMessage = serde_json::from_str(&json).expect("our own JSON can be read");
        assert_eq!(serde_json::to_string(&read).expect("twice"), json);
    }
    if let Ok(document) = JsonText::parse(text) {
        assert_eq!(JsonText::parse(document.as_str()).as_ref(), Ok(&document));
    }
}

/// Names, addresses and ids are read again as they are shown.
fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    word::<Address>(text);
    word::<Hostname>(text);
    word::<RootName>(text);
    word::<ConfigKey>(text);
    word::<PeerId>(text);
    word::<MeshId>(text);
    word::<MessageId>(text);
    word::<TokenId>(text);
    word::<PushId>(text);
    word::<MeshPrefix>(text);
    word::<PeerPrefix>(text);
}

fn word<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    let Ok(read) = text.parse::<T>() else { return };
    let again = read.to_string().parse::<T>();
    assert_eq!(again.ok(), Some(read), "{text}");
}

use std::time::{Duration, Instant};

use mesh_protocol::PeerId;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Envelope, SealedValue};

const OAK: PeerId = PeerId::from_bytes([0xa0; 32]);
const MINT: PeerId = PeerId::from_bytes([0xb0; 32]);

fn key(text: &str) -> ConfigKey {
    text.parse().unwrap()
}

fn digests(entries: &[(&str, Value)]) -> BTreeMap<ConfigKey, ValueDigest> {
    entries.iter().map(|(name, value)| (key(name), ValueDigest::of_plain(value))).collect()
}

fn all(entries: &BTreeMap<ConfigKey, ValueDigest>) -> Digests {
    Digests::of(entries.iter().map(|(key, digest)| (key, *digest)))
}

#[test]
fn digests_are_the_same_on_every_version_of_the_agent() {
    let value = json!({ "b": [1, "x", null, true], "a": { "z": 1.5 } });
    let digest = ValueDigest::of(&EntryValue::Plain(value.clone()));
    assert_eq!(digest, ValueDigest::of_plain(&value));
    assert_eq!(hex(digest.as_bytes()), "aeff01dac2d8f9a23e676f971dcf03bb");
    assert_eq!(range_of(&key("agents.oak.webhook")), 57);
    let whole = all(&digests(&[("a", json!(1)), ("b.c", json!("x"))]));
    assert_eq!(
        hex(&blake3::hash(&whole.to_bytes()).as_bytes()[..16]),
        "5843f5732e3c6c5d63cae653abb42f12"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_sealed_value_is_told_from_others_by_its_envelopes() {
    let sealed = |to: PeerId, data: &str| {
        EntryValue::Sealed(SealedValue { envelopes: vec![Envelope { to, data: data.to_owned() }] })
    };
    let digest = ValueDigest::of(&sealed(OAK, "x"));
    assert_eq!(digest, ValueDigest::of(&sealed(OAK, "x")));
    assert_ne!(digest, ValueDigest::of(&sealed(MINT, "x")));
    assert_ne!(digest, ValueDigest::of(&sealed(OAK, "y")));
    assert_ne!(digest, ValueDigest::of(&EntryValue::Plain(sealed(OAK, "x").shown())));
}

#[test]
fn digests_come_back_from_their_bytes() {
    let digests = all(&digests(&[("a", json!(1)), ("b", json!(2))]));
    assert_eq!(Digests::from_bytes(&digests.to_bytes()), Some(digests.clone()));
    let bytes = digests.to_bytes();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(Digests::from_bytes(&bytes[1..]), None);
    assert_eq!(Digests::from_bytes(&bytes[16..]), None);
    assert_eq!(Digests::from_bytes(&[]), None);
}

#[test]
fn what_is_missing_extra_and_different_is_told() {
    let mine = digests(&[("a", json!(1)), ("b", json!(2)), ("c", json!(3))]);
    let theirs = digests(&[("a", json!(1)), ("b", json!("2")), ("d", json!(4))]);
    let parity = compare(&mine, &theirs);
    let expected =
        Parity { missing: vec![key("c")], extra: vec![key("d")], different: vec![key("b")] };
    assert_eq!(parity, expected);
    assert_eq!(parity.keys(), 3);
    assert!(compare(&mine, &mine).is_in_sync());
    let ranges: Vec<u8> = differing(&all(&mine), &all(&theirs));
    let mut expected = ["b", "c", "d"].map(|name| range_of(&key(name)));
    expected.sort_unstable();
    assert_eq!(ranges, expected);
}

fn entries() -> impl Strategy<Value = BTreeMap<ConfigKey, ValueDigest>> {
    prop::collection::btree_map("[a-f]{1,2}", 0..3_u8, 0..40).prop_map(|entries| {
        entries
            .iter()
            .map(|(name, value)| (key(name), ValueDigest::of_plain(&json!(value))))
            .collect()
    })
}

proptest! {
    #[test]
    fn the_ranges_that_differ_hold_all_differences(mine in entries(), theirs in entries()) {
        let ranges = differing(&all(&mine), &all(&theirs));
        let within = |entries: &BTreeMap<ConfigKey, ValueDigest>| {
            let mut entries = entries.clone();
            entries.retain(|key, _| ranges.contains(&range_of(key)));
            entries
        };
        prop_assert_eq!(compare(&within(&mine), &within(&theirs)), compare(&mine, &theirs));
        prop_assert_eq!(ranges.is_empty(), mine == theirs);
    }
}

fn differing_in(names: &[&str]) -> Parity {
    Parity { different: names.iter().map(|name| key(name)).collect(), ..Parity::default() }
}

/// An engine that tolerates 300 s, and the moment so many seconds after its start.
fn drift() -> (Drift, impl Fn(u64) -> Instant) {
    #[expect(clippy::disallowed_methods, reason = "a first moment to count from; nothing passes")]
    let start = Instant::now();
    let mut drift = Drift::new(Drift::DIFFER_MAX);
    drift.set_members([OAK, MINT]);
    (drift, move |seconds| start + Duration::from_secs(seconds))
}

#[test]
fn a_peer_that_stays_different_is_told_of_once_and_once_more_when_it_is_equal() {
    let (mut drift, at) = drift();
    let differs = differing_in(&["a", "b"]);
    let equal = Parity::default();
    assert_eq!(drift.observe(OAK, &differs, at(0)), None);
    assert_eq!(drift.observe(OAK, &differs, at(299)), None);
    assert_eq!(
        drift.observe(OAK, &differs, at(301)),
        Some(DriftNews::Drifted {
            peer: OAK,
            since: Duration::from_secs(301),
            keys: vec![key("a"), key("b")],
        })
    );
    assert_eq!(drift.observe(OAK, &differs, at(900)), None);
    assert_eq!(drift.observe(OAK, &differing_in(&["c"]), at(910)), None);
    assert_eq!(drift.drifted().collect::<Vec<_>>(), [OAK]);
    let mended = DriftNews::Mended { peer: OAK, after: Duration::from_secs(1000) };
    assert_eq!(drift.observe(OAK, &equal, at(1000)), Some(mended));
    assert_eq!(drift.observe(OAK, &equal, at(1001)), None);
    assert_eq!(drift.drifted().count(), 0);
}

#[test]
fn a_peer_that_is_equal_in_between_is_not_told_of() {
    let (mut drift, at) = drift();
    for minute in 0..60 {
        let seen = if minute % 4 == 3 { Parity::default() } else { differing_in(&["a"]) };
        assert_eq!(drift.observe(OAK, &seen, at(minute * 60)), None);
    }
}

#[test]
fn keys_on_their_way_are_no_drift() {
    let (mut drift, at) = drift();
    for minute in 0..60 {
        let name = format!("k{minute}");
        assert_eq!(drift.observe(OAK, &differing_in(&[&name]), at(minute * 60)), None);
    }
    // One that stays among them is told of alone.
    let mut told = Vec::new();
    for minute in 60..120 {
        let name = format!("k{minute}");
        told.extend(drift.observe(OAK, &differing_in(&["left", &name]), at(minute * 60)));
    }
    assert!(
        matches!(&told[..], [DriftNews::Drifted { keys, .. }] if *keys == [key("left")]),
        "{told:?}"
    );
}

#[test]
fn what_is_kept_in_mind_is_bounded_by_the_members_and_their_keys() {
    let (mut drift, at) = drift();
    let stranger = PeerId::from_bytes([0xcc; 32]);
    assert_eq!(drift.observe(stranger, &differing_in(&["a"]), at(0)), None);
    assert_eq!(drift.observe(stranger, &differing_in(&["a"]), at(400)), None);
    let names: Vec<String> = (0..20_000).map(|one| format!("k{one}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    drift.observe(MINT, &differing_in(&names), at(0));
    let told = drift.observe(MINT, &differing_in(&names), at(400));
    assert!(matches!(told, Some(DriftNews::Drifted { keys, .. }) if keys.len() == DRIFT_KEYS_MAX));

    drift.set_members([OAK]);
    assert_eq!(drift.drifted().count(), 0);
    drift.set_members([OAK, MINT]);
    assert_eq!(drift.observe(MINT, &Parity::default(), at(500)), None);
}

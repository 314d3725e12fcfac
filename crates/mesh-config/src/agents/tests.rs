use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Envelope, Flat, SealedValue, flatten, unflatten};

mod simulation;

const OAK: PeerId = PeerId::from_bytes([0xa0; 32]);
const MINT: PeerId = PeerId::from_bytes([0xb0; 32]);
const FRIGG: PeerId = PeerId::from_bytes([0xc0; 32]);

fn member(peer_id: PeerId, hostname: &str) -> Member {
    let addresses = vec![format!("100.64.0.{}:13500", peer_id.as_bytes()[0] >> 4)];
    Member { peer_id, hostname: hostname.to_owned(), addresses, is_active: true }
}

fn managed(member: &Member) -> Value {
    json!({
        "name": member.hostname,
        "peer_id": member.peer_id.to_string(),
        "addresses": member.addresses,
    })
}

fn with(mut object: Value, more: &Value) -> Value {
    let members = object.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    object
}

/// The section after `me` made its edits, which it makes once.
fn edited(agents: &Value, members: &[Member], me: PeerId, is_steward: bool) -> Value {
    let flat = flatten(None, &json!({ "agents": agents })).unwrap();
    let mut entries: Entries =
        flat.into_iter().map(|(key, value)| (key, EntryValue::Plain(value))).collect();
    for Edit { key, value } in agents_edits(&entries, members, me, is_steward) {
        match value {
            Some(value) => entries.insert(key, value),
            None => entries.remove(&key),
        };
    }
    assert_eq!(agents_edits(&entries, members, me, is_steward), []);
    let flat: Flat = entries.into_iter().map(|(key, value)| (key, value.shown())).collect();
    let document = unflatten(flat.iter().map(|(key, value)| (key, value.clone())));
    document.get("agents").cloned().unwrap_or(Value::Null)
}

#[test]
fn a_member_writes_its_own_entry_and_keeps_what_is_made_by_hand() {
    let members = [member(OAK, "oak"), member(MINT, "mint")];
    let oak = managed(&members[0]);
    assert_eq!(edited(&json!({}), &members, OAK, true), json!({ "oak": oak }));
    let made = json!({ "webhook": "https://x", "more": { "a": [1] } });
    let before = json!({ "oak": with(made.clone(), &json!({ "addresses": [], "name": "old" })) });
    assert_eq!(edited(&before, &members, OAK, false), json!({ "oak": with(made, &oak) }));
}

#[test]
fn the_entries_of_others_who_are_there_are_left_to_them() {
    let mut members = [member(OAK, "oak"), member(MINT, "mint")];
    let before = json!({ "mint": { "name": "wrong", "bot": "@mint" } });
    let mint = &edited(&before, &members, OAK, true)["mint"];
    assert_eq!(*mint, before["mint"]);
    members[1].is_active = false;
    assert_eq!(edited(&before, &members, OAK, false)["mint"], before["mint"]);
    let expected = with(json!({ "bot": "@mint" }), &managed(&members[1]));
    assert_eq!(edited(&before, &members, OAK, true)["mint"], expected);
}

#[test]
fn a_rename_moves_everything_and_the_new_name_wins() {
    let old = member(OAK, "oak");
    let members = [member(OAK, "ash.office"), member(MINT, "mint")];
    let before = json!({
        "oak": with(json!({ "webhook": "old", "bot": "@oak", "deep": { "a": 1, "b": 2 } }), &managed(&old)),
        "ash.office": { "webhook": "new", "deep": { "a": { "x": 1 } }, "bot": {} },
    });
    let made = json!({ "webhook": "new", "bot": {}, "deep": { "a": { "x": 1 }, "b": 2 } });
    let expected = json!({
        "ash.office": with(made, &managed(&members[0])),
        // What lost is not thrown away: it is named as stale until somebody decides.
        "oak": { "webhook": "old", "bot": "@oak", "deep": { "a": 1 } },
    });
    assert_eq!(edited(&before, &members, OAK, false), expected);
    // Nobody but the member itself, or the steward for one that is away, moves it.
    let others = edited(&before, &members, MINT, true);
    assert_eq!(others["oak"], before["oak"]);
}

#[test]
fn an_entry_that_was_copied_with_its_id_keeps_what_differs() {
    let members = [member(OAK, "oak")];
    let copied = with(json!({ "bot": "@new", "webhook": "https://x" }), &managed(&members[0]));
    let before = json!({
        "oak": with(json!({ "bot": "@oak", "webhook": "https://x" }), &managed(&members[0])),
        "new": copied,
    });
    let expected = json!({ "oak": before["oak"], "new": { "bot": "@new" } });
    assert_eq!(edited(&before, &members, OAK, true), expected);
}

#[test]
fn a_sealed_value_moves_as_it_is() {
    let sealed = EntryValue::Sealed(SealedValue {
        envelopes: vec![Envelope { to: OAK, data: "eA==".to_owned() }],
    });
    let key = |text: &str| text.parse::<ConfigKey>().unwrap();
    let entries = Entries::from([
        (key("agents.oak.peer_id"), EntryValue::Plain(json!(OAK.to_string()))),
        (key("agents.oak.pin"), sealed.clone()),
    ]);
    let edits = agents_edits(&entries, &[member(OAK, "ash")], OAK, true);
    assert!(edits.contains(&Edit { key: key("agents.ash.pin"), value: Some(sealed) }));
    assert!(edits.contains(&Edit { key: key("agents.oak.pin"), value: None }));
}

#[test]
fn two_members_can_exchange_their_names() {
    let (oak, mint) = (member(OAK, "oak"), member(MINT, "mint"));
    let before = json!({
        "oak": with(json!({ "bot": "@a" }), &managed(&oak)),
        "mint": with(json!({ "webhook": "https://b" }), &managed(&mint)),
    });
    let members = [member(OAK, "mint"), member(MINT, "oak")];
    let expected = json!({
        "mint": with(json!({ "bot": "@a" }), &managed(&members[0])),
        "oak": with(json!({ "webhook": "https://b" }), &managed(&members[1])),
    });
    assert_eq!(edited(&before, &members, OAK, false), expected);
    assert_eq!(edited(&before, &members, MINT, false), expected);
}

#[test]
fn a_removal_takes_back_what_the_agents_wrote() {
    let gone = member(FRIGG, "frigg");
    let before = json!({
        "frigg": with(json!({ "bot": "@frigg" }), &managed(&gone)),
        "bare": managed(&Member { hostname: "bare".to_owned(), ..gone.clone() }),
        "by-hand": { "name": "printer", "addresses": ["x"] },
    });
    let members = [member(OAK, "oak"), member(MINT, "mint")];
    let after = edited(&before, &members, OAK, true);
    let expected = json!({
        "frigg": { "bot": "@frigg" }, "by-hand": before["by-hand"], "oak": managed(&members[0]),
    });
    assert_eq!(after, expected);
    assert_eq!(edited(&before, &members, OAK, false)["frigg"], before["frigg"]);
    assert_eq!(stale_agents(&json!({ "agents": after }), &members), ["by-hand", "frigg"]);
    assert_eq!(stale_agents(&json!({ "agents": 1 }), &members), Vec::<String>::new());
    assert_eq!(stale_agents(&json!({}), &members), Vec::<String>::new());
}

#[test]
fn who_comes_under_the_name_of_a_removed_member_gets_what_is_made_by_hand() {
    let before = json!({ "oak": with(json!({ "bot": "@oak" }), &managed(&member(FRIGG, "oak"))) });
    let members = [member(OAK, "oak"), member(MINT, "mint")];
    let expected = json!({ "oak": with(json!({ "bot": "@oak" }), &managed(&members[0])) });
    assert_eq!(edited(&before, &members, OAK, false), expected);
    let mint = managed(&members[1]);
    assert_eq!(edited(&before, &members, MINT, true), with(before, &json!({ "mint": mint })));
}

#[test]
fn of_two_that_claim_a_name_one_has_the_entry() {
    let members = [member(OAK, "oak"), member(MINT, "oak")];
    let expected = json!({ "oak": managed(&members[0]) });
    assert_eq!(edited(&json!({}), &members, OAK, true), expected);
    assert_eq!(edited(&expected, &members, MINT, false), expected);
}

#[test]
fn values_in_the_way_make_room() {
    let members = [member(OAK, "oak")];
    let expected = json!({ "oak": managed(&members[0]) });
    for before in [json!({}), json!([1]), json!({ "oak": {} }), json!({ "oak": 7 })] {
        assert_eq!(edited(&before, &members, OAK, true), expected, "{before}");
    }
    let beneath = json!({ "oak": { "name": { "first": "o" }, "peer_id": {} } });
    assert_eq!(edited(&beneath, &members, OAK, true), expected);
}

#[test]
fn nobody_is_removed_by_one_who_does_not_know_the_members() {
    let before = json!({ "oak": managed(&member(OAK, "oak")) });
    assert_eq!(edited(&before, &[], MINT, true), before);
    assert_eq!(edited(&before, &[member(OAK, "ash")], MINT, true), before);
}

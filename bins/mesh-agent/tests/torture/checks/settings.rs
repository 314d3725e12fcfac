//! The configuration is what was set last, and everything else that was set is in its history.

use std::collections::BTreeSet;

use mesh_control::{ConfigHistoryQuery, ConfigQuery};
use serde_json::Value;

use crate::clients::{OWN_KEYS, Office, SHARED_KEYS, own_key, shared_key};
use crate::ledger::{Setting, Told};
use crate::schedule::MEMBERS;
use crate::world::Member;

/// Everything that was set in a run.
const HISTORY_MAX: usize = 10_000;

pub(super) async fn wrong(office: &Office) -> Vec<String> {
    let settings = office.ledger.borrow().settings.clone();
    let mut wrong = Vec::new();
    let first = &office.world.members[0];
    for member in 0..MEMBERS {
        for number in 0..OWN_KEYS {
            let key = own_key(member, number);
            let of_key: Vec<&Setting> = settings.iter().filter(|one| one.key == key).collect();
            let value = value(first, &key).await;
            let possible = last(&of_key);
            if !possible.contains(&value) {
                wrong.push(format!("{key} is {value:?}, not one of {possible:?}"));
            }
        }
    }
    for number in 0..SHARED_KEYS {
        let key = shared_key(number);
        let of_key: Vec<&Setting> = settings.iter().filter(|one| one.key == key).collect();
        let value = value(first, &key).await;
        let is_known = of_key.iter().any(|one| one.told != Told::Refused && one.value == value);
        let may_be_unset = of_key.iter().all(|one| one.told != Told::Done);
        if !is_known && (value.is_some() || !may_be_unset) {
            wrong.push(format!("{key} is {value:?}, which nobody set"));
        }
        for member in &office.world.members {
            let kept = history(member, &key).await;
            let done = of_key.iter().filter(|one| one.told == Told::Done);
            let values = done.filter_map(|one| Some((one.by, one.value.clone()?)));
            for (by, value) in values.filter(|(_, value)| !kept.contains(value)) {
                let name = &member.name;
                wrong.push(format!(
                    "{value:?} of {key}, set by {by}, is not in the history of {name}"
                ));
            }
        }
    }
    let check = first.client.config_check().await.unwrap();
    for peer in check.peers.iter().filter(|peer| !peer.in_sync || !peer.reachable) {
        wrong.push(format!("`config check` of {} finds {peer:?}", first.name));
    }
    let count = settings.iter().filter(|one| one.told == Told::Done).count();
    eprintln!("configuration: {count} changes acknowledged");
    wrong
}

async fn value(member: &Member, key: &str) -> Option<String> {
    let query = ConfigQuery { key: Some(key.to_owned()), reveal: false };
    let view = member.client.config_get(&query).await.ok()?;
    Some(view.value.as_str()?.to_owned())
}

/// What a key can be that one alone sets, one after the other.
fn last(settings: &[&Setting]) -> Vec<Option<String>> {
    let mut possible = vec![None];
    for setting in settings {
        match setting.told {
            Told::Done => possible = vec![setting.value.clone()],
            Told::Nothing => possible.push(setting.value.clone()),
            Told::Refused => {}
        }
    }
    possible
}

/// Every value that a key had, and every one that lost.
async fn history(member: &Member, key: &str) -> BTreeSet<String> {
    let query = ConfigHistoryQuery { key: Some(key.to_owned()), limit: Some(HISTORY_MAX) };
    let entries = member.client.config_history(&query).await.unwrap();
    let mut values = BTreeSet::new();
    for entry in entries {
        let lost = entry.conflict.map(|conflict| conflict.value);
        let all = [Some(entry.value), lost].into_iter().flatten();
        values.extend(all.filter_map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        }));
    }
    values
}

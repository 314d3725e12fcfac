//! Edits of the shared configuration: of keys that one alone sets, and of such that all set.

use mesh_control::{ConfigSet, ConfigUnset};

use super::Client;
use crate::ledger::{Setting, Told};

pub(crate) const OWN_KEYS: u64 = 3;
pub(crate) const SHARED_KEYS: u64 = 4;

pub(crate) fn own_key(member: usize, number: u64) -> String {
    format!("settings.torture.of_{member}.key_{number}")
}

pub(crate) fn shared_key(number: u64) -> String {
    format!("settings.torture.shared.key_{number}")
}

/// Sets or removes one key.
pub(super) async fn set(client: &mut Client, number: u64) {
    let place = client.member.place;
    let is_own = client.dice.below(2) == 0;
    let key = if is_own {
        own_key(place, client.dice.below(OWN_KEYS))
    } else {
        shared_key(client.dice.below(SHARED_KEYS))
    };
    let is_unset = is_own && client.dice.below(6) == 0;
    let value = (!is_unset).then(|| format!("{number} by {place}"));
    let result = match value.clone() {
        None => {
            let unset = ConfigUnset { key: key.clone(), note: None };
            client.member.client.config_unset(&unset).await
        }
        Some(value) => {
            let set = ConfigSet { key: key.clone(), value: value.into(), note: None };
            client.member.client.config_set(&set).await
        }
    };
    let mut ledger = client.office.ledger.borrow_mut();
    ledger.note("config", &result);
    ledger.settings.push(Setting { by: place, key, value, told: Told::of(&result) });
}

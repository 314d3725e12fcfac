//! The section `agents`, which follows the membership.

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::PeerId;
use serde_json::Value;

use crate::{ConfigKey, Edit, EntryValue};

/// The name of the section.
pub const AGENTS: &str = "agents";
/// What the agents keep of each member. Everything else beneath its name is made by hand.
const MANAGED: [&str; 3] = ["addresses", "name", "peer_id"];

/// A member as its records show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub peer_id: PeerId,
    /// Its name.
    pub hostname: String,
    /// Where it can be reached, in the order in which it names them.
    pub addresses: Vec<String>,
    /// Whether it is there to keep its entry itself.
    pub is_active: bool,
}

/// What `me` has to change in the section so that it says what `members` says.
///
/// Every member keeps its own entry. The steward, one member that all agree on, keeps those of members that
/// are not there, and takes back what the agents wrote of members that were removed. An entry that has a
/// member's id under another name is that member's: it moves to the new name with all that was
/// made by hand. Where something else stands there already, that wins, and the other stays where it was.
///
/// `entries` are those beneath `agents`. Once its edits are made it returns none, and members that work at
/// it at once make the same ones.
#[must_use]
pub fn agents_edits<'e>(
    entries: impl IntoIterator<Item = (&'e ConfigKey, &'e EntryValue)>,
    members: &[Member],
    me: PeerId,
    is_steward: bool,
) -> Vec<Edit> {
    // Who is no member, or does not know the members yet, would take all others for removed.
    if !members.iter().any(|member| member.peer_id == me) {
        return Vec::new();
    }
    let before: Entries = entries
        .into_iter()
        .filter(|(key, _)| key.segments().first().is_some_and(|name| name == AGENTS))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let section = Section::new(&before, members);
    let mut after = before.clone();
    let mine = section.kept_by(me, is_steward);
    section.rename(&mine, &mut after);
    if is_steward {
        section.withdraw(&mut after);
    }
    for member in mine.iter().filter_map(|peer| section.members.get(peer)) {
        write_managed(member, &mut after);
    }
    edits(&before, &after)
}

/// The names of the section that no member has, in their order.
#[must_use]
pub fn stale_agents(document: &Value, members: &[Member]) -> Vec<String> {
    let names: BTreeSet<&str> = members.iter().map(|member| member.hostname.as_str()).collect();
    let Some(Value::Object(agents)) = document.get(AGENTS) else { return Vec::new() };
    agents.keys().filter(|name| !names.contains(name.as_str())).cloned().collect()
}

type Entries = BTreeMap<ConfigKey, EntryValue>;

struct Section<'s> {
    members: BTreeMap<PeerId, &'s Member>,
    /// Who has a name. Of several that claim the same, the one with the smallest id.
    owners: BTreeMap<&'s str, PeerId>,
    /// Whose entry stands under a name, as its `peer_id` says.
    ids: BTreeMap<String, PeerId>,
}

impl<'s> Section<'s> {
    fn new(entries: &Entries, members: &'s [Member]) -> Self {
        let members: BTreeMap<PeerId, &Member> =
            members.iter().map(|member| (member.peer_id, member)).collect();
        let mut owners = BTreeMap::new();
        for (peer, member) in &members {
            owners.entry(member.hostname.as_str()).or_insert(*peer);
        }
        let ids = entries.iter().filter_map(|(key, value)| match (key.segments(), value) {
            ([_, name, field], EntryValue::Plain(Value::String(id))) if field == "peer_id" => {
                Some((name.clone(), id.parse().ok()?))
            }
            _ => None,
        });
        let ids = ids.collect();
        Self { members, owners, ids }
    }

    /// The members whose entries `me` keeps. One whose entry stands under the name of another of them is
    /// moved along with it: otherwise what was made by hand for the one would fall to the other.
    fn kept_by(&self, me: PeerId, is_steward: bool) -> BTreeSet<PeerId> {
        let is_mine = |member: &Member| member.peer_id == me || (is_steward && !member.is_active);
        let mut open: Vec<PeerId> =
            self.members.values().filter(|member| is_mine(member)).map(|one| one.peer_id).collect();
        let mut kept = BTreeSet::new();
        while let Some(peer) = open.pop() {
            let Some(member) = self.members.get(&peer) else { continue };
            if self.owners.get(member.hostname.as_str()) != Some(&peer) || !kept.insert(peer) {
                continue;
            }
            open.extend(self.ids.get(&member.hostname).filter(|other| **other != peer));
        }
        kept
    }

    /// Moves entries that stand under another name than their member has.
    fn rename(&self, kept: &BTreeSet<PeerId>, after: &mut Entries) {
        let mut moved: Vec<(&Member, Entries)> = Vec::new();
        // All are taken away before one is put down, so that names can be exchanged.
        for (name, peer) in &self.ids {
            let Some(member) = self.members.get(peer).filter(|_| kept.contains(peer)) else {
                continue;
            };
            if *name != member.hostname {
                moved.push((member, take(name, after)));
            }
        }
        let mut left = Entries::new();
        for (member, entries) in moved {
            for (key, value) in entries {
                left.extend(put_aside(&member.hostname, key, value, after));
            }
        }
        // Under a name that is a member's by now it would be taken for that one's.
        let is_nobodys = |key: &ConfigKey| {
            key.segments().get(1).is_some_and(|name| !self.owners.contains_key(name.as_str()))
        };
        after.extend(left.into_iter().filter(|(key, _)| is_nobodys(key)));
    }

    /// Takes away what the agents wrote of members that were removed.
    fn withdraw(&self, after: &mut Entries) {
        for (name, peer) in &self.ids {
            if self.members.contains_key(peer) || self.owners.contains_key(name.as_str()) {
                continue;
            }
            after.retain(|key, _| !is_managed(key, name));
        }
    }
}

/// Whether `key` is, or stands beneath, a field of `name` that the agents keep.
fn is_managed(key: &ConfigKey, name: &str) -> bool {
    match key.segments() {
        [_, agent, field, ..] => agent == name && MANAGED.contains(&field.as_str()),
        _ => false,
    }
}

/// Takes everything beneath a name out of `entries`.
fn take(name: &str, entries: &mut Entries) -> Entries {
    let is_beneath = |key: &ConfigKey| key.segments().get(1).is_some_and(|agent| agent == name);
    entries.extract_if(.., |key, _| is_beneath(key)).collect()
}

/// Puts what was made by hand under its new name. Returns it when something else stands there, around or
/// beneath.
fn put_aside(
    hostname: &str,
    key: ConfigKey,
    value: EntryValue,
    entries: &mut Entries,
) -> Option<(ConfigKey, EntryValue)> {
    let mut names = key.segments().to_vec();
    let name = names.get_mut(1)?;
    if is_managed(&key, name) {
        return None;
    }
    hostname.clone_into(name);
    let Ok(target) = ConfigKey::new(names) else { return Some((key, value)) };
    if entries.get(&target) == Some(&value) {
        return None;
    }
    let stands = |other: &ConfigKey| other.is_within(&target) || target.is_within(other);
    if entries.keys().any(stands) {
        return Some((key, value));
    }
    entries.insert(target, value);
    None
}

fn write_managed(member: &Member, entries: &mut Entries) {
    let at = |names: &[&str]| ConfigKey::new(names.iter().map(|&name| name.to_owned()).collect());
    let addresses: Vec<Value> = member.addresses.iter().map(|one| one.as_str().into()).collect();
    let fields = [
        ("name", Value::from(member.hostname.as_str())),
        ("peer_id", Value::from(member.peer_id.to_string())),
        ("addresses", Value::from(addresses)),
    ];
    for (field, value) in fields {
        let Ok(key) = at(&[AGENTS, &member.hostname, field]) else { return };
        // A value at a key around it, or beneath it, would hide it.
        entries
            .retain(|other, _| !(other.is_within(&key) || key.is_within(other)) || *other == key);
        entries.insert(key, EntryValue::Plain(value));
    }
}

fn edits(before: &Entries, after: &Entries) -> Vec<Edit> {
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    let mut edits: Vec<Edit> = removed.map(|key| Edit { key: key.clone(), value: None }).collect();
    for (key, value) in after {
        if before.get(key) != Some(value) {
            edits.push(Edit { key: key.clone(), value: Some(value.clone()) });
        }
    }
    edits
}

#[cfg(test)]
mod tests;

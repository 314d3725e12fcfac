//! Every push came to the end that its records tell, on both sides, and the files are those of its record.

use std::collections::BTreeMap;
use std::fs;

use mesh_control::{PushTargetState, PushView, PushesQuery};
use mesh_protocol::PushId;

use crate::clients::Office;
use crate::ledger::{Pushed, Told};
use crate::world::Member;

const PUSHES_MAX: u64 = 1_000;

/// The files of a folder, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// What members have on record, by their place and the name of the push.
type Records = BTreeMap<(usize, String), PushView>;

pub(super) async fn wrong(office: &Office) -> Vec<String> {
    let pushes = office.ledger.borrow().pushes.clone();
    let mut records = Records::new();
    for member in &office.world.members {
        let query = PushesQuery { limit: Some(PUSHES_MAX) };
        for push in member.client.pushes(&query).await.unwrap() {
            records.insert((member.place, push.message.clone()), push);
        }
    }
    let mut wrong = Vec::new();
    let mut folders: BTreeMap<&str, Vec<&Pushed>> = BTreeMap::new();
    for push in pushes.iter().filter(|push| push.told != Told::Refused) {
        folders.entry(&push.dest).or_default().push(push);
    }
    let mut ends = BTreeMap::<String, usize>::new();
    for push in &pushes {
        let found = both_sides(push, &records, &mut ends, office);
        wrong.extend(found.into_iter().map(|what| format!("{}: {what}", push.name)));
    }
    for (dest, pushes) in folders {
        for member in &office.world.members {
            let found = folder(member, dest, &pushes, &records);
            wrong.extend(found.map(|what| format!("{dest} at {}: {what}", member.name)));
        }
    }
    eprintln!("pushes: {} begun; at their targets {ends:?}", pushes.len());
    wrong
}

/// How a push ended at a target, by the record of `at`.
fn end(records: &Records, at: usize, push: &str, target: &Member) -> Option<PushTargetState> {
    let record = records.get(&(at, push.to_owned()))?;
    let found = record.targets.iter().find(|found| found.peer_id == target.peer_id);
    found.map(|target| target.state)
}

/// Whether both sides have the same on record.
fn both_sides(
    push: &Pushed,
    records: &Records,
    ends: &mut BTreeMap<String, usize>,
    office: &Office,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if push.told == Told::Done && !records.contains_key(&(push.by, push.name.clone())) {
        return vec![String::from("it was acknowledged, and its sender knows nothing of it")];
    }
    for target in push.to.iter().map(|place| &office.world.members[*place]) {
        let here = end(records, push.by, &push.name, target);
        let there = end(records, target.place, &push.name, target);
        if let Some(here) = here {
            let why = records.get(&(push.by, push.name.clone())).and_then(|record| {
                let target = record.targets.iter().find(|found| found.peer_id == target.peer_id)?;
                target.error.as_ref().map(|error| error.reason.as_str())
            });
            *ends.entry(format!("{here:?} {}", why.unwrap_or_default())).or_default() += 1;
        }
        // What never came there has no record there.
        let is_same = here == there
            || (matches!(here, None | Some(PushTargetState::Failed)) && there.is_none());
        if !is_same {
            wrong.push(format!(
                "for {} its sender has {here:?} on record, and the target {there:?}",
                target.name
            ));
        }
    }
    wrong
}

/// What is wrong with a folder that pushes went to, one after the other.
fn folder(member: &Member, dest: &str, pushes: &[&Pushed], records: &Records) -> Option<String> {
    if pushes.iter().any(|push| push.told == Told::Nothing) && pushes.len() > 1 {
        // Nobody knows when that one was put in place; the pusher has begun another folder after it.
        return None;
    }
    let mut files = Files::new();
    let mut before: BTreeMap<PushId, Files> = BTreeMap::new();
    for push in pushes {
        let placed = end(records, member.place, &push.name, member);
        if !matches!(placed, Some(PushTargetState::Confirmed | PushTargetState::RolledBack)) {
            continue;
        }
        let record = records.get(&(member.place, push.name.clone()))?;
        before.insert(record.push_id, files.clone());
        match push.rollback_of {
            Some(taken_back) => files = before.get(&taken_back).cloned().unwrap_or_default(),
            None => files.extend(push.files.clone()),
        }
    }
    let found = read(&member.root().join(dest));
    if found == files {
        return None;
    }
    let sizes = |files: &Files| {
        files.iter().map(|(name, content)| (name.clone(), content.len())).collect::<Vec<_>>()
    };
    Some(format!("there are {:?}, and there should be {:?}", sizes(&found), sizes(&files)))
}

fn read(folder: &std::path::Path) -> Files {
    let Ok(entries) = fs::read_dir(folder) else { return Files::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

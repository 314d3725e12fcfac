//! When the mesh is quiet after everything was put right: what is still missing for it, in words.

use std::collections::{BTreeMap, BTreeSet};

use mesh_control::{
    ClientError, ConfigFileState, ConfigQuery, ConflictQuery, DataState, MemberStatus, PushState,
    PushesQuery, SqlReply, SqlStatement, TableQuery,
};
use mesh_protocol::PeerId;

use crate::clients::{Office, accept, take};
use crate::idle::held;
use crate::ledger::Standing;
use crate::world::Member;

/// Beside those that an idle agent had at the beginning: databases open as many as they are asked for.
const FILES_MORE_MAX: usize = 24;

/// Told of two that differ.
const DIFFERENCES_MAX: usize = 8;

/// All pushes of a run.
const PUSHES_MAX: u64 = 1_000;

/// Who has to be a member at the end.
pub(crate) fn expected_members(office: &Office) -> BTreeSet<PeerId> {
    let mut expected = office.world.peer_ids();
    let ledger = office.ledger.borrow();
    let guests = ledger.guests.iter().filter(|(_, standing)| **standing == Standing::Member);
    expected.extend(guests.map(|(peer_id, _)| *peer_id));
    expected
}

/// What is not as it is when all is quiet; empty when it is.
pub(crate) async fn unrest(office: &Office, files_idle: &BTreeMap<usize, usize>) -> Vec<String> {
    let expected = expected_members(office);
    let mut all = Vec::new();
    let mut states = BTreeMap::new();
    for member in office.world.everybody() {
        let name = &member.name;
        let found = if expected.contains(&member.peer_id) {
            let unrest = of_member(office, &member, &expected, files_idle).await;
            match state(&member).await {
                Ok(state) => drop(states.insert(member.place, state)),
                Err(error) => all.push(format!("{name} does not answer: {error}")),
            }
            unrest
        } else {
            of_removed(&member).await
        };
        match found {
            Ok(found) => all.extend(found.into_iter().map(|what| format!("{name}: {what}"))),
            Err(error) => all.push(format!("{name} does not answer: {error}")),
        }
    }
    let mut states = states.into_iter();
    if let Some((first, expected)) = states.next() {
        for (place, state) in states {
            for what in differences(&expected, &state) {
                all.push(format!("machines {first} and {place} differ: {what}"));
            }
        }
    }
    all
}

async fn of_removed(member: &Member) -> Result<Vec<String>, ClientError> {
    let status = member.client.status().await?;
    Ok((!status.removed)
        .then(|| String::from("it does not know that it was removed"))
        .into_iter()
        .collect())
}

async fn of_member(
    office: &Office,
    member: &Member,
    expected: &BTreeSet<PeerId>,
    files_idle: &BTreeMap<usize, usize>,
) -> Result<Vec<String>, ClientError> {
    let mut found = Vec::new();
    let mut check = |is_so: bool, what: String| {
        if !is_so {
            found.push(what);
        }
    };
    let client = &member.client;
    let status = client.status().await?;
    check(!status.removed, String::from("it believes that it was removed"));
    let peers = client.peers().await?;
    let ids: BTreeSet<PeerId> = peers.iter().map(|peer| peer.peer_id).collect();
    check(&ids == expected, format!("{} members instead of {}", ids.len(), expected.len()));
    for peer in peers.iter().filter(|peer| !peer.is_self) {
        let is_direct = peer.status == MemberStatus::Active && peer.via.as_deref() == Some(&[]);
        check(is_direct, format!("{} is {:?} via {:?}", peer.hostname, peer.state, peer.via));
    }
    let outbox = client.outbox().await?;
    let waiting = outbox.iter().filter(|message| expected.contains(&message.to_peer_id));
    check(
        waiting.clone().count() == 0,
        format!("outbox: {:?}", waiting.take(3).collect::<Vec<_>>()),
    );
    check(status.custody.messages == 0, format!("{} messages kept", status.custody.messages));
    check(status.sync.behind == 0, format!("{} members have other records", status.sync.behind));
    for skew in &status.data.clock_skew {
        accept(office, member, &skew.hostname).await;
    }
    let data = status.data;
    let is_quiet = data.state == DataState::Ok && data.parked == 0 && data.behind == 0;
    check(is_quiet, format!("tables: {data:?}"));
    check(status.config.valid, String::from("its configuration is not valid"));
    let is_shown = status.config.file == Some(ConfigFileState::InStep);
    check(is_shown, format!("its file of the configuration is {:?}", status.config.file));
    let pushes = client.pushes(&PushesQuery { limit: Some(PUSHES_MAX) }).await?;
    for push in pushes.iter().filter(|push| push.state != PushState::Ended) {
        check(false, format!("push {} of {} goes on: {:?}", push.push_id, push.by, push.targets));
    }
    check(staged(member) == 0, format!("{} files are staged", staged(member)));
    if !member.is_guest() {
        let taken = take(office, member).await?;
        check(taken == 0, format!("{taken} messages were in the inbox"));
    }
    let held = held(member.pid().await);
    let links = expected.len() - 1;
    check(held.connections == links, format!("{} connections, not {links}", held.connections));
    let files_max = files_idle.get(&member.place).map_or(usize::MAX, |idle| idle + FILES_MORE_MAX);
    check(held.files <= files_max, format!("{} open files, not {files_max}", held.files));
    Ok(found)
}

fn staged(member: &Member) -> usize {
    std::fs::read_dir(member.root().join(".mesh-tree/staging")).map_or(0, Iterator::count)
}

/// What has to be the same everywhere, by what it is.
type State = BTreeMap<String, String>;

/// What only one of two has, or has otherwise; of much only the first.
fn differences(one: &State, other: &State) -> Vec<String> {
    let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differ = keys.into_iter().filter(|key| one.get(*key) != other.get(*key));
    let told = differ.map(|key| format!("{key}: {:?} and {:?}", one.get(key), other.get(key)));
    told.take(DIFFERENCES_MAX).collect()
}

async fn state(member: &Member) -> Result<State, ClientError> {
    let client = &member.client;
    let mut state = State::new();
    for peer in client.peers().await? {
        state.insert(format!("name of {}", peer.peer_id), peer.hostname);
    }
    for table in client.table_list(TableQuery { checksum: true }).await? {
        state.insert(format!("table {}", table.name), format!("{:?}", table.checksum));
    }
    let sql = String::from("SELECT id, a, b, c FROM cells");
    let rows = client.sql(&SqlStatement { sql, params: Vec::new() }).await?;
    if let SqlReply::Rows { rows, .. } = rows {
        state.extend(rows.into_iter().map(|row| (format!("row {:?}", row[0]), format!("{row:?}"))));
    }
    for conflict in client.conflict_list(&ConflictQuery::default()).await? {
        let told = format!("{:?} {:?}: {:?}", conflict.key, conflict.column, conflict.lost);
        state.insert(format!("conflict {}", conflict.id), told);
    }
    for entry in client.config_get(&ConfigQuery::default()).await?.entries {
        state.insert(format!("key {}", entry.key), format!("{} ({})", entry.value, entry.version));
    }
    Ok(state)
}

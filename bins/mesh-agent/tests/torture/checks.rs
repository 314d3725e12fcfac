//! What has to be true when the mesh is quiet, out of the ledger. Everything that is not, in words.

mod messages;
mod pushes;
mod settings;

use std::time::Duration;

use mesh_control::{ConflictQuery, SqlReply, SqlStatement};
use mesh_protocol::SqlValue;

use crate::clients::Office;
use crate::ledger::Told;
use crate::model::judge;

/// Memory of an agent that has done its work: far more than an idle one has, far less than a leak.
const MEMORY_KIB_MAX: u64 = 160 << 10;

/// An agent that has nothing to do is looked at for so long, and works for no more of it than this: a task that never
/// rests takes a whole core, and what is due each second takes a few hundredths.
const LOOKED_AT: Duration = Duration::from_secs(4);
const WORKED_MAX: Duration = Duration::from_secs(1);

/// Of each kind at most so many are told.
const TOLD_MAX: usize = 20;

/// Everything that is wrong.
pub(crate) async fn verdict(office: &Office) -> Vec<String> {
    let mut wrong = Vec::new();
    let kinds = [
        ("messages", messages::wrong(office)),
        ("tables", tables(office).await),
        ("configuration", settings::wrong(office).await),
        ("pushes", pushes::wrong(office).await),
        ("names", names(office).await),
        ("memory", memory(office).await),
        ("processor", processor(office).await),
    ];
    for (kind, found) in kinds {
        let more = found.len().saturating_sub(TOLD_MAX);
        wrong.extend(found.into_iter().take(TOLD_MAX).map(|what| format!("{kind}: {what}")));
        if more > 0 {
            wrong.push(format!("{kind}: and {more} more"));
        }
    }
    wrong
}

async fn tables(office: &Office) -> Vec<String> {
    let outcomes = office.ledger.borrow().writes.clone();
    let client = &office.world.members[0].client;
    let sql = String::from("SELECT id, a, b, c FROM cells ORDER BY id");
    let reply = client.sql(&SqlStatement { sql, params: Vec::new() }).await.unwrap();
    let SqlReply::Rows { rows, .. } = reply else { return vec![format!("{reply:?}")] };
    let rows: Vec<String> = rows
        .into_iter()
        .map(|row| {
            let cells = row.into_iter().map(|value| match value.0 {
                SqlValue::Integer(number) => number.to_string(),
                SqlValue::Text(text) => text,
                other => format!("{other:?}"),
            });
            cells.collect::<Vec<_>>().join("|")
        })
        .collect();
    let conflicts = client.conflict_list(&ConflictQuery::default()).await.unwrap();
    let verdict = judge(&outcomes, &rows, &conflicts);
    eprintln!(
        "tables: {} writes acknowledged, {} unknown; {} cells visible, {} listed, {} excused",
        verdict.acknowledged, verdict.unknown, verdict.visible, verdict.listed, verdict.excused
    );
    verdict.wrong
}

async fn names(office: &Office) -> Vec<String> {
    let peers = office.world.members[0].client.peers().await.unwrap();
    let ledger = office.ledger.borrow();
    let mut wrong = Vec::new();
    for member in &office.world.members {
        let mut possible = vec![member.name.clone()];
        for (name, told) in ledger.names.get(&member.place).into_iter().flatten() {
            match told {
                Told::Done => possible = vec![name.clone()],
                Told::Nothing => possible.push(name.clone()),
                Told::Refused => {}
            }
        }
        let name = peers.iter().find(|peer| peer.peer_id == member.peer_id);
        let name = name.map(|peer| peer.hostname.clone());
        if !name.as_ref().is_some_and(|name| possible.contains(name)) {
            wrong.push(format!("{} is called {name:?}, not one of {possible:?}", member.name));
        }
    }
    wrong
}

async fn memory(office: &Office) -> Vec<String> {
    let mut wrong = Vec::new();
    for member in &office.world.members {
        let held = crate::idle::held(member.pid().await);
        eprintln!("{} holds {held:?}", member.name);
        if held.memory_kib > MEMORY_KIB_MAX {
            wrong.push(format!("{} holds {held:?}", member.name));
        }
    }
    wrong
}

async fn processor(office: &Office) -> Vec<String> {
    let mut before = Vec::new();
    for member in &office.world.members {
        before.push(crate::idle::worked(member.pid().await));
    }
    tokio::time::sleep(LOOKED_AT).await;
    let mut wrong = Vec::new();
    for (member, before) in office.world.members.iter().zip(before) {
        let worked = crate::idle::worked(member.pid().await).saturating_sub(before);
        eprintln!("{} worked for {worked:?} of {LOOKED_AT:?}", member.name);
        if worked > WORKED_MAX {
            wrong.push(format!("{} worked for {worked:?} of {LOOKED_AT:?}", member.name));
        }
    }
    wrong
}

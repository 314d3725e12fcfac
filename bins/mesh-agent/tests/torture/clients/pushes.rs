//! Pushes: each into a folder of its own, some into the folder of an earlier one, and some taken back.

use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;

use mesh_control::{ClientError, PushRequest, PushState, PushView, RollbackRequest};
use mesh_protocol::PushId;

use super::Client;
use crate::ledger::{Pushed, Told};
use crate::world::Member;

/// Most files of one push.
const FILES_MAX: u64 = 6;

/// Largest file, which is cut into several chunks.
const FILE_BYTES_MAX: u64 = 300_000;

/// What one pusher remembers.
#[derive(Debug, Default)]
pub(super) struct Story {
    number: u64,
    /// Counts the folders that are written again and again. There is another one after each push of which nobody
    /// knows whether it was begun, because what lies in the old one is anybody's guess from then on.
    series: u64,
    /// The latest push into that folder, with its targets.
    latest: Option<(PushId, Vec<usize>)>,
}

/// Begins one push.
pub(super) async fn push(client: &mut Client, story: &mut Story) {
    story.number += 1;
    let place = client.member.place;
    if client.dice.below(2) == 0 {
        let to = targets(client);
        let _begun = begin(client, story.number, format!("by-{place}-{}", story.number), to).await;
        return;
    }
    let series = format!("series-{place}-{}", story.series);
    // One follows the other, so that it is known which of them is the last.
    let begun = match story.latest.clone() {
        Some((push_id, _)) if !is_over(&client.member, push_id).await => return,
        Some((push_id, to)) if client.dice.below(3) == 0 => {
            (take_back(client, story.number, series, push_id, &to).await, to)
        }
        _ => {
            let to = targets(client);
            (begin(client, story.number, series, to.clone()).await, to)
        }
    };
    match begun {
        (Ok(Some(push_id)), to) => story.latest = Some((push_id, to)),
        (Ok(None), _) => {}
        (Err(Doubt), _) => {
            story.series += 1;
            story.latest = None;
        }
    }
}

/// Nobody knows whether it was begun.
struct Doubt;

async fn is_over(member: &Member, push_id: PushId) -> bool {
    let detail = member.client.push_detail(&push_id.to_string()).await;
    detail.is_ok_and(|detail| detail.push.state == PushState::Ended)
}

/// Some others.
fn targets(client: &mut Client) -> Vec<usize> {
    let count = 1 + client.dice.below(3);
    let mut to: Vec<usize> = (0..count).map(|_| client.another().place).collect();
    to.sort_unstable();
    to.dedup();
    to
}

fn content(client: &mut Client) -> Vec<u8> {
    let bytes = match client.dice.below(10) {
        0 => client.dice.below(FILE_BYTES_MAX),
        1 => 0,
        _ => client.dice.below(20_000),
    };
    let blocks = (0..bytes.div_ceil(8)).flat_map(|_| client.dice.below(u64::MAX).to_le_bytes());
    let mut content: Vec<u8> = blocks.collect();
    content.truncate(usize::try_from(bytes).unwrap());
    // Binary from the first byte on: noise must not look like a secret.
    content.first_mut().into_iter().for_each(|first| *first = 0);
    content
}

async fn begin(
    client: &mut Client,
    number: u64,
    dest: String,
    to: Vec<usize>,
) -> Result<Option<PushId>, Doubt> {
    let place = client.member.place;
    let office = Rc::clone(&client.office);
    let folder = office.world.dir.path().join(format!("pushed-by-{place}-{number}"));
    let ids = to.iter().map(|place| office.world.members[*place].peer_id.to_string()).collect();
    let count = 1 + client.dice.below(FILES_MAX);
    let files: BTreeMap<String, Vec<u8>> =
        (0..count).map(|file| (format!("file-{file}.bin"), content(client))).collect();
    fs::create_dir(&folder).unwrap();
    for (name, content) in &files {
        fs::write(folder.join(name), content).unwrap();
    }
    let name = format!("push {number} of {place}");
    let request = PushRequest {
        paths: files.keys().map(|name| folder.join(name)).collect(),
        to: ids,
        dest: Some(dest.clone().into()),
        message: Some(name.clone()),
        ..PushRequest::default()
    };
    let result = client.member.client.push(&request).await;
    let pushed =
        Pushed { name, by: place, to, dest, files, rollback_of: None, told: Told::of(&result) };
    told(client, "push", pushed, result)
}

async fn take_back(
    client: &mut Client,
    number: u64,
    dest: String,
    push_id: PushId,
    to: &[usize],
) -> Result<Option<PushId>, Doubt> {
    let by = client.member.place;
    let name = format!("push {number} of {by}");
    let request = RollbackRequest {
        push_id: push_id.to_string(),
        to: Vec::new(),
        force: false,
        message: Some(name.clone()),
    };
    let result = client.member.client.rollback(&request).await;
    let pushed = Pushed {
        name,
        by,
        to: to.to_vec(),
        dest,
        files: BTreeMap::new(),
        rollback_of: Some(push_id),
        told: Told::of(&result),
    };
    told(client, "rollback", pushed, result)
}

fn told(
    client: &Client,
    what: &str,
    pushed: Pushed,
    result: Result<PushView, ClientError>,
) -> Result<Option<PushId>, Doubt> {
    let mut ledger = client.office.ledger.borrow_mut();
    ledger.note(what, &result);
    let told = pushed.told;
    ledger.pushes.push(pushed);
    match (told, result) {
        (Told::Done, Ok(push)) => Ok(Some(push.push_id)),
        (Told::Nothing, _) => Err(Doubt),
        _ => Ok(None),
    }
}

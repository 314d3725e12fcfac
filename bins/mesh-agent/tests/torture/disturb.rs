//! Carries a schedule out, and puts everything right again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mesh_control::{
    ControlClient, JoinProgress, JoinRequestBody, RemoveRequest, RenameRequest, TokenCreate,
};
use mesh_protocol::{ErrorCode, PeerId};
use rustix::process::{Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::agent::eventually;
use crate::clients::{Office, set_to_work};
use crate::ledger::{Standing, Told};
use crate::schedule::{Disturbance, Fault};
use crate::world::Member;
use crate::write::Dice;

/// How often it is looked whether it is time.
const PACE: Duration = Duration::from_millis(20);

const HOUR_MILLIS: i64 = 3_600_000;

/// Longest that an agent may take to stop, beside other runs. What is promised is measured elsewhere.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Longest that one attempt to join may take.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// Events of a member that are looked through.
const EVENTS_MAX: usize = 1_000;

/// Longest until a newcomer is in or out, when the others are well again.
const GUEST_MAX: Duration = Duration::from_secs(300);

#[expect(clippy::disallowed_methods, reason = "a schedule is about real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

async fn until(moment: Instant, is_over: impl Fn() -> bool) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while now() < moment && !is_over() {
        pace.tick().await;
    }
}

/// Carries out one disturbance, from its beginning to its end.
pub(crate) async fn disturb(office: Rc<Office>, disturbance: Disturbance, began: Instant) {
    let Disturbance { number, from, to, fault } = disturbance;
    until(began + from, || false).await;
    eprintln!("{disturbance}");
    let over = async || until(began + to, || office.is_over.get()).await;
    let members = &office.world.members;
    let _alone = match fault.ill() {
        Some(member) => Some(members[member].trouble.lock().await),
        None => None,
    };
    match fault {
        Fault::Kill { member } => {
            members[member].agent.lock().await.kill9();
            over().await;
            members[member].agent.lock().await.restart().await;
        }
        Fault::Upgrade { member } => {
            let _stopped = members[member].agent.lock().await.terminate_within(STOP_MAX).await;
            over().await;
            members[member].agent.lock().await.restart().await;
        }
        Fault::Freeze { member } => {
            let pid = members[member].pid().await;
            kill_process(pid, Signal::STOP).unwrap();
            over().await;
            kill_process(pid, Signal::CONT).unwrap();
        }
        Fault::FullDisk { member } => {
            members[member].disk.fill();
            over().await;
            members[member].disk.free();
        }
        Fault::Clock { member, hours } => {
            members[member].clock.set(i64::from(hours) * HOUR_MILLIS);
            over().await;
            members[member].clock.set(0);
        }
        Fault::Cut { .. }
        | Fault::Split { .. }
        | Fault::Bridge { .. }
        | Fault::Loss { .. }
        | Fault::Delay { .. }
        | Fault::Reorder { .. } => {
            office.world.ways.borrow_mut().begin(number, fault);
            over().await;
            office.world.ways.borrow_mut().end(number);
        }
        Fault::Guest { through, removed_by } => {
            guest(&office, &disturbance, through, removed_by, began).await;
        }
        Fault::Rename { member } => rename(&office, &members[member], number).await,
    }
}

async fn rename(office: &Office, member: &Member, number: usize) {
    let hostname = format!("{}-{number}", member.name);
    let request = RenameRequest { hostname: hostname.clone() };
    let result = member.client.rename(&request).await;
    let mut ledger = office.ledger.borrow_mut();
    ledger.note("rename", &result);
    ledger.names.entry(member.place).or_default().push((hostname, Told::of(&result)));
}

/// A newcomer joins, works, and is removed.
async fn guest(
    office: &Rc<Office>,
    disturbance: &Disturbance,
    through: usize,
    removed_by: usize,
    began: Instant,
) {
    let guest = office.world.add_guest(&format!("guest-{}", disturbance.number)).await;
    let stands = |standing| {
        office.ledger.borrow_mut().guests.insert(guest.peer_id, standing);
    };
    stands(Standing::Outside);
    let mut attempt = 0;
    let what = format!("{} joins", guest.name);
    eventually(GUEST_MAX, &what, async || {
        let issuer = (through + attempt) % office.world.members.len();
        attempt += 1;
        join(office, &guest, &office.world.members[issuer]).await.then_some(())
    })
    .await;
    stands(Standing::Member);
    let (is_over, mut tasks) = (Rc::new(Cell::new(false)), JoinSet::new());
    let mut dice = Dice(disturbance.number as u64);
    set_to_work(office, &guest, &is_over, &mut dice, &mut tasks);
    until(began + disturbance.to, || office.is_over.get()).await;
    is_over.set(true);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    if office.is_over.get() {
        return;
    }
    let mut attempt = 0;
    let what = format!("{} is removed", guest.name);
    eventually(GUEST_MAX, &what, async || {
        let remover = (removed_by + attempt) % office.world.members.len();
        attempt += 1;
        let request = RemoveRequest { host: guest.peer_id.to_string(), reason: String::new() };
        let client = &office.world.members[remover].client;
        let result = client.peer_remove(&request).await;
        office.ledger.borrow_mut().note("remove", &result);
        // Whoever removed it may have died before it could say so; then nobody knows it any more.
        (result.is_ok() || has_seen_removed(client, guest.peer_id).await).then_some(())
    })
    .await;
    stands(Standing::Removed);
}

/// Whether a member has heard of somebody's removal since its start.
async fn has_seen_removed(client: &ControlClient, peer_id: PeerId) -> bool {
    let events = client.events(EVENTS_MAX).await.unwrap_or_default();
    let peer_id = peer_id.to_string();
    events
        .iter()
        .any(|event| event.kind == "peer_removed" && event.fields["peer_id"] == peer_id.as_str())
}

/// One attempt; whether the newcomer is a member.
async fn join(office: &Office, guest: &Member, issuer: &Member) -> bool {
    let token = issuer.client.token_create(&TokenCreate::default()).await;
    office.ledger.borrow_mut().note("token", &token);
    let Ok(token) = token else { return false };
    let joining = async {
        let request = JoinRequestBody { token: token.token };
        let mut progress = guest.client.join(&request).await.ok()?;
        while let Some(step) = progress.next().await {
            match step.ok()? {
                JoinProgress::Step { .. } => {}
                JoinProgress::Done { .. } => return Some(Ok(())),
                JoinProgress::Failed { error } => return Some(Err(error.code)),
            }
        }
        None
    };
    let result = timeout(JOIN_MAX, joining).await;
    if let Ok(Some(Err(code))) = &result {
        let mut ledger = office.ledger.borrow_mut();
        *ledger.failed.entry(format!("join: {}", code.as_str())).or_default() += 1;
    }
    matches!(result, Ok(Some(Ok(()) | Err(ErrorCode::AlreadyMember))))
}

//! Members that change addresses, and addresses that nobody named.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use mesh_control::{DeliveryState, SendRequest};

use crate::agent::{PATIENCE, eventually, text_message};
use crate::world::{World, direct, measured, now, seen};

/// Links that come up at the one that moved: some are refused while the others believe in the old ones,
/// and a refusal must not be followed by the next attempt at once.
const LINKS_MAX: usize = 20;

/// The promise for a member at another address.
const MOVING: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_member_at_another_address_is_reached_again_without_anybody_doing_anything() {
    let mut world = World::new();
    let [first, mut moved, last] = world.mesh_in_order(["oak", "elm", "ash"]).await;
    let name = moved.name().to_owned();
    let started = now();
    world.lan.move_machine(&mut moved.machine).unwrap();
    for other in [&first, &last] {
        let request = SendRequest { wait_seconds: Some(40), ..text_message(&name, other.name()) };
        let reply = other.client().send(&request).await.unwrap();
        assert_eq!(reply.deliveries[0].state, DeliveryState::Acked, "{reply:?}");
        eprintln!("{} reached {name} {:?} after it moved", other.name(), started.elapsed());
    }
    let took = started.elapsed();
    let new = format!("{}:13500", moved.machine.address());
    for other in [&first, &last] {
        let knows = async || seen(other, &name).await.addresses == [new.clone()];
        measured(PATIENCE, "its new address alone is known", knows).await;
        direct(other, &name, PATIENCE).await;
    }
    let links = moved.log().matches("link up peer=").count();
    assert!(links <= LINKS_MAX, "{links} links came up, all but two in vain");
    assert!(took <= MOVING, "reached {took:?} after it moved");
}

#[tokio::test]
async fn members_that_both_moved_while_they_were_off_find_each_other_on_the_lan() {
    let mut world = World::new();
    let [mut oak, mut elm] = world.mesh(["oak", "elm"]).await;
    for member in [&mut oak, &mut elm] {
        member.kill9();
        world.lan.move_machine(&mut member.machine).unwrap();
    }
    for member in [&mut oak, &mut elm] {
        member.restart().await;
    }
    direct(&oak, "elm", PATIENCE).await;
    oak.send_acked("elm", "there you are").await;
}

#[tokio::test]
async fn only_addresses_of_members_are_ever_contacted() {
    let mut world = World::new();
    // On the same LAN, and not in the mesh: announcing itself must not get it dialled.
    let stranger = world.machine();
    let stranger = world.start("stranger", stranger, "info").await;
    let members = world.mesh(["oak", "elm", "ash"]).await;
    let started = now();
    // Long enough for heartbeats, anti-entropy and several rounds of announcements.
    let while_running = async || (started.elapsed() >= Duration::from_secs(20)).then_some(());
    eventually(Duration::from_secs(21), "20 seconds are over", while_running).await;

    let addresses: BTreeSet<Ipv4Addr> =
        members.iter().map(|member| member.machine.address()).collect();
    for member in &members {
        let contacted: BTreeSet<Ipv4Addr> =
            member.machine.neighbours().unwrap().into_iter().collect();
        let mut expected = addresses.clone();
        expected.remove(&member.machine.address());
        assert_eq!(contacted, expected, "by {}", member.name());
    }
    assert_eq!(stranger.machine.neighbours().unwrap(), [Ipv4Addr::UNSPECIFIED; 0]);
}

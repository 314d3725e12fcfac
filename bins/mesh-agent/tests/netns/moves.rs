//! Members that change addresses, and addresses that nobody named.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use mesh_control::{DeliveryState, SendRequest};

use crate::agent::{PATIENCE, eventually, text_message};
use crate::world::{World, direct, measured, now, seen};

/// The promise for a member at another address.
const MOVING: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_member_at_another_address_is_reached_again_without_anybody_doing_anything() {
    let mut world = World::new();
    let [oak, elm, mut ash] = world.mesh(["oak", "elm", "ash"]).await;
    let moved = now();
    world.lan.move_machine(&mut ash.machine).unwrap();
    for other in [&oak, &elm] {
        let request = SendRequest { wait_seconds: Some(40), ..text_message("ash", other.name()) };
        let reply = other.client().send(&request).await.unwrap();
        assert_eq!(reply.deliveries[0].state, DeliveryState::Acked, "{reply:?}");
    }
    let took = moved.elapsed();
    eprintln!("ash was reached {took:?} after it moved");
    let new = format!("{}:13500", ash.machine.address());
    for other in [&oak, &elm] {
        let knows = async || seen(other, "ash").await.addresses == [new.clone()];
        measured(PATIENCE, "its new address alone is known", knows).await;
        direct(other, "ash", PATIENCE).await;
    }
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

//! A mesh with more members than a node keeps links with.

use mesh_delivery::Priority;
use mesh_membership::{LinkConfig, MemberState};
use mesh_testkit::NodeId;

use super::member::Relaying;
use super::records::peer;
use super::world::{SECOND, World};

const MEMBERS: usize = 30;

fn large(seed: u64) -> World {
    let links = LinkConfig { full_mesh_max: 8, degree: 4, ..LinkConfig::default() };
    let relaying = Relaying { loss: 0.01, ..Relaying::default() };
    let mut world = World::new(seed, MEMBERS, &links, relaying, &[]);
    world.await_that("all alive", 30 * SECOND, World::are_all_alive);
    world
}

#[test]
fn a_large_mesh_knows_who_is_alive_and_delivers_without_links_between_all() {
    for seed in 1..=2 {
        let mut world = large(seed);
        let has_link = |world: &World, one: usize, other: usize| {
            world.member(one).links.contains_key(&peer(other))
        };
        let links = (0..MEMBERS).map(|number| world.member(number).links.len());
        assert!(links.max().unwrap() <= 4);
        let far = (1..MEMBERS).filter(|number| !has_link(&world, 0, *number));
        let far: Vec<usize> = far.collect();
        for receiver in &far {
            world.send(0, &[*receiver], Priority::Normal);
            world.send(*receiver, &[0], Priority::Urgent);
        }
        let before = world.changes();
        world.await_that("all acknowledged", 90 * SECOND, World::is_quiet);
        world.mesh.run_for(15 * SECOND);
        assert_eq!(world.changes(), before, "nobody is suspected of anything");
        world.check_promises();
    }
}

#[test]
fn in_a_large_mesh_all_hear_of_a_crash_and_of_the_return() {
    let mut world = large(3);
    world.off(7);
    world.await_that("all know of the crash", 40 * SECOND, |world| {
        world.is_to_all(7, MemberState::Down)
    });
    world.on(7);
    world.await_that("all know of the return", 30 * SECOND, World::are_all_alive);
    world.check_promises();
}

#[test]
fn in_a_large_mesh_a_member_comes_back_though_its_clock_was_set_back() {
    let mut world = large(5);
    world.off(7);
    world.set_skew(7, -180_000);
    world.mesh.run_for(5 * SECOND);
    world.on(7);
    world.send(0, &[7], Priority::Normal);
    world.send(7, &[0, 1, 2], Priority::Normal);
    world.await_that("it is back", 40 * SECOND, |world| world.are_all_alive() && world.is_quiet());
    world.check_promises();
}

#[test]
fn a_large_mesh_grows_together_again_after_a_partition() {
    let mut world = large(4);
    let half: Vec<NodeId> = (0..MEMBERS / 2).map(NodeId).collect();
    let other: Vec<NodeId> = (MEMBERS / 2..MEMBERS).map(NodeId).collect();
    world.mesh.network_mut().partition(&half, &other);
    world.mesh.run_for(30 * SECOND);
    world.send(0, &[MEMBERS - 1], Priority::Normal);
    world.send(MEMBERS - 1, &[0], Priority::Normal);
    world.mesh.run_for(5 * SECOND);
    world.mesh.network_mut().heal();
    world.await_that("it heals", 90 * SECOND, |world| world.are_all_alive() && world.is_quiet());
    world.check_promises();
}

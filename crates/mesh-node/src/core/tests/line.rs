//! Members that reach their neighbours alone.

use mesh_delivery::Priority;
use mesh_membership::LinkConfig;
use mesh_testkit::NodeId;

use super::member::Relaying;
use super::records::peer;
use super::world::{SECOND, World};

/// Members in a line, each of which reaches the ones beside it.
fn line(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, count, &LinkConfig::default(), Relaying::default(), &[]);
    for one in 0..count {
        for other in one + 2..count {
            world.mesh.network_mut().partition(&[NodeId(one)], &[NodeId(other)]);
        }
    }
    world
}

fn send_to_each_other(world: &mut World, count: usize) {
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            world.send(from, &[to], Priority::Normal);
        }
    }
}

#[test]
fn in_a_line_everybody_is_alive_to_all_and_every_message_arrives_once_through_others() {
    for seed in 1..=4 {
        let mut world = line(seed, 5);
        world.await_that("all alive", 30 * SECOND, World::are_all_alive);
        for _ in 0..3 {
            send_to_each_other(&mut world, 5);
        }
        world.await_that("all acknowledged", 10 * SECOND, World::is_quiet);
        world.check_promises();
        let way = world.member(0).core.via(&peer(4)).unwrap();
        assert_eq!(way, [1, 2, 3].map(peer));
        assert_eq!(world.member(0).links_max, 4);
        assert!((0..5).all(|number| world.is_in_order(number)));
    }
}

#[test]
fn a_receiver_too_many_links_away_gets_its_messages_from_a_custodian() {
    let mut world = line(1, 10);
    world.await_that("all alive", 60 * SECOND, World::are_all_alive);
    assert_eq!(world.member(0).core.via(&peer(9)), None, "nine links are too many");
    send_to_each_other(&mut world, 10);
    let has_arrived =
        |world: &World| (0..10).all(|number| world.member(number).disk.inbox.len() == 9);
    world.await_that("all arrived", 60 * SECOND, has_arrived);
    world.mesh.run_for(60 * SECOND);
    world.check_promises();
    let keeps = |number| world.member(number).disk.kept().count();
    assert!((0..10).all(|number| keeps(number) == 0), "custodians were told");
}

#[test]
fn a_member_whose_clock_was_set_back_is_alive_to_all_after_its_next_start() {
    let mut world = line(6, 4);
    world.await_that("all alive", 30 * SECOND, World::are_all_alive);
    for number in [1, 3] {
        world.off(number);
        world.set_skew(number, -240_000);
        world.mesh.run_for(2 * SECOND);
        world.on(number);
    }
    send_to_each_other(&mut world, 4);
    world
        .await_that("all are back", 40 * SECOND, |world| world.are_all_alive() && world.is_quiet());
    world.check_promises();
}

#[test]
fn two_of_whom_one_does_not_hear_the_other_are_alive_to_each_other_through_others() {
    let mut world = World::new(1, 4, &LinkConfig::default(), Relaying::default(), &[]);
    world.await_that("all alive", 10 * SECOND, World::are_all_alive);
    world.mesh.network_mut().cut(&[NodeId(1)], &[NodeId(2)]);
    world.mesh.run_for(40 * SECOND);
    assert!(world.are_all_alive());
    let before = world.changes();
    send_to_each_other(&mut world, 4);
    world.mesh.run_for(60 * SECOND);
    assert!(world.is_quiet() && world.are_all_alive());
    assert_eq!(world.changes(), before, "nobody wavers");
    world.check_promises();
}

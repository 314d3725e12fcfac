//! Messages that are kept for a member that is away, while their sender goes away as well.

use mesh_delivery::{End, Priority};
use mesh_membership::{LinkConfig, MemberState};
use mesh_protocol::ErrorCode;

use super::disk::CUSTODY_QUOTA;
use super::member::Relaying;
use super::records::{node, peer};
use super::world::{SECOND, World};

const SENDER: usize = 0;
const RECEIVER: usize = 4;

fn arrived(world: &World) -> usize {
    world.member(RECEIVER).disk.inbox.len()
}

fn keeps(world: &World, number: usize) -> usize {
    world.member(number).disk.kept().count()
}

#[test]
fn a_message_arrives_from_one_custodian_while_its_sender_and_the_other_one_are_away() {
    for (seed, skews) in [(1, [0; 5]), (2, [0; 5]), (3, [240_000, -180_000, 60_000, 0, -230_000])] {
        let mut world = World::new(seed, 5, &LinkConfig::default(), Relaying::default(), &skews);
        world.await_that("all alive", 10 * SECOND, World::are_all_alive);
        world.off(RECEIVER);
        world.await_that("the receiver is down", 30 * SECOND, |world| {
            world.is_to_all(RECEIVER, MemberState::Down)
        });
        for priority in [Priority::Urgent, Priority::Normal, Priority::Normal, Priority::Bulk] {
            world.send(SENDER, &[RECEIVER], priority);
        }
        let custodians = |world: &World| world.member(SENDER).core.custodians_of(1);
        world.await_that("two keep copies", 10 * SECOND, |world| {
            let kept = (1..4).filter(|number| keeps(world, *number) == 4).count();
            custodians(world).len() == 2 && kept == 2
        });
        let [first, second] = custodians(&world)[..] else { panic!("two custodians") };
        let (first, second) = (node(&first).0, node(&second).0);

        world.off(SENDER);
        world.off(first);
        world.mesh.run_for(5 * SECOND);
        world.on(RECEIVER);
        world.await_that("the other one delivers", 90 * SECOND, |world| arrived(world) == 4);
        world.await_that("and drops its copies", 10 * SECOND, |world| keeps(world, second) == 0);
        assert!(world.is_in_order(RECEIVER));

        world.on(first);
        assert_eq!(keeps(&world, first), 4);
        world.await_that("so does the first", 60 * SECOND, |world| keeps(world, first) == 0);
        assert_eq!(world.member(SENDER).disk.waiting().count(), 4);
        world.on(SENDER);
        world.await_that("the sender knows", 60 * SECOND, World::is_quiet);
        world.await_that("all alive", 60 * SECOND, World::are_all_alive);
        assert_eq!(world.member(SENDER).core.via(&peer(RECEIVER)).map(<[_]>::len), Some(0));
        world.check_promises();
    }
}

fn is_away_from_custodian(world: &World, number: usize) -> bool {
    world.member(1).core.via(&peer(number)).is_none()
}

/// What 0 sent to 2, which is off, is with 1.
fn a_custodian_keeps_a_copy() -> World {
    let mut world = World::new(1, 3, &LinkConfig::default(), Relaying::default(), &[]);
    world.await_that("all alive", 10 * SECOND, World::are_all_alive);
    world.off(2);
    world.await_that("the receiver is away", 30 * SECOND, |world| is_away_from_custodian(world, 2));
    world.send(0, &[2], Priority::Normal);
    world.await_that("a copy is kept", 10 * SECOND, |world| keeps(world, 1) == 1);
    world
}

#[test]
fn a_message_arrives_once_though_its_sender_and_its_receiver_never_meet() {
    let mut world = a_custodian_keeps_a_copy();
    for _ in 0..2 {
        world.off(0);
        world.await_that("the sender is away", 30 * SECOND, |world| {
            is_away_from_custodian(world, 0)
        });
        world.on(2);
        world.await_that("it is delivered", 90 * SECOND, |world| {
            keeps(world, 1) == 0 && world.member(2).disk.inbox.len() == 1
        });
        world.off(2);
        world.await_that("the receiver is away", 30 * SECOND, |world| {
            is_away_from_custodian(world, 2)
        });
        world.on(0);
        world.mesh.run_for(10 * SECOND);
    }
    // The custodian kept the receiver's word for the sender.
    world.check_promises();
}

#[test]
fn a_copy_that_its_receiver_cannot_open_is_dropped_and_one_that_is_sealed_anew_is_kept() {
    let mut world = a_custodian_keeps_a_copy();
    world.off(0);
    world.await_that("the sender is away", 30 * SECOND, |world| is_away_from_custodian(world, 0));
    world.on(2);
    world.mesh.act(node(&peer(2)), |member, _| member.relaying.is_keyless = true);
    world.await_that("the copy is dropped", 90 * SECOND, |world| keeps(world, 1) == 0);
    assert_eq!(world.member(2).disk.inbox.len(), 0);
    world.off(2);
    world.await_that("the receiver is away", 30 * SECOND, |world| is_away_from_custodian(world, 2));
    world.on(0);
    world.await_that("the sender's next copy is kept", 60 * SECOND, |world| keeps(world, 1) == 1);
    assert_eq!(world.member(0).disk.waiting().count(), 1);
    world.on(2);
    world.await_that("it arrives", 90 * SECOND, World::is_quiet);
    world.check_promises();
}

#[test]
fn what_is_kept_from_or_for_a_removed_member_is_dropped() {
    let mut world = World::new(1, 6, &LinkConfig::default(), Relaying::default(), &[]);
    world.await_that("all alive", 10 * SECOND, World::are_all_alive);
    for away in [4, 5] {
        world.off(away);
        world.await_that("away", 30 * SECOND, |world| world.is_to_all(away, MemberState::Down));
    }
    world.send(0, &[4, 5], Priority::Normal);
    world.send(1, &[4], Priority::Bulk);
    world.send(2, &[5], Priority::Normal);
    world.await_that("all is kept", 10 * SECOND, |world| {
        (0..4).map(|number| keeps(world, number)).sum::<usize>() == 8
    });
    world.off(2);
    world.remove(4);
    world.remove(2);
    world.mesh.run_for(5 * SECOND);
    let left: Vec<_> =
        (0..4).filter(|n| *n != 2).flat_map(|n| world.member(n).disk.kept()).collect();
    assert!(left.iter().all(|(row, _)| (row.from, row.to) == (peer(0), peer(5))), "{left:?}");
    let ends = [world.member(0), world.member(1)].map(|member| {
        let mut ended = member.disk.ended.iter();
        ended.find(|((_, to), _)| *to == peer(4)).map(|(_, end)| *end)
    });
    assert_eq!(ends, [Some(End::Refused(ErrorCode::NotAMember)); 2]);
    world.on(5);
    world.await_that("the rest arrives", 60 * SECOND, |world| {
        let waits = |number| world.member(number).disk.waiting().next().is_some();
        let done = |number| !waits(number) && keeps(world, number) == 0;
        [0, 1, 3, 5].into_iter().all(done)
    });
    assert_eq!(world.member(5).disk.inbox.len(), 1);
}

#[test]
fn what_custodians_have_no_room_for_arrives_from_its_sender() {
    let mut world = World::new(1, 4, &LinkConfig::default(), Relaying::default(), &[]);
    world.await_that("all alive", 10 * SECOND, World::are_all_alive);
    world.off(3);
    world.await_that("away", 30 * SECOND, |world| world.is_to_all(3, MemberState::Down));
    for _ in 0..CUSTODY_QUOTA + 100 {
        world.send(0, &[3], Priority::Normal);
    }
    world.await_that("custodians are full", 30 * SECOND, |world| {
        [1, 2].into_iter().all(|number| keeps(world, number) == CUSTODY_QUOTA)
    });
    world.on(3);
    world.await_that("everything arrives", 60 * SECOND, World::is_quiet);
    world.check_promises();
}

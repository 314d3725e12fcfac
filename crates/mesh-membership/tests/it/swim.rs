//! Liveness by gossip, in meshes on a virtual network.

use std::time::Duration;

use mesh_membership::{SwimConfig, SwimInput};
use mesh_protocol::PeerId;
use mesh_testkit::{NodeId, VirtualMesh};

mod world;

use world::{Agent, members, peer, see, start, until_seen};

const COUNT: usize = 50;

fn everyone() -> Vec<usize> {
    (0..COUNT).collect()
}

/// Fifty members that all know each other.
fn settled(seed: u64, loss: f64) -> VirtualMesh<Agent> {
    let mut mesh = start(seed, COUNT, loss, &SwimConfig::default());
    let seconds = until_seen(&mut mesh, 60, &everyone(), &everyone()).expect("all know all");
    assert!(seconds <= 5.0, "{seconds} s until all knew all");
    mesh.run_for(Duration::from_secs(5));
    mesh
}

/// Everyone that was called down by anyone.
fn accused(mesh: &VirtualMesh<Agent>) -> Vec<PeerId> {
    let mut accused: Vec<PeerId> =
        mesh.nodes().flat_map(|(_, agent)| agent.downs.iter().map(|(_, peer)| *peer)).collect();
    accused.sort();
    accused.dedup();
    accused
}

#[test]
fn a_crash_is_known_by_all_within_ten_seconds_and_nobody_else_is_called_down() {
    for seed in 1..=3 {
        let mut mesh = settled(seed, 0.01);
        mesh.kill(NodeId(COUNT - 1));
        let left: Vec<usize> = (0..COUNT - 1).collect();
        let seconds = until_seen(&mut mesh, 60, &left, &left).expect("all know");
        assert!(seconds <= 10.0, "{seconds} s");
        assert_eq!(accused(&mesh), [peer(COUNT - 1)]);
    }
}

#[test]
fn nobody_is_called_down_while_one_message_of_twenty_gets_lost() {
    let mut mesh = settled(4, 0.05);
    mesh.run_for(Duration::from_secs(300));
    assert_eq!(accused(&mesh), []);
    assert!(see(&mesh, &everyone(), &everyone()));
}

#[test]
fn two_sides_of_a_partition_call_each_other_down_and_find_together_again() {
    let mut mesh = settled(5, 0.01);
    let (left, right): (Vec<usize>, Vec<usize>) = (0..COUNT).partition(|number| *number < 20);
    let nodes = |side: &[usize]| side.iter().copied().map(NodeId).collect::<Vec<_>>();
    mesh.network_mut().partition(&nodes(&left), &nodes(&right));
    until_seen(&mut mesh, 60, &left, &left).expect("the one side sees itself alone");
    until_seen(&mut mesh, 60, &right, &right).expect("the other side, too");
    mesh.run_for(Duration::from_secs(60));
    mesh.network_mut().heal();
    let seconds = until_seen(&mut mesh, 120, &everyone(), &everyone()).expect("all see all");
    assert!(seconds <= 30.0, "{seconds} s");
    mesh.run_for(Duration::from_secs(60));
    assert!(see(&mesh, &everyone(), &everyone()), "and it stays that way");
}

#[test]
fn a_member_that_was_suspended_is_up_again_within_seconds_and_accuses_nobody() {
    for seed in 6..=8 {
        let mut mesh = settled(seed, 0.01);
        let sleeper = COUNT - 1;
        let left: Vec<usize> = (0..sleeper).collect();
        mesh.pause(NodeId(sleeper));
        until_seen(&mut mesh, 30, &left, &left).expect("the others call it down");
        mesh.run_for(Duration::from_secs(80));
        mesh.resume(NodeId(sleeper));
        let seconds = until_seen(&mut mesh, 60, &everyone(), &everyone()).expect("it is back");
        assert!(seconds <= 5.0, "{seconds} s");
        mesh.run_for(Duration::from_secs(30));
        assert_eq!(accused(&mesh), [peer(sleeper)]);
        let incarnations = |number| {
            let agent: &Agent = mesh.node(NodeId(number)).unwrap();
            agent.ups.iter().filter(|(up, _)| *up == peer(sleeper)).map(|up| up.1).collect()
        };
        let seen: Vec<u64> = incarnations(0);
        assert_eq!(seen, [1, 1], "up again in the same incarnation: it did not restart");
    }
}

#[test]
fn a_member_that_hears_nobody_or_is_cut_off_has_nobody_else_called_down() {
    for is_one_way in [true, false] {
        let mut mesh = settled(15, 0.01);
        let lonely = COUNT - 1;
        let left: Vec<usize> = (0..lonely).collect();
        let others: Vec<NodeId> = left.iter().copied().map(NodeId).collect();
        mesh.network_mut().cut(&others, &[NodeId(lonely)]);
        if !is_one_way {
            mesh.network_mut().cut(&[NodeId(lonely)], &others);
        }
        mesh.run_for(Duration::from_secs(90));
        assert!(see(&mesh, &left, &left), "nobody hears from it: one way {is_one_way}");
        assert!(
            mesh.node(NodeId(lonely)).unwrap().downs.len() > COUNT / 2,
            "it finds itself alone"
        );
        mesh.network_mut().heal();
        let seconds = until_seen(&mut mesh, 60, &everyone(), &everyone()).expect("all see all");
        assert!(seconds <= 30.0, "{seconds} s");
        mesh.run_for(Duration::from_secs(30));
        for (node, agent) in mesh.nodes().take(lonely) {
            assert!(agent.downs.iter().all(|(_, down)| *down == peer(lonely)), "{node:?}");
        }
    }
}

fn restart(mesh: &mut VirtualMesh<Agent>, number: usize, incarnation: u64, seed: u64) {
    let mut agent = Agent::new(number, incarnation, SwimConfig::default(), seed);
    agent.input(SwimInput::MembersChanged(members(COUNT)), mesh.network().now());
    mesh.restart(NodeId(number), agent);
}

fn until_in_incarnation(
    mesh: &mut VirtualMesh<Agent>,
    number: usize,
    incarnation: u64,
) -> Option<Duration> {
    let news = (peer(number), incarnation);
    mesh.run_until(Duration::from_secs(60), Duration::from_millis(100), |mesh| {
        mesh.nodes().all(|(node, agent)| node.0 == number || agent.ups.last() == Some(&news))
    })
}

#[test]
fn a_member_that_restarts_is_seen_in_its_new_incarnation() {
    for pause in [0, 30] {
        let mut mesh = settled(9, 0.01);
        mesh.kill(NodeId(7));
        mesh.run_for(Duration::from_secs(pause));
        restart(&mut mesh, 7, 2, 99);
        let passed = until_in_incarnation(&mut mesh, 7, 2).expect("all know");
        assert!(passed <= Duration::from_secs(5), "{passed:?}");
        until_seen(&mut mesh, 10, &everyone(), &everyone()).expect("it sees all, too");
    }
}

#[test]
fn a_member_set_back_to_an_older_incarnation_goes_beyond_what_others_remember() {
    let mut mesh = settled(10, 0.01);
    mesh.kill(NodeId(7));
    restart(&mut mesh, 7, 1_000, 99);
    until_in_incarnation(&mut mesh, 7, 1_000).expect("all know");
    mesh.kill(NodeId(7));
    mesh.run_for(Duration::from_secs(30));
    restart(&mut mesh, 7, 3, 98);
    until_seen(&mut mesh, 60, &everyone(), &everyone()).expect("it is up again");
    assert_eq!(mesh.node(NodeId(7)).unwrap().swim.incarnation(), 1_000);
}

#[test]
fn a_removed_member_is_forgotten_and_gossip_does_not_bring_it_back() {
    let mut mesh = settled(11, 0.01);
    // One member hears of the removal late and goes on talking about the removed one.
    for number in 0..COUNT - 2 {
        let input = SwimInput::MembersChanged(members(COUNT - 1));
        mesh.act(NodeId(number), |agent, now| agent.input(input, now));
    }
    mesh.run_for(Duration::from_secs(120));
    for (node, agent) in mesh.nodes().take(COUNT - 2) {
        assert!(!agent.swim.is_up(&peer(COUNT - 1)), "{node:?}");
        assert!(agent.downs.iter().all(|(_, down)| *down != peer(COUNT - 1)), "{node:?}");
    }
    let talker = mesh.node(NodeId(COUNT - 2)).unwrap();
    assert!(talker.swim.is_up(&peer(COUNT - 1)), "the one that has not heard of it");
    // Admitted again, it is found again.
    for number in 0..COUNT - 2 {
        let input = SwimInput::MembersChanged(members(COUNT));
        mesh.act(NodeId(number), |agent, now| agent.input(input, now));
    }
    until_seen(&mut mesh, 60, &everyone(), &everyone()).expect("all see all");
}

#[test]
fn a_newcomer_to_a_running_mesh_is_known_by_all_within_seconds_at_a_bounded_price() {
    let mut mesh = settled(12, 0.01);
    let newcomer = mesh.add(Agent::new(COUNT, 1, SwimConfig::default(), 12));
    for number in 0..=COUNT {
        let input = SwimInput::MembersChanged(members(COUNT + 1));
        mesh.act(NodeId(number), |agent, now| agent.input(input, now));
    }
    let all: Vec<usize> = (0..=COUNT).collect();
    let seconds = until_seen(&mut mesh, 60, &all, &all).expect("all see all");
    assert!(seconds <= 5.0, "{seconds} s");
    let bytes = mesh.network().traffic(newcomer).bytes_sent;
    assert!(bytes <= 100_000, "{bytes} bytes");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed: u64| {
        let mut mesh = start(seed, 20, 0.05, &SwimConfig::default());
        mesh.run_for(Duration::from_secs(20));
        mesh.kill(NodeId(3));
        mesh.run_for(Duration::from_secs(20));
        let ups: Vec<_> = mesh.nodes().map(|(_, agent)| agent.ups.clone()).collect();
        let traffic: Vec<_> = (0..20).map(|node| mesh.network().traffic(NodeId(node))).collect();
        (ups, traffic)
    };
    assert_eq!(history(13), history(13));
    assert_ne!(history(13), history(14));
}

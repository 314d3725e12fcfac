use std::time::Duration;

use crate::{Conditions, NodeId, VirtualNetwork};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

type Arrival = (Duration, NodeId, NodeId, Vec<u8>);

/// Lets time pass and notes what arrives when.
fn drain(network: &mut VirtualNetwork<Vec<u8>>, until: Duration) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    while let Some(at) = network.next_event_at().filter(|at| *at <= until) {
        network.advance_to(at);
        while let Some(delivery) = network.poll_delivery() {
            arrivals.push((network.elapsed(), delivery.from, delivery.to, delivery.message));
        }
    }
    network.advance_to(until);
    arrivals
}

fn network(seed: u64, nodes: usize, conditions: Conditions) -> VirtualNetwork<Vec<u8>> {
    let mut network = VirtualNetwork::new(seed);
    for _ in 0..nodes {
        network.add_node();
    }
    network.set_conditions(conditions);
    network
}

fn send_numbers(network: &mut VirtualNetwork<Vec<u8>>, from: usize, to: usize, count: u8) {
    for number in 0..count {
        network.send(NodeId(from), NodeId(to), vec![number]);
    }
}

fn numbers(arrivals: &[Arrival]) -> Vec<u8> {
    arrivals.iter().map(|(.., message)| message[0]).collect()
}

fn bad_trace(seed: u64) -> Vec<Arrival> {
    let conditions =
        Conditions::PERFECT.with_loss(0.2).with_duplication(0.2).with_delay(ms(5), ms(500));
    let mut network = network(seed, 5, conditions);
    let mut trace = Vec::new();
    for round in 0..50 {
        for from in 0..5 {
            send_numbers(&mut network, from, (from + round) % 5, 3);
        }
        let until = network.elapsed() + ms(40);
        trace.extend(drain(&mut network, until));
    }
    trace.extend(drain(&mut network, ms(10_000)));
    trace
}

#[test]
fn the_same_seed_gives_the_same_deliveries_and_another_seed_others() {
    assert_eq!(bad_trace(7), bad_trace(7));
    assert_ne!(bad_trace(7), bad_trace(8));
}

#[test]
fn nothing_is_lost_doubled_or_overtaken_under_perfect_conditions() {
    let mut network = network(1, 2, Conditions::PERFECT);
    send_numbers(&mut network, 0, 1, 200);
    let arrivals = drain(&mut network, ms(1));
    assert_eq!(numbers(&arrivals), (0..200).collect::<Vec<_>>());
    assert!(
        arrivals
            .iter()
            .all(|(at, from, to, _)| { (*at, *from, *to) == (ms(1), NodeId(0), NodeId(1)) })
    );
}

#[test]
fn messages_get_lost_and_doubled_about_as_often_as_said() {
    let conditions = Conditions::PERFECT.with_loss(0.25);
    let mut lossy = network(3, 2, conditions);
    let mut doubling = network(3, 2, Conditions::PERFECT.with_duplication(0.25));
    for _ in 0..100 {
        send_numbers(&mut lossy, 0, 1, 100);
        send_numbers(&mut doubling, 0, 1, 100);
    }
    let arrived = drain(&mut lossy, ms(10)).len();
    assert!((7_200..7_800).contains(&arrived), "{arrived}");
    let arrived = drain(&mut doubling, ms(10)).len();
    assert!((12_200..12_800).contains(&arrived), "{arrived}");
    assert_eq!(lossy.traffic(NodeId(0)).messages_sent, 10_000);
}

#[test]
fn delays_stay_in_their_bounds_and_reorder_unless_the_order_is_kept() {
    let delayed = Conditions::PERFECT.with_delay(ms(20), ms(80));
    for (conditions, is_ordered) in [(delayed, false), (delayed.in_order(), true)] {
        let mut network = network(4, 2, conditions);
        send_numbers(&mut network, 0, 1, 100);
        let arrivals = drain(&mut network, ms(1_000));
        assert_eq!(arrivals.len(), 100);
        assert!(arrivals.iter().all(|(at, ..)| (ms(20)..=ms(80)).contains(at)));
        assert_eq!(numbers(&arrivals).is_sorted(), is_ordered);
    }
}

#[test]
fn conditions_of_one_way_leave_the_others_alone() {
    let mut network = network(5, 3, Conditions::PERFECT);
    let lost = Conditions::PERFECT.with_loss(1.0);
    network.set_pair_conditions(NodeId(0), NodeId(1), Some(lost));
    for (from, to) in [(0, 1), (1, 0), (0, 2)] {
        send_numbers(&mut network, from, to, 1);
    }
    assert_eq!(drain(&mut network, ms(5)).len(), 2);
    network.set_pair_conditions(NodeId(0), NodeId(1), None);
    send_numbers(&mut network, 0, 1, 1);
    assert_eq!(drain(&mut network, ms(10)).len(), 1);
}

#[test]
fn a_partition_loses_what_crosses_it_even_what_is_under_way_until_it_heals() {
    let mut network = network(6, 3, Conditions::PERFECT);
    send_numbers(&mut network, 0, 2, 1);
    network.partition(&[NodeId(0), NodeId(1)], &[NodeId(2)]);
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        send_numbers(&mut network, from, to, 1);
    }
    let arrivals = drain(&mut network, ms(5));
    assert_eq!(
        arrivals.iter().map(|(_, from, to, _)| (from.0, to.0)).collect::<Vec<_>>(),
        [(0, 1)]
    );
    send_numbers(&mut network, 1, 2, 1);
    network.heal();
    assert_eq!(drain(&mut network, ms(10)), [], "sent before the end of the partition");
    send_numbers(&mut network, 1, 2, 1);
    assert_eq!(drain(&mut network, ms(15)).len(), 1);
}

#[test]
fn a_cut_is_one_way() {
    let mut network = network(7, 2, Conditions::PERFECT);
    network.cut(&[NodeId(0)], &[NodeId(1)]);
    send_numbers(&mut network, 0, 1, 1);
    send_numbers(&mut network, 1, 0, 1);
    let arrivals = drain(&mut network, ms(5));
    assert_eq!(arrivals.iter().map(|(_, from, ..)| from.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_is_sent_to_a_paused_node_arrives_in_order_when_it_resumes() {
    let mut network = network(8, 2, Conditions::PERFECT);
    network.pause(NodeId(1));
    send_numbers(&mut network, 0, 1, 3);
    assert_eq!(drain(&mut network, ms(90_000)), []);
    network.resume(NodeId(1));
    let arrivals = drain(&mut network, ms(90_000));
    assert_eq!(numbers(&arrivals), [0, 1, 2]);
    assert!(arrivals.iter().all(|(at, ..)| *at == ms(90_000)));
}

#[test]
fn what_is_sent_to_a_killed_node_never_arrives_and_a_new_life_starts_empty() {
    let mut network = network(9, 2, Conditions::PERFECT);
    send_numbers(&mut network, 0, 1, 1);
    send_numbers(&mut network, 1, 0, 1);
    network.kill(NodeId(1));
    send_numbers(&mut network, 0, 1, 1);
    network.revive(NodeId(1));
    let arrivals = drain(&mut network, ms(5));
    assert_eq!(arrivals.iter().map(|(_, from, ..)| from.0).collect::<Vec<_>>(), [1], "sent alive");
    send_numbers(&mut network, 0, 1, 1);
    assert_eq!(drain(&mut network, ms(10)).len(), 1);
}

#[test]
fn a_wall_clock_runs_with_virtual_time_and_its_own_skew() {
    let mut network = network(10, 2, Conditions::PERFECT);
    network.set_clock_skew(NodeId(1), -300_000);
    let start = network.wall_clock(NodeId(0));
    assert_eq!(network.wall_clock(NodeId(1)).0, start.0 - 300_000);
    let origin = network.now();
    network.advance_to(ms(1_500));
    network.advance_to(ms(500));
    assert_eq!(network.wall_clock(NodeId(1)).0, start.0 - 300_000 + 1_500, "time never goes back");
    assert_eq!(network.now() - origin, ms(1_500));
    assert_eq!(network.since_start(network.now()), ms(1_500));
}

#[test]
fn messages_and_bytes_are_counted_at_both_ends() {
    let mut network = network(11, 2, Conditions::PERFECT);
    network.send(NodeId(0), NodeId(1), vec![0; 10]);
    network.send(NodeId(0), NodeId(1), vec![0; 5]);
    drain(&mut network, ms(5));
    let (sender, receiver) = (network.traffic(NodeId(0)), network.traffic(NodeId(1)));
    assert_eq!((sender.messages_sent, sender.bytes_sent), (2, 15));
    assert_eq!((receiver.messages_received, receiver.bytes_received), (2, 15));
    assert_eq!((sender.messages_received, receiver.messages_sent), (0, 0));
}

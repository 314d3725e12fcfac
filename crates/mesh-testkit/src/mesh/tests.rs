use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::{NodeId, VirtualMesh, VirtualNode};

const PERIOD: Duration = Duration::from_secs(1);

/// Greets its neighbour every second and counts what it hears.
#[derive(Debug)]
struct Greeter {
    neighbour: NodeId,
    due_at: Option<Instant>,
    heard: Vec<Instant>,
    sends: VecDeque<(NodeId, Vec<u8>)>,
}

impl VirtualNode for Greeter {
    type Message = Vec<u8>;

    fn handle_message(&mut self, _from: NodeId, _message: Vec<u8>, now: Instant) {
        self.heard.push(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.sends.push_back((self.neighbour, vec![0]));
        self.due_at = Some(now + PERIOD);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due_at
    }

    fn poll_send(&mut self) -> Option<(NodeId, Vec<u8>)> {
        self.sends.pop_front()
    }
}

fn greeter(mesh: &VirtualMesh<Greeter>, neighbour: usize) -> Greeter {
    Greeter {
        neighbour: NodeId(neighbour),
        due_at: Some(mesh.network().now() + PERIOD),
        heard: Vec::new(),
        sends: VecDeque::new(),
    }
}

fn pair() -> VirtualMesh<Greeter> {
    let mut mesh = VirtualMesh::new(1);
    mesh.add(greeter(&mesh, 1));
    mesh.add(greeter(&mesh, 0));
    mesh
}

fn heard(mesh: &VirtualMesh<Greeter>, node: usize) -> usize {
    mesh.node(NodeId(node)).unwrap().heard.len()
}

#[test]
fn timers_and_messages_run_on_virtual_time() {
    let mut mesh = pair();
    mesh.run_for(Duration::from_millis(10_500));
    assert_eq!((heard(&mesh, 0), heard(&mesh, 1)), (10, 10));
    let reached = |mesh: &VirtualMesh<Greeter>| heard(mesh, 0) == 15;
    let interval = Duration::from_millis(100);
    let passed = mesh.run_until(Duration::from_secs(9), interval, reached).unwrap();
    assert_eq!(passed, Duration::from_millis(4_600));
    assert_eq!(mesh.run_until(PERIOD, interval, |_| false), None);
}

#[test]
fn a_paused_node_is_not_called_and_catches_up_when_it_resumes() {
    let mut mesh = pair();
    mesh.pause(NodeId(1));
    mesh.run_for(Duration::from_millis(90_500));
    assert_eq!((heard(&mesh, 0), heard(&mesh, 1)), (0, 0));
    mesh.resume(NodeId(1));
    mesh.run_for(Duration::from_millis(10));
    assert_eq!((heard(&mesh, 0), heard(&mesh, 1)), (1, 90));
}

#[test]
fn a_killed_node_is_silent_until_it_is_started_again() {
    let mut mesh = pair();
    mesh.kill(NodeId(1));
    mesh.run_for(Duration::from_secs(10));
    assert_eq!((heard(&mesh, 0), heard(&mesh, 1)), (0, 0));
    mesh.restart(NodeId(1), greeter(&mesh, 0));
    mesh.run_for(Duration::from_millis(1_500));
    assert_eq!((heard(&mesh, 0), heard(&mesh, 1)), (1, 1));
}

#[test]
fn what_a_node_wants_after_an_action_is_attended_to_at_once() {
    let mut mesh = pair();
    mesh.act(NodeId(0), |node, _| node.sends.push_back((NodeId(1), vec![1])));
    mesh.run_for(Duration::from_millis(5));
    assert_eq!(heard(&mesh, 1), 1);
}

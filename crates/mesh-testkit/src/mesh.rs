//! A set of engines on a virtual network.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::network::{NodeId, VirtualNetwork, WireSize};

/// Calls of one mesh without any progress of time, beyond which a node is taken to be spinning.
const CALLS_PER_MOMENT_MAX: u32 = 1_000_000;

/// An engine, as the mesh drives it.
pub trait VirtualNode {
    /// What nodes send each other.
    type Message: WireSize + Clone;

    /// Takes in a message that arrived.
    fn handle_message(&mut self, from: NodeId, message: Self::Message, now: Instant);

    /// Moves time forward.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`VirtualNode::handle_timeout`] is wanted.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next message to send.
    fn poll_send(&mut self) -> Option<(NodeId, Self::Message)>;
}

/// Engines that talk over a [`VirtualNetwork`]. A paused or killed one is not called.
#[derive(Debug)]
pub struct VirtualMesh<N: VirtualNode> {
    network: VirtualNetwork<N::Message>,
    nodes: Vec<N>,
    alarms: BTreeSet<(Duration, NodeId)>,
    /// The entry of each node in `alarms`.
    alarm_of: Vec<Option<Duration>>,
    calls_at_this_moment: u32,
}

impl<N: VirtualNode> VirtualMesh<N> {
    /// A mesh without nodes on a network with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            network: VirtualNetwork::new(seed),
            nodes: Vec::new(),
            alarms: BTreeSet::new(),
            alarm_of: Vec::new(),
            calls_at_this_moment: 0,
        }
    }

    /// The network under it.
    #[must_use]
    pub const fn network(&self) -> &VirtualNetwork<N::Message> {
        &self.network
    }

    /// The network under it, to change its conditions. Nodes are paused and killed through the mesh.
    pub const fn network_mut(&mut self) -> &mut VirtualNetwork<N::Message> {
        &mut self.network
    }

    /// Adds a node that runs.
    pub fn add(&mut self, node: N) -> NodeId {
        self.nodes.push(node);
        self.alarm_of.push(None);
        let id = self.network.add_node();
        self.attend(id);
        id
    }

    /// Every node, paused and killed ones among them.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &N)> {
        self.nodes.iter().enumerate().map(|(number, node)| (NodeId(number), node))
    }

    /// One node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&N> {
        self.nodes.get(id.0)
    }

    /// Lets a test act on a node at the present moment; what the node wants to send is sent.
    pub fn act<R>(&mut self, id: NodeId, action: impl FnOnce(&mut N, Instant) -> R) -> Option<R> {
        let now = self.network.now();
        let result = self.nodes.get_mut(id.0).map(|node| action(node, now));
        self.attend(id);
        result
    }

    /// Suspends a node, as SIGSTOP does.
    pub fn pause(&mut self, id: NodeId) {
        self.network.pause(id);
        self.attend(id);
    }

    /// Ends a pause: what waited arrives, and what is overdue is due.
    pub fn resume(&mut self, id: NodeId) {
        self.network.resume(id);
        self.attend(id);
    }

    /// Ends a node without a word, as SIGKILL does.
    pub fn kill(&mut self, id: NodeId) {
        self.network.kill(id);
        self.attend(id);
    }

    /// Starts a killed node again with a new engine.
    pub fn restart(&mut self, id: NodeId, node: N) {
        self.network.revive(id);
        if let Some(place) = self.nodes.get_mut(id.0) {
            *place = node;
        }
        self.attend(id);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.network.elapsed() + duration;
        while self.step(end) {}
    }

    /// Lets time pass until the condition holds, and returns how much passed; none when it does not
    /// hold within `duration`. The condition is asked every `interval`.
    pub fn run_until(
        &mut self,
        duration: Duration,
        interval: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.network.elapsed();
        loop {
            let passed = self.network.elapsed() - start;
            if condition(self) {
                return Some(passed);
            }
            if passed >= duration {
                return None;
            }
            self.run_for(interval.clamp(Duration::from_nanos(1), duration - passed));
        }
    }

    /// Goes on to the next moment at which anything happens; false when that is after `end`.
    fn step(&mut self, end: Duration) -> bool {
        let alarm_at = self.alarms.first().map(|(at, _)| *at);
        let next = [self.network.next_event_at(), alarm_at].into_iter().flatten().min();
        let Some(next) = next.filter(|at| *at <= end) else {
            self.network.advance_to(end);
            return false;
        };
        if next > self.network.elapsed() {
            self.calls_at_this_moment = 0;
        }
        self.network.advance_to(next);
        while let Some(delivery) = self.network.poll_delivery() {
            self.count_call();
            let now = self.network.now();
            if let Some(node) = self.nodes.get_mut(delivery.to.0) {
                node.handle_message(delivery.from, delivery.message, now);
            }
            self.attend(delivery.to);
        }
        while let Some((at, id)) = self.alarms.first().copied()
            && at <= self.network.elapsed()
        {
            self.count_call();
            let now = self.network.now();
            if let Some(node) = self.nodes.get_mut(id.0) {
                node.handle_timeout(now);
            }
            self.attend(id);
        }
        true
    }

    /// Sends what the node wants to send and notes when it wants to be called.
    fn attend(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id.0) else { return };
        let is_running = self.network.is_running(id);
        while is_running && let Some((to, message)) = node.poll_send() {
            self.network.send(id, to, message);
        }
        let wanted = node.poll_timeout().filter(|_| is_running);
        let alarm = wanted.map(|at| self.network.since_start(at).max(self.network.elapsed()));
        let Some(noted) = self.alarm_of.get_mut(id.0) else { return };
        if *noted == alarm {
            return;
        }
        if let Some(old) = noted.take() {
            self.alarms.remove(&(old, id));
        }
        if let Some(new) = alarm {
            self.alarms.insert((new, id));
        }
        *noted = alarm;
    }

    fn count_call(&mut self) {
        self.calls_at_this_moment += 1;
        assert!(
            self.calls_at_this_moment < CALLS_PER_MOMENT_MAX,
            "time stands still at {:?}: a node asks to be called again and again",
            self.network.elapsed()
        );
    }
}

#[cfg(test)]
mod tests;

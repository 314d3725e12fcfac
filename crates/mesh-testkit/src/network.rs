//! Messages between numbered nodes on virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use mesh_protocol::{Frame, UnixMillis};

use crate::Conditions;

/// The wall clock of a node without skew when virtual time starts.
const WALL_START: UnixMillis = UnixMillis(1_800_000_000_000);

/// A node, by the order in which nodes were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// How many bytes a message has, for the counts.
pub trait WireSize {
    /// Bytes on the way.
    fn wire_bytes(&self) -> usize;
}

impl WireSize for Vec<u8> {
    fn wire_bytes(&self) -> usize {
        self.len()
    }
}

impl WireSize for Frame {
    fn wire_bytes(&self) -> usize {
        self.encode().map_or(0, |bytes| bytes.len())
    }
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<M> {
    /// Who sent it.
    pub from: NodeId,
    /// Who gets it.
    pub to: NodeId,
    /// What was sent.
    pub message: M,
}

/// What a node sent and got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages that the node sent, lost ones among them.
    pub messages_sent: u64,
    /// Bytes of these.
    pub bytes_sent: u64,
    /// Messages that arrived, each copy of a doubled one.
    pub messages_received: u64,
    /// Bytes of these.
    pub bytes_received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Running,
    Paused,
    Killed,
}

#[derive(Debug)]
struct Node<M> {
    condition: Condition,
    /// Grows with every kill: what was sent to an earlier life never arrives.
    life: u32,
    clock_skew_millis: i64,
    /// What arrived during a pause.
    waiting: VecDeque<Delivery<M>>,
    traffic: Traffic,
}

#[derive(Debug)]
struct InFlight<M> {
    delivery: Delivery<M>,
    life: u32,
}

#[derive(Debug)]
struct Cut {
    from: BTreeSet<NodeId>,
    to: BTreeSet<NodeId>,
}

/// A network without sockets. Time stands still until [`VirtualNetwork::advance_to`].
///
/// Deliveries are ordered by time, then by the order of sending; the same calls with the same seed
/// give the same deliveries. Dropped by a failing test, it prints its seed. Naming a node that was
/// never added sends into the void and changes nothing.
#[derive(Debug)]
pub struct VirtualNetwork<M> {
    seed: u64,
    rng: StdRng,
    origin: Instant,
    elapsed: Duration,
    nodes: Vec<Node<M>>,
    conditions: Conditions,
    pair_conditions: BTreeMap<(NodeId, NodeId), Conditions>,
    cuts: Vec<Cut>,
    /// Latest arrival per pair, for ways that keep the order.
    latest: BTreeMap<(NodeId, NodeId), Duration>,
    in_flight: BTreeMap<(Duration, u64), InFlight<M>>,
    sent: u64,
    /// Released by the end of a pause; they are ahead of everything in flight.
    released: VecDeque<Delivery<M>>,
}

impl<M> Drop for VirtualNetwork<M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failure has to name its seed")]
            {
                eprintln!(
                    "virtual network: seed {}, {:?} after its start",
                    self.seed, self.elapsed
                );
            }
        }
    }
}

impl<M: WireSize + Clone> VirtualNetwork<M> {
    /// A network without nodes, under perfect conditions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin; only distances from it are used")]
        let origin = Instant::now();
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            origin,
            elapsed: Duration::ZERO,
            nodes: Vec::new(),
            conditions: Conditions::PERFECT,
            pair_conditions: BTreeMap::new(),
            cuts: Vec::new(),
            latest: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            released: VecDeque::new(),
        }
    }

    /// What everything random follows from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a node that runs.
    pub fn add_node(&mut self) -> NodeId {
        self.nodes.push(Node {
            condition: Condition::Running,
            life: 0,
            clock_skew_millis: 0,
            waiting: VecDeque::new(),
            traffic: Traffic::default(),
        });
        NodeId(self.nodes.len() - 1)
    }

    /// Time since the start.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Virtual time as engines take it.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.origin + self.elapsed
    }

    /// The distance of a moment from the start.
    #[must_use]
    pub fn since_start(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.origin)
    }

    /// What the node's wall clock shows.
    #[must_use]
    pub fn wall_clock(&self, node: NodeId) -> UnixMillis {
        let skew = self.nodes.get(node.0).map_or(0, |node| node.clock_skew_millis);
        let elapsed = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        UnixMillis(WALL_START.0.saturating_add(elapsed).saturating_add_signed(skew))
    }

    /// Sets how far the node's wall clock is ahead, or behind when negative.
    pub fn set_clock_skew(&mut self, node: NodeId, millis: i64) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.clock_skew_millis = millis;
        }
    }

    /// Sets the conditions between all nodes that have none of their own.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Sets the conditions of one way; `None` takes them back.
    pub fn set_pair_conditions(
        &mut self,
        from: NodeId,
        to: NodeId,
        conditions: Option<Conditions>,
    ) {
        match conditions {
            Some(conditions) => self.pair_conditions.insert((from, to), conditions),
            None => self.pair_conditions.remove(&(from, to)),
        };
    }

    /// Separates two sets in both directions, until [`VirtualNetwork::heal`].
    pub fn partition(&mut self, left: &[NodeId], right: &[NodeId]) {
        self.cut(left, right);
        self.cut(right, left);
    }

    /// Loses what the one set sends to the other, also what is under way; the way back stays open.
    pub fn cut(&mut self, from: &[NodeId], to: &[NodeId]) {
        let set = |nodes: &[NodeId]| nodes.iter().copied().collect();
        self.cuts.push(Cut { from: set(from), to: set(to) });
    }

    /// Takes back every partition and cut.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Suspends a node: what is sent to it waits.
    pub fn pause(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0)
            && node.condition == Condition::Running
        {
            node.condition = Condition::Paused;
        }
    }

    /// Ends a pause: what waited is delivered at this moment, in the order of its arrival.
    pub fn resume(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0)
            && node.condition == Condition::Paused
        {
            node.condition = Condition::Running;
            self.released.append(&mut node.waiting);
        }
    }

    /// Ends a node: what was and is sent to it is lost. What it has sent still arrives.
    pub fn kill(&mut self, node: NodeId) {
        let killed = node;
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.condition = Condition::Killed;
            node.life += 1;
            node.waiting.clear();
            self.released.retain(|delivery| delivery.to != killed);
        }
    }

    /// Lets a killed node start again. Nothing that was sent to its earlier life arrives.
    pub fn revive(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0)
            && node.condition == Condition::Killed
        {
            node.condition = Condition::Running;
        }
    }

    /// Whether the node is neither paused nor killed.
    #[must_use]
    pub fn is_running(&self, node: NodeId) -> bool {
        self.nodes.get(node.0).is_some_and(|node| node.condition == Condition::Running)
    }

    /// Sends a message on its way, or loses it.
    pub fn send(&mut self, from: NodeId, to: NodeId, message: M) {
        let Some(sender) = self.nodes.get_mut(from.0) else { return };
        sender.traffic.messages_sent += 1;
        sender.traffic.bytes_sent += message.wire_bytes() as u64;
        let receiver = self.nodes.get(to.0).filter(|node| node.condition != Condition::Killed);
        let Some(life) = receiver.map(|receiver| receiver.life) else { return };
        let conditions = self.pair_conditions.get(&(from, to)).copied().unwrap_or(self.conditions);
        if self.is_cut(from, to) || self.happens(conditions.loss) {
            return;
        }
        let delivery = Delivery { from, to, message };
        if self.happens(conditions.duplication) {
            self.fly(conditions, InFlight { delivery: delivery.clone(), life });
        }
        self.fly(conditions, InFlight { delivery, life });
    }

    /// When something may arrive next. Not before the present.
    #[must_use]
    pub fn next_event_at(&self) -> Option<Duration> {
        if !self.released.is_empty() {
            return Some(self.elapsed);
        }
        self.in_flight.first_key_value().map(|((at, _), _)| (*at).max(self.elapsed))
    }

    /// Moves time forward; it never goes back. What is due comes out of
    /// [`VirtualNetwork::poll_delivery`].
    pub fn advance_to(&mut self, elapsed: Duration) {
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// The next message that has arrived by the present.
    pub fn poll_delivery(&mut self) -> Option<Delivery<M>> {
        while let Some(delivery) = self.next_due() {
            let Some(receiver) = self.nodes.get_mut(delivery.to.0) else { continue };
            match receiver.condition {
                Condition::Killed => {}
                Condition::Paused => receiver.waiting.push_back(delivery),
                Condition::Running => {
                    receiver.traffic.messages_received += 1;
                    receiver.traffic.bytes_received += delivery.message.wire_bytes() as u64;
                    return Some(delivery);
                }
            }
        }
        None
    }

    /// What the node sent and got since the start.
    #[must_use]
    pub fn traffic(&self, node: NodeId) -> Traffic {
        self.nodes.get(node.0).map_or_else(Traffic::default, |node| node.traffic)
    }

    fn next_due(&mut self) -> Option<Delivery<M>> {
        if let Some(delivery) = self.released.pop_front() {
            return Some(delivery);
        }
        while let Some(entry) = self.in_flight.first_entry() {
            if entry.key().0 > self.elapsed {
                return None;
            }
            let InFlight { delivery, life } = entry.remove();
            let is_same_life = self.nodes.get(delivery.to.0).is_some_and(|node| node.life == life);
            if is_same_life && !self.is_cut(delivery.from, delivery.to) {
                return Some(delivery);
            }
        }
        None
    }

    fn fly(&mut self, conditions: Conditions, message: InFlight<M>) {
        let (min, max) = (conditions.delay_min, conditions.delay_max.max(conditions.delay_min));
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let delay = Duration::from_nanos(self.rng.random_range(nanos(min)..=nanos(max)));
        let mut arrives_at = self.elapsed + delay;
        if conditions.is_ordered {
            let pair = (message.delivery.from, message.delivery.to);
            let latest = self.latest.entry(pair).or_default();
            arrives_at = arrives_at.max(*latest);
            *latest = arrives_at;
        }
        self.sent += 1;
        self.in_flight.insert((arrives_at, self.sent), message);
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cuts.iter().any(|cut| cut.from.contains(&from) && cut.to.contains(&to))
    }

    /// Draws nothing for what is certain, so that conditions which play no part change no sequence.
    fn happens(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        probability >= 1.0 || self.rng.random_bool(probability)
    }
}

#[cfg(test)]
mod tests;

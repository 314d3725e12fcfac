//! Many members on a virtual network. Shared with the benchmark.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mesh_membership::{Swim, SwimConfig, SwimInput, SwimOutput};
use mesh_protocol::PeerId;
use mesh_testkit::{Conditions, NodeId, VirtualMesh, VirtualNode};

/// One agent, as far as liveness is concerned.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) swim: Swim,
    /// Whoever was called down, and when, in order.
    pub(crate) downs: Vec<(Instant, PeerId)>,
    /// Whoever was called up, with the incarnation, in order.
    pub(crate) ups: Vec<(PeerId, u64)>,
    sends: VecDeque<(NodeId, Vec<u8>)>,
}

impl Agent {
    pub(crate) fn new(number: usize, incarnation: u64, config: SwimConfig, seed: u64) -> Self {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        Self {
            swim: Swim::new(peer(number), incarnation, config, seed),
            downs: Vec::new(),
            ups: Vec::new(),
            sends: VecDeque::new(),
        }
    }

    pub(crate) fn input(&mut self, input: SwimInput, now: Instant) {
        self.swim.handle_input(input, now);
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.swim.poll_output() {
            match output {
                SwimOutput::Send { to, data } => self.sends.push_back((node(&to), data)),
                SwimOutput::Up { peer, incarnation } => self.ups.push((peer, incarnation)),
                SwimOutput::Down { peer } => self.downs.push((now, peer)),
            }
        }
    }
}

impl VirtualNode for Agent {
    type Message = Vec<u8>;

    fn handle_message(&mut self, from: NodeId, data: Vec<u8>, now: Instant) {
        let (from, incarnation_max) = (peer(from.0), u64::MAX);
        self.input(SwimInput::Received { from, data, incarnation_max }, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.swim.handle_timeout(now);
        self.drain(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.swim.poll_timeout()
    }

    fn poll_send(&mut self) -> Option<(NodeId, Vec<u8>)> {
        self.sends.pop_front()
    }
}

/// The member with this number.
pub(crate) fn peer(number: usize) -> PeerId {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PeerId::from_bytes(bytes)
}

/// The node of a member.
pub(crate) fn node(peer: &PeerId) -> NodeId {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&peer.as_bytes()[..8]);
    NodeId(usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX))
}

/// All members with a number below `count`.
pub(crate) fn members(count: usize) -> BTreeSet<PeerId> {
    (0..count).map(peer).collect()
}

/// A network as between offices: 5 to 50 ms each way, with this probability of loss.
pub(crate) fn offices(loss: f64) -> Conditions {
    Conditions::PERFECT
        .with_delay(Duration::from_millis(5), Duration::from_millis(50))
        .with_loss(loss)
}

/// Members that all start at the same moment and know who belongs.
pub(crate) fn start(seed: u64, count: usize, loss: f64, config: &SwimConfig) -> VirtualMesh<Agent> {
    let mut mesh = VirtualMesh::new(seed);
    mesh.network_mut().set_conditions(offices(loss));
    let everyone = members(count);
    for number in 0..count {
        let id = mesh.add(Agent::new(number, 1, config.clone(), seed));
        let input = SwimInput::MembersChanged(everyone.clone());
        mesh.act(id, |agent, now| agent.input(input, now));
    }
    mesh
}

/// Whether every one of `viewers` sees exactly the other ones of `up` up.
pub(crate) fn see(mesh: &VirtualMesh<Agent>, viewers: &[usize], up: &[usize]) -> bool {
    let count = mesh.nodes().count();
    viewers.iter().filter_map(|viewer| mesh.node(NodeId(*viewer)).map(|a| (viewer, a))).all(
        |(viewer, agent)| {
            let sees = |number: &usize| agent.swim.is_up(&peer(*number));
            (0..count).all(|number| {
                number == *viewer || sees(&number) == up.binary_search(&number).is_ok()
            })
        },
    )
}

/// Lets time pass until [`see`] holds, at most for so many seconds; returns the seconds.
pub(crate) fn until_seen(
    mesh: &mut VirtualMesh<Agent>,
    seconds: u64,
    viewers: &[usize],
    up: &[usize],
) -> Option<f64> {
    let interval = Duration::from_millis(100);
    mesh.run_until(Duration::from_secs(seconds), interval, |mesh| see(mesh, viewers, up))
        .map(|passed| passed.as_secs_f64())
}

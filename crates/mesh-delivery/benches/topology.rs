//! What it costs to know who reaches whom in meshes of 100 to 1,000 members with eight links each, on
//! virtual time: `cargo bench -p mesh-delivery --bench topology`, or with sizes: `-- 100,3000`.
//!
//! Bytes are those of the frames, without the links that carry them.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures with the real clock, and gives up when the world breaks"
)]

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mesh_delivery::{Topology, TopologyConfig, TopologyInput, TopologyOutput};
use mesh_protocol::{
    Frame, LINK_STATES_PER_FRAME_MAX, LinkState, LinkStateVersion, LinkStateVersions, LinkStates,
    MeshId, Neighbour, PeerId, Signature, SignedLinkState,
};
use mesh_testkit::{Conditions, Figures, NodeId, VirtualMesh, VirtualNode, ring_links};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const SEED: u64 = 20_261_121;
const MESH: MeshId = MeshId::from_bytes([7; 32]);
const STEADY: Duration = Duration::from_secs(120);
const SEARCHES: u32 = 20;

struct Agent {
    engine: Topology,
    sends: VecDeque<(NodeId, Frame)>,
}

fn peer(number: usize) -> PeerId {
    let mut bytes = [0x5a; 32];
    let (head, _) = bytes.split_at_mut(8);
    head.copy_from_slice(&(number as u64).to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn node(peer: &PeerId) -> NodeId {
    let (head, _) = peer.as_bytes().split_at(8);
    NodeId(usize::try_from(u64::from_be_bytes(head.try_into().unwrap())).unwrap())
}

fn signed(state: &LinkState) -> SignedLinkState {
    let signature = Signature::from_bytes([0; 64]);
    SignedLinkState { body: state.encode().unwrap(), signature }
}

impl Agent {
    fn input(&mut self, input: TopologyInput, now: Instant) {
        self.engine.handle_input(input, now);
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.engine.poll_output() {
            let (to, frame) = match output {
                TopologyOutput::Publish(state) => {
                    self.engine.handle_input(TopologyInput::Published(signed(&state)), now);
                    continue;
                }
                TopologyOutput::SendStates { to, states } => {
                    (to, Frame::LinkStates(LinkStates { states }))
                }
                TopologyOutput::SendVersions { to, versions, wants_answer } => {
                    let versions = LinkStateVersions { versions, wants_answer };
                    (to, Frame::LinkStateVersions(versions))
                }
                TopologyOutput::RouteChanged { .. } | TopologyOutput::Announced { .. } => continue,
            };
            self.sends.push_back((node(&to), frame));
        }
    }
}

impl VirtualNode for Agent {
    type Message = Frame;

    fn handle_message(&mut self, from: NodeId, frame: Frame, now: Instant) {
        let from = peer(from.0);
        if let Frame::LinkStates(LinkStates { states }) = frame {
            let read = |signed: SignedLinkState| (signed.peek().unwrap(), signed);
            let states = states.into_iter().map(read).collect();
            self.input(TopologyInput::StatesReceived { from, states }, now);
        } else if let Frame::LinkStateVersions(LinkStateVersions { versions, wants_answer }) = frame
        {
            self.input(TopologyInput::VersionsReceived { from, versions, wants_answer }, now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        self.drain(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.engine.poll_timeout()
    }

    fn poll_send(&mut self) -> Option<(NodeId, Frame)> {
        self.sends.pop_front()
    }
}

/// Everybody knows everything, as a minute after the start.
fn start(links: &[BTreeSet<usize>]) -> VirtualMesh<Agent> {
    let mut mesh = VirtualMesh::new(SEED);
    let delays = (Duration::from_millis(5), Duration::from_millis(50));
    mesh.network_mut().set_conditions(Conditions::PERFECT.with_delay(delays.0, delays.1));
    let everyone: BTreeSet<PeerId> = (0..links.len()).map(peer).collect();
    let said = links.iter().enumerate().map(|(number, linked)| {
        let neighbour = |to: &usize| Neighbour { peer: peer(*to), rtt_micros: 0 };
        let neighbours = linked.iter().map(neighbour).collect();
        let origin = peer(number);
        let state = LinkState { mesh_id: MESH, origin, incarnation: 1, version: 1, neighbours };
        let signed = signed(&state);
        (state, signed)
    });
    let said: Vec<(LinkState, SignedLinkState)> = said.collect();
    for (number, linked) in links.iter().enumerate() {
        let engine = Topology::new(peer(number), MESH, 1, TopologyConfig::default());
        let id = mesh.add(Agent { engine, sends: VecDeque::new() });
        let from = peer(*linked.first().unwrap());
        mesh.act(id, |agent, now| {
            agent.input(TopologyInput::MembersChanged(everyone.clone()), now);
            for states in said.chunks(LINK_STATES_PER_FRAME_MAX) {
                let states = states.iter().filter(|(state, _)| state.origin != peer(number));
                let states = states.cloned().collect();
                agent.input(TopologyInput::StatesReceived { from, states }, now);
            }
            for to in linked {
                agent.input(TopologyInput::LinkUp { peer: peer(*to) }, now);
            }
        });
    }
    mesh.run_for(STEADY / 2);
    mesh
}

fn sent(mesh: &VirtualMesh<Agent>) -> u64 {
    mesh.nodes().map(|(id, _)| mesh.network().traffic(id).bytes_sent).sum()
}

/// Until every member knows that the link between these two is gone.
fn lose_link(mesh: &mut VirtualMesh<Agent>, one: usize, two: usize) -> Option<Duration> {
    for (at, to) in [(one, two), (two, one)] {
        let gone = TopologyInput::LinkDown { peer: peer(to) };
        mesh.act(NodeId(at), |agent, now| agent.input(gone, now));
    }
    let knows = |agent: &Agent, origin: usize| {
        let version = LinkStateVersion { origin: peer(origin), incarnation: 1, version: 2 };
        !agent.engine.is_news(&version)
    };
    mesh.run_until(STEADY, Duration::from_millis(10), |mesh| {
        mesh.nodes().all(|(_, agent)| knows(agent, one) && knows(agent, two))
    })
}

/// How long one member seeks all its ways, once.
fn search(mesh: &mut VirtualMesh<Agent>, to: usize) -> Duration {
    let started = Instant::now();
    for _ in 0..SEARCHES / 2 {
        mesh.act(NodeId(0), |agent, now| {
            agent.engine.handle_input(TopologyInput::LinkDown { peer: peer(to) }, now);
            agent.engine.handle_input(TopologyInput::LinkUp { peer: peer(to) }, now);
        });
    }
    started.elapsed() / SEARCHES
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn measure(size: usize) {
    let (began, before) = (Instant::now(), resident_bytes());
    let links = ring_links(size);
    let mut mesh = start(&links);
    let held = resident_bytes().saturating_sub(before) as f64 / size as f64 / 1024.0;
    let sent_before = sent(&mesh);
    mesh.run_for(STEADY);
    let idle = (sent(&mesh) - sent_before) as f64 / size as f64;
    let rate = idle / STEADY.as_secs_f64();
    let neighbour = *links.first().and_then(BTreeSet::first).unwrap();
    let search = search(&mut mesh, neighbour).as_secs_f64() * 1e3;
    mesh.run_for(STEADY);
    let (one, two) = (size / 2, *links.get(size / 2).and_then(BTreeSet::last).unwrap());
    let sent_before = sent(&mesh);
    let known = lose_link(&mut mesh, one, two);
    let change = (sent(&mesh) - sent_before) as f64 / size as f64;
    let known = known.map_or("never".to_owned(), |took| format!("{:.2} s", took.as_secs_f64()));
    let show =
        |what: &str, value: String| FIGURES.add(&format!("{size} members: {what}"), &value, "", "");
    show("held by each", format!("{held:.0} KiB"));
    show("sent by each, idle", format!("{rate:.0} B/s"));
    show("all ways of one, sought once", format!("{search:.2} ms"));
    show("a lost link, known by all", known);
    show("a lost link, sent by each meanwhile", format!("{change:.0} B"));
    show("the benchmark itself", format!("{:.0} s", began.elapsed().as_secs_f64()));
}

fn main() {
    let numbers: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let sizes = numbers.first().map_or("100,300,1000", String::as_str);
    sizes.split(',').filter_map(|size| size.parse().ok()).for_each(measure);
}

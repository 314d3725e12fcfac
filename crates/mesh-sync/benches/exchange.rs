//! What it costs to know who has what in meshes of 100 to 1,000 members with eight links each, on
//! virtual time: `cargo bench -p mesh-sync --bench exchange`, or with sizes: `-- 100,200`.
//!
//! How many of the members have ever written matters as much as how many there are: everybody says of
//! every database how much of it he has. Bytes are those of the frames; a transaction counts as 300.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures with the real clock, and gives up when the world breaks"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mesh_protocol::{Frame, OriginHave, OriginId, PeerId, SyncHave, UnixMillis};
use mesh_sync::{Exchange, ExchangeConfig, ExchangeOutput};
use mesh_testkit::{Conditions, Figures, NodeId, VirtualMesh, VirtualNode, WireSize, ring_links};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const SEED: u64 = 20_261_121;
const TRANSACTION_BYTES: usize = 300;
const STEADY: Duration = Duration::from_secs(120);
const WALL: UnixMillis = UnixMillis(1_800_000_000_000);

#[derive(Clone, Debug)]
enum Word {
    Have(SyncHave),
    Transaction(OriginId, u64),
}

impl WireSize for Word {
    fn wire_bytes(&self) -> usize {
        match self {
            Self::Have(have) => Frame::SyncHave(have.clone()).wire_bytes(),
            Self::Transaction(..) => TRANSACTION_BYTES,
        }
    }
}

struct Agent {
    engine: Exchange,
    database: OriginId,
    has: BTreeMap<OriginId, u64>,
    sends: VecDeque<(NodeId, Word)>,
}

fn number_in(bytes: &mut [u8], number: usize) {
    let (head, _) = bytes.split_at_mut(8);
    head.copy_from_slice(&(number as u64).to_be_bytes());
}

fn peer(number: usize) -> PeerId {
    let mut bytes = [0x5a; 32];
    number_in(&mut bytes, number);
    PeerId::from_bytes(bytes)
}

fn database(number: usize) -> OriginId {
    let mut bytes = [0x5a; 16];
    number_in(&mut bytes, number);
    OriginId::from_bytes(bytes)
}

fn node(peer: &PeerId) -> NodeId {
    let (head, _) = peer.as_bytes().split_at(8);
    NodeId(usize::try_from(u64::from_be_bytes(head.try_into().unwrap())).unwrap())
}

impl Agent {
    fn commit(&mut self, now: Instant) {
        let origins = self.has.iter().map(|(origin, upto)| OriginHave {
            origin: *origin,
            upto: *upto,
            holes: Vec::new(),
            floor: 0,
        });
        self.engine.own(self.database, origins.collect(), false, now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                ExchangeOutput::SendHave { to, have } => {
                    self.sends.push_back((node(&to), Word::Have(have)));
                }
                ExchangeOutput::Feed { peer } => self.feed(peer),
                ExchangeOutput::Trim
                | ExchangeOutput::TakeSnapshot { .. }
                | ExchangeOutput::AbandonSnapshot
                | ExchangeOutput::RenewOrigin { .. } => {}
            }
        }
    }

    fn feed(&mut self, to: PeerId) {
        let Some(feed) = self.engine.feed_of(to) else { return };
        for (origin, upto) in feed.goal.origins() {
            for sequence in feed.have.upto(&origin) + 1..=upto {
                self.engine.fed(to, &[(origin, sequence)]);
                self.sends.push_back((node(&to), Word::Transaction(origin, sequence)));
            }
        }
    }

    fn write(&mut self, now: Instant) {
        *self.has.entry(self.database).or_default() += 1;
        self.commit(now);
    }
}

impl VirtualNode for Agent {
    type Message = Word;

    fn handle_message(&mut self, from: NodeId, word: Word, now: Instant) {
        let from = peer(from.0);
        match word {
            Word::Have(have) => self.engine.have_received(from, have, now),
            Word::Transaction(origin, sequence) => {
                let upto = self.has.entry(origin).or_default();
                if sequence == *upto + 1 {
                    *upto = sequence;
                    self.engine.applied_from(&[(origin, sequence)], from);
                    self.commit(now);
                }
            }
        }
        self.drain();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        self.drain();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.engine.poll_timeout()
    }

    fn poll_send(&mut self) -> Option<(NodeId, Word)> {
        self.sends.pop_front()
    }
}

fn start(links: &[BTreeSet<usize>], writers: usize) -> VirtualMesh<Agent> {
    let mut mesh = VirtualMesh::new(SEED);
    let delays = (Duration::from_millis(5), Duration::from_millis(50));
    mesh.network_mut().set_conditions(Conditions::PERFECT.with_delay(delays.0, delays.1));
    let everyone: BTreeSet<PeerId> = (0..links.len()).map(peer).collect();
    let has: BTreeMap<OriginId, u64> = (0..writers).map(|number| (database(number), 1)).collect();
    for number in 0..links.len() {
        let seed = SEED.wrapping_add(number as u64);
        let engine = Exchange::new(peer(number), ExchangeConfig::default(), seed, WALL);
        let (database, has) = (database(number), has.clone());
        let id = mesh.add(Agent { engine, database, has, sends: VecDeque::new() });
        mesh.act(id, |agent, now| {
            agent.engine.members(everyone.clone(), now);
            for (number, linked) in links.iter().enumerate() {
                agent.engine.neighbours(peer(number), linked.iter().copied().map(peer).collect());
            }
            agent.commit(now);
        });
    }
    for (number, linked) in links.iter().enumerate() {
        mesh.act(NodeId(number), |agent, now| {
            linked.iter().for_each(|to| agent.engine.link_up(peer(*to), now));
            agent.drain();
        });
    }
    mesh.run_for(STEADY);
    mesh
}

fn sent(mesh: &VirtualMesh<Agent>) -> u64 {
    mesh.nodes().map(|(id, _)| mesh.network().traffic(id).bytes_sent).sum()
}

/// What one member holds when everybody has said of every database what he has of it.
fn held(size: usize, writers: usize) -> (Exchange, f64) {
    let before = resident_bytes();
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
    let now = Instant::now();
    let mut engine = Exchange::new(peer(0), ExchangeConfig::default(), SEED, WALL);
    engine.members((0..size).map(peer).collect(), now);
    let origins = || {
        let have = |origin| OriginHave { origin, upto: 1, holes: Vec::new(), floor: 0 };
        (0..writers).map(database).map(have).collect::<Vec<_>>()
    };
    engine.own(database(0), origins(), false, now);
    engine.link_up(peer(1), now);
    for number in 1..size {
        let have = SyncHave {
            member: peer(number),
            database: database(number),
            revision: 1,
            origins: origins(),
            wants_answer: false,
            is_whole: true,
            wants_changes: true,
        };
        engine.have_received(peer(1), have, now);
    }
    let held = resident_bytes().saturating_sub(before);
    (engine, kib(held))
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn measure(size: usize, writers: usize) {
    let began = Instant::now();
    let links = ring_links(size);
    let mut mesh = start(&links, writers);
    let sent_before = sent(&mesh);
    mesh.run_for(STEADY);
    let idle = (sent(&mesh) - sent_before) as f64 / size as f64 / STEADY.as_secs_f64();
    let sent_before = sent(&mesh);
    mesh.act(NodeId(0), |agent, now| agent.write(now));
    let has = |agent: &Agent| agent.has.get(&database(0)).is_some_and(|upto| *upto == 2);
    let known = mesh.run_until(STEADY, Duration::from_millis(10), |mesh| {
        mesh.nodes().all(|(_, agent)| has(agent))
    });
    let write = (sent(&mesh) - sent_before) as f64 / size as f64;
    let known = known.map_or("never".to_owned(), |took| format!("{:.2} s", took.as_secs_f64()));
    show(size, writers, "sent by each, idle", &format!("{idle:.0} B/s"));
    show(size, writers, "a row is everywhere", &known);
    show(size, writers, "a row, sent by each meanwhile", &format!("{write:.0} B"));
    let wall = format!("{:.0} s", began.elapsed().as_secs_f64());
    show(size, writers, "the benchmark itself", &wall);
}

/// `writers`: how many of the members have ever written.
fn show(size: usize, writers: usize, what: &str, value: &str) {
    FIGURES.add(&format!("{size} members, {writers} databases: {what}"), value, "", "");
}

fn main() {
    let numbers: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let sizes = numbers.first().map_or("100,300,1000", String::as_str);
    let sizes: Vec<usize> = sizes.split(',').filter_map(|size| size.parse().ok()).collect();
    // What has been freed once would not be seen when it is taken again; and the first of all pays for what the
    // program itself touches for the first time.
    let mut engines = vec![held(10, 10).0];
    for size in &sizes {
        for writers in [10, *size] {
            let (engine, held) = held(*size, writers);
            show(*size, writers, "held by each", &format!("{held:.0} KiB"));
            engines.push(engine);
        }
    }
    drop(engines);
    for size in sizes {
        measure(size, 10);
        // Together, virtual members hold the third power of their number.
        if size <= 100 {
            measure(size, size);
        }
    }
}

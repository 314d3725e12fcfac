//! Members with toy databases, and links between them that come, go and take their time. A link loses
//! nothing while it is up and everything when it breaks.

use super::*;

#[derive(Clone, Debug)]
struct Transaction {
    origin: OriginId,
    sequence: u64,
    /// What its maker had applied.
    context: BTreeMap<OriginId, u64>,
}

#[derive(Debug, Default)]
struct Database {
    /// In the order of application.
    log: Vec<Transaction>,
    vector: BTreeMap<OriginId, u64>,
    floors: BTreeMap<OriginId, u64>,
    in_snapshot: bool,
    /// On which link it asks for one.
    asks: Option<u64>,
    /// Whether pieces of it have come.
    has_pieces: bool,
}

impl Database {
    fn upto(&self, origin: &OriginId) -> u64 {
        self.vector.get(origin).copied().unwrap_or(0)
    }

    fn end_snapshot(&mut self) {
        (self.in_snapshot, self.has_pieces) = (false, false);
    }

    fn have(&self) -> Vec<OriginHave> {
        let floor = |origin| self.floors.get(origin).copied().unwrap_or(0);
        let have = self.vector.iter().map(|(origin, upto)| OriginHave {
            origin: *origin,
            upto: *upto,
            holes: Vec::new(),
            floor: floor(origin),
        });
        have.collect()
    }
}

#[derive(Debug)]
struct Node {
    engine: Exchange,
    database: Database,
    /// Transactions that wait for others before them, with who sent them.
    waiting: Vec<(u8, Transaction)>,
}

#[derive(Debug)]
enum Event {
    Overdue {
        to: u8,
        origin: OriginId,
        sequence: u64,
    },
    /// On a link that is the same one as when it was sent.
    Have {
        from: u8,
        to: u8,
        link: u64,
        have: SyncHave,
    },
    Transaction {
        from: u8,
        to: u8,
        link: u64,
        transaction: Transaction,
    },
    /// A request for the state arrives.
    View {
        from: u8,
        to: u8,
        link: u64,
    },
    /// The last piece of the state does.
    Snapshot {
        from: u8,
        to: u8,
        link: u64,
        vector: BTreeMap<OriginId, u64>,
    },
    LinkState {
        to: u8,
        about: u8,
        linked: BTreeSet<PeerId>,
    },
}

pub(super) struct Mesh {
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    /// Which link it is, by its ends.
    links: BTreeMap<(u8, u8), u64>,
    events: BTreeMap<(Instant, u64), Event>,
    /// Until when a direction of a link is busy: it keeps the order.
    busy: BTreeMap<(u8, u8), Instant>,
    serial: u64,
    chance: Chance,
    pub(super) trims: bool,
    /// Whether databases give others a moment to bring what is missing, before they ask for it.
    pub(super) waits: bool,
    /// Transactions that were handed to links.
    pub(super) sent: usize,
    /// Of these, what the receiver had.
    pub(super) duplicates: usize,
    pub(super) missing: usize,
    pub(super) snapshots: usize,
    pub(super) statements: usize,
}

fn key(one: u8, two: u8) -> (u8, u8) {
    (one.min(two), one.max(two))
}

impl Mesh {
    pub(super) fn new(count: u8, seed: u64) -> Self {
        let start = some_instant();
        let members: BTreeSet<PeerId> = (0..count).map(id).collect();
        let nodes = (0..count).map(|number| {
            let config = ExchangeConfig::default();
            let wall = UnixMillis(1_000_000);
            let seed = seed.wrapping_mul(100).wrapping_add(u64::from(number));
            let mut engine = Exchange::new(id(number), config, seed, wall);
            engine.members(members.clone(), start);
            engine.own(db(number), Vec::new(), false, start);
            Node { engine, database: Database::default(), waiting: Vec::new() }
        });
        Self {
            start,
            now: start,
            nodes: nodes.collect(),
            links: BTreeMap::new(),
            events: BTreeMap::new(),
            busy: BTreeMap::new(),
            serial: 0,
            chance: Chance::new(seed),
            trims: false,
            waits: false,
            sent: 0,
            duplicates: 0,
            missing: 0,
            snapshots: 0,
            statements: 0,
        }
    }

    pub(super) fn line(count: u8, seed: u64) -> Self {
        let mut mesh = Self::new(count, seed);
        (1..count).for_each(|two| mesh.connect(two - 1, two));
        mesh
    }

    pub(super) fn star(count: u8, seed: u64) -> Self {
        let mut mesh = Self::new(count, seed);
        (1..count).for_each(|two| mesh.connect(0, two));
        mesh
    }

    pub(super) fn full(count: u8, seed: u64) -> Self {
        let mut mesh = Self::new(count, seed);
        (0..count).for_each(|one| (0..one).for_each(|two| mesh.connect(one, two)));
        mesh
    }

    pub(super) fn connect(&mut self, one: u8, two: u8) {
        if one == two || self.links.contains_key(&key(one, two)) {
            return;
        }
        self.serial += 1;
        self.links.insert(key(one, two), self.serial);
        let now = self.now;
        self.node(one).engine.link_up(id(two), now);
        self.node(two).engine.link_up(id(one), now);
        self.spread_link_states(one, two);
        self.settle();
    }

    pub(super) fn cut(&mut self, one: u8, two: u8) {
        if self.links.remove(&key(one, two)).is_none() {
            return;
        }
        let now = self.now;
        for (from, to) in [(one, two), (two, one)] {
            self.busy.remove(&(from, to));
            self.node(from).engine.link_down(id(to), now);
        }
        self.spread_link_states(one, two);
        self.settle();
    }

    /// One member commits something.
    pub(super) fn write(&mut self, number: u8) {
        let now = self.now;
        let node = self.node(number);
        let database = &mut node.database;
        let sequence = database.upto(&db(number)) + 1;
        let context = database.vector.clone();
        database.log.push(Transaction { origin: db(number), sequence, context });
        database.vector.insert(db(number), sequence);
        node.engine.own(db(number), database.have(), database.in_snapshot, now);
        self.settle();
    }

    /// The log of a member has grown too large: it forgets all of it.
    pub(super) fn forget(&mut self, number: u8) {
        let now = self.now;
        let node = self.node(number);
        node.database.log.clear();
        node.database.floors = node.database.vector.clone();
        node.engine.own(db(number), node.database.have(), node.database.in_snapshot, now);
        self.settle();
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let wakes = self.nodes.iter().filter_map(|node| node.engine.poll_timeout());
            let Some(next) = wakes.chain(event).min().filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            while let Some(entry) = self.events.first_entry()
                && entry.key().0 <= self.now
            {
                let event = entry.remove();
                self.happen(event);
                self.settle();
            }
            for node in &mut self.nodes {
                node.engine.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// What every member has in all.
    pub(super) fn totals(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.database.vector.values().sum()).collect()
    }

    pub(super) fn are_equal(&self) -> bool {
        self.nodes.windows(2).all(|two| two[0].database.vector == two[1].database.vector)
    }

    pub(super) fn nobody_is_in_a_snapshot(&self) -> bool {
        self.nodes.iter().all(|node| !node.database.in_snapshot)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(super) fn log_entries(&self) -> usize {
        self.nodes.iter().map(|node| node.database.log.len()).sum()
    }

    fn node(&mut self, number: u8) -> &mut Node {
        &mut self.nodes[usize::from(number)]
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    fn spread_link_states(&mut self, one: u8, two: u8) {
        for about in [one, two] {
            let linked: BTreeSet<PeerId> = (self.links.keys())
                .filter_map(|(a, b)| match about {
                    _ if about == *a => Some(id(*b)),
                    _ if about == *b => Some(id(*a)),
                    _ => None,
                })
                .collect();
            for to in 0..u8::try_from(self.nodes.len()).unwrap() {
                // The newest is the last to come.
                let at = self.now + millis(60);
                self.push(at, Event::LinkState { to, about, linked: linked.clone() });
            }
        }
    }

    /// When something that is sent arrives.
    fn arrival(&mut self, from: u8, to: u8) -> Instant {
        let at = self.now + self.chance.around(millis(10), millis(9));
        let busy = self.busy.entry((from, to)).or_insert(at);
        *busy = at.max(*busy);
        *busy
    }

    fn is_same_link(&self, from: u8, to: u8, link: u64) -> bool {
        self.links.get(&key(from, to)) == Some(&link)
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::LinkState { to, about, linked } => {
                if to != about {
                    self.node(to).engine.neighbours(id(about), linked);
                }
            }
            Event::Overdue { to, origin, sequence } => self.give_up_waiting(to, origin, sequence),
            Event::Have { from, to, link, have } => {
                if self.is_same_link(from, to, link) {
                    self.node(to).engine.have_received(id(from), have, now);
                }
            }
            Event::Transaction { from, to, link, transaction } => {
                if self.is_same_link(from, to, link) {
                    self.apply(from, to, transaction);
                }
            }
            Event::View { from, to, link } => self.open_view(from, to, link),
            Event::Snapshot { from, to, link, vector } => {
                if self.is_same_link(from, to, link) {
                    self.take_over(vector, to);
                    self.node(to).engine.snapshot_ended(id(from), true, now);
                }
            }
        }
    }

    fn apply(&mut self, from: u8, to: u8, transaction: Transaction) {
        let now = self.now;
        let waits = self.waits;
        let Transaction { origin, sequence, .. } = transaction;
        let node = self.node(to);
        let database = &mut node.database;
        let upto = database.upto(&origin);
        if sequence <= upto {
            self.duplicates += 1;
            return;
        }
        let mut context = transaction.context.iter();
        let is_ready = context.all(|(other, seen)| database.upto(other) >= *seen);
        if sequence > upto + 1 || !is_ready {
            if waits {
                node.waiting.push((from, transaction));
                self.push(now + millis(50), Event::Overdue { to, origin, sequence });
            } else {
                node.engine.missing(id(from), now);
                self.missing += 1;
            }
            return;
        }
        database.log.push(transaction);
        database.vector.insert(origin, sequence);
        node.engine.applied_from(&[(origin, sequence)], id(from));
        node.engine.own(db(to), database.have(), database.in_snapshot, now);
        for (from, waiting) in std::mem::take(&mut node.waiting) {
            self.apply(from, to, waiting);
        }
    }

    fn give_up_waiting(&mut self, to: u8, origin: OriginId, sequence: u64) {
        let now = self.now;
        let node = self.node(to);
        let is_it = |(_, waiting): &mut (u8, Transaction)| {
            waiting.origin == origin && waiting.sequence == sequence
        };
        let overdue: Vec<(u8, Transaction)> = node.waiting.extract_if(.., is_it).collect();
        for (from, _) in &overdue {
            node.engine.missing(id(*from), now);
        }
        self.missing += overdue.len();
    }

    /// Who takes a snapshot gives none, and of whom nothing has come takes none.
    fn open_view(&mut self, from: u8, to: u8, link: u64) {
        let now = self.now;
        let is_linked = self.is_same_link(from, to, link);
        let giver = &self.node(from).database;
        let view = (is_linked && !giver.in_snapshot).then(|| giver.vector.clone());
        let node = self.node(to);
        if let Some(vector) = view {
            node.database.has_pieces = true;
            self.push(now + millis(300), Event::Snapshot { from, to, link, vector });
        } else if node.database.asks == Some(link) {
            node.database.in_snapshot = node.database.has_pieces;
            node.engine.own(db(to), node.database.have(), node.database.in_snapshot, now);
            node.engine.snapshot_ended(id(from), false, now);
        }
    }

    fn take_over(&mut self, theirs: BTreeMap<OriginId, u64>, to: u8) {
        let now = self.now;
        let node = self.node(to);
        for (origin, upto) in theirs {
            let mine = node.database.vector.entry(origin).or_default();
            if *mine < upto {
                *mine = upto;
                node.database.floors.insert(origin, upto);
            }
        }
        node.database.end_snapshot();
        node.engine.own(db(to), node.database.have(), false, now);
        self.snapshots += 1;
    }

    /// Does what the engines wish, until they wish nothing.
    fn settle(&mut self) {
        for number in 0..u8::try_from(self.nodes.len()).unwrap() {
            while let Some(output) = self.node(number).engine.poll_output() {
                self.perform(number, output);
            }
        }
        let is_quiet = self.nodes.iter_mut().all(|node| node.engine.poll_output().is_none());
        assert!(is_quiet, "the engines are independent of each other");
    }

    fn perform(&mut self, number: u8, output: ExchangeOutput) {
        let now = self.now;
        match output {
            ExchangeOutput::SendHave { to, have } => {
                let to = to.as_bytes()[0];
                let Some(link) = self.links.get(&key(number, to)).copied() else { return };
                self.statements += 1;
                let at = self.arrival(number, to);
                self.push(at, Event::Have { from: number, to, link, have });
            }
            ExchangeOutput::Feed { peer } => self.feed(number, peer.as_bytes()[0]),
            ExchangeOutput::TakeSnapshot { from } => {
                let from = from.as_bytes()[0];
                let Some(link) = self.links.get(&key(number, from)).copied() else { return };
                let node = self.node(number);
                (node.database.in_snapshot, node.database.asks) = (true, Some(link));
                node.engine.own(db(number), node.database.have(), true, now);
                self.push(now + millis(10), Event::View { from, to: number, link });
            }
            ExchangeOutput::AbandonSnapshot => {
                let node = self.node(number);
                node.database.end_snapshot();
                node.engine.own(db(number), node.database.have(), false, now);
            }
            ExchangeOutput::Trim => self.trim(number),
            ExchangeOutput::RenewOrigin { .. } => panic!("nobody has copied anything"),
        }
    }

    fn feed(&mut self, from: u8, to: u8) {
        const BATCH: usize = 3;
        let Some(link) = self.links.get(&key(from, to)).copied() else { return };
        while let Some(feed) = self.node(from).engine.feed_of(id(to)) {
            let lacks = |transaction: &&Transaction| {
                let Transaction { origin, sequence, .. } = **transaction;
                let dot = mesh_protocol::Dot { origin, sequence };
                feed.goal.knows(&dot) && !feed.have.knows(&dot)
            };
            let log = &self.node(from).database.log;
            let batch: Vec<Transaction> = log.iter().filter(lacks).take(BATCH).cloned().collect();
            assert!(!batch.is_empty(), "{from} has nothing for {to} in {feed:?}");
            let dots: Vec<(OriginId, u64)> = batch
                .iter()
                .map(|transaction| (transaction.origin, transaction.sequence))
                .collect();
            self.node(from).engine.fed(id(to), &dots);
            for transaction in batch {
                self.sent += 1;
                let at = self.arrival(from, to);
                self.push(at, Event::Transaction { from, to, link, transaction });
            }
        }
    }

    fn trim(&mut self, number: u8) {
        if !self.trims {
            return;
        }
        let passed = self.node(number).engine.passed_by_all();
        for (origin, upto) in passed.origins() {
            let everybody = self.nodes.iter().all(|node| node.database.upto(&origin) >= upto);
            assert!(everybody, "{number} forgets {origin} {upto}, which somebody lacks");
            let database = &mut self.node(number).database;
            let floor = database.floors.entry(origin).or_default();
            *floor = upto.max(*floor);
            database.log.retain(|entry| entry.origin != origin || entry.sequence > upto);
        }
        let now = self.now;
        let node = self.node(number);
        node.engine.own(db(number), node.database.have(), node.database.in_snapshot, now);
    }
}

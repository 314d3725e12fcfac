//! A mesh of members, what is done to them, and what was promised.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_delivery::{End, Priority};
use mesh_membership::{LinkConfig, MemberState, Membership};
use mesh_protocol::{HOPS_MAX, MessageId, PeerId, UnixMillis};
use mesh_testkit::{Conditions, NodeId, VirtualMesh};

use super::disk::Disk;
use super::member::{Member, Relaying, Setup};
use super::records::{membership, peer, removal};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A message for one receiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    pub(super) from: usize,
    pub(super) to: PeerId,
    pub(super) message_id: MessageId,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) mesh: VirtualMesh<Member>,
    pub(super) promises: Vec<Promise>,
    seed: u64,
    links: LinkConfig,
    relaying: Relaying,
    /// How far wall clocks are ahead, in milliseconds.
    skews: Vec<i64>,
    membership: Membership,
}

impl World {
    /// So many members, each with a wall clock that is ahead by its milliseconds, or right without any.
    pub(super) fn new(
        seed: u64,
        count: usize,
        links: &LinkConfig,
        relaying: Relaying,
        skews: &[i64],
    ) -> Self {
        let mut world = Self {
            mesh: VirtualMesh::new(seed),
            promises: Vec::new(),
            seed,
            links: links.clone(),
            relaying,
            skews: skews.to_vec(),
            membership: membership(count),
        };
        let (least, most) = (Duration::from_micros(500), Duration::from_millis(20));
        let conditions = Conditions::PERFECT.with_delay(least, most).in_order();
        world.mesh.network_mut().set_conditions(conditions);
        for number in 0..count {
            world.mesh.add(world.start(number, Disk::default()));
        }
        world
    }

    fn start(&self, number: usize, disk: Disk) -> Member {
        let right = self.mesh.network().wall_clock(NodeId(number));
        let skew = self.skews.get(number).copied().unwrap_or_default();
        let setup = Setup {
            number,
            seed: self.seed,
            now: self.mesh.network().now(),
            wall: UnixMillis(right.0.saturating_add_signed(skew)),
            links: self.links.clone(),
            relaying: self.relaying,
        };
        Member::start(&setup, self.membership.clone(), disk)
    }

    /// Kills a member.
    pub(super) fn off(&mut self, number: usize) {
        self.mesh.kill(NodeId(number));
    }

    /// Tells every member that one of them is removed.
    pub(super) fn remove(&mut self, number: usize) {
        let removal = removal(number);
        let _inserted = self.membership.insert(removal.clone());
        let all: Vec<NodeId> = self.mesh.nodes().map(|(id, _)| id).collect();
        for id in all {
            self.mesh.act(id, |member, now| member.learn(removal.clone(), now));
        }
    }

    /// Sets a member's wall clock ahead, or back when negative; it counts from its next start on.
    pub(super) fn set_skew(&mut self, number: usize, millis: i64) {
        self.skews.resize(self.skews.len().max(number + 1), 0);
        self.skews[number] = millis;
    }

    /// Starts a killed member with what it kept.
    pub(super) fn on(&mut self, number: usize) {
        let mut disk = self.member(number).disk.clone();
        disk.crash(self.member(number).now);
        let member = self.start(number, disk);
        self.mesh.restart(NodeId(number), member);
    }

    /// From here on nothing happens to frames that go through others.
    pub(super) fn calm(&mut self) {
        self.relaying = Relaying::default();
        let all: Vec<NodeId> = self.mesh.nodes().map(|(id, _)| id).collect();
        for id in all {
            self.mesh.act(id, |member, _| member.relaying = Relaying::default());
        }
    }

    pub(super) fn member(&self, number: usize) -> &Member {
        self.mesh.node(NodeId(number)).unwrap()
    }

    pub(super) fn is_running(&self, number: usize) -> bool {
        self.mesh.network().is_running(NodeId(number))
    }

    /// Lets a member commit a message.
    pub(super) fn send(&mut self, from: usize, to: &[usize], priority: Priority) {
        let to: Vec<PeerId> = to.iter().map(|number| peer(*number)).collect();
        let act = |member: &mut Member, now| member.send(&to, priority, now);
        let message_id = self.mesh.act(NodeId(from), act).unwrap();
        self.promises.extend(to.iter().map(|to| Promise { from, to: *to, message_id }));
    }

    /// What the running members think of a member, if they are of one mind.
    pub(super) fn is_to_all(&self, number: usize, state: MemberState) -> bool {
        let mut others =
            self.mesh.nodes().filter(|(id, _)| id.0 != number && self.is_running(id.0));
        others.all(|(_, other)| other.core.member_state(&peer(number)) == Some(state))
    }

    /// Whether every member is alive to every other one.
    pub(super) fn are_all_alive(&self) -> bool {
        let mut all = self.mesh.nodes();
        all.all(|(id, _)| self.is_running(id.0) && self.is_to_all(id.0, MemberState::Alive))
    }

    /// How often anybody's state changed for anybody.
    pub(super) fn changes(&self) -> usize {
        self.mesh.nodes().map(|(_, member)| member.changes).sum()
    }

    /// Whether nobody waits for anything and nobody keeps anything.
    pub(super) fn is_quiet(&self) -> bool {
        let mut disks = self.mesh.nodes().map(|(_, member)| &member.disk);
        disks.all(|disk| disk.waiting().next().is_none() && disk.kept().next().is_none())
    }

    /// Lets time pass until the condition holds; fails with what is amiss.
    pub(super) fn await_that(
        &mut self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Self) -> bool,
    ) {
        let end = self.mesh.network().elapsed() + within;
        while !condition(self) {
            assert!(self.mesh.network().elapsed() < end, "{what}: {:#?}", self.complaints());
            self.mesh.run_for(Duration::from_millis(250));
        }
    }

    /// What keeps the mesh from being at rest.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (id, member) in self.mesh.nodes() {
            let others = self.mesh.nodes().filter(|(other, _)| *other != id);
            for (other, _) in others {
                let state = member.core.member_state(&peer(other.0));
                if state != Some(MemberState::Alive) {
                    let via = member.core.via(&peer(other.0));
                    complaints.push(format!("{id:?} takes {other:?} for {state:?}, via {via:?}"));
                }
            }
            for entry in member.disk.waiting() {
                complaints.push(format!("{id:?} waits with {entry:?}"));
            }
            for (row, _) in member.disk.kept() {
                complaints.push(format!("{id:?} keeps {row:?}"));
            }
        }
        complaints
    }

    /// Every message arrived once at whom it was for and at nobody else, and its sender knows it.
    pub(super) fn check_promises(&self) {
        self.check_arrivals();
        for promise in &self.promises {
            let Promise { from, to, message_id } = *promise;
            let end = self.member(from).disk.ended.get(&(message_id, to));
            assert!(matches!(end, Some(End::Acked { .. })), "{promise:?} ended {end:?}");
        }
    }

    /// Every message arrived once at whom it was for and at nobody else.
    pub(super) fn check_arrivals(&self) {
        let mut arrived: BTreeMap<(PeerId, PeerId, MessageId), usize> = BTreeMap::new();
        for (_, member) in self.mesh.nodes() {
            for item in &member.disk.inbox {
                *arrived.entry((item.from, member.me, item.message_id)).or_default() += 1;
            }
            assert!(member.forgotten.is_empty(), "somebody would be removed");
            assert!(member.links_max <= HOPS_MAX, "a frame took {} links", member.links_max);
        }
        for promise in &self.promises {
            let Promise { from, to, message_id } = *promise;
            let count = arrived.remove(&(peer(from), to, message_id));
            assert_eq!(count, Some(1), "how often {promise:?} arrived");
        }
        assert!(arrived.is_empty(), "what nobody sent: {arrived:?}");
    }

    /// Whether the messages of every sender arrived at this member in the order of their commits.
    pub(super) fn is_in_order(&self, number: usize) -> bool {
        let mut latest = BTreeMap::new();
        let mut items = self.member(number).disk.inbox.iter();
        items.all(|item| {
            let before = latest.insert((item.from, item.priority), item.sequence);
            before.is_none_or(|before| before < item.sequence)
        })
    }

    /// What all members have seen, in one number each.
    pub(super) fn trace(&self) -> Vec<u64> {
        self.mesh.nodes().map(|(_, member)| member.trace()).collect()
    }
}

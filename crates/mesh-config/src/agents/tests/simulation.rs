//! Members that edit the section at once, each on its own copy, where the last writer of a key wins.

use super::*;

/// When an entry was written, and by whom: the greater one stands.
type Stamp = (u64, PeerId);
/// A key of a copy; none where it was removed.
type Cell = (Stamp, Option<EntryValue>);
type Copy = BTreeMap<ConfigKey, Cell>;

const PEERS: [PeerId; 3] = [OAK, MINT, FRIGG];
const NAMES: [&str; 4] = ["oak", "mint", "ash", "elm"];

#[derive(Clone, Debug)]
enum Step {
    /// A member looks at its copy and makes its edits.
    Edit { at: usize },
    /// A member learns of everything that another has.
    Hear { at: usize, from: usize },
    /// A member gets another name, which it alone knows at first.
    Rename { who: usize, name: usize },
    /// A member learns who has which name.
    Learn { at: usize },
    /// Somebody edits a field by hand.
    Hand { at: usize, name: usize, value: u8 },
    /// A member goes away or comes back.
    Away { who: usize, is_active: bool },
}

struct World {
    clock: u64,
    copies: Vec<Copy>,
    /// The members as each of them knows them, and as they are.
    known: Vec<Vec<Member>>,
    members: Vec<Member>,
}

impl World {
    fn new() -> Self {
        let members: Vec<Member> =
            PEERS.into_iter().zip(NAMES).map(|(peer, name)| member(peer, name)).collect();
        Self { clock: 0, copies: vec![Copy::new(); 3], known: vec![members.clone(); 3], members }
    }

    fn edit(&mut self, at: usize) -> bool {
        let me = PEERS[at];
        let known = &self.known[at];
        let steward = known.iter().filter(|one| one.is_active).map(|one| one.peer_id).min();
        let copy = &mut self.copies[at];
        let entries = copy.iter().filter_map(|(key, (_, value))| Some((key, value.as_ref()?)));
        let edits = agents_edits(entries, known, me, steward == Some(me));
        self.clock += 1;
        for Edit { key, value } in &edits {
            copy.insert(key.clone(), ((self.clock, me), value.clone()));
        }
        !edits.is_empty()
    }

    fn hear(&mut self, at: usize, from: usize) {
        for (key, cell) in self.copies[from].clone() {
            let mine = self.copies[at].entry(key).or_insert_with(|| cell.clone());
            if mine.0 < cell.0 {
                *mine = cell;
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Edit { at } => {
                self.edit(at);
            }
            Step::Hear { at, from } => self.hear(at, from),
            Step::Rename { who, name } => {
                // Names are unique among the members.
                if self.members.iter().all(|member| member.hostname != NAMES[name]) {
                    NAMES[name].clone_into(&mut self.members[who].hostname);
                    NAMES[name].clone_into(&mut self.known[who][who].hostname);
                }
            }
            Step::Learn { at } => self.known[at].clone_from(&self.members),
            Step::Hand { at, name, value } => {
                self.clock += 1;
                let key = format!("agents.{}.bot", NAMES[name]).parse().unwrap();
                let value = EntryValue::Plain(json!(value));
                self.copies[at].insert(key, ((self.clock, PEERS[at]), Some(value)));
            }
            Step::Away { who, is_active } => self.members[who].is_active = is_active,
        }
    }

    /// Everybody learns everything until nobody has anything to do; how many rounds that took.
    fn settle(&mut self) -> usize {
        for round in 0..20 {
            for at in 0..3 {
                self.known[at].clone_from(&self.members);
                for from in 0..3 {
                    self.hear(at, from);
                }
            }
            let mut is_busy = false;
            for at in 0..3 {
                is_busy |= self.members[at].is_active && self.edit(at);
            }
            if !is_busy && self.copies.iter().all(|copy| *copy == self.copies[0]) {
                return round;
            }
        }
        panic!("they never come to rest: {:?}", self.copies);
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(|at| Step::Edit { at }),
        3 => (0..3_usize, 0..3_usize).prop_map(|(at, from)| Step::Hear { at, from }),
        2 => (0..3_usize, 0..4_usize).prop_map(|(who, name)| Step::Rename { who, name }),
        2 => (0..3_usize).prop_map(|at| Step::Learn { at }),
        2 => (0..3_usize, 0..4_usize, any::<u8>())
            .prop_map(|(at, name, value)| Step::Hand { at, name, value }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(who, is_active)| Step::Away { who, is_active }),
    ]
}

proptest! {
    #[test]
    fn members_that_edit_at_once_come_to_the_same_section(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        // One is there to look after the others.
        world.members[0].is_active = true;
        let rounds = world.settle();
        prop_assert!(rounds <= 6, "{} rounds", rounds);
        let copy = &world.copies[0];
        let at = |text: String| copy.get(&text.parse::<ConfigKey>().unwrap()).and_then(|cell| cell.1.clone());
        for member in &world.members {
            let fields = managed(member);
            for (field, value) in fields.as_object().unwrap() {
                let found = at(format!("agents.{}.{field}", member.hostname));
                prop_assert_eq!(found, Some(EntryValue::Plain(value.clone())));
            }
        }
        for name in NAMES {
            let is_member = world.members.iter().any(|member| member.hostname == name);
            prop_assert_eq!(at(format!("agents.{name}.peer_id")).is_some(), is_member, "{}", name);
        }
        if steps.iter().any(|step| matches!(step, Step::Hand { .. })) {
            let is_kept = NAMES.iter().any(|name| at(format!("agents.{name}.bot")).is_some());
            prop_assert!(is_kept);
        }
    }
}

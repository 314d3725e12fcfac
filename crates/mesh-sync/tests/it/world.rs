//! Databases that write, tell each other, keep things aside, take snapshots and forget.

use std::collections::BTreeSet;
use std::rc::Rc;

use mesh_protocol::Readiness;

use super::database::{Database, Key, Transaction, Wish};
use super::model::{Model, State};

pub(crate) const KEYS: Key = 2;
pub(crate) const COLUMNS: u16 = 4;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write {
        at: usize,
        wishes: Vec<Wish>,
        tick: u64,
    },
    /// Some transaction reaches a database, which may keep it aside.
    Deliver {
        to: usize,
        pick: usize,
        is_ahead: bool,
    },
    /// Everything that can be applied reaches a database.
    CatchUp {
        to: usize,
        backwards: bool,
    },
    Unpark {
        at: usize,
        pick: usize,
    },
    Join {
        from: usize,
        to: usize,
        keys: BTreeSet<Key>,
    },
    /// A database forgets a deletion; half the time everything has reached everybody just before.
    Forget {
        at: usize,
        key: Key,
        settles: bool,
    },
}

pub(crate) struct World {
    pub(crate) databases: Vec<Database>,
    pub(crate) transactions: Vec<Rc<Transaction>>,
    pub(crate) model: Model,
}

impl World {
    pub(crate) fn new(count: usize) -> Self {
        let databases = (1..).take(count).map(Database::new).collect();
        Self { databases, transactions: Vec::new(), model: Model::default() }
    }

    pub(crate) fn play(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(step);
        }
    }

    fn take(&mut self, step: &Step) {
        let count = self.databases.len();
        match step {
            Step::Write { at, wishes, tick } => {
                let made = self.databases[at % count].write(wishes, *tick);
                made.iter().for_each(|made| self.model.add(made));
                self.transactions.extend(made);
            }
            Step::Deliver { to, pick, is_ahead } => {
                if let Some(transaction) =
                    self.transactions.get(pick % self.transactions.len().max(1))
                {
                    self.databases[to % count].deliver(transaction, *is_ahead);
                }
            }
            Step::CatchUp { to, backwards } => self.catch_up(to % count, *backwards),
            Step::Unpark { at, pick } => self.databases[at % count].unpark(*pick),
            Step::Join { from, to, keys } => self.join(from % count, to % count, keys),
            Step::Forget { at, key, settles } => {
                if *settles {
                    self.settle();
                }
                self.forget(at % count, *key);
            }
        }
    }

    /// Offers everything, again and again, until nothing more is taken.
    fn catch_up(&mut self, to: usize, backwards: bool) {
        let mut offered = self.transactions.clone();
        if backwards {
            offered.reverse();
        }
        let database = &mut self.databases[to];
        let mut deliver = |transaction| database.deliver(transaction, false) == Readiness::Apply;
        while offered.iter().filter(|transaction| deliver(transaction)).count() > 0 {}
    }

    fn join(&mut self, from: usize, to: usize, keys: &BTreeSet<Key>) {
        // Who takes a snapshot knows more of some rows than it can say.
        let from = self.databases[from].clone();
        if from.views.is_empty() {
            self.databases[to].join_rows(&from, keys);
        }
    }

    /// A database may forget a deletion that everybody has applied, once it has applied what they had then
    /// and lists no loser of the row.
    fn forget(&mut self, at: usize, key: Key) {
        let Some(row) = self.databases[at].rows.get(&key) else { return };
        let (version, known) = (row.version, &self.databases[at].known);
        let has_losers =
            self.databases[at].losers.get(&key).is_some_and(|losers| !losers.is_empty());
        let is_passed = self.databases.iter().all(|database| {
            database.known.knows(&version.dot())
                && database.views.is_empty()
                && known.covers(&database.known)
        });
        if !version.is_alive() && is_passed && !has_losers {
            self.databases[at].forget(key);
        }
    }

    /// Everything reaches everybody.
    pub(crate) fn settle(&mut self) {
        for at in 0..self.databases.len() {
            self.catch_up(at, at % 2 == 1);
            for _ in 0..self.transactions.len() * self.transactions.len() {
                self.databases[at].unpark(0);
            }
            assert!(self.databases[at].parked.is_empty(), "everything can be applied in the end");
        }
    }
}

pub(crate) fn shown(database: &Database) -> State {
    let mut state = State::default();
    for (key, row) in database.rows.iter().filter(|(_, row)| row.version.is_alive()) {
        let values = row.values.iter();
        let values = values.filter_map(|(column, value)| Some((*column, (*value)?))).collect();
        state.rows.insert(*key, (row.version, values));
    }
    for (key, losers) in &database.losers {
        state.listed.extend(losers.iter().map(|(loser, _)| (*key, loser.column, loser.version)));
    }
    state
}

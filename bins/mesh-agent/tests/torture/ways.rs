//! The ways between machines: which are cut, lossy or slow at the moment, out of the troubles that last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_testkit::Conditions;
use mesh_testkit::netns::{Lan, LanMachine};

use crate::schedule::Fault;

pub(crate) struct Ways {
    lan: Lan,
    machines: Vec<LanMachine>,
    /// Troubles that last, by the number of their disturbance.
    troubles: BTreeMap<usize, Fault>,
    /// On a LAN without a wire of ours: what is cut.
    cut: BTreeSet<(usize, usize)>,
}

/// What a fault makes of the way from one machine to another, by their places; none is cut.
fn through(fault: Fault, from: usize, to: usize, way: Conditions) -> Option<Conditions> {
    let is_of = |member| from == member || to == member;
    let is_apart = |some: u32| (some >> from) & 1 != (some >> to) & 1;
    match fault {
        Fault::Cut { from: mute, to: deaf } if (mute, deaf) == (from, to) => None,
        Fault::Split { some } if is_apart(some) => None,
        Fault::Bridge { some, between } if is_apart(some) && !is_of(between) => None,
        Fault::Loss { member, percent } if is_of(member) => {
            Some(way.with_loss(way.loss.max(f64::from(percent) / 100.0)))
        }
        Fault::Delay { member, millis } if is_of(member) => {
            let (min, max) = (Duration::from_millis(millis / 2), Duration::from_millis(millis));
            Some(Conditions {
                delay_min: way.delay_min.max(min),
                delay_max: way.delay_max.max(max),
                ..way
            })
        }
        Fault::Reorder { member, millis } if is_of(member) => {
            let max = way.delay_max.max(Duration::from_millis(millis));
            Some(way.with_delay(way.delay_min, max).with_duplication(0.02))
        }
        _ => Some(way),
    }
}

impl Ways {
    pub(crate) const fn new(lan: Lan) -> Self {
        Self { lan, machines: Vec::new(), troubles: BTreeMap::new(), cut: BTreeSet::new() }
    }

    pub(crate) fn has_wire(&self) -> bool {
        self.lan.has_wire()
    }

    pub(crate) fn add_machine(&mut self) -> LanMachine {
        let machine = self.lan.add_machine().unwrap();
        self.machines.push(machine.clone());
        self.apply();
        machine
    }

    pub(crate) fn begin(&mut self, number: usize, fault: Fault) {
        self.troubles.insert(number, fault);
        self.apply();
    }

    pub(crate) fn end(&mut self, number: usize) {
        self.troubles.remove(&number);
        self.apply();
    }

    fn apply(&mut self) {
        for from in 0..self.machines.len() {
            for to in (0..self.machines.len()).filter(|to| *to != from) {
                let direct = Conditions {
                    delay_min: Duration::ZERO,
                    delay_max: Duration::ZERO,
                    ..Conditions::PERFECT
                };
                let way = self
                    .troubles
                    .values()
                    .try_fold(direct, |way, fault| through(*fault, from, to, way));
                self.set(from, to, way);
            }
        }
    }

    fn set(&mut self, from: usize, to: usize, way: Option<Conditions>) {
        let (mute, deaf) = (&self.machines[from], &self.machines[to]);
        if self.lan.has_wire() {
            self.lan.set_way(mute, deaf, way);
        } else if way.is_none() && self.cut.insert((from, to)) {
            self.lan.cut(mute, deaf).unwrap();
        } else if way.is_some() && self.cut.remove(&(from, to)) {
            self.lan.mend(mute, deaf).unwrap();
        }
    }
}

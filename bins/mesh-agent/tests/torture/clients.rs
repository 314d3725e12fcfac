//! Those who use the mesh meanwhile, on every member: they go on until it is over, whatever they are told.

mod messages;
mod pushes;
mod settings;
mod tables;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::ledger::Ledger;
use crate::world::{Member, World};
use crate::write::Dice;

pub(crate) use messages::take;
pub(crate) use settings::{OWN_KEYS, SHARED_KEYS, own_key, shared_key};
pub(crate) use tables::accept;

/// What all clients share.
pub(crate) struct Office {
    pub(crate) world: World,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) is_over: Cell<bool>,
    pub(crate) next_write: Cell<u64>,
}

/// One who uses one member.
#[derive(Clone)]
struct Client {
    office: Rc<Office>,
    member: Rc<Member>,
    /// Set when the member is to be left alone.
    is_over: Rc<Cell<bool>>,
    dice: Dice,
}

impl Client {
    /// Does something again and again, about so often.
    async fn goes_on(mut self, pace: Duration, mut step: impl AsyncFnMut(&mut Self)) {
        let mut pace = interval(pace.mul_f64(0.5));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for _ in 0..=self.dice.below(3) {
                pace.tick().await;
            }
            if self.office.is_over.get() || self.is_over.get() {
                return;
            }
            step(&mut self).await;
        }
    }

    /// Another member of the first hour.
    fn another(&mut self) -> Rc<Member> {
        let members = &self.office.world.members;
        loop {
            let place = usize::try_from(self.dice.below(members.len() as u64)).unwrap();
            if members[place].place != self.member.place {
                return Rc::clone(&members[place]);
            }
        }
    }
}

/// Sets all clients of a member to work. They end when the office or `is_over` says so.
pub(crate) fn set_to_work(
    office: &Rc<Office>,
    member: &Rc<Member>,
    is_over: &Rc<Cell<bool>>,
    dice: &mut Dice,
    tasks: &mut JoinSet<()>,
) {
    let mut client = || Client {
        office: Rc::clone(office),
        member: Rc::clone(member),
        is_over: Rc::clone(is_over),
        dice: Dice(dice.below(u64::MAX)),
    };
    let mut number = 0;
    tasks.spawn_local(client().goes_on(Duration::from_millis(400), async move |client| {
        number += 1;
        messages::send(client, number).await;
    }));
    tasks.spawn_local(client().goes_on(Duration::from_millis(500), tables::write));
    if member.is_guest() {
        return;
    }
    tasks.spawn_local(client().goes_on(Duration::from_secs(2), messages::read));
    let mut number = 0;
    tasks.spawn_local(client().goes_on(Duration::from_secs(3), async move |client| {
        number += 1;
        settings::set(client, number).await;
    }));
    tasks.spawn_local(client().goes_on(Duration::from_secs(4), tables::accept_all));
    let mut story = pushes::Story::default();
    tasks.spawn_local(client().goes_on(Duration::from_secs(5), async move |client| {
        pushes::push(client, &mut story).await;
    }));
}

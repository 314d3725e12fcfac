//! Databases that write, miss, tell each other and forget, in any order: those that know the same show the same, and that is
//! what the model says; and members whose links come and go end with everything that any of them wrote.

#[path = "../../mesh-sync/tests/it/database.rs"]
mod database;
mod exchange;
#[path = "../../mesh-sync/tests/it/model.rs"]
mod model;
#[path = "../../mesh-sync/tests/it/world.rs"]
mod world;

use self::database::Wish;
use self::exchange::everybody_ends_with_everything;
use self::world::{COLUMNS, KEYS, Step, World, shown};
use crate::input::{Input, choose};

/// More than this makes a run slow and no richer.
const STEPS_MAX: usize = 60;

/// Lets the bytes decide what happens.
pub fn sync(bytes: &[u8]) {
    choose(bytes, &[who_knows_the_same_shows_the_same, everybody_ends_with_everything]);
}

fn who_knows_the_same_shows_the_same(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new(2 + input.below(3));
    for _ in 0..STEPS_MAX {
        if input.is_over() {
            break;
        }
        world.play(&[step(&mut input)]);
        for database in world.databases.iter().filter(|database| database.views.is_empty()) {
            assert_eq!(shown(database), world.model.state(&database.known));
        }
    }
    world.settle();
    let expected = world.model.state(&world.databases[0].known);
    for database in &world.databases {
        assert_eq!(shown(database), world.model.state(&database.known));
        assert_eq!(shown(database), expected);
    }
}

fn step(input: &mut Input<'_>) -> Step {
    let at = input.below(4);
    match input.below(8) {
        0..=2 => {
            let wishes = (0..=input.below(2)).map(|_| wish(input)).collect();
            Step::Write { at, wishes, tick: u64::from(input.byte()) % 4 }
        }
        3 => Step::Deliver { to: at, pick: input.below(256), is_ahead: input.below(8) == 7 },
        4 => Step::CatchUp { to: at, backwards: input.flag() },
        5 => Step::Unpark { at, pick: input.below(256) },
        6 => {
            let keys = 1 + input.below((1 << KEYS) - 1);
            let keys = (0..KEYS).filter(|key| keys >> key & 1 == 1).collect();
            Step::Join { from: at, to: input.below(4), keys }
        }
        _ => Step::Forget { at, key: key(input), settles: input.flag() },
    }
}

fn key(input: &mut Input<'_>) -> database::Key {
    database::Key::from(input.byte()) % KEYS
}

fn wish(input: &mut Input<'_>) -> Wish {
    match input.below(15) {
        0..=3 => Wish::Put(key(input)),
        4..=7 => Wish::Delete(key(input)),
        8..=12 => {
            let columns = [input.byte(), input.byte()].map(|column| u16::from(column) % COLUMNS);
            Wish::Edit(key(input), columns.into())
        }
        13 => Wish::AddColumn(2 + u16::from(input.byte()) % (COLUMNS - 2)),
        _ => Wish::Resolve { loser: input.below(256), restores: input.flag() },
    }
}

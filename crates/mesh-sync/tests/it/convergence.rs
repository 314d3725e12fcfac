//! Whatever is written, and in whatever order it is told: databases that know the same show the same, and
//! that is what the model says.

use proptest::prelude::*;

use crate::database::Wish;
use crate::world::{COLUMNS, KEYS, Step, World, shown};

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..4_usize;
    let keys = prop::collection::btree_set(0..KEYS, 1..=usize::from(KEYS));
    prop_oneof![
        8 => (at(), prop::collection::vec(wish(), 1..3), 0..4_u64)
            .prop_map(|(at, wishes, tick)| Step::Write { at, wishes, tick }),
        6 => (at(), any::<usize>(), prop::bool::weighted(0.15))
            .prop_map(|(to, pick, is_ahead)| Step::Deliver { to, pick, is_ahead }),
        4 => (at(), any::<bool>()).prop_map(|(to, backwards)| Step::CatchUp { to, backwards }),
        2 => (at(), any::<usize>()).prop_map(|(at, pick)| Step::Unpark { at, pick }),
        3 => (at(), at(), keys).prop_map(|(from, to, keys)| Step::Join { from, to, keys }),
        2 => (at(), 0..KEYS, any::<bool>())
            .prop_map(|(at, key, settles)| Step::Forget { at, key, settles }),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let key = || 0..KEYS;
    let columns = prop::collection::btree_set(0..COLUMNS, 1..3);
    prop_oneof![
        4 => key().prop_map(Wish::Put),
        4 => key().prop_map(Wish::Delete),
        6 => (key(), columns).prop_map(|(key, columns)| Wish::Edit(key, columns)),
        1 => (2..COLUMNS).prop_map(Wish::AddColumn),
        1 => (any::<usize>(), any::<bool>())
            .prop_map(|(loser, restores)| Wish::Resolve { loser, restores }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn databases_that_know_the_same_show_what_the_model_says(
        count in 2..=4_usize,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(count);
        for step in &steps {
            world.play(std::slice::from_ref(step));
            for database in world.databases.iter().filter(|database| database.views.is_empty()) {
                prop_assert_eq!(shown(database), world.model.state(&database.known));
            }
        }
        world.settle();
        let expected = world.model.state(&world.databases[0].known);
        for database in &world.databases {
            prop_assert_eq!(shown(database), world.model.state(&database.known));
            prop_assert_eq!(&shown(database), &expected);
        }
    }
}

//! Whatever is written, and in whatever order it is told: databases that know the same show the same, and
//! that is what the model says.

use proptest::prelude::*;

use crate::world::{World, shown, step};

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

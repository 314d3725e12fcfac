use proptest::prelude::*;

use super::{NUMBERS_AHEAD, Numbers};

proptest! {
    /// Whatever is drawn, noted, lost with a failed commit or a crash: no number comes twice.
    #[test]
    fn a_number_is_never_given_out_twice(steps in prop::collection::vec((1..3_000_u64, any::<bool>(), any::<bool>()), 1..40)) {
        let mut on_disk = 0;
        let mut numbers = Numbers::above(on_disk);
        let mut given = 0;
        for (count, is_committed, is_crash) in steps {
            let drawn: Vec<u64> = (0..count).map(|_| numbers.draw()).collect();
            if is_committed {
                prop_assert!(drawn[0] > given);
                prop_assert!(drawn.is_sorted());
                if let Some(note) = numbers.note() {
                    numbers.noted = note;
                    on_disk = note;
                }
                given = drawn[drawn.len() - 1];
                prop_assert!(on_disk >= given);
            }
            if is_crash {
                numbers = Numbers::above(on_disk);
            }
        }
    }
}

#[test]
fn a_note_is_needed_once_in_so_many_numbers() {
    let mut numbers = Numbers::above(0);
    assert_eq!(numbers.note(), None);
    let mut notes = 0;
    for _ in 0..10 * NUMBERS_AHEAD {
        numbers.draw();
        if let Some(note) = numbers.note() {
            notes += 1;
            numbers.noted = note;
        }
    }
    assert_eq!(notes, 10);
}

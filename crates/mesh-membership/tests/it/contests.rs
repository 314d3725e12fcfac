//! Removals that silence each other.

use crate::world::World;

#[test]
fn of_two_that_remove_each_other_the_one_nearer_to_the_founder_stays() {
    let world = World::new(3);
    let (a, b) = (world.admit(0, 2, 0), world.admit(2, 1, 0));
    let junior = world.remove(1, 2, 0, &[]);
    let senior = world.remove(2, 1, 9_000, &[]);
    assert_eq!(world.members(&[&a, &b, &junior, &senior]), [0, 2]);
}

#[test]
fn of_two_equally_near_the_smaller_id_stays() {
    let world = World::new(3);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let by_one = world.remove(1, 2, 9_000, &[]);
    let by_two = world.remove(2, 1, 0, &[]);
    assert_eq!(world.members(&[&a, &b, &by_one, &by_two]), [0, 1]);
}

#[test]
fn two_that_list_each_others_removal_are_both_out() {
    let world = World::new(3);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let first = world.remove(1, 2, 0, &[]);
    let second = world.remove(2, 1, 0, &[&first]);
    let plan = world.membership(&[&a, &b, &first]).plan_removal(&world.id(1), &world.id(2));
    assert!(!plan.is_effective, "who is removed removes nobody");
    // 2's removal does not stand with 1, so it is void, and 2 is out.
    assert_eq!(world.members(&[&a, &b, &first, &second]), [0, 1]);
}

#[test]
fn of_three_that_remove_each_other_in_a_circle_the_most_senior_prevails_over_the_next() {
    let world = World::new(4);
    let (a, b, c) = (world.admit(0, 1, 0), world.admit(0, 2, 0), world.admit(0, 3, 0));
    let circle =
        [world.remove(1, 2, 0, &[]), world.remove(2, 3, 0, &[]), world.remove(3, 1, 0, &[])];
    // 1's removal of 2 counts, so 2's of 3 does not, so 3's of 1 does.
    let records: Vec<_> = [&a, &b, &c].into_iter().chain(&circle).collect();
    assert_eq!(world.members(&records), [0, 3]);
}

#[test]
fn a_seniors_contest_undoes_what_the_junior_listed() {
    let world = World::new(5);
    let (a, b) = (world.admit(0, 1, 0), world.admit(1, 2, 0));
    let (c, d) = (world.admit(1, 3, 0), world.admit(0, 4, 0));
    let junior = world.remove(2, 1, 0, &[&b]);
    let bystander = world.remove(1, 4, 0, &[]);
    assert_eq!(world.members(&[&a, &b, &c, &d, &junior, &bystander]), [0, 2, 4]);
    let contest = world.remove(1, 2, 0, &[]);
    assert_eq!(world.members(&[&a, &b, &c, &d, &junior, &bystander, &contest]), [0, 1, 3]);
}

#[test]
fn a_seniors_removal_cannot_be_contested() {
    let world = World::new(4);
    let (a, b, c) = (world.admit(0, 1, 0), world.admit(1, 2, 0), world.admit(2, 3, 0));
    let removal = world.remove(1, 2, 0, &[&c]);
    let contest = world.remove(2, 1, 0, &[]);
    let contest_by_friend = world.remove(3, 1, 0, &[]);
    assert_eq!(world.members(&[&a, &b, &c, &removal, &contest]), [0, 1, 3]);
    // The friend that stands may remove the remover, and with that what the remover did; the contest adds
    // nothing to it.
    assert_eq!(world.members(&[&a, &b, &c, &removal, &contest_by_friend]), [0, 2, 3]);
    assert_eq!(world.members(&[&a, &b, &c, &removal, &contest, &contest_by_friend]), [0, 2, 3]);
}

#[test]
fn a_removal_cannot_take_away_the_ground_it_stands_on() {
    let world = World::new(3);
    let (a, b) = (world.admit(0, 1, 0), world.admit(1, 2, 0));
    // 2 belongs by 1's admission and does not list it.
    let removal = world.remove(2, 1, 0, &[]);
    assert_eq!(world.members(&[&a, &b, &removal]), [0, 2]);
}

#[test]
fn a_contest_elsewhere_gives_nobody_a_say() {
    let world = World::new(7);
    let base = [
        world.admit(0, 1, 0), // p, removed by its junior q
        world.admit(0, 2, 0), // s, who admitted b
        world.admit(2, 3, 0), // b
        world.admit(3, 4, 0), // t, removed by b
        world.admit(3, 5, 0), // q
        world.admit(0, 6, 0), // z, whom p removed with an old date
    ];
    let by_q = world.remove(5, 1, 0, &[]);
    let by_p = world.remove(1, 6, 0, &[]);
    let by_b = world.remove(3, 4, 0, &[]);
    let mut records: Vec<_> = base.iter().chain([&by_q, &by_p, &by_b]).collect();
    let expected = [0, 2, 3, 5, 6];
    assert_eq!(world.members(&records), expected);
    // t attacks q, and the ground that its own remover stands on. While that is open, p's act must
    // not win just because p is the most senior of all that are undecided.
    let against_q = world.remove(4, 5, 0, &[]);
    let against_s = world.remove(4, 2, 0, &[]);
    records.extend([&against_q, &against_s]);
    assert_eq!(world.members(&records), expected);
}

#[test]
fn nobody_comes_back_by_its_own_doing() {
    let world = World::new(4);
    let (a, b) = (world.admit(0, 1, 0), world.admit(0, 2, 0));
    let removal = world.remove(0, 1, 0, &[]);
    let own = world.readmit(1, 1, 9_000, &[&removal]);
    assert_eq!(world.members(&[&a, &b, &removal, &own]), [0, 2]);
    let guest = world.admit(1, 3, 9_000);
    let by_guest = world.readmit(3, 1, 9_000, &[&removal]);
    assert_eq!(world.members(&[&a, &b, &removal, &own, &guest, &by_guest]), [0, 2]);
}

#[test]
fn a_circle_of_strangers_turns_nothing_into_a_contest() {
    let world = World::new(5);
    let (a, b) = (world.admit(0, 1, 0), world.admit(1, 2, 0));
    let circle = [world.admit(3, 4, 0), world.admit(4, 3, 0)];
    // The junior's removal counts, so its senior's of a stranger does not, unless the stranger's friend
    // had a say in whether the junior's does.
    let (by_junior, by_senior) = (world.remove(2, 1, 0, &[&b]), world.remove(1, 3, 0, &[]));
    let by_stranger = world.remove(4, 2, 0, &[]);
    let records = [&a, &b, &circle[0], &circle[1], &by_junior, &by_senior, &by_stranger];
    assert_eq!(world.members(&records), [0, 2]);
    let membership = world.membership(&records);
    assert_eq!(membership.verdict().removal_of(&world.id(3)), None);
}

#[test]
fn a_removed_senior_cannot_help_the_removed_junior_that_would_bring_it_back() {
    let world = World::new(4);
    let base = [world.admit(0, 1, 0), world.admit(0, 2, 0), world.admit(0, 3, 0)];
    let (by_founder, by_two) = (world.remove(0, 1, 0, &[]), world.remove(2, 3, 0, &[]));
    let rejoin = world.readmit(3, 1, 0, &[&by_founder]);
    let help = world.remove(1, 2, 9_000, &[]);
    let records: Vec<_> = base.iter().chain([&by_founder, &by_two, &rejoin, &help]).collect();
    assert_eq!(world.members(&records), [0, 2]);
}

#[test]
fn admissions_by_a_removed_member_make_nobody_senior() {
    let world = World::new(5);
    let (a, b) = (world.admit(0, 3, 0), world.admit(0, 4, 0));
    let (c, d) = (world.admit(4, 2, 0), world.admit(2, 1, 0));
    let removal = world.remove(0, 3, 0, &[]);
    let (by_one, by_two) = (world.remove(1, 2, 0, &[]), world.remove(2, 1, 0, &[]));
    let records = [&a, &b, &c, &d, &removal, &by_one, &by_two];
    assert_eq!(world.members(&records), [0, 2, 4]);
    // 3 is out and vouches for 1, which would bring 1 as near to the founder as 2 is.
    let vouched = world.admit(3, 1, 0);
    let records = [&a, &b, &c, &d, &removal, &by_one, &by_two, &vouched];
    assert_eq!(world.members(&records), [0, 2, 4]);
}

#[test]
fn many_removals_of_oneself_still_remove() {
    let world = World::new(3);
    let (a, b) = (world.admit(0, 1, 0), world.admit(1, 2, 0));
    let (first, second) = (world.remove(1, 1, 1, &[]), world.remove(1, 1, 2, &[&b]));
    let members = world.members(&[&a, &b, &first, &second]);
    assert!(!members.contains(&1));
}

#[test]
fn a_stolen_founder_key_wins_every_contest() {
    let world = World::new(4);
    let (a, b, c) = (world.admit(0, 1, 0), world.admit(0, 2, 0), world.admit(0, 3, 0));
    let by_one = world.remove(1, 0, 0, &[&a, &b, &c]);
    let by_two = world.remove(2, 0, 0, &[&a, &b, &c]);
    assert_eq!(world.members(&[&a, &b, &c, &by_one, &by_two]), [1, 2, 3]);
    let (thief, thief_again) = (world.remove(0, 1, 0, &[]), world.remove(0, 2, 0, &[]));
    let records = [&a, &b, &c, &by_one, &by_two, &thief, &thief_again];
    assert_eq!(world.members(&records), [0, 3]);
}

use super::desk::Desk;
use super::*;

#[test]
fn everything_is_told_when_a_link_comes_up_and_every_half_minute() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 1), origin(7, 2)]);
    desk.pass(seconds(2));
    desk.engine.link_up(id(1), desk.now);
    let first = desk.told(1);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].origins, [origin(0, 1), origin(7, 2)]);
    assert!(first[0].is_whole && first[0].wants_changes && !first[0].wants_answer);
    assert_eq!((first[0].member, first[0].database), (ME, OWN));
    desk.whole(1, &[origin(0, 1), origin(7, 2)]);
    desk.outputs();
    desk.pass(millis(29_999));
    assert_eq!(desk.told(1), []);
    desk.pass(millis(1));
    let second = desk.told(1);
    assert!(second[0].is_whole && second[0].revision > first[0].revision);
}

#[test]
fn comparisons_are_spread() {
    let config = ExchangeConfig::default();
    let gap = |seed| {
        let mut engine = Exchange::new(ME, config.clone(), seed, UnixMillis(0));
        let now = some_instant();
        engine.members([id(1)].into(), now);
        engine.link_up(id(1), now);
        engine.poll_timeout().unwrap() - now
    };
    let gaps: BTreeSet<Duration> = (0..50).map(gap).collect();
    assert!(gaps.len() > 40);
    assert!(gaps.iter().all(|gap| (seconds(25)..=seconds(35)).contains(gap)), "{gaps:?}");
}

#[test]
fn changes_are_acknowledged_together_and_alone() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 1)]);
    desk.linked(1, &[]);
    desk.pass(seconds(2));
    desk.outputs();
    desk.own(&[origin(7, 1), origin(8, 1)]);
    desk.pass(millis(999));
    desk.own(&[origin(7, 1), origin(8, 2)]);
    assert_eq!(desk.told(1), []);
    desk.pass(millis(1));
    let told = desk.told(1);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].origins, [origin(8, 2)]);
    assert!(!told[0].is_whole);
    desk.pass(seconds(10));
    assert_eq!(desk.told(1), []);
}

#[test]
fn members_are_relayed_to_those_who_are_not_linked_with_them() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 9)]);
    desk.linked(1, &[origin(7, 1)]);
    desk.linked(2, &[origin(7, 2)]);
    desk.linked(3, &[origin(7, 3)]);
    desk.neighbours(&[(1, 2)]);
    desk.pass(seconds(29));
    desk.outputs();
    desk.pass(seconds(1));
    let told: Vec<PeerId> = desk.told(1).iter().map(|have| have.member).collect();
    assert_eq!(told, [ME, id(3)]);
    desk.pass(seconds(30));
    let told: Vec<PeerId> = desk.told(1).iter().map(|have| have.member).collect();
    assert_eq!(told, [ME], "3 has said nothing new");
}

#[test]
fn unchanged_words_of_a_member_are_relayed_once_an_hour() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 9)]);
    desk.linked(1, &[]);
    desk.linked(2, &[origin(7, 2)]);
    desk.pass(seconds(30));
    let relayed = |desk: &mut Desk| {
        let told = desk.told(1).into_iter().filter(|have| have.member == id(2));
        told.map(|have| have.revision).collect::<Vec<_>>()
    };
    let first = relayed(&mut desk)[0];
    let say = |desk: &mut Desk, revision, upto| {
        desk.said(2, &[origin(7, upto)], |have| have.revision = revision);
        desk.pass(seconds(30));
    };
    say(&mut desk, first + 30_000, 2);
    assert_eq!(relayed(&mut desk), [0; 0]);
    say(&mut desk, first + 3_599_999, 2);
    assert_eq!(relayed(&mut desk), [0; 0]);
    say(&mut desk, first + 3_600_000, 2);
    assert_eq!(relayed(&mut desk), [first + 3_600_000]);
    say(&mut desk, first + 3_600_001, 3);
    assert_eq!(relayed(&mut desk), [first + 3_600_001], "it has something new");
    // Who has heard it from somebody else has heard it.
    say(&mut desk, first + 3_600_002, 4);
    assert_eq!(relayed(&mut desk), [first + 3_600_002]);
    desk.relayed(1, 2, first + 7_000_000, &[origin(7, 4)]);
    say(&mut desk, first + 8_000_000, 4);
    assert_eq!(relayed(&mut desk), [0; 0]);
    // A new link has heard nothing.
    desk.engine.link_down(id(1), desk.now);
    desk.linked(1, &[]);
    assert_eq!(relayed(&mut desk), [first + 8_000_000]);
}

#[test]
fn of_what_is_relayed_the_newest_counts_and_what_a_member_says_itself_counts_more() {
    let mut desk = Desk::new();
    desk.engine.members([ME, id(1), id(2)].into(), desk.now);
    desk.own(&[origin(7, 9)]);
    desk.linked(1, &[origin(7, 9)]);
    let passed = |desk: &Desk| desk.engine.passed_by_all().upto(&db(7));
    assert_eq!(passed(&desk), 0, "2 has not been heard of");
    desk.relayed(1, 2, 50, &[origin(7, 5)]);
    assert_eq!(passed(&desk), 5);
    desk.relayed(1, 2, 49, &[origin(7, 4)]);
    assert_eq!(passed(&desk), 5);
    desk.relayed(1, 2, 51, &[origin(7, 6)]);
    assert_eq!(passed(&desk), 6);
    desk.linked(2, &[origin(7, 3)]);
    assert_eq!(passed(&desk), 3, "it has started anew, with its clock set back");
    desk.relayed(1, 2, 60, &[origin(7, 8)]);
    assert_eq!(passed(&desk), 3);
}

#[test]
fn only_what_every_member_has_is_passed() {
    let mut desk = Desk::new();
    desk.engine.members([ME, id(1), id(2)].into(), desk.now);
    desk.own(&[origin(7, 9), origin(8, 2)]);
    desk.linked(1, &[OriginHave { holes: vec![2], ..origin(7, 6) }, origin(8, 2)]);
    desk.linked(2, &[origin(7, 4), origin(8, 1)]);
    let passed = desk.engine.passed_by_all();
    assert_eq!(passed.origins().collect::<Vec<_>>(), [(db(7), 4), (db(8), 1)]);
    let hole = mesh_protocol::Dot { origin: db(7), sequence: 2 };
    assert!(!passed.knows(&hole), "what is kept aside has not been passed");
    desk.outputs();
    desk.pass(seconds(30));
    let trims = desk.outputs().iter().filter(|output| **output == ExchangeOutput::Trim).count();
    assert_eq!(trims, 1);
    // Who does not belong any more need not have anything.
    desk.engine.members([ME, id(1)].into(), desk.now);
    assert_eq!(desk.engine.passed_by_all().upto(&db(7)), 6);
}

#[test]
fn what_a_member_has_counts_as_passed_when_all_that_it_has_is_here() {
    let mut desk = Desk::new();
    desk.engine.members([ME, id(1)].into(), desk.now);
    desk.own(&[origin(7, 9), origin(8, 2)]);
    desk.linked(1, &[origin(7, 6), origin(8, 3)]);
    let passed = |desk: &Desk| desk.engine.passed_by_all().upto(&db(7));
    assert_eq!(passed(&desk), 0, "it may have made 8:3 before it had 7:6");
    desk.own(&[origin(7, 9), origin(8, 3)]);
    assert_eq!(passed(&desk), 6);
    // Under steady writes the latest that it says is never here; what it said before is, after a while.
    desk.whole(1, &[origin(7, 8), origin(8, 5)]);
    desk.whole(1, &[origin(7, 9), origin(8, 7)]);
    desk.own(&[origin(7, 9), origin(8, 6)]);
    assert_eq!(passed(&desk), 8);
    // What nobody can ever have is given up with the link.
    desk.whole(1, &[origin(7, 9), origin(8, u64::MAX)]);
    desk.whole(1, &[origin(7, 9), origin(8, 6)]);
    assert_eq!(passed(&desk), 8);
    desk.engine.link_down(id(1), desk.now);
    desk.linked(1, &[origin(7, 9), origin(8, 6)]);
    assert_eq!(passed(&desk), 9);
}

#[test]
fn who_is_behind_is_counted() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 9), origin(8, 2)]);
    desk.linked(1, &[OriginHave { holes: vec![3], ..origin(7, 6) }, origin(8, 5), origin(9, 1)]);
    desk.engine.link_up(id(2), desk.now);
    let one = Behind { peer: id(1), they: Some(4), we: Some(4) };
    let two = Behind { peer: id(2), they: None, we: None };
    assert_eq!(desk.engine.behind(), [one, two]);
}

#[test]
fn nothing_is_told_before_the_database_is_known() {
    let now = some_instant();
    let mut engine = Exchange::new(ME, ExchangeConfig::default(), 1, UnixMillis(0));
    engine.members([id(1)].into(), now);
    engine.link_up(id(1), now);
    assert_eq!(engine.poll_output(), None);
    engine.own(OWN, vec![origin(0, 1)], false, now);
    let Some(ExchangeOutput::SendHave { have, .. }) = engine.poll_output() else { panic!() };
    assert!(have.is_whole);
}

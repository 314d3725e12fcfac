use super::desk::Desk;
use super::*;

fn questions(desk: &mut Desk, peer: u8) -> usize {
    desk.told(peer).iter().filter(|have| have.wants_answer && have.is_whole).count()
}

#[test]
fn what_is_missing_is_asked_for_at_once_and_not_twice() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.outputs();
    (0..5).for_each(|_| desk.engine.missing(id(1), desk.now));
    assert_eq!(questions(&mut desk, 1), 1);
    desk.pass(millis(1900));
    assert_eq!(questions(&mut desk, 1), 0);
    desk.pass(millis(100));
    assert_eq!(questions(&mut desk, 1), 1, "no answer came");
    desk.pass(seconds(10));
    assert_eq!(questions(&mut desk, 1), 0, "nothing has been missing since");
}

#[test]
fn what_came_before_the_answer_is_not_asked_for_again() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.engine.missing(id(1), desk.now);
    desk.engine.missing(id(1), desk.now);
    desk.whole(1, &[]);
    desk.outputs();
    desk.pass(seconds(10));
    assert_eq!(questions(&mut desk, 1), 0);
}

#[test]
fn questions_that_bring_nothing_become_rare() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    let mut count = 0;
    for _ in 0..400 {
        desk.engine.missing(id(1), desk.now);
        desk.pass(millis(25));
        let asked = questions(&mut desk, 1);
        if asked > 0 {
            desk.whole(1, &[]);
        }
        count += asked;
    }
    assert!((8..=12).contains(&count), "{count} in ten seconds");
    desk.engine.applied_from(&[(db(1), 1)], id(1));
    desk.own(&[origin(1, 1)]);
    desk.engine.missing(id(1), desk.now);
    desk.pass(millis(50));
    assert_eq!(questions(&mut desk, 1), 1, "the last one brought something");
}

#[test]
fn a_question_is_answered_with_everything_and_what_was_sent_is_sent_again() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 3)]);
    desk.linked(1, &[]);
    desk.fed(1, &[(0, 1), (0, 2), (0, 3)]);
    desk.outputs();
    desk.asked(1, &[origin(0, 1)]);
    let told = desk.told(1);
    assert_eq!(told.len(), 1);
    assert!(told[0].is_whole && !told[0].wants_answer);
    assert_eq!(told[0].origins, [origin(0, 3)]);
    assert_eq!(desk.feed(1), [(0, 2), (0, 3)]);
}

#[test]
fn many_questions_are_answered_at_a_bounded_rate() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 1)]);
    desk.linked(1, &[]);
    desk.outputs();
    for _ in 0..1000 {
        desk.asked(1, &[]);
        desk.pass(millis(1));
    }
    let answers = desk.told(1).len();
    assert!((20..=45).contains(&answers), "{answers} in a second");
}

#[test]
fn nothing_is_asked_for_while_a_snapshot_is_taken() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.snapshot_begins(&[]);
    desk.outputs();
    desk.engine.missing(id(1), desk.now);
    desk.pass(seconds(5));
    assert_eq!(questions(&mut desk, 1), 0);
}

#[test]
fn a_comparison_can_be_had_at_once_with_linked_members_alone() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.outputs();
    desk.engine.compare_now(id(2), desk.now);
    assert_eq!(desk.outputs(), []);
    desk.engine.compare_now(id(1), desk.now);
    assert_eq!(questions(&mut desk, 1), 1);
    assert_eq!(desk.engine.member_of(&OWN), Some(ME));
    assert_eq!(desk.engine.member_of(&db(1)), Some(id(1)));
    assert_eq!(desk.engine.member_of(&db(2)), None);
}

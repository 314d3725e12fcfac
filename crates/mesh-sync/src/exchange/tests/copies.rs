use super::desk::Desk;
use super::*;

fn renewals(desk: &mut Desk) -> Vec<u64> {
    let mut wishes = Vec::new();
    for output in desk.outputs() {
        if let ExchangeOutput::RenewOrigin { shared_upto } = output {
            wishes.push(shared_upto);
        }
    }
    wishes
}

#[test]
fn a_database_of_which_others_have_more_takes_a_new_origin() {
    let mut desk = Desk::new();
    desk.own(&[origin(0, 10)]);
    desk.linked(1, &[origin(0, 4)]);
    desk.linked(2, &[origin(0, 3)]);
    assert_eq!(renewals(&mut desk), Vec::<u64>::new());
    desk.linked(3, &[origin(0, 11)]);
    assert_eq!(renewals(&mut desk), [4], "this much others have had before");
    assert_eq!(desk.engine.feed_of(id(1)), None, "nothing is sent under wrong names");
    desk.whole(3, &[origin(0, 11)]);
    assert_eq!(renewals(&mut desk), Vec::<u64>::new(), "once is enough");
    desk.engine.own(db(20), vec![origin(0, 4), origin(20, 6)], false, desk.now);
    let told = desk.told(1);
    assert!(told[0].is_whole && told[0].database == db(20));
    let feed = desk.engine.feed_of(id(1)).unwrap();
    assert_eq!(feed.goal.upto(&db(20)), 6);
}

#[test]
fn a_liar_cannot_make_a_database_change_its_origin_again_and_again() {
    let mut desk = Desk::new();
    desk.linked(1, &[origin(0, u64::MAX)]);
    assert_eq!(renewals(&mut desk), [0]);
    desk.engine.own(db(20), vec![origin(20, 1)], false, desk.now);
    desk.whole(1, &[origin(20, u64::MAX)]);
    assert_eq!(renewals(&mut desk), Vec::<u64>::new());
    desk.linked(2, &[]);
    assert_eq!(desk.engine.feed_of(id(2)).unwrap().goal.upto(&db(20)), 1, "others get it");
}

#[test]
fn of_two_members_with_the_same_database_one_takes_a_new_origin() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.said(1, &[], |have| have.database = OWN);
    assert_eq!(renewals(&mut desk), Vec::<u64>::new(), "the other one does");
    let now = desk.now;
    let mut engine = Exchange::new(id(1), ExchangeConfig::default(), 1, UnixMillis(0));
    engine.members([ME].into(), now);
    engine.own(OWN, Vec::new(), false, now);
    engine.link_up(ME, now);
    let have = SyncHave {
        member: ME,
        database: OWN,
        revision: 1,
        origins: Vec::new(),
        wants_answer: false,
        is_whole: true,
        wants_changes: true,
    };
    engine.have_received(ME, have, now);
    let outputs: Vec<ExchangeOutput> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert!(outputs.contains(&ExchangeOutput::RenewOrigin { shared_upto: 0 }));
}

use super::desk::Desk;
use super::*;
use mesh_protocol::{HOLES_MAX, ORIGINS_MAX};

fn database(number: usize) -> OriginId {
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    OriginId::from_bytes(bytes)
}

#[test]
fn a_peer_that_names_ever_new_databases_fills_no_more_than_its_share() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 9)]);
    desk.linked(1, &[]);
    for round in 0..3 {
        let origins: Vec<OriginHave> = (0..ORIGINS_MAX)
            .map(|number| OriginHave {
                origin: database(round * ORIGINS_MAX + number),
                ..origin(0, u64::MAX)
            })
            .collect();
        desk.acknowledged(1, &origins);
    }
    assert_eq!(desk.engine.known[&id(1)].origins().count(), ORIGINS_MAX);
    assert_eq!(desk.engine.behind()[0].we, Some(u64::MAX));
    assert_eq!(desk.engine.passed_by_all(), VersionVector::default());
    // What is heard about others is kept only where it matters here.
    desk.relayed(1, 2, 1, &[OriginHave { origin: database(1), ..origin(0, 5) }, origin(7, 4)]);
    assert_eq!(desk.engine.known[&id(2)].origins().count(), 1);
}

#[test]
fn a_peer_that_names_ever_new_holes_is_taken_to_have_less() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 9)]);
    desk.linked(1, &[]);
    for database in 10..20 {
        let last = u64::try_from(HOLES_MAX).unwrap();
        let holes = (1..=last).rev().map(|hole| hole * 2).collect();
        desk.acknowledged(1, &[OriginHave { holes, ..origin(database, last * 2) }]);
    }
    let stated = &desk.engine.known[&id(1)];
    let holes: usize = stated.origins().map(|have| have.holes.len()).sum();
    assert_eq!(holes, HOLES_MAX);
    assert_eq!(stated.upto(&db(10)), 2048);
    assert_eq!(stated.upto(&db(11)), 1, "up to before its first hole");
    // What replaces something makes room first.
    desk.acknowledged(1, &[origin(10, 2048)]);
    desk.acknowledged(1, &[OriginHave { holes: vec![2], ..origin(11, 4) }]);
    assert_eq!(desk.engine.known[&id(1)].upto(&db(11)), 4);
}

#[test]
fn holes_and_floors_that_cannot_be_are_none() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 9)]);
    desk.linked(1, &[OriginHave { holes: vec![0, 8, 3, 3], floor: 9, ..origin(7, 5) }]);
    let kept = desk.engine.known[&id(1)].get(&db(7)).cloned().unwrap();
    assert_eq!(kept, OriginHave { holes: vec![3], floor: 5, ..origin(7, 5) });
}

#[test]
fn strangers_leave_no_trace() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 9)]);
    desk.linked(99, &[origin(7, 1)]);
    desk.whole(5, &[origin(7, 1)]);
    desk.linked(1, &[]);
    desk.relayed(1, 98, 1, &[origin(7, 1)]);
    desk.relayed(1, 0, 1, &[origin(7, 1)]);
    desk.engine.neighbours(id(97), [id(1)].into());
    desk.engine.missing(id(99), desk.now);
    desk.fed(99, &[(7, 1)]);
    desk.engine.applied_from(&[(db(7), 1)], id(99));
    let engine = &desk.engine;
    assert_eq!(engine.known.keys().collect::<Vec<_>>(), [&id(1)]);
    assert_eq!(engine.links.keys().collect::<Vec<_>>(), [&id(1)]);
    assert!(engine.neighbours.is_empty() && engine.sources.is_empty());
    assert!(engine.links[&id(1)].relayed.is_empty());
}

#[test]
fn who_leaves_the_mesh_is_forgotten() {
    let mut desk = Desk::new();
    desk.linked(1, &[]);
    desk.linked(2, &[]);
    desk.relayed(1, 3, 1, &[]);
    desk.relayed(2, 3, 1, &[]);
    desk.neighbours(&[(1, 2)]);
    assert!(desk.engine.links[&id(2)].relayed.contains_key(&id(3)));
    desk.engine.members([ME, id(2)].into(), desk.now);
    let engine = &desk.engine;
    assert_eq!(engine.known.keys().collect::<Vec<_>>(), [&id(2)]);
    assert_eq!(engine.links.keys().collect::<Vec<_>>(), [&id(2)]);
    assert_eq!(engine.neighbours.keys().collect::<Vec<_>>(), [&id(2)]);
    assert!(engine.links[&id(2)].relayed.is_empty());
    assert_eq!(engine.feed_of(id(1)), None);
}

#[test]
fn gaps_in_what_was_sent_are_bounded() {
    let mut desk = Desk::new();
    desk.own(&[origin(7, 1_000_000)]);
    desk.linked(1, &[]);
    desk.fed(1, &[(7, 900_000)]);
    let feed = desk.engine.feed_of(id(1)).unwrap();
    assert_eq!((feed.have.upto(&db(7)), feed.have.holes().len()), (0, 0));
    desk.fed(1, &[(7, 1000)]);
    let feed = desk.engine.feed_of(id(1)).unwrap();
    assert_eq!((feed.have.upto(&db(7)), feed.have.holes().len()), (1000, 999));
}

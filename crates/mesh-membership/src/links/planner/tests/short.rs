//! Links that end as soon as they are up.

use super::*;

const PEER: PeerId = peer(150);
const UP: LinkInput = LinkInput::LinkUp { peer: PEER };
const DOWN: LinkInput = LinkInput::LinkDown { peer: PEER };
const DIAL_NOW: LinkInput = LinkInput::DialNow { peer: PEER };
const FRAME: LinkInput = LinkInput::FrameReceived { peer: PEER };

/// Lets every link end after `age` for so long, with news that the peer lives all the time; counts the
/// dials.
fn dials_within(duration: Duration, age: Duration) -> usize {
    let (mut bench, mut outputs) = Bench::with_members(&[150]);
    let end = bench.now + duration;
    let mut dials = 0;
    while bench.now < end {
        if outputs.contains(&dial(150)) {
            dials += 1;
            bench.input(UP);
            bench.input(FRAME);
            bench.now += age;
            bench.input(DOWN);
        }
        outputs = bench.input(DIAL_NOW);
        outputs.extend(bench.after(ms(10)));
    }
    dials
}

#[test]
fn a_peer_whose_links_end_at_once_is_dialled_ever_more_rarely_though_it_lives() {
    for age in [0, 10, 100] {
        let dials = dials_within(Duration::from_secs(15), ms(age));
        assert!((5..=12).contains(&dials), "{dials} dials of links that last {age} ms");
    }
}

#[test]
fn links_that_end_at_once_count_as_failures() {
    let (mut bench, _) = Bench::with_members(&[150]);
    for middle in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        bench.input(UP);
        bench.after(LINK_AGE_MIN - ms(1));
        bench.input(FRAME);
        bench.input(DOWN);
        assert_eq!(bench.input(DIAL_NOW), [], "it waits for another reason");
        let (wait, outputs) = bench.next();
        assert!(is_about(wait, ms(middle)), "{wait:?} is not about {middle} ms");
        assert_eq!(outputs, [dial(150)]);
    }
}

/// A bench whose last links have ended at once so often that it waits as long as it ever does.
fn tired() -> Bench {
    let (mut bench, _) = Bench::with_members(&[150]);
    for _ in 0..12 {
        bench.input(UP);
        bench.input(DOWN);
        bench.next();
    }
    bench.input(UP);
    bench
}

#[test]
fn a_link_that_lasts_makes_good_for_those_that_did_not() {
    let mut bench = tired();
    bench.after(LINK_AGE_MIN);
    bench.input(DOWN);
    assert_eq!(bench.input(DIAL_NOW), [dial(150)], "by its age");

    let mut bench = tired();
    bench.after(LINK_AGE_MIN);
    assert_ne!(bench.planner.contacts[&PEER].failures, 0);
    bench.input(FRAME);
    assert_eq!(bench.planner.contacts[&PEER].failures, 0, "by the first frame after that age");
}

#[test]
fn a_link_that_takes_the_place_of_another_one_goes_on_with_its_age() {
    let mut bench = tired();
    bench.after(LINK_AGE_MIN - ms(1));
    bench.input(UP);
    bench.after(ms(1));
    bench.input(DOWN);
    assert!(is_about(bench.next().0, ms(100)));
}

#[test]
fn dials_that_fail_in_between_do_not_make_links_that_end_at_once_forgotten() {
    let mut bench = tired();
    bench.input(DOWN);
    bench.next();
    bench.input(LinkInput::DialFailed { peer: PEER });
    assert_eq!(
        bench.input(DIAL_NOW),
        [dial(150)],
        "a failed dial says nothing against a peer that lives"
    );
    bench.input(UP);
    bench.input(DOWN);
    assert_eq!(bench.input(DIAL_NOW), []);
    assert!(is_about(bench.next().0, ms(10_000)));
}

#[test]
fn new_addresses_and_a_wake_begin_anew() {
    for news in [LinkInput::Woke, LinkInput::AddressesChanged { peer: PEER }] {
        let mut bench = tired();
        bench.input(DOWN);
        assert_eq!(bench.input(news), [dial(150)]);
        bench.input(UP);
        bench.input(DOWN);
        assert!(is_about(bench.next().0, ms(100)));
    }
}

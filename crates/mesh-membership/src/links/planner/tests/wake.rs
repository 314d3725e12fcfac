//! News from elsewhere: a member that was down for long, that lives after all, or that opened another link,
//! and this node waking up.

use super::*;

const PING: LinkOutput = LinkOutput::Ping { peer: peer(150) };
const CLOSE: LinkOutput = LinkOutput::CloseSilent { peer: peer(150) };
const FRAME: LinkInput = LinkInput::FrameReceived { peer: peer(150) };

const DOUBTED: LinkInput = LinkInput::Doubted { peer: peer(150) };

fn inactive(is_inactive: bool) -> LinkInput {
    LinkInput::StateChanged { peer: peer(150), is_inactive }
}

/// A bench whose dials of one member have failed so often that it waits as long as it ever does.
fn tired(is_inactive: bool) -> Bench {
    let (mut bench, _) = Bench::with_members(&[150]);
    bench.input(inactive(is_inactive));
    for _ in 0..12 {
        bench.input(LinkInput::DialFailed { peer: peer(150) });
        bench.next();
    }
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    bench
}

#[test]
fn an_inactive_member_is_dialled_rarely_until_it_is_active_again() {
    let mut bench = tired(true);
    let (wait, outputs) = bench.next();
    assert!(is_about(wait, ms(60_000)), "{wait:?}");
    assert_eq!(outputs, [dial(150)]);
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    assert_eq!(bench.input(inactive(false)), []);
    assert_eq!(bench.next(), (ms(10_000), vec![dial(150)]), "a long wait is cut short");
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    assert!(is_about(bench.next().0, ms(10_000)));
}

#[test]
fn a_link_ends_inactivity() {
    let mut bench = tired(true);
    bench.input(LinkInput::LinkUp { peer: peer(150) });
    assert!(!bench.planner.contacts[&peer(150)].is_inactive);
}

#[test]
fn a_member_that_lives_is_dialled_at_once_and_then_often() {
    let mut bench = tired(false);
    assert_eq!(bench.input(LinkInput::DialNow { peer: peer(150) }), [dial(150)]);
    assert_eq!(bench.input(LinkInput::DialNow { peer: peer(150) }), [], "it is being dialled");
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    assert!(is_about(bench.next().0, ms(100)));
    bench.input(LinkInput::LinkUp { peer: peer(150) });
    assert_eq!(bench.input(LinkInput::DialNow { peer: peer(150) }), []);
    for input in [LinkInput::DialNow { peer: peer(9) }, inactive(true)] {
        assert_eq!(bench.input(input), []);
    }
}

#[test]
fn a_wake_makes_every_waiting_dial_due() {
    let mut bench = tired(false);
    assert_eq!(bench.input(LinkInput::Woke), [dial(150)]);
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    let (wait, _) = bench.next();
    assert!(is_about(wait, ms(100)), "failures from before are forgotten: {wait:?}");
    // The dial that is under way began in the network of before.
    assert_eq!(bench.input(LinkInput::Woke), []);
    assert_eq!(bench.input(LinkInput::DialFailed { peer: peer(150) }), [dial(150)]);
}

#[test]
fn a_link_that_stays_silent_after_a_wake_is_closed_soon() {
    let mut bench = Bench::linked(150);
    bench.after(ms(1000));
    assert_eq!(bench.input(LinkInput::Woke), [PING]);
    assert_eq!(bench.next(), (ms(1500), vec![CLOSE]));
    assert_eq!(bench.input(LinkInput::Woke), [], "it is being closed");
    assert_eq!(bench.planner.poll_timeout(), None);
}

#[test]
fn a_link_that_answers_after_a_wake_is_kept() {
    let mut bench = Bench::linked(150);
    assert_eq!(bench.input(LinkInput::Woke), [PING]);
    bench.after(ms(1499));
    bench.input(FRAME);
    assert_eq!(bench.after(ms(3500)), []);
    assert_eq!(bench.after(ms(1)), [PING]);
    for _ in 0..2 {
        assert_eq!(bench.after(ms(5000)), [PING]);
    }
    assert_eq!(bench.input(LinkInput::Woke), [PING], "a later wake is a trial of its own");
    assert_eq!(bench.after(ms(1500)), [CLOSE]);
}

#[test]
fn a_link_that_was_silent_while_the_machine_slept_gets_its_chance() {
    let mut bench = Bench::linked(150);
    bench.now += ms(90_000);
    assert_eq!(bench.input(LinkInput::Woke), [PING]);
    bench.input(FRAME);
    assert_eq!(bench.after(ms(1500)), []);
}

#[test]
fn a_restless_network_does_not_keep_a_dead_link() {
    let mut bench = Bench::linked(150);
    for _ in 0..3 {
        assert_eq!(bench.input(LinkInput::Woke), [PING]);
        assert_eq!(bench.after(ms(499)), []);
    }
    assert_eq!(bench.after(ms(3)), [CLOSE]);
}

#[test]
fn a_wake_leaves_a_removed_member_alone() {
    let mut bench = Bench::linked(150);
    bench.members(&[]);
    assert_eq!(bench.input(LinkInput::Woke), []);
    assert_eq!(bench.planner.poll_timeout(), None);
}

#[test]
fn a_link_whose_peer_opened_another_one_has_to_answer_soon() {
    let mut bench = Bench::linked(150);
    bench.after(ms(1000));
    assert_eq!(bench.input(DOUBTED), [PING]);
    bench.after(ms(1499));
    bench.input(FRAME);
    assert_eq!(bench.after(ms(1)), [], "it works");
    assert_eq!(bench.input(DOUBTED), [PING], "a later doubt is a trial of its own");
    assert_eq!(bench.next(), (ms(1500), vec![CLOSE]));
    assert_eq!(bench.input(DOUBTED), [], "it is being closed");
}

#[test]
fn a_peer_that_opens_links_again_and_again_does_not_keep_a_dead_one() {
    let mut bench = Bench::linked(150);
    assert_eq!(bench.input(DOUBTED), [PING]);
    for _ in 0..14 {
        assert_eq!(bench.after(ms(100)), []);
        assert_eq!(bench.input(DOUBTED), []);
    }
    assert_eq!(bench.after(ms(100)), [CLOSE]);
}

#[test]
fn a_doubt_prolongs_no_silence() {
    let mut bench = Bench::linked(150);
    bench.after(ms(14_000));
    assert_eq!(bench.input(DOUBTED), [PING]);
    assert_eq!(bench.next(), (ms(1000), vec![CLOSE]));
}

#[test]
fn a_doubt_is_about_one_link_only() {
    let (mut bench, _) = Bench::with_members(&[150, 151, 152]);
    for linked in [150, 151] {
        bench.input(LinkInput::LinkUp { peer: peer(linked) });
    }
    assert_eq!(bench.input(DOUBTED), [PING]);
    for unlinked in [9, 152] {
        assert_eq!(bench.input(LinkInput::Doubted { peer: peer(unlinked) }), []);
    }
    assert_eq!(bench.after(ms(1500)), [CLOSE]);
}

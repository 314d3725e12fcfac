use super::*;

#[test]
fn a_new_member_is_suspect_in_silence_and_down_after_one_round() {
    let mut bench = Bench::new(&[1, 2]);
    assert_eq!(bench.state(1), Suspect);
    assert_eq!(bench.run(ms(1999), None), []);
    assert_eq!(bench.after(ms(1)), [changed(1, Suspect, Down), changed(2, Suspect, Down)]);
}

#[test]
fn this_node_is_nobody_to_itself() {
    let mut bench = Bench::new(&[100]);
    assert_eq!(bench.liveness.state(&ME), None);
    assert_eq!(bench.liveness.poll_timeout(), None);
    assert_eq!(bench.link_up(100), []);
}

#[test]
fn a_link_is_life() {
    let mut bench = Bench::new(&[1]);
    assert_eq!(bench.link_up(1), [changed(1, Suspect, Alive)]);
    assert!(bench.liveness.is_linked(&peer(1)));
    assert_eq!(bench.link_up(1), [], "another link took its place");
    assert_eq!(bench.liveness.poll_timeout(), None, "a linked member needs no timer");
    assert_eq!(bench.after(DAY), []);
    assert_eq!(bench.liveness.states().collect::<Vec<_>>(), [(peer(1), Alive)]);
}

#[test]
fn without_helpers_a_lost_link_means_down_after_the_time_for_answers() {
    let mut bench = Bench::linked(&[1]);
    assert_eq!(bench.link_down(1), [changed(1, Alive, Suspect)]);
    assert!(!bench.liveness.is_linked(&peer(1)));
    assert_eq!(bench.next(), (ms(1000), vec![changed(1, Suspect, Down)]));
    assert_eq!(bench.link_down(1), [], "it had no link");
    assert_eq!(bench.link_up(1), [changed(1, Down, Alive)]);
}

#[test]
fn who_is_down_for_long_is_inactive_until_it_links_again() {
    let mut bench = Bench::linked(&[1]);
    bench.link_down(1);
    assert_eq!(bench.after(ms(1000)), [changed(1, Suspect, Down)]);
    assert_eq!(bench.run(ms(59_999), None), []);
    assert_eq!(bench.after(ms(1)), [changed(1, Down, Inactive)]);
    assert_eq!(bench.run(DAY, None), []);
    assert_eq!(bench.link_up(1), [changed(1, Inactive, Alive)]);
}

#[test]
fn a_newer_statement_of_the_peer_itself_ends_suspicion() {
    let mut bench = Bench::linked(&[1, 2]);
    bench.announced(1, 5, true);
    assert_eq!(bench.liveness.incarnation(&peer(1)), 5);
    let (asked, _) = split(bench.link_down(1));
    assert_eq!(bench.announced(1, 4, true), [], "an old life");
    assert_eq!(bench.announced(1, 5, false), [], "known already");
    assert_eq!(bench.announced(1, 5, true), [changed(1, Suspect, Alive), dial_now(1)]);
    assert_eq!(bench.answer(asked[0], false), [], "the probe of before is void");
    assert_eq!(bench.announced(1, 6, false), [], "alive as before");
    assert_eq!(bench.liveness.incarnation(&peer(1)), 6);
    assert_eq!(bench.liveness.incarnation(&peer(9)), 0);
    assert_eq!(bench.announced(9, 6, true), [], "a stranger");
}

#[test]
fn a_new_incarnation_ends_down_and_inactive() {
    let mut bench = Bench::new(&[1]);
    bench.run(ms(2000), None);
    assert_eq!(bench.announced(1, 1, false), [], "the first that is heard");
    assert_eq!(bench.announced(1, 2, false), [changed(1, Down, Alive), dial_now(1)]);
    let told = bench.run(ms(120_000), None);
    assert_eq!(told, [changed(1, Alive, Down), changed(1, Down, Inactive)]);
    assert_eq!(bench.announced(1, 3, false), [changed(1, Inactive, Alive), dial_now(1)]);
}

#[test]
fn the_first_statement_that_is_heard_of_a_peer_raises_nobody() {
    let long_ago = UnixMillis(START.0 - 86_400_000);
    for is_fresh in [true, false] {
        let mut bench = Bench::with(LivenessConfig::default());
        let members = BTreeMap::from([(peer(1), Some(long_ago)), (peer(2), None)]);
        bench.input(LivenessInput::MembersChanged(members));
        bench.run(ms(2000), None);
        for (byte, seen_at) in [(1, Some(long_ago)), (2, None)] {
            assert_eq!(bench.announced(byte, 0, is_fresh), [], "no incarnation at all");
            assert_eq!(bench.announced(byte, 7, is_fresh), []);
            assert_eq!(bench.announced(byte, 6, true), [], "an older one");
            assert_eq!(bench.state(byte), Down);
            assert_eq!(bench.liveness.last_seen_at(&peer(byte)), seen_at);
            assert_eq!(bench.liveness.incarnation(&peer(byte)), 7);
            assert_eq!(
                bench.announced(byte, 7, true),
                [changed(byte, Down, Alive), dial_now(byte)],
                "the next one within the same incarnation is a sign of life"
            );
        }
    }
}

#[test]
fn what_is_heard_moves_the_last_sight_and_wakes_nobody() {
    let mut bench = Bench::new(&[1, 2]);
    assert_eq!(bench.liveness.last_seen_at(&peer(1)), None);
    bench.link_up(1);
    assert_eq!(bench.liveness.last_seen_at(&peer(1)), Some(START));
    bench.after(ms(500));
    let planned = bench.liveness.poll_timeout();
    assert_eq!(bench.input(LivenessInput::Heard { peer: peer(1) }), []);
    assert_eq!(bench.liveness.last_seen_at(&peer(1)), Some(START.plus(ms(500))));
    assert_eq!(bench.liveness.poll_timeout(), planned);
    for byte in [2, 9] {
        assert_eq!(bench.input(LivenessInput::Heard { peer: peer(byte) }), [], "it has no link");
        assert_eq!(bench.liveness.last_seen_at(&peer(byte)), None);
    }
}

#[test]
fn known_members_keep_their_state_and_the_later_sight() {
    let mut bench = Bench::linked(&[1, 2]);
    let members = BTreeMap::from([
        (peer(1), Some(UnixMillis(5))),
        (peer(2), Some(START.plus(ms(9)))),
        (peer(3), Some(UnixMillis(7))),
    ]);
    assert_eq!(bench.input(LivenessInput::MembersChanged(members)), []);
    assert_eq!([1, 2, 3].map(|byte| bench.state(byte)), [Alive, Alive, Suspect]);
    let seen = [1, 2, 3].map(|byte| bench.liveness.last_seen_at(&peer(byte)).unwrap());
    assert_eq!(seen, [START, START.plus(ms(9)), UnixMillis(7)]);
}

#[test]
fn a_removed_member_is_forgotten_with_everything_about_it() {
    let mut bench = Bench::linked(&[1, 2, 3]);
    bench.announced(1, 5, true);
    let (asked, _) = split(bench.link_down(1));
    assert_eq!(bench.members(&[2, 3]), []);
    assert_eq!(bench.liveness.state(&peer(1)), None);
    assert!(bench.liveness.probes.is_empty());
    assert_eq!(bench.liveness.poll_timeout(), None);
    for input in
        [LivenessInput::LinkUp { peer: peer(1) }, LivenessInput::LinkDown { peer: peer(1) }]
    {
        assert_eq!(bench.input(input), []);
    }
    assert_eq!(bench.members(&[1, 2, 3]), []);
    assert_eq!(bench.answer(asked[0], true), [], "asked about its former membership");
    assert_eq!((bench.state(1), bench.liveness.incarnation(&peer(1))), (Suspect, 0));
}

#[test]
fn a_member_that_is_removed_while_linked_has_no_link_when_it_returns() {
    let mut bench = Bench::linked(&[1, 2]);
    bench.members(&[2]);
    assert_eq!(bench.members(&[1, 2]), []);
    assert!(!bench.liveness.is_linked(&peer(1)));
    assert_eq!(bench.link_down(1), [], "the link of before is cut late");
    assert_eq!(bench.state(1), Suspect);
}

#[test]
fn early_late_and_repeated_timeouts_are_harmless() {
    let mut bench = Bench::new(&[1]);
    for _ in 0..5 {
        assert_eq!(bench.after(Duration::ZERO), []);
    }
    // Woken up long after a suspend, what was due comes one after the other.
    assert_eq!(bench.after(DAY), []);
    assert_eq!(bench.after(DAY), [changed(1, Suspect, Down)]);
    assert_eq!(bench.after(DAY), [changed(1, Down, Inactive)]);
    let before = bench.now.checked_sub(DAY).unwrap();
    bench.liveness.handle_timeout(before, START);
    assert_eq!(bench.outputs(), []);
}

#[test]
fn unusable_paces_are_brought_within_reason() {
    for unusable in [Duration::ZERO, Duration::MAX] {
        let mut bench = Bench::with(LivenessConfig {
            helpers: 0,
            probe_timeout: unusable,
            probe_every: unusable,
            inactive_after: unusable,
            inactive_probe_every: unusable,
            forget_after: unusable,
        });
        bench.members(&[1, 2, 3]);
        bench.link_up(2);
        bench.link_up(1);
        let (asked, _) = split(bench.link_down(1));
        assert_eq!(asked.len(), 1);
        assert!(bench.next().0 >= ms(1));
    }
}

#[test]
fn states_have_names_and_a_short_form() {
    let names = [Alive, Suspect, Down, Inactive].map(MemberState::as_str);
    assert_eq!(names, ["alive", "suspect", "down", "inactive"]);
    let active = [Alive, Suspect, Down, Inactive].map(MemberState::is_active);
    assert_eq!(active, [true, true, false, false]);
}

use super::*;

/// Ten linked members; the first one's link is lost. The three questions about it.
fn suspicious() -> (Bench, Vec<Asked>) {
    let mut bench = Bench::linked(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let (asked, rest) = split(bench.link_down(1));
    assert_eq!(rest, [changed(1, Alive, Suspect)]);
    (bench, asked)
}

fn helpers(asked: &[Asked]) -> BTreeSet<PeerId> {
    asked.iter().map(|asked| asked.helper).collect()
}

#[test]
fn a_few_linked_members_are_asked_when_a_link_is_lost() {
    let (bench, asked) = suspicious();
    assert_eq!(helpers(&asked).len(), 3);
    assert!(asked.iter().all(|asked| asked.subject == peer(1) && asked.helper != peer(1)));
    assert!(helpers(&asked).iter().all(|helper| bench.liveness.is_linked(helper)));
    let nonces: BTreeSet<u64> = asked.iter().map(|asked| asked.nonce).collect();
    assert_eq!(nonces.len(), 3);
}

#[test]
fn helpers_are_drawn_by_the_seed() {
    let draw = |seed| {
        let mut bench = Bench::linked(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        bench.liveness.chance = Chance::new(seed);
        helpers(&split(bench.link_down(1)).0)
    };
    assert_eq!(draw(1), draw(1));
    let draws: BTreeSet<BTreeSet<PeerId>> = (0..20).map(draw).collect();
    assert!(draws.len() > 10, "{} different draws", draws.len());
}

#[test]
fn one_who_reaches_it_is_enough() {
    let (mut bench, asked) = suspicious();
    bench.after(ms(20));
    assert_eq!(bench.answer(asked[0], false), []);
    assert_eq!(bench.answer(asked[1], true), [changed(1, Suspect, Alive), dial_now(1)]);
    assert_eq!(bench.liveness.last_seen_at(&peer(1)), Some(START.plus(ms(20))));
    assert!(!bench.liveness.is_linked(&peer(1)));
    assert_eq!(bench.answer(asked[2], false), [], "the rest is void");
    assert!(bench.liveness.probes.is_empty());
}

#[test]
fn when_nobody_reaches_it_it_is_down_at_once() {
    let (mut bench, asked) = suspicious();
    assert_eq!(bench.answer(asked[0], false), []);
    assert_eq!(bench.unsent(asked[1]), []);
    assert_eq!(bench.answer(asked[2], false), [changed(1, Suspect, Down)]);
}

#[test]
fn when_answers_fail_to_come_it_is_down_in_time() {
    let (mut bench, asked) = suspicious();
    bench.answer(asked[0], false);
    assert_eq!(bench.next(), (ms(1000), vec![changed(1, Suspect, Down)]));
    assert!(bench.liveness.probes.is_empty());
    assert_eq!(bench.answer(asked[1], true), [], "too late");
}

#[test]
fn a_helper_that_is_lost_or_removed_has_not_answered() {
    let (mut bench, asked) = suspicious();
    let lost = asked[0].helper;
    let (others, rest) = split(bench.input(LivenessInput::LinkDown { peer: lost }));
    assert_eq!(rest, [LivenessOutput::StateChanged { peer: lost, from: Alive, to: Suspect }]);
    assert_eq!(helpers(&others).len(), 3);
    bench.answer(asked[1], false);
    let left = (1..=10).map(peer).filter(|peer| *peer != asked[2].helper);
    let left = left.map(|peer| (peer, None)).collect();
    let outputs = bench.input(LivenessInput::MembersChanged(left));
    assert!(outputs.contains(&changed(1, Suspect, Down)), "{outputs:?}");
}

#[test]
fn answers_nobody_asked_for_are_ignored() {
    let (mut bench, asked) = suspicious();
    let strange = [
        Asked { helper: asked[1].helper, ..asked[0] },
        Asked { helper: peer(99), ..asked[0] },
        Asked { helper: peer(1), ..asked[0] },
        Asked { nonce: asked[0].nonce.wrapping_sub(1), ..asked[0] },
    ];
    for asked in strange {
        assert_eq!(bench.answer(asked, true), []);
        assert_eq!(bench.unsent(asked), []);
    }
    assert_eq!(bench.state(1), Suspect);
    assert_eq!(bench.liveness.probes.len(), 3);
}

#[test]
fn who_reaches_an_older_incarnation_reaches_a_ghost() {
    let mut bench = Bench::linked(&[1, 2]);
    bench.announced(1, 5, true);
    let mut answer = |incarnation| {
        bench.link_up(1);
        let (asked, _) = split(bench.link_down(1));
        let Asked { helper, nonce, .. } = asked[0];
        bench.input(LivenessInput::ProbeAnswered {
            nonce,
            helper,
            is_reached: true,
            incarnation,
            last_seen_at: UnixMillis(0),
        })
    };
    assert_eq!(answer(4), [changed(1, Suspect, Down)]);
    assert_eq!(answer(5), [changed(1, Suspect, Alive), dial_now(1)]);
    assert_eq!(answer(u64::MAX), [changed(1, Suspect, Alive), dial_now(1)]);
    assert_eq!(answer(5), [changed(1, Suspect, Alive), dial_now(1)], "helpers cannot outbid it");
}

#[test]
fn who_lives_without_a_link_is_asked_about_again_and_again() {
    let (mut bench, asked) = suspicious();
    bench.answer(asked[1], true);
    let proven = asked[1].helper;
    let mut all = BTreeSet::new();
    for _ in 0..40 {
        let (wait, outputs) = bench.next();
        assert_eq!(wait, ms(5000));
        let (asked, rest) = split(outputs);
        assert_eq!((helpers(&asked).len(), rest), (3, vec![]));
        all.extend(helpers(&asked));
        let again =
            asked.iter().find(|asked| asked.helper == proven).expect("it reached it before");
        assert_eq!(bench.answer(*again, true), []);
    }
    assert_eq!(all.len(), 9, "others get their turn");
    let (asked, _) = split(bench.next().1);
    bench.answer(asked[0], false);
    bench.answer(asked[1], false);
    assert_eq!(bench.answer(asked[2], false), [changed(1, Alive, Down)]);
}

#[test]
fn who_is_down_is_asked_about_often_and_who_is_inactive_rarely() {
    let (mut bench, asked) = suspicious();
    for asked in asked {
        bench.answer(asked, false);
    }
    let mut rounds = 0;
    while bench.state(1) == Down {
        let (asked, _) = split(bench.next().1);
        rounds += usize::from(!asked.is_empty());
        for asked in asked {
            bench.answer(asked, false);
        }
    }
    assert!((11..=12).contains(&rounds), "{rounds}");
    for _ in 0..10 {
        let (wait, outputs) = bench.next();
        assert_eq!(wait, ms(60_000));
        for asked in split(outputs).0 {
            assert_eq!(bench.answer(asked, false), []);
        }
    }
    let (asked, _) = split(bench.next().1);
    assert_eq!(bench.answer(asked[2], true), [changed(1, Inactive, Alive), dial_now(1)]);
}

#[test]
fn whoever_links_joins_a_round_that_lacks_helpers() {
    let mut bench = Bench::new(&[1, 2, 3, 4, 5]);
    bench.after(ms(1000));
    let (mut asked, _) = split(bench.link_up(2));
    assert_eq!(asked.iter().map(|asked| asked.subject).collect::<Vec<_>>(), [1, 3, 4, 5].map(peer));
    for member in [3, 4, 5] {
        asked.extend(split(bench.link_up(member)).0);
    }
    let about_first: Vec<Asked> =
        asked.into_iter().filter(|asked| asked.subject == peer(1)).collect();
    assert_eq!(helpers(&about_first), [2, 3, 4].map(peer).into());
    assert_eq!(bench.answer(about_first[2], true), [changed(1, Suspect, Alive), dial_now(1)]);
}

#[test]
fn a_round_that_had_nobody_to_ask_is_repeated_when_somebody_links() {
    let mut bench = Bench::new(&[1, 2]);
    bench.run(ms(2000), None);
    let (asked, rest) = split(bench.link_up(2));
    assert_eq!(rest, [changed(2, Down, Alive)]);
    assert_eq!(asked.iter().map(|asked| asked.subject).collect::<Vec<_>>(), [peer(1)]);
    assert_eq!(bench.link_up(2), [], "once");
    assert_eq!(bench.answer(asked[0], true), [changed(1, Down, Alive), dial_now(1)]);
}

#[test]
fn helpers_tell_when_they_saw_it_last() {
    let (mut bench, asked) = suspicious();
    bench.after(ms(100));
    bench.answer_seen(asked[0], false, START.plus(ms(50)));
    assert_eq!(bench.liveness.last_seen_at(&peer(1)), Some(START.plus(ms(50))));
    bench.answer_seen(asked[1], false, START.plus(DAY));
    assert_eq!(bench.liveness.last_seen_at(&peer(1)), Some(bench.wall), "a clock that runs ahead");
    bench.answer_seen(asked[2], false, START);
    assert_eq!(bench.liveness.last_seen_at(&peer(1)), Some(bench.wall));
}

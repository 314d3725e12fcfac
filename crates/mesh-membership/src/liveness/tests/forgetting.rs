use super::*;

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Members with larger ids than this node's, all linked but the first, which has not been seen for a
/// year; everything has settled.
fn bench_with(config: LivenessConfig, members: &[u8], linked: &[u8]) -> (Bench, UnixMillis) {
    let mut bench = Bench::with(config);
    let seen_at = UnixMillis(START.0 - 365 * 24 * 3600 * 1000);
    let members = members.iter().map(|byte| (peer(*byte), Some(seen_at))).collect();
    bench.input(LivenessInput::MembersChanged(members));
    for member in linked {
        bench.link_up(*member);
    }
    (bench, seen_at)
}

fn bench(members: &[u8], linked: &[u8]) -> (Bench, UnixMillis) {
    bench_with(LivenessConfig::default(), members, linked)
}

fn forgotten(outputs: &[LivenessOutput]) -> Vec<(PeerId, UnixMillis)> {
    let forgotten = outputs.iter().filter_map(|output| match output {
        LivenessOutput::Forget { peer, last_seen_at } => Some((*peer, *last_seen_at)),
        LivenessOutput::Probe { .. }
        | LivenessOutput::StateChanged { .. }
        | LivenessOutput::DialNow { .. } => None,
    });
    forgotten.collect()
}

/// Runs until a round asks as many as `count` at once.
fn next_round_of(bench: &mut Bench, count: usize) -> Vec<Asked> {
    loop {
        let (asked, _) = split(bench.next().1);
        if asked.len() == count {
            return asked;
        }
        for asked in asked {
            bench.answer(asked, false);
        }
    }
}

#[test]
fn a_member_nobody_has_seen_for_long_is_forgotten_once_a_day() {
    let (mut bench, seen_at) = bench(&[101, 102, 103], &[102, 103]);
    let told = bench.run(DAY - ms(1), Some(seen_at));
    assert_eq!(forgotten(&told), [], "this node was itself not here until a moment ago");
    let told = bench.run(ms(120_000), Some(seen_at));
    assert_eq!(forgotten(&told), [(peer(101), seen_at)]);
    assert_eq!(forgotten(&bench.run(DAY - ms(240_000), Some(seen_at))), []);
    assert_eq!(forgotten(&bench.run(DAY, Some(seen_at))), [(peer(101), seen_at)]);
    bench.members(&[102, 103]);
    assert_eq!(bench.run(DAY, Some(seen_at)), []);
}

#[test]
fn everybody_linked_is_asked_first() {
    let (mut bench, seen_at) = bench(&[101, 102, 103, 104, 105, 106], &[102, 103, 104, 105, 106]);
    let asked = next_round_of(&mut bench, 5);
    for asked in &asked[..4] {
        assert_eq!(bench.unsent(*asked), []);
    }
    assert_eq!(forgotten(&bench.answer(asked[4], false)), [(peer(101), seen_at)]);
}

#[test]
fn one_who_saw_it_later_prevents_it() {
    let (mut bench, _) = bench(&[101, 102, 103, 104, 105], &[102, 103, 104, 105]);
    let asked = next_round_of(&mut bench, 4);
    let seen_at = UnixMillis(bench.wall.0 - 1000);
    assert_eq!(bench.answer_seen(asked[0], false, seen_at), []);
    for asked in &asked[1..] {
        assert_eq!(bench.answer(*asked, false), []);
    }
    assert_eq!(bench.liveness.last_seen_at(&peer(101)), Some(seen_at));
    assert_eq!(forgotten(&bench.run(MONTH - ms(120_000), Some(UnixMillis(0)))), []);
    let told = bench.run(ms(240_000), Some(UnixMillis(0)));
    assert_eq!(forgotten(&told), [(peer(101), seen_at)]);
}

#[test]
fn one_who_reaches_it_prevents_it_whichever_incarnation_that_is() {
    for incarnation in [4, 5] {
        let (mut bench, _) = bench(&[101, 102, 103, 104, 105], &[102, 103, 104, 105]);
        bench.liveness.subjects.get_mut(&peer(101)).unwrap().incarnation = 5;
        let asked = next_round_of(&mut bench, 4);
        let mut told = Vec::new();
        for (place, Asked { helper, nonce, .. }) in asked.into_iter().enumerate() {
            told.extend(bench.input(LivenessInput::ProbeAnswered {
                nonce,
                helper,
                is_reached: place == 1,
                incarnation,
                last_seen_at: UnixMillis(0),
            }));
        }
        assert_eq!(forgotten(&told), []);
        assert_eq!(bench.state(101), if incarnation == 5 { Alive } else { Inactive });
    }
}

#[test]
fn without_any_answer_nobody_is_forgotten() {
    let (mut bench, _) = bench(&[101, 102, 103], &[102, 103]);
    assert_eq!(forgotten(&bench.run(3 * DAY, None)), []);
}

#[test]
fn a_node_without_links_forgets_nobody_unless_there_are_but_two() {
    let (mut alone, seen_at) = bench(&[101, 102], &[]);
    assert_eq!(forgotten(&alone.run(3 * DAY, Some(seen_at))), []);
    let (mut pair, seen_at) = bench(&[101], &[]);
    assert_eq!(forgotten(&pair.run(DAY + ms(120_000), None)), [(peer(101), seen_at)]);
}

#[test]
fn a_helper_that_is_removed_meanwhile_does_not_make_the_mesh_one_of_two() {
    let (mut bench, _) = bench(&[101, 102, 103, 104], &[102, 103, 104]);
    bench.run(DAY, Some(UnixMillis(0)));
    let asked = next_round_of(&mut bench, 3);
    assert_eq!(asked.len(), 3);
    let left = BTreeMap::from([(peer(101), None)]);
    let outputs = bench.input(LivenessInput::MembersChanged(left));
    assert_eq!(forgotten(&outputs), []);
}

#[test]
fn it_falls_to_the_smallest_of_those_who_see_each_other() {
    let (mut bench, seen_at) = bench(&[101, 50, 103], &[50, 103]);
    assert_eq!(forgotten(&bench.run(3 * DAY, Some(seen_at))), []);
    bench.link_down(50);
    let told = bench.run(DAY, Some(seen_at));
    assert_eq!(forgotten(&told)[0], (peer(101), seen_at), "the smaller one is gone");
}

#[test]
fn zero_means_never() {
    let config = LivenessConfig { forget_after: Duration::ZERO, ..LivenessConfig::default() };
    let (mut bench, seen_at) = bench_with(config, &[101, 102], &[102]);
    assert_eq!(forgotten(&bench.run(3 * DAY, Some(seen_at))), []);
}

#[test]
fn a_member_that_was_never_seen_counts_from_when_it_was_learned_of() {
    let mut bench = Bench::linked(&[102, 103]);
    bench.after(ms(1000));
    let learned_at = bench.wall;
    bench.members(&[101, 102, 103]);
    assert_eq!(forgotten(&bench.run(MONTH - ms(1), Some(UnixMillis(0)))), []);
    let told = bench.run(ms(120_000), Some(UnixMillis(0)));
    assert_eq!(forgotten(&told), [(peer(101), learned_at)]);
}

#[test]
fn a_wall_clock_that_leaps_removes_nobody_this_node_has_seen() {
    let mut bench = Bench::linked(&[101, 102]);
    bench.run(2 * DAY, None);
    bench.link_down(101);
    bench.wall = bench.wall.plus(10 * 365 * DAY);
    assert_eq!(forgotten(&bench.run(3 * DAY, Some(UnixMillis(0)))), []);
    assert_eq!(bench.state(101), Inactive);
}

#[test]
fn a_short_time_to_forget_needs_no_day_of_waiting() {
    let config = LivenessConfig {
        inactive_after: ms(1000),
        inactive_probe_every: ms(1000),
        forget_after: ms(5000),
        ..LivenessConfig::default()
    };
    let (mut bench, seen_at) = bench_with(config, &[101, 102], &[102]);
    assert_eq!(forgotten(&bench.run(ms(4999), Some(seen_at))), []);
    assert_eq!(forgotten(&bench.run(ms(3000), Some(seen_at))), [(peer(101), seen_at)]);
}

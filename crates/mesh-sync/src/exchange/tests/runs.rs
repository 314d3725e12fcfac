use proptest::prelude::*;

use super::mesh::Mesh;
use super::*;

fn writes(mesh: &mut Mesh, members: u8, rounds: u32, pause: Duration) {
    for _ in 0..rounds {
        (0..members).for_each(|member| mesh.write(member));
        mesh.pass(pause);
    }
}

#[test]
fn in_a_full_mesh_everything_is_sent_to_each_member_once() {
    let mut mesh = Mesh::full(5, 1);
    mesh.pass(seconds(1));
    // A commit at a time, around the clock, so that comparisons fall among them.
    for round in 0..1000 {
        mesh.write(u8::try_from(round % 5).unwrap());
        mesh.pass(millis(100));
    }
    mesh.pass(seconds(1));
    assert_eq!(mesh.totals(), vec![1000; 5]);
    assert_eq!((mesh.sent, mesh.duplicates), (4000, 0));
}

#[test]
fn of_busy_concurrent_writers_nothing_is_sent_twice_when_databases_wait_a_moment() {
    let mut mesh = Mesh::full(5, 2);
    mesh.waits = true;
    // Comparisons are due in these moments.
    mesh.pass(millis(29_500));
    // Each link takes up to 19 ms, so that what builds upon something often overtakes it.
    writes(&mut mesh, 5, 400, millis(3));
    mesh.pass(millis(100));
    assert_eq!(mesh.totals(), vec![2000; 5]);
    assert_eq!((mesh.sent, mesh.duplicates, mesh.missing), (8000, 0, 0));
}

#[test]
fn of_busy_concurrent_writers_what_was_dropped_is_sent_again_and_little_else() {
    let mut mesh = Mesh::full(5, 2);
    mesh.pass(seconds(1));
    writes(&mut mesh, 5, 200, millis(3));
    mesh.pass(seconds(3));
    assert_eq!(mesh.totals(), vec![1000; 5]);
    assert_eq!(mesh.sent, 4000 + mesh.missing + mesh.duplicates);
    assert!(mesh.missing < 8000, "{}", mesh.missing);
    assert!(mesh.duplicates < 200, "{}", mesh.duplicates);
}

#[test]
fn a_line_does_not_wait_for_a_comparison() {
    let mut mesh = Mesh::line(5, 3);
    mesh.pass(seconds(1));
    mesh.write(0);
    mesh.write(4);
    mesh.pass(millis(100));
    assert_eq!(mesh.totals(), vec![2; 5]);
    assert_eq!(mesh.sent, 8, "once over each link");
}

#[test]
fn a_star_hands_on_at_once() {
    let mut mesh = Mesh::star(6, 4);
    mesh.pass(seconds(1));
    mesh.write(3);
    mesh.pass(millis(50));
    assert_eq!(mesh.totals(), vec![1; 6]);
    assert_eq!(mesh.sent, 5);
}

#[test]
fn what_a_broken_link_swallowed_goes_another_way() {
    let mut mesh = Mesh::full(3, 5);
    mesh.pass(seconds(1));
    mesh.write(0);
    mesh.cut(0, 1);
    mesh.pass(seconds(1));
    assert_eq!(mesh.totals(), vec![1; 3], "without waiting for a comparison");
}

#[test]
fn two_halves_come_together() {
    let mut mesh = Mesh::line(4, 6);
    mesh.pass(seconds(1));
    mesh.cut(1, 2);
    writes(&mut mesh, 4, 50, millis(30));
    mesh.pass(seconds(1));
    assert_eq!(mesh.totals(), vec![100; 4]);
    let sent = mesh.sent;
    mesh.connect(1, 2);
    mesh.pass(seconds(2));
    assert_eq!(mesh.totals(), vec![200; 4]);
    assert!(mesh.sent - sent <= 400 + 20, "{}", mesh.sent - sent);
}

#[test]
fn everybody_forgets_what_everybody_has_even_in_a_line() {
    let mut mesh = Mesh::line(4, 7);
    mesh.trims = true;
    mesh.pass(seconds(1));
    writes(&mut mesh, 4, 20, millis(100));
    // What the ends have travels one link with each comparison.
    mesh.pass(seconds(200));
    assert_eq!(mesh.log_entries(), 0);
}

#[test]
fn an_idle_mesh_says_little() {
    let mut mesh = Mesh::full(5, 8);
    mesh.pass(seconds(60));
    let before = mesh.statements;
    mesh.pass(seconds(300));
    assert!(mesh.statements - before <= 20 * 12, "{}", mesh.statements - before);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8),
    Burst(u8),
    Connect(u8, u8),
    Cut(u8, u8),
    Forget(u8),
    Pass(u64),
}

fn steps(members: u8) -> impl Strategy<Value = Vec<Step>> {
    let member = 0..members;
    let step = prop_oneof![
        4 => member.clone().prop_map(Step::Write),
        1 => member.clone().prop_map(Step::Burst),
        1 => member.clone().prop_map(Step::Forget),
        2 => (member.clone(), member.clone()).prop_map(|(one, two)| Step::Connect(one, two)),
        2 => (member.clone(), member).prop_map(|(one, two)| Step::Cut(one, two)),
        3 => (0_u64..200).prop_map(Step::Pass),
        1 => (0_u64..60_000).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..80)
}

fn play(steps: &[Step], members: u8, seed: u64, (trims, waits): (bool, bool)) -> Mesh {
    let mut mesh = Mesh::new(members, seed);
    (mesh.trims, mesh.waits) = (trims, waits);
    for step in steps {
        match *step {
            Step::Write(member) => mesh.write(member),
            Step::Burst(member) => (0..30).for_each(|_| mesh.write(member)),
            Step::Connect(one, two) => mesh.connect(one, two),
            Step::Cut(one, two) => mesh.cut(one, two),
            Step::Forget(member) => mesh.forget(member),
            Step::Pass(duration) => mesh.pass(millis(duration)),
        }
    }
    mesh
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn everybody_ends_with_everything(
        steps in steps(5), seed in any::<u64>(), trims in any::<bool>(), waits in any::<bool>(),
    ) {
        let mut mesh = play(&steps, 5, seed, (trims, waits));
        let sent = mesh.sent;
        let lacking: u64 = {
            let totals = mesh.totals();
            let all = totals.iter().max().copied().unwrap_or(0);
            totals.iter().map(|total| all.saturating_sub(*total)).sum()
        };
        // Whatever is linked, a line keeps the mesh together from here on.
        (1..5).for_each(|two| mesh.connect(two - 1, two));
        mesh.pass(seconds(150));
        prop_assert!(mesh.are_equal(), "{:?} after {:?}", mesh.totals(), mesh.elapsed());
        prop_assert!(mesh.nobody_is_in_a_snapshot());
        let all = mesh.totals()[0];
        prop_assert!(lacking <= all * 5);
        prop_assert!(
            mesh.sent - sent <= usize::try_from(all * 5 * 4).unwrap(),
            "{} sent for {all}", mesh.sent - sent
        );
        // And then there is nothing left to send.
        let sent = mesh.sent;
        mesh.pass(seconds(100));
        prop_assert_eq!(mesh.sent, sent);
    }
}

#[test]
fn two_that_have_both_forgotten_what_the_other_lacks_take_it_one_after_the_other() {
    for seed in 0..20 {
        let mut mesh = Mesh::new(2, seed);
        for member in 0..2 {
            mesh.write(member);
            mesh.forget(member);
        }
        mesh.connect(0, 1);
        mesh.pass(seconds(1));
        assert_eq!(mesh.totals(), [2, 2]);
        assert!(mesh.nobody_is_in_a_snapshot());
        assert_eq!(mesh.snapshots, 2);
    }
}

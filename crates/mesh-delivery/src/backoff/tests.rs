use super::*;

const MIN: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(60);

#[test]
fn waits_double_up_to_their_bound() {
    let waits: Vec<u128> =
        [1, 2, 3, 8, 9, 10, 1000, u32::MAX].map(|n| wait_after(n, MIN, MAX).as_millis()).into();
    assert_eq!(waits, [200, 400, 800, 25_600, 51_200, 60_000, 60_000, 60_000]);
}

#[test]
fn jitter_stays_within_a_fifth_and_reaches_both_sides() {
    let mut jitter = Jitter::new(7);
    let waits: Vec<Duration> = (0..10_000).map(|_| jitter.spread(MIN)).collect();
    let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*shortest >= MIN * 8 / 10 && *shortest < MIN * 81 / 100, "{shortest:?}");
    assert!(*longest <= MIN * 12 / 10 && *longest > MIN * 119 / 100, "{longest:?}");
}

#[test]
fn the_same_seed_gives_the_same_waits() {
    let draw = |seed| {
        let mut jitter = Jitter::new(seed);
        (0..8).map(|_| jitter.spread(MAX)).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

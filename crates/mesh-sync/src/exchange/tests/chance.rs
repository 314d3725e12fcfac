use std::time::Duration;

use crate::exchange::chance::Chance;

#[test]
fn numbers_are_drawn_as_in_splitmix64() {
    // The first numbers of the published generator with the seed 0.
    let mut chance = Chance::new(0);
    let drawn = [chance.draw(), chance.draw(), chance.draw()];
    assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
}

#[test]
fn delays_are_spread_as_far_as_the_jitter_and_no_further() {
    let (delay, jitter) = (Duration::from_secs(10), Duration::from_secs(3));
    let mut chance = Chance::new(1);
    let delays: Vec<Duration> = (0..10_000).map(|_| chance.around(delay, jitter)).collect();
    let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    let hair = Duration::from_millis(30);
    assert!((delay - jitter..delay - jitter + hair).contains(shortest), "{shortest:?}");
    assert!((delay + jitter - hair..=delay + jitter).contains(longest), "{longest:?}");
}

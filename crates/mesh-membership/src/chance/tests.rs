use super::*;

#[test]
fn chance_spreads_delays_and_repeats_by_its_seed() {
    let second = Duration::from_secs(1);
    let waits = |seed| -> Vec<Duration> {
        let mut chance = Chance::new(seed);
        (0..1000).map(|_| chance.around(second)).collect()
    };
    assert_eq!(waits(1), waits(1));
    assert_ne!(waits(1), waits(2));
    assert!(waits(1).iter().all(|wait| *wait >= second * 3 / 4 && *wait <= second * 5 / 4));
    assert!(waits(1).iter().any(|wait| *wait < Duration::from_millis(780)));
    assert!(waits(1).iter().any(|wait| *wait > Duration::from_millis(1220)));
}

#[test]
fn every_number_below_the_count_comes_up() {
    let mut chance = Chance::new(3);
    let mut counts = [0; 7];
    for _ in 0..7000 {
        counts[chance.below(7)] += 1;
    }
    assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    assert_eq!(chance.below(0), 0, "of nothing, the first");
}

#[test]
fn numbers_are_drawn_as_in_splitmix64() {
    // The first numbers of the published generator with the seed 0.
    let mut chance = Chance::new(0);
    let drawn = [chance.draw(), chance.draw(), chance.draw()];
    assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
}

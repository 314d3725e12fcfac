use super::*;

#[test]
fn waits_that_cannot_work_are_brought_to_the_nearest_that_can() {
    let day = Duration::from_secs(24 * 3600);
    let too_long = TopologyConfig {
        publish_delay: Duration::MAX,
        compare_every: Duration::MAX,
        rtt_factor: 3,
        rtt_step: Duration::from_millis(7),
        rtt_every: Duration::MAX,
    };
    let longest = TopologyConfig {
        publish_delay: day,
        compare_every: day,
        rtt_every: day,
        ..too_long.clone()
    };
    assert_eq!(too_long.clamped(), longest);
    let none = TopologyConfig {
        publish_delay: Duration::ZERO,
        compare_every: Duration::ZERO,
        rtt_every: Duration::ZERO,
        ..TopologyConfig::default()
    };
    let shortest = TopologyConfig { compare_every: Duration::from_millis(10), ..none.clone() };
    assert_eq!(none.clamped(), shortest);
    assert_eq!(TopologyConfig::default().clamped(), TopologyConfig::default());
}

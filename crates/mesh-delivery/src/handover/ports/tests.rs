use super::*;

#[test]
fn a_configuration_that_cannot_work_is_brought_to_the_nearest_that_can() {
    let day = Duration::from_secs(24 * 3600);
    let too_much = HandoverConfig {
        custodians: usize::MAX,
        delay: Duration::MAX,
        batch_items_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        answer_timeout: Duration::MAX,
        retry_after: Duration::MAX,
    };
    let most = HandoverConfig {
        custodians: HOLDERS_MAX,
        delay: day,
        batch_items_max: PARCELS_PER_FRAME_MAX,
        // All that a frame holds beside what the parcels themselves take.
        batch_bytes_max: FRAME_BODY_BYTES_MAX - PARCELS_PER_FRAME_MAX * 512,
        answer_timeout: day,
        retry_after: day,
    };
    assert_eq!(too_much.clamped(), most);
    let nothing = HandoverConfig {
        custodians: 0,
        delay: Duration::ZERO,
        batch_items_max: 0,
        batch_bytes_max: 0,
        answer_timeout: Duration::ZERO,
        retry_after: Duration::ZERO,
    };
    let millisecond = Duration::from_millis(1);
    let least = HandoverConfig {
        batch_items_max: 1,
        answer_timeout: millisecond,
        retry_after: millisecond,
        ..nothing.clone()
    };
    assert_eq!(nothing.clamped(), least);
    assert_eq!(HandoverConfig::default().clamped(), HandoverConfig::default());
}

use super::*;

#[test]
fn what_one_user_wrote_the_next_does_not_see() {
    let mut scratch = Scratch::new();
    for len in [10, 1000, 10, KEPT_BYTES_MAX, KEPT_BYTES_MAX + 1, 0, 10] {
        scratch.lend(len, |bytes| {
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(0xA7);
        });
        assert!(scratch.zeros.iter().all(|byte| *byte == 0));
        assert!(scratch.zeros.len() <= KEPT_BYTES_MAX);
    }
}

use super::*;

#[test]
fn numbers_are_scrambled_as_in_splitmix64() {
    // The first numbers of the published generator with the seed 0.
    let steps = [1_u64, 2, 3].map(|count| count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let expected = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
    assert_eq!(steps.map(scramble), expected);
}

#[test]
fn two_peers_in_one_order_have_the_number_that_they_have_in_every_version() {
    // Members rank keepers by it: one that computed it in another way would look for other ones.
    let counting = PeerId::from_bytes(std::array::from_fn(|place| u8::try_from(place).unwrap()));
    let twos = PeerId::from_bytes([2; 32]);
    assert_eq!(mix(&counting, &twos), 0x38c6_fbb4_ca09_9c5b);
    assert_eq!(mix(&twos, &counting), 0xb7a8_335b_eff7_6440);
}

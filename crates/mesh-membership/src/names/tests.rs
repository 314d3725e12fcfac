use super::*;
use crate::tests::world::peer;

#[test]
fn every_member_gets_a_name_however_they_are_squatted() {
    let base: Hostname = "m".repeat(63).parse().unwrap();
    // Peers 0 to 15 share their first eight digits, so their variants collide as well.
    let claims: Vec<Claim<'_>> = (0..16)
        .map(|number| Claim { peer: peer(0), hostname: (number % 2 == 0).then_some(&base) })
        .collect();
    let names = assign_names(claims);
    assert_eq!(names.len(), 16);
    assert!(names.keys().all(|name| name.as_str().len() <= 63));
}

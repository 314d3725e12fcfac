//! One name for each member, and who answers to a name.

use mesh_membership::{Membership, Resolution};
use mesh_protocol::UnixMillis;

use crate::world::World;

const NOW: UnixMillis = UnixMillis(50_000);

fn hostname(world: &World, membership: &Membership, peer: usize) -> String {
    membership.verdict().member(&world.id(peer)).unwrap().hostname.to_string()
}

#[test]
fn of_two_that_claim_a_name_the_one_that_joined_first_has_it() {
    let world = World::new(3);
    let records = [
        world.admit(0, 1, 9_000),
        world.admit(0, 2, 8_000),
        world.profile(1, 1, "mint"),
        world.profile(2, 7, "mint"),
    ];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    assert_eq!(hostname(&world, &membership, 2), "mint");
    let other = format!("mint-{}", world.id(1).short());
    assert_eq!(hostname(&world, &membership, 1), other);
    let claimed = &membership.verdict().member(&world.id(1)).unwrap().claimed_hostname;
    assert_eq!(claimed.as_str(), "mint");
    let resolve = |name: &str| membership.verdict().resolve(name, NOW);
    assert_eq!(resolve("mint"), Resolution::Current(world.id(2)));
    assert_eq!(resolve("MINT"), Resolution::Current(world.id(2)));
    assert_eq!(resolve(&other), Resolution::Current(world.id(1)));
}

#[test]
fn a_backdated_admission_takes_no_name_from_a_member_older_than_the_sponsor() {
    let world = World::new(4);
    let records = [
        world.admit(0, 1, 5_000),
        world.admit(0, 2, 6_000),
        world.admit(2, 3, 0),
        world.profile(1, 1, "mint"),
        world.profile(3, 1, "mint"),
    ];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    assert_eq!(hostname(&world, &membership, 1), "mint");
}

#[test]
fn a_name_is_free_again_when_its_member_is_removed() {
    let world = World::new(3);
    let records = [
        world.admit(0, 1, 8_000),
        world.admit(0, 2, 9_000),
        world.profile(1, 1, "mint"),
        world.profile(2, 1, "mint"),
        world.remove(0, 1, 0, &[]),
    ];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    assert_eq!(hostname(&world, &membership, 2), "mint");
}

#[test]
fn a_long_name_is_shortened_to_make_room_for_the_digits() {
    let world = World::new(3);
    let long = "m".repeat(63);
    let records = [
        world.admit(0, 1, 8_000),
        world.admit(0, 2, 9_000),
        world.profile(1, 1, &long),
        world.profile(2, 1, &long),
    ];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    let expected = format!("{}-{}", "m".repeat(54), world.id(2).short());
    assert_eq!(hostname(&world, &membership, 2), expected);
    assert_eq!(expected.len(), 63);
}

#[test]
fn a_made_up_name_gives_way_when_somebody_has_it() {
    let world = World::new(4);
    let squatted = format!("mint-{}", world.id(3).short());
    let records = [
        world.admit(0, 1, 2_000),
        world.admit(0, 2, 3_000),
        world.admit(0, 3, 4_000),
        world.profile(1, 1, "mint"),
        world.profile(2, 1, &squatted),
        world.profile(3, 1, "mint"),
    ];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    assert_eq!(hostname(&world, &membership, 2), squatted);
    assert_eq!(hostname(&world, &membership, 3), format!("{squatted}-2"));
}

#[test]
fn a_former_name_is_answered_until_its_time_is_over() {
    let world = World::new(3);
    let records = [
        world.admit(0, 1, 2_000),
        world.admit(0, 2, 3_000),
        world.profile_with(1, 2, "mint", &[("sage", 60_000), ("basil", 40_000)]),
        world.profile_with(2, 2, "dill", &[("sage", 55_000)]),
    ];
    let membership = world.membership(&records.iter().collect::<Vec<_>>());
    let resolve = |name: &str, now| membership.verdict().resolve(name, now);
    let mint = "mint".parse().unwrap();
    let former = Resolution::Former { peer: world.id(1), current: mint, until: UnixMillis(60_000) };
    assert_eq!(resolve("Sage", NOW), former);
    assert_eq!(resolve("sage", UnixMillis(60_000)), Resolution::Unknown);
    assert_eq!(resolve("basil", NOW), Resolution::Unknown);
    let newcomer = world.profile(0, 1, "sage");
    let mut membership = membership.clone();
    membership.insert(newcomer);
    let resolved = membership.verdict().resolve("sage", NOW);
    assert_eq!(resolved, Resolution::Current(world.id(0)), "who has the name comes first");
}

#[test]
fn a_peer_id_or_the_beginning_of_one_is_a_name() {
    let world = World::new(2);
    let membership = world.membership(&[]);
    let resolve = |name: &str| membership.verdict().resolve(name, NOW);
    let founder = Resolution::Current(world.id(0));
    let id = world.id(0).to_string();
    assert_eq!(resolve(&id), founder);
    assert_eq!(resolve(&id.to_uppercase()), founder);
    assert_eq!(resolve(&id[..8]), founder);
    assert_eq!(resolve(&id[..9].to_uppercase()), founder);
    assert_eq!(resolve(&id[..63]), founder);
    assert_eq!(resolve(&id[..7]), Resolution::Unknown, "too short to be sure");
    assert_eq!(resolve(&world.id(1).to_string()), Resolution::Unknown, "not a member");
    for odd in ["", "-", "0123456789", "ffffffffffffffff", "mint", "müll", &"0".repeat(65)] {
        assert_eq!(resolve(odd), Resolution::Unknown, "{odd}");
    }
}

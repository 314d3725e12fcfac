use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Buckets, ORIGINS_MAX, Origin, Places};

fn origin(last: u8) -> Origin {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into()
}

#[test]
fn one_key_takes_its_part_and_leaves_the_rest() {
    let places = Places::new(3, 2);
    let first = places.admit(1).unwrap();
    let _second = places.admit(1).unwrap();
    assert!(places.admit(1).is_none());
    let _third = places.admit(2).unwrap();
    assert!(places.admit(3).is_none(), "all places are taken");
    drop(first);
    let _fourth = places.admit(3).unwrap();
}

#[test]
fn places_forget_keys_that_left() {
    let places = Places::new(10, 2);
    for key in 0..1000 {
        drop(places.admit(key).unwrap());
    }
    assert!(places.room.taken().per_key.is_empty());
}

#[test]
fn a_bucket_grants_its_burst_and_then_its_refills() {
    let mut buckets = Buckets::new(2);
    assert!(buckets.take(origin(1)));
    assert!(buckets.take(origin(1)));
    assert!(!buckets.take(origin(1)));
    assert!(buckets.take(origin(2)), "another address has its own bucket");
    buckets.refill();
    assert!(buckets.take(origin(1)));
    assert!(!buckets.take(origin(1)));
    buckets.refill();
    buckets.refill();
    assert!(buckets.is_full());
}

#[test]
fn the_number_of_buckets_is_bounded() {
    let mut buckets = Buckets::new(2);
    for address in 0..ORIGINS_MAX as u64 {
        assert!(buckets.take(Origin::V6Prefix(address)));
    }
    assert!(!buckets.take(origin(1)));
    assert!(buckets.take(Origin::V6Prefix(0)), "who has a bucket may use it up");
    buckets.refill();
    assert!(buckets.take(origin(1)));
}

#[test]
fn one_customer_is_one_origin() {
    let a: IpAddr = "2001:db8:1:2::1".parse().unwrap();
    let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
    let c: IpAddr = "2001:db8:1:3::1".parse().unwrap();
    assert_eq!(Origin::from(a), Origin::from(b));
    assert_ne!(Origin::from(a), Origin::from(c));
    let v4 = Ipv4Addr::new(192, 0, 2, 1);
    let mapped: Ipv6Addr = v4.to_ipv6_mapped();
    assert_eq!(Origin::from(IpAddr::V6(mapped)), Origin::from(IpAddr::V4(v4)));
}

use std::net::Ipv4Addr;

use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

use super::*;

fn interface(name: &str, ip: &str) -> Interface {
    let addr = match ip.parse().unwrap() {
        IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
            ip,
            netmask: Ipv4Addr::new(255, 255, 255, 0),
            prefixlen: 24,
            broadcast: None,
        }),
        IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr {
            ip,
            netmask: Ipv6Addr::UNSPECIFIED,
            prefixlen: 64,
            broadcast: None,
        }),
    };
    Interface {
        name: name.into(),
        addr,
        index: Some(2),
        oper_status: IfOperStatus::Up,
        is_p2p: false,
    }
}

#[test]
fn private_networks_are_lans_and_others_are_not() {
    for ip in ["10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "fd00::1", "fc00::1"] {
        assert!(is_private(ip.parse().unwrap()), "{ip}");
    }
    for ip in [
        "198.51.100.7",
        "172.32.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.251",
        "2001:db8::1",
        "fe80::1",
        "::1",
        "fd7a:115c:a1e0::1",
        "::ffff:192.168.1.1",
    ] {
        assert!(!is_private(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn a_private_address_beside_a_public_one_makes_no_lan() {
    let private = interface("eth0", "10.19.0.5");
    let alone =
        [private.clone(), interface("eth1", "198.51.100.7"), interface("eth0", "169.254.3.4")];
    assert!(is_private_alone(&private, &alone));
    // A home network has private version 4 and public version 6 addresses.
    let home = [private.clone(), interface("eth0", "2001:db8::5")];
    assert!(is_private_alone(&private, &home));
    let hosted = [private.clone(), interface("eth0", "198.51.100.7")];
    assert!(!is_private_alone(&private, &hosted));
    let unique_local = interface("eth0", "fd00::5");
    assert!(!is_private_alone(
        &unique_local,
        &[unique_local.clone(), interface("eth0", "2001:db8::5")]
    ));
}

#[test]
fn public_and_loopback_interfaces_are_left_alone_unless_named() {
    for ip in ["198.51.100.7", "127.0.0.1", "fe80::1"] {
        assert!(!LanInterfaces::Private.take(&interface("eth0", ip)), "{ip}");
        assert!(LanInterfaces::Named(vec!["eth0".into()]).take(&interface("eth0", ip)), "{ip}");
        assert!(!LanInterfaces::Named(vec!["eth1".into()]).take(&interface("eth0", ip)), "{ip}");
    }
}

#[test]
fn strangers_are_never_called_whatever_the_interfaces() {
    let named = LanInterfaces::Named(vec!["eth0".into()]);
    for interfaces in [&LanInterfaces::Private, &named] {
        assert!(interfaces.allow("192.168.1.7".parse().unwrap()));
        assert!(!interfaces.allow("198.51.100.7".parse().unwrap()));
        assert!(!interfaces.allow("169.254.169.254".parse().unwrap()));
    }
    assert!(named.allow("127.0.0.1".parse().unwrap()));
    assert!(!LanInterfaces::Private.allow("127.0.0.1".parse().unwrap()));
}

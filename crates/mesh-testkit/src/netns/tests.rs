//! What needs no root. The rest is tried by the tests that run agents in namespaces.

use super::*;

#[test]
fn neighbours_are_read_whatever_became_of_them() {
    let table = "192.168.198.2 lladdr 02:00:00:00:00:07 REACHABLE\n192.168.198.254  FAILED\n";
    assert_eq!(neighbours_of(table), [Ipv4Addr::new(192, 168, 198, 2), GATEWAY]);
}

#[test]
fn only_namespaces_of_this_module_have_an_owner() {
    assert_eq!(owned("meshlan-4711-0-switch (id: 3)"), Some(("meshlan-4711-0-switch", 4711)));
    assert_eq!(owned("meshlan-4711-12-1"), Some(("meshlan-4711-12-1", 4711)));
    for other in ["", "blue (id: 0)", "meshlan-", "meshlan-x-0-switch", "meshlan-4711"] {
        assert_eq!(owned(other), None, "{other:?}");
    }
}

#[test]
fn addresses_end_before_the_gateway() {
    let mut lan =
        Lan { name: String::new(), namespaces: Vec::new(), addresses_used: 251, wire: None };
    assert_eq!(lan.next_address().unwrap(), Ipv4Addr::new(192, 168, 198, 252));
    assert_eq!(lan.next_address().unwrap(), Ipv4Addr::new(192, 168, 198, 253));
    assert!(matches!(lan.next_address(), Err(NetnsError::Full)));
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let error = run("no-such-program-anywhere", &["link"]).unwrap_err();
    assert!(error.to_string().contains("no-such-program-anywhere link"), "{error}");
}

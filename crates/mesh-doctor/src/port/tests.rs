use super::*;

const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:34BC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:34BC 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0000000000000000 20 4 30 10 -1
   0: 00000000000000000000000000000000:34BC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0000000000000000 100 0 0 10 0
 not a line";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn listening_sockets_are_read_from_the_kernels_table() {
    let found: Vec<Socket> = TABLE.lines().filter_map(Socket::parse).collect();
    let expected = [
        Socket { local: address("127.0.0.1:13500"), uid: 1000, inode: 4242 },
        Socket { local: address("[::]:13500"), uid: 0, inode: 77 },
    ];
    assert_eq!(found, expected);
    assert!(found[0].is_in_the_way_of(address("0.0.0.0:13500")));
    assert!(!found[0].is_in_the_way_of(address("127.0.0.2:13500")));
    assert!(!found[0].is_in_the_way_of(address("127.0.0.1:13501")));
    assert!(found[1].is_in_the_way_of(address("127.0.0.2:13500")));
}

#[test]
fn a_port_that_is_taken_is_found_with_its_holder() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let found = look_at_port(address);
    let PortState::Taken(holders) = &found.state else { panic!("{found:?}") };
    if cfg!(target_os = "linux") {
        let (pid, _) = holders[0].process.as_ref().expect("a process sees itself");
        assert_eq!(*pid, std::process::id());
    }
    let judged = judge_ports(std::slice::from_ref(&found));
    assert!(!judged.ok && judged.detail.contains(&address.to_string()), "{judged:?}");
    assert!(judged.hint.contains("--listen"), "{judged:?}");
    // Not the same port again: a child that another test is starting may still hold it for a moment.
    let any = SocketAddr::new(address.ip(), 0);
    assert_eq!(look_at_port(any).state, PortState::Free);
}

#[test]
fn the_holder_decides_the_mend() {
    let judged = |holders: Vec<Holder>| {
        judge_ports(&[PortUse { address: address("[::]:13500"), state: PortState::Taken(holders) }])
    };
    let holder = |name: &str| Holder { process: Some((7, name.to_owned())), uid: 0 };
    let other = judged(vec![holder("nginx")]);
    assert!(other.detail.contains("taken by nginx (process 7)"), "{other:?}");
    assert!(other.hint.starts_with("stop that program"), "{other:?}");
    assert!(judged(vec![holder("mesh-agent")]).hint.starts_with("another agent runs"));
    let hidden = judged(vec![Holder { process: None, uid: 0 }]);
    assert!(hidden.detail.contains("user 0") && hidden.hint.contains("ss -ltnp"), "{hidden:?}");
    assert!(judged(Vec::new()).hint.contains("lsof"));
}

#[test]
fn what_else_keeps_an_agent_from_listening_is_named() {
    let judged =
        |state: PortState| judge_ports(&[PortUse { address: address("203.0.113.1:80"), state }]);
    assert!(judged(PortState::Free).ok);
    for state in
        [PortState::Forbidden, PortState::NoSuchAddress, PortState::Refused(String::from("no"))]
    {
        let found = judged(state);
        assert!(!found.ok && found.detail.contains("203.0.113.1:80"), "{found:?}");
        assert!(!found.hint.is_empty());
    }
}

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const RUNNING: &str = include_str!("../../../../../fixtures/tailscale/status-running.json");
const LOGGED_OUT: &str = include_str!("../../../../../fixtures/tailscale/status-logged-out.json");
const STOPPED: &str = include_str!("../../../../../fixtures/tailscale/status-stopped.json");

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn status(value: &Value) -> TailscaleStatus {
    read(value.to_string().as_bytes()).unwrap()
}

/// A running tailnet with one device, `fields` of which are replaced.
fn with_device(fields: Value) -> TailscaleStatus {
    let mut device = json!({
        "HostName": "bravo", "DNSName": "bravo.example.ts.net.",
        "TailscaleIPs": ["100.64.0.2"], "Online": true,
    });
    for (name, value) in fields.as_object().unwrap() {
        device[name] = value.clone();
    }
    status(&json!({
        "BackendState": "Running",
        "CurrentTailnet": { "MagicDNSSuffix": "example.ts.net" },
        "Peer": { "nodekey:22": device },
    }))
}

#[test]
fn a_running_tailnet_is_read_whole() {
    let status = read(RUNNING.as_bytes()).unwrap();
    assert_eq!(status.state, TailscaleState::Running);
    assert_eq!(
        status.own,
        TailscaleNode {
            host_name: "alpha".into(),
            dns_name: "alpha.example.ts.net".into(),
            ips: ips(&["100.64.0.1", "fd7a:115c:a1e0::1"]),
        }
    );
    let online = |host_name: &str, dns_name: &str, texts: &[&str]| TailscalePeer {
        host_name: host_name.into(),
        dns_name: dns_name.into(),
        ips: ips(texts),
        is_online: true,
        last_seen: None,
    };
    assert_eq!(
        status.peers,
        vec![
            online("bravo", "bravo.example.ts.net", &["100.64.0.2", "fd7a:115c:a1e0::2"]),
            online(
                "Charlie's MacBook",
                "charlie.example.ts.net",
                &["100.64.0.3", "fd7a:115c:a1e0::3"]
            ),
            TailscalePeer {
                is_online: false,
                // 2026-11-19T22:00:05.1Z
                last_seen: Some(UnixMillis(1_795_125_605_100)),
                ..online("delta", "delta-1.example.ts.net", &["100.64.0.4", "fd7a:115c:a1e0::4"])
            },
        ]
    );
    assert_eq!(status.skipped, TailscaleSkipped::default());
}

#[test]
fn logged_out_means_no_addresses_and_no_devices() {
    let status = read(LOGGED_OUT.as_bytes()).unwrap();
    assert_eq!(status.state, TailscaleState::NeedsLogin);
    let own = TailscaleNode { host_name: "alpha".into(), ..TailscaleNode::default() };
    assert_eq!(status.own, own);
    assert_eq!(status.peers, vec![]);
}

#[test]
fn a_stopped_machine_keeps_its_addresses() {
    let status = read(STOPPED.as_bytes()).unwrap();
    assert_eq!(status.state, TailscaleState::Stopped);
    assert_eq!(status.own.ips, ips(&["100.64.0.1", "fd7a:115c:a1e0::1"]));
    assert_eq!(status.peers, vec![]);
}

#[test]
fn every_state_is_known_by_its_name_and_a_later_one_is_kept() {
    for name in ["NoState", "NeedsLogin", "NeedsMachineAuth", "Stopped", "Starting", "Running"] {
        let state = status(&json!({ "BackendState": name })).state;
        assert!(!matches!(state, TailscaleState::Other(_)), "{name}");
        assert_eq!(state.to_string(), name);
    }
    let state = status(&json!({ "BackendState": "InUseByAnotherUserOfThisMachineForNow" })).state;
    assert_eq!(state, TailscaleState::Other("InUseByAnotherUserOfThisMachineF".into()));
}

#[test]
fn a_status_of_nothing_is_a_status() {
    let empty = TailscaleStatus {
        state: TailscaleState::NoState,
        own: TailscaleNode::default(),
        peers: vec![],
        skipped: TailscaleSkipped::default(),
    };
    assert_eq!(status(&json!({})), empty);
    assert_eq!(
        status(&json!({ "BackendState": null, "Self": null, "Peer": null, "TailscaleIPs": null })),
        empty
    );
}

#[test]
fn fields_of_the_wrong_kind_count_as_empty_and_spoil_nothing_else() {
    let status = status(&json!({
        "BackendState": 7,
        "Self": [1, 2],
        "TailscaleIPs": "100.64.0.1",
        "Peer": {
            "a": { "HostName": 5, "DNSName": {}, "TailscaleIPs": [7, "100.64.0.0/10", null, "100.64.0.9"],
                   "Online": "yes", "LastSeen": "yesterday", "Tags": "tag:x", "Expired": 1 },
            "b": ["no", "object"],
            "c": null,
            "d": { "HostName": "delta", "Online": true, "TailscaleIPs": null },
        },
    }));
    assert_eq!(status.state, TailscaleState::NoState);
    assert_eq!(status.own, TailscaleNode::default());
    let nameless = TailscalePeer {
        host_name: String::new(),
        dns_name: String::new(),
        ips: ips(&["100.64.0.9"]),
        is_online: false,
        last_seen: None,
    };
    let delta = TailscalePeer {
        host_name: "delta".into(),
        ips: vec![],
        is_online: true,
        ..nameless.clone()
    };
    assert_eq!(status.peers, vec![nameless, delta]);
}

#[test]
fn a_device_that_is_online_has_no_last_seen_and_the_year_1_is_none() {
    let last_seen = |fields| with_device(fields).peers[0].last_seen;
    let time = "2026-11-19T23:00:05.1+01:00";
    assert_eq!(last_seen(json!({ "Online": true, "LastSeen": time })), None);
    assert_eq!(
        last_seen(json!({ "Online": false, "LastSeen": time })),
        Some(UnixMillis(1_795_125_605_100))
    );
    assert_eq!(last_seen(json!({ "Online": false, "LastSeen": "0001-01-01T00:00:00Z" })), None);
}

#[test]
fn devices_of_other_tailnets_are_left_out() {
    let shared = TailscaleSkipped { shared: 1, ..TailscaleSkipped::default() };
    for fields in [
        json!({ "ShareeNode": true }),
        json!({ "AltSharerUserID": 1_000_000_000_000_003_u64 }),
        json!({ "DNSName": "bravo.other.ts.net." }),
        json!({ "DNSName": "bravo.notexample.ts.net." }),
    ] {
        let status = with_device(fields.clone());
        assert_eq!((status.peers.len(), status.skipped), (0, shared), "{fields}");
    }
    for fields in [
        json!({ "ShareeNode": false, "AltSharerUserID": 0 }),
        json!({ "DNSName": "" }),
        json!({ "DNSName": "Bravo.Example.ts.net." }),
    ] {
        assert_eq!(with_device(fields.clone()).peers.len(), 1, "{fields}");
    }
}

#[test]
fn expired_devices_and_rented_exit_nodes_are_left_out() {
    let status = with_device(json!({ "Expired": true }));
    assert_eq!((status.peers.len(), status.skipped.expired), (0, 1));
    for fields in [
        json!({ "Tags": ["tag:other", "tag:mullvad-exit-node"] }),
        json!({ "DNSName": "us-atl-wg-108.mullvad.ts.net." }),
        json!({ "ExitNodeOption": true, "Location": { "Country": "USA" } }),
    ] {
        let status = with_device(fields.clone());
        assert_eq!((status.peers.len(), status.skipped.exit_nodes), (0, 1), "{fields}");
    }
    // A machine of one's own that offers to be an exit node is an ordinary device.
    assert_eq!(with_device(json!({ "ExitNodeOption": true, "Location": null })).peers.len(), 1);
}

#[test]
fn what_one_answer_can_make_this_node_hold_is_bounded() {
    let devices: serde_json::Map<String, Value> = (0..DEVICES_MAX + 3)
        .map(|n| (format!("nodekey:{n}"), json!({ "HostName": "x".repeat(300) })))
        .collect();
    let status = status(&json!({ "BackendState": "Running", "Peer": devices }));
    assert_eq!((status.peers.len(), status.skipped.beyond_bound), (DEVICES_MAX, 3));
    assert_eq!(status.peers[0].host_name.len(), NAME_CHARS_MAX);

    let many: Vec<String> = (0..100).map(|n| format!("100.64.0.{n}")).collect();
    assert_eq!(with_device(json!({ "TailscaleIPs": many })).peers[0].ips.len(), IPS_MAX);
}

#[test]
fn what_is_no_status_is_an_error() {
    let deep = "[".repeat(100_000);
    for text in ["", "tailscale: not running", "7", "[]", "{", "{}{}", "\u{feff}{}", deep.as_str()]
    {
        let refused = read(text.as_bytes());
        assert!(matches!(refused, Err(TailscaleError::Unreadable(_))), "{text:.20}");
    }
    assert!(matches!(read(b"{\"Self\":\"\xff\"}"), Err(TailscaleError::Unreadable(_))));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["100.64.0.2", "fd7a::1", "0001-01-01T00:00:00Z", "Running", "."])
            .prop_map(Value::from),
    ];
    let names = vec![
        "BackendState",
        "Self",
        "Peer",
        "TailscaleIPs",
        "CurrentTailnet",
        "MagicDNSSuffix",
        "HostName",
        "DNSName",
        "Online",
        "LastSeen",
        "Tags",
        "Expired",
        "ShareeNode",
        "AltSharerUserID",
        "ExitNodeOption",
        "Location",
        "nodekey:1",
    ];
    leaf.prop_recursive(6, 96, 8, move |inner| {
        let name = prop::sample::select(names.clone()).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..12)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(value in any_json()) {
        let read = read(value.to_string().as_bytes());
        prop_assert_eq!(read.is_ok(), value.is_object());
    }

    #[test]
    fn any_json_may_stand_for_a_device(value in any_json()) {
        let status = status(&json!({ "BackendState": "Running", "Self": &value, "Peer": { "k": &value } }));
        prop_assert!(status.peers.len() <= 1);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _read_or_refused = read(&bytes);
    }

    #[test]
    fn an_answer_cut_off_anywhere_is_refused(end in 0..RUNNING.trim_end().len()) {
        prop_assert!(read(&RUNNING.as_bytes()[..end]).is_err());
    }
}

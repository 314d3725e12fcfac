//! Ids, names, addresses, times and codes as text.

use std::time::Duration;

use super::samples;
use crate::{
    Address, ErrorCode, Hostname, MessageId, ParseError, PeerId, ProtocolVersion, UnixMillis,
};

#[test]
fn ids_are_hexadecimal_in_text_and_json() {
    let text = "b1".repeat(32);
    assert_eq!(samples::BAULDER.to_string(), text);
    assert_eq!(text.to_uppercase().parse::<PeerId>().unwrap(), samples::BAULDER);
    assert_eq!(serde_json::to_string(&samples::BAULDER).unwrap(), format!("\"{text}\""));
    for wrong in ["", "b1", &"b1".repeat(33), &"g1".repeat(32), &"é".repeat(32)] {
        assert!(wrong.parse::<PeerId>().is_err(), "{wrong}");
        assert!(serde_json::from_str::<PeerId>(&format!("\"{wrong}\"")).is_err(), "{wrong}");
    }
    assert_eq!(
        PeerId::from_slice(&[1; 31]),
        Err(ParseError::Length { what: "peer id", bytes: 31 })
    );
    assert_eq!(PeerId::from_slice(&[0xb1; 32]).unwrap(), samples::BAULDER);
    assert_eq!(PeerId::LEN, 32);
}

#[test]
fn a_message_id_is_a_uuid_of_version_seven() {
    let id = samples::message_id();
    let text = id.to_string();
    assert_eq!(text, "01a196fb-1600-7001-8203-040506070809");
    assert_eq!(text.parse::<MessageId>().unwrap(), id);
    assert_eq!(MessageId::from_slice(id.as_bytes()).unwrap(), id);
    assert!(MessageId::from_slice(&[0; 15]).is_err());
    assert!("no id".parse::<MessageId>().is_err());
    // The time stands first, so later ids sort behind earlier ones whatever their random bits are.
    let later = MessageId::from_parts(UnixMillis(samples::NOON.0 + 1), &[0; 10]);
    assert!(later > MessageId::from_parts(samples::NOON, &[0xff; 10]));
}

#[test]
fn a_hostname_is_one_lower_case_label() {
    for (text, name) in [("mint", "mint"), ("OAK", "oak"), ("a", "a"), ("b-1_c.d", "b-1_c.d")] {
        assert_eq!(text.parse::<Hostname>().unwrap().as_str(), name);
    }
    for wrong in ["", "-mint", "mint-", ".mint", "mint.", "mi nt", "mi\nt", "mínt", "mint\0", "a/b"]
    {
        assert!(wrong.parse::<Hostname>().is_err(), "{wrong:?}");
    }
    assert!(serde_json::from_str::<Hostname>("\"-mint\"").is_err());
}

#[test]
fn an_address_is_an_ip_address_or_name_and_a_port() {
    for (text, host, port) in [
        ("192.0.2.7:13500", "192.0.2.7", 13_500),
        ("[2001:db8::7]:1", "2001:db8::7", 1),
        ("[2001:DB8:0::7]:65535", "2001:db8::7", 65_535),
        ("Mint.example:13500", "mint.example", 13_500),
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!((address.host(), address.port()), (host, port));
        assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        assert_eq!(address.socket_addr().is_some(), host != "mint.example");
    }
    for wrong in [
        "",
        ":",
        "mint",
        "mint:",
        ":13500",
        "mint:0",
        "192.0.2.7:0",
        "mint:65536",
        "mint:+1",
        "2001:db8::7",
        "a b:1",
        "a/b:1",
        "user@mint:1",
        "mint:13500\n",
    ] {
        assert!(wrong.parse::<Address>().is_err(), "{wrong:?}");
    }
}

#[test]
fn an_address_written_without_a_length_in_mind_is_refused_unread() {
    let long = format!("{}:13500", "a".repeat(1 << 20));
    assert!(matches!(long.parse::<Address>(), Err(ParseError::Length { .. })));
}

#[test]
fn every_error_code_has_its_own_stable_word() {
    let words: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
    assert_eq!(words.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        assert_eq!(code.to_string().parse::<ErrorCode>().unwrap(), *code);
        assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    }
    // Scripts depend on these (cli.md).
    for word in [
        "token_expired",
        "token_used",
        "token_revoked",
        "token_invalid",
        "issuer_unreachable",
        "hostname_taken",
        "unknown_peer",
        "queue_full",
        "message_too_large",
        "secret_found",
        "schema_invalid",
        "path_refused",
        "checksum_mismatch",
        "not_a_member",
        "clock_skew",
        "version_unsupported",
    ] {
        assert!(words.contains(word), "{word}");
    }
}

#[test]
fn time_saturates_at_both_ends() {
    let noon = samples::NOON;
    assert_eq!(noon.plus(Duration::from_millis(5)).since(noon), Duration::from_millis(5));
    assert_eq!(noon.since(noon.plus(Duration::from_secs(1))), Duration::ZERO);
    assert_eq!(noon.plus(Duration::MAX), UnixMillis(u64::MAX));
    assert_eq!(noon.to_string(), noon.0.to_string());
}

#[test]
fn a_version_reads_as_two_numbers() {
    assert_eq!(ProtocolVersion { major: 1, minor: 10 }.to_string(), "1.10");
    assert!(ProtocolVersion { major: 1, minor: 10 } > ProtocolVersion { major: 1, minor: 9 });
    assert!(ProtocolVersion { major: 2, minor: 0 } > ProtocolVersion { major: 1, minor: 9 });
}

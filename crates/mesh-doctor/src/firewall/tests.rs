use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

const NOTHING: FirewallFacts = FirewallFacts {
    ufw: Reading::Absent,
    ufw_rules: Reading::Absent,
    nft: Reading::Absent,
    firewalld: Reading::Absent,
};

fn ufw(rules: &str) -> FirewallFacts {
    FirewallFacts { ufw: Reading::Is(true), ufw_rules: Reading::Is(rules.to_owned()), ..NOTHING }
}

#[test]
fn ufw_without_a_rule_for_the_port_is_a_fault_with_the_mend() {
    let closed = [
        "",
        "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### deny tcp 13500 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### allow udp 13500 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### allow tcp 13500 0.0.0.0/0 any 0.0.0.0/0 out",
    ];
    for rules in closed {
        let found = judge_firewall(&ufw(rules), 13_500);
        assert!(!found.ok && found.hint.contains("ufw allow 13500/tcp"), "{rules}: {found:?}");
    }
}

#[test]
fn ufw_with_a_rule_for_the_port_is_fine() {
    let open = [
        "### tuple ### allow tcp 13500 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### limit tcp 22,13500 0.0.0.0/0 any 10.0.0.0/8 in",
        "### tuple ### allow tcp 13000:14000 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### allow any any 0.0.0.0/0 any 0.0.0.0/0 in_tailscale0",
    ];
    for rules in open {
        let found = judge_firewall(&ufw(rules), 13_500);
        assert!(found.ok && found.hint.is_empty(), "{rules}: {found:?}");
    }
}

#[test]
fn what_cannot_be_read_is_told_without_judging() {
    let facts = FirewallFacts {
        ufw: Reading::Is(true),
        ufw_rules: Reading::Unreadable,
        nft: Reading::Unreadable,
        firewalld: Reading::Is(true),
    };
    let found = judge_firewall(&facts, 13_500);
    assert!(found.ok, "{found:?}");
    assert!(found.detail.contains("nftables cannot be read without root"), "{found:?}");
    assert!(found.hint.contains("firewall-cmd") && found.hint.contains("ufw"), "{found:?}");
    let none = judge_firewall(&NOTHING, 13_500);
    assert!(none.ok && none.detail.contains("no firewall"), "{none:?}");
}

#[test]
fn nftables_that_drop_without_a_word_on_the_port_are_noted() {
    let chain = "chain input { type filter hook input priority 0; policy drop;";
    let nft = |rules: String| FirewallFacts { nft: Reading::Is(rules), ..NOTHING };
    let found = judge_firewall(&nft(format!("{chain} tcp dport 22 accept }}")), 13_500);
    assert!(found.ok && found.hint.contains("nft add rule"), "{found:?}");
    for rules in [
        format!("{chain} tcp dport {{ 22, 13500 }} accept }}"),
        String::from("chain input { type filter hook input priority 0; policy accept; }"),
    ] {
        assert!(judge_firewall(&nft(rules), 13_500).hint.is_empty());
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn the_sources_are_read_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let sources = FirewallSources {
        ufw: dir.path().to_owned(),
        nft: dir.path().join("nft"),
        firewall_cmd: dir.path().join("firewall-cmd"),
    };
    assert_eq!(read_firewall(&sources).await, NOTHING);
    fs::write(dir.path().join("ufw.conf"), "# a word\nENABLED=yes\nLOGLEVEL=low\n").unwrap();
    fs::write(dir.path().join("user.rules"), "rules").unwrap();
    script(&sources.nft, "[ \"$1 $2\" = 'list ruleset' ] && echo table");
    script(&sources.firewall_cmd, "echo 'not running'; exit 252");
    let facts = FirewallFacts {
        ufw: Reading::Is(true),
        ufw_rules: Reading::Is(String::from("rules")),
        nft: Reading::Is(String::from("table\n")),
        firewalld: Reading::Is(false),
    };
    assert_eq!(read_firewall(&sources).await, facts);
    script(&sources.nft, "exit 1");
    script(&sources.firewall_cmd, "echo running");
    fs::write(dir.path().join("ufw.conf"), "ENABLED=no\n").unwrap();
    let facts = FirewallFacts {
        ufw: Reading::Is(false),
        nft: Reading::Unreadable,
        firewalld: Reading::Is(true),
        ..facts
    };
    assert_eq!(read_firewall(&sources).await, facts);
}

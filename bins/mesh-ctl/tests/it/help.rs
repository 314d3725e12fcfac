//! Help, completions and manual pages.

use crate::harness::{command, ended};

const COMMANDS: [&[&str]; 51] = [
    &["status"],
    &["token"],
    &["token", "create"],
    &["token", "list"],
    &["token", "revoke"],
    &["join"],
    &["peers"],
    &["peers", "remove"],
    &["hostname"],
    &["ping"],
    &["send"],
    &["inbox"],
    &["outbox"],
    &["events"],
    &["sync"],
    &["table"],
    &["table", "create"],
    &["table", "list"],
    &["table", "drop"],
    &["sql"],
    &["watch"],
    &["config"],
    &["config", "get"],
    &["config", "set"],
    &["config", "unset"],
    &["config", "history"],
    &["config", "revert"],
    &["config", "check"],
    &["config", "template"],
    &["config", "template", "export"],
    &["config", "template", "import"],
    &["config", "watch"],
    &["conflicts"],
    &["conflicts", "list"],
    &["conflicts", "restore"],
    &["parked"],
    &["parked", "list"],
    &["parked", "accept"],
    &["push"],
    &["pushes"],
    &["pushes", "approve"],
    &["pushes", "deny"],
    &["pushes", "cancel"],
    &["rollback"],
    &["cp"],
    &["scan"],
    &["backup"],
    &["doctor"],
    &["demo"],
    &["completions"],
    &["man"],
];

#[test]
fn the_help_of_each_command_carries_an_example() {
    for words in COMMANDS {
        let help = ended(command().args(words).arg("--help"));
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{words:?}");
        let name = format!("mesh-ctl {}", words.join(" "));
        let (_, examples) = help.stdout.split_once("Example").expect("there is an example");
        assert!(examples.contains(&name), "{name}: {examples}");
        assert!(!help.stdout.contains('\u{1b}'), "{name}");
    }
}

#[test]
fn the_help_of_all_lists_every_command_and_exit_code() {
    let help = ended(command().arg("--help")).stdout;
    for words in COMMANDS.iter().filter(|words| words.len() == 1) {
        assert!(help.contains(&format!("\n  {} ", words[0])), "{words:?}");
    }
    insta::assert_snapshot!("help", help);
}

#[test]
fn the_help_of_the_configuration_says_where_values_come_from() {
    insta::assert_snapshot!("config_help", ended(command().args(["config", "--help"])).stdout);
    let set = ended(command().args(["config", "set", "--help"]));
    insta::assert_snapshot!("config_set_help", set.stdout);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ended(command().args(["completions", shell]));
        assert_eq!(script.code, 0);
        assert!(script.stdout.contains("token"), "{shell}");
        assert!(script.stdout.contains("conflicts"), "{shell}");
    }
}

#[test]
fn there_is_a_manual_page_per_command() {
    let pages = ended(command().arg("man"));
    assert_eq!(pages.code, 0);
    assert_eq!(pages.stdout.matches(".TH ").count(), COMMANDS.len() + 1, "{}", pages.stdout);
    let dir = tempfile::tempdir().unwrap();
    let written = ended(command().args(["man", "--dir"]).arg(dir.path()));
    assert_eq!(written.code, 0);
    assert!(dir.path().join("mesh-ctl-token-create.1").is_file());
    let refused = ended(command().args(["man", "--dir", "/nowhere/at/all"]));
    assert_eq!(refused.code, 2);
}

#[test]
fn the_version_is_told() {
    let version = ended(command().arg("--version"));
    assert_eq!(version.stdout, concat!("mesh-ctl ", env!("CARGO_PKG_VERSION"), "\n"));
}

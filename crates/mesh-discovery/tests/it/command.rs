use std::fs::File;
use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use mesh_discovery::{TailscaleConfig, TailscaleError, TailscaleState, tailscale_status};
use tokio::time::timeout;

use crate::support::{LOGGED_OUT, PATIENCE, RUNNING, STOPPED, Script};

async fn reason(script: &Script) -> TailscaleError {
    let mut report = tailscale_status(&script.config()).await;
    assert!(report.answer.is_none());
    report.failures.remove(0).reason
}

#[tokio::test]
async fn all_three_states_are_told() {
    for (json, state) in [
        (RUNNING, TailscaleState::Running),
        (LOGGED_OUT, TailscaleState::NeedsLogin),
        (STOPPED, TailscaleState::Stopped),
    ] {
        let script =
            Script::new(json, "echo 'Warning: versions differ' >&2; cat \"$STATUS\"").await;
        let report = tailscale_status(&script.config()).await;
        assert_eq!(report.status().unwrap().state, state);
    }
}

#[tokio::test]
async fn a_command_that_fails_is_told_in_its_own_words() {
    let body = "printf '\\n\\033[31mfailed to connect to local tailscaled\\nmore\\n' >&2; exit 1";
    let reason = reason(&Script::new(RUNNING, body).await).await;
    let said = "the command failed: [31mfailed to connect to local tailscaled";
    assert!(matches!(reason, TailscaleError::Exit { code: Some(1), .. }));
    assert_eq!(reason.to_string(), said);
}

#[tokio::test]
async fn what_a_failing_command_printed_does_not_count() {
    let reason = reason(&Script::new(RUNNING, "cat \"$STATUS\"; kill -9 $$").await).await;
    assert!(matches!(reason, TailscaleError::Exit { code: None, .. }));
    assert_eq!(reason.to_string(), "the command failed: no reason given");
}

#[tokio::test]
async fn a_command_that_prints_no_status_is_told() {
    let reason = reason(&Script::new(RUNNING, "echo 'Logged out.'").await).await;
    assert!(matches!(reason, TailscaleError::Unreadable(_)));
}

#[tokio::test]
async fn output_without_end_is_cut_off() {
    let reason = reason(&Script::new(RUNNING, "exec yes").await).await;
    assert!(matches!(reason, TailscaleError::TooLong { .. }));
}

#[tokio::test]
async fn complaints_longer_than_a_pipe_hold_nothing_up() {
    let body = "i=0; while [ $i -lt 4000 ]; do echo 'a complaint of thirty-two bytes.' >&2; \
                i=$((i + 1)); done; cat \"$STATUS\"";
    let script = Script::new(RUNNING, body).await;
    assert!(tailscale_status(&script.config()).await.status().is_some());
}

#[tokio::test]
async fn a_command_that_hangs_is_killed() {
    let script = Script::new(RUNNING, "exec 3>\"$FOLDER/alive\"; exec sleep 600").await;
    let alive = script.folder().join("alive");
    assert!(Command::new("mkfifo").arg(&alive).status().unwrap().success());
    // Opens when the command does, and reads to the end when it is gone.
    let ended = tokio::task::spawn_blocking(move || {
        File::open(alive).unwrap().read_to_end(&mut Vec::new()).unwrap()
    });
    let config = TailscaleConfig { timeout: Duration::from_secs(2), ..script.config() };
    let report = tailscale_status(&config).await;
    assert!(matches!(report.failures[0].reason, TailscaleError::TimedOut));
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}

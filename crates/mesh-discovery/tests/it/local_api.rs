use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use mesh_discovery::{
    TailscaleConfig, TailscaleError, TailscaleReport, TailscaleState, TailscaleWay,
    tailscale_status,
};
use tempfile::tempdir;

use crate::support::{Answer, LOGGED_OUT, RUNNING, STOPPED, Script, nowhere, serve_socket};

async fn ask(answer: Answer) -> TailscaleReport {
    let folder = tempdir().unwrap();
    let socket = serve_socket(folder.path(), answer);
    tailscale_status(&TailscaleConfig { sockets: vec![socket], ..nowhere() }).await
}

async fn reason(answer: Answer) -> TailscaleError {
    let mut report = ask(answer).await;
    assert!(report.answer.is_none());
    assert_eq!(report.failures.len(), 1);
    report.failures.remove(0).reason
}

#[tokio::test]
async fn all_three_states_are_told() {
    for (json, state, count) in [
        (RUNNING, TailscaleState::Running, 3),
        (LOGGED_OUT, TailscaleState::NeedsLogin, 0),
        (STOPPED, TailscaleState::Stopped, 0),
    ] {
        let report = ask(Answer::Status(json)).await;
        let answer = report.answer.unwrap();
        assert!(matches!(answer.way, TailscaleWay::Socket { .. }));
        assert_eq!((answer.status.state, answer.status.peers.len()), (state, count));
        assert!(report.failures.is_empty());
    }
}

#[test]
fn the_fake_daemon_refuses_what_the_real_one_refuses() {
    let folder = tempdir().unwrap();
    let socket = serve_socket(folder.path(), Answer::Status(RUNNING));
    let status = |headers: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        write!(stream, "GET /localapi/v0/status HTTP/1.1\r\n{headers}\r\n").unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    };
    assert_eq!(status("Host: local-tailscaled.sock\r\n"), "HTTP/1.1 200");
    assert_eq!(status("Host: localhost\r\n"), "HTTP/1.1 403");
    assert_eq!(status("Host: local-tailscaled.sock:80\r\n"), "HTTP/1.1 403");
    assert_eq!(status("Host: local-tailscaled.sock\r\nOrigin: http://evil\r\n"), "HTTP/1.1 403");
    assert_eq!(status("Host: local-tailscaled.sock\r\nReferer: x\r\n"), "HTTP/1.1 403");
}

#[tokio::test]
async fn the_head_of_the_request_is_exactly_what_the_daemon_asks_for() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = vec![0; 1024];
        let length = stream.read(&mut head).unwrap();
        head.truncate(length);
        String::from_utf8(head).unwrap()
    });
    let report = tailscale_status(&TailscaleConfig { sockets: vec![path], ..nowhere() }).await;
    assert!(matches!(report.failures[0].reason, TailscaleError::Http(_)));
    assert_eq!(
        heard.join().unwrap(),
        "GET /localapi/v0/status HTTP/1.1\r\nhost: local-tailscaled.sock\r\n\r\n"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    assert!(
        matches!(reason(Answer::Endless).await, TailscaleError::TooLong { bytes_max } if bytes_max == 1 << 20)
    );
    assert!(matches!(reason(Answer::EndlessHead).await, TailscaleError::Http(_)));
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_from_one_that_broke_off() {
    assert!(matches!(reason(Answer::Part).await, TailscaleError::Http(_)));
    assert!(matches!(reason(Answer::Noise).await, TailscaleError::Http(_)));
    assert!(matches!(reason(Answer::Status("not logged in")).await, TailscaleError::Unreadable(_)));
    assert!(matches!(reason(Answer::Status("null")).await, TailscaleError::Unreadable(_)));
}

#[tokio::test]
async fn a_socket_that_hangs_costs_one_time_out_and_the_next_way_is_tried() {
    let folder = tempdir().unwrap();
    let socket = serve_socket(folder.path(), Answer::Silence);
    let only_socket =
        TailscaleConfig { sockets: vec![socket], timeout: Duration::from_millis(200), ..nowhere() };
    let report = tailscale_status(&only_socket).await;
    assert!(matches!(report.failures[0].reason, TailscaleError::TimedOut));
    assert!(!report.is_absent());
}

#[tokio::test]
async fn the_ways_are_tried_in_order_and_every_failure_is_told() {
    let script = Script::new(RUNNING, "exec cat \"$STATUS\"").await;
    let folder = tempdir().unwrap();
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let odd = serve_socket(folder.path(), Answer::Noise);
    let config = TailscaleConfig {
        sockets: vec![folder.path().join("absent.sock"), stale, odd],
        port_folder: Some(folder.path().join("absent")),
        ..script.config()
    };
    let report = tailscale_status(&config).await;
    let answer = report.answer.unwrap();
    assert_eq!(answer.way, TailscaleWay::Command { command: script.path() });
    let reasons: Vec<_> = report.failures.iter().map(|f| f.reason.to_string()).collect();
    assert_eq!(reasons, ["not there", "nobody listens", "the answer broke off", "not there"]);
    assert!(report.failures[0].way.to_string().ends_with("absent.sock"));
}

#[tokio::test]
async fn a_machine_without_tailscale_is_told_from_one_where_it_fails() {
    let folder = tempdir().unwrap();
    let config = TailscaleConfig {
        sockets: vec![folder.path().join("tailscaled.sock")],
        port_folder: Some(folder.path().to_owned()),
        commands: vec!["a-command-that-nobody-has".into(), folder.path().join("tailscale")],
        ..nowhere()
    };
    let report = tailscale_status(&config).await;
    assert!(report.is_absent());
    assert_eq!(report.failures.len(), 4);
    assert!(report.status().is_none());

    // A file that cannot be run says that something is there.
    std::fs::write(folder.path().join("tailscale"), "").unwrap();
    let mode = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("tailscale"), mode).unwrap();
    let report = tailscale_status(&config).await;
    assert!(matches!(report.failures[3].reason, TailscaleError::Forbidden));
    assert!(!report.is_absent());
}

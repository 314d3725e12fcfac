//! The macOS application's port, with its files in another folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use mesh_discovery::{TailscaleConfig, TailscaleError, TailscaleWay, tailscale_status};
use tempfile::tempdir;

use crate::support::{Answer, RUNNING, nowhere, serve_port};

/// `:proof-of-same-user` in base64.
const CREDENTIALS: &str = "Basic OnByb29mLW9mLXNhbWUtdXNlcg==";

fn config(folder: &Path) -> TailscaleConfig {
    TailscaleConfig { port_folder: Some(folder.to_owned()), ..nowhere() }
}

fn name_port(folder: &Path, port: &str, password: &str) {
    symlink(port, folder.join("ipnport")).unwrap();
    fs::write(folder.join(format!("sameuserproof-{port}")), password).unwrap();
}

async fn reason(folder: &Path) -> TailscaleError {
    let mut report = tailscale_status(&config(folder)).await;
    assert!(report.answer.is_none());
    report.failures.remove(0).reason
}

#[tokio::test]
async fn port_and_password_come_from_the_files() {
    let folder = tempdir().unwrap();
    let port = serve_port(CREDENTIALS, Answer::Status(RUNNING));
    name_port(folder.path(), &port.to_string(), "proof-of-same-user\n");
    let report = tailscale_status(&config(folder.path())).await;
    let answer = report.answer.unwrap();
    assert_eq!(answer.way, TailscaleWay::Port { folder: folder.path().to_owned() });
    assert_eq!(answer.status.peers.len(), 3);
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let folder = tempdir().unwrap();
    let port = serve_port(CREDENTIALS, Answer::Status(RUNNING));
    name_port(folder.path(), &port.to_string(), "another");
    let reason = reason(folder.path()).await;
    assert!(matches!(reason, TailscaleError::Status { status } if status.as_u16() == 401));
}

#[tokio::test]
async fn odd_files_are_told_apart() {
    for (port, password) in [("999999", "x"), ("no port", "x"), ("13500", " \n")] {
        let folder = tempdir().unwrap();
        name_port(folder.path(), port, password);
        let reason = reason(folder.path()).await;
        assert!(matches!(reason, TailscaleError::PortFiles { .. }), "{port}");
    }
    let folder = tempdir().unwrap();
    symlink("13500", folder.path().join("ipnport")).unwrap();
    assert!(matches!(reason(folder.path()).await, TailscaleError::Absent));
}

#[tokio::test]
async fn files_that_outlived_the_daemon_are_told() {
    let folder = tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    name_port(folder.path(), &free.to_string(), "proof-of-same-user");
    assert!(matches!(reason(folder.path()).await, TailscaleError::NotRunning));
}

//! The socket's file.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

use mesh_control::{BindError, ClientError, ControlClient, ControlServer};

use crate::harness::Server;

#[tokio::test]
async fn it_belongs_to_its_user_alone_and_nothing_lies_beside_it() {
    let server = Server::start().await;
    let metadata = fs::symlink_metadata(&server.path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(server.dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn it_is_gone_when_the_server_has_ended() {
    let server = Server::start().await;
    server.stop().await;
    assert_eq!(fs::read_dir(server.dir.path()).unwrap().count(), 0);
    let error = server.client().status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
}

#[tokio::test]
async fn a_second_server_is_refused_and_the_first_goes_on() {
    let server = Server::start().await;
    let error = ControlServer::bind(&server.path).await.unwrap_err();
    assert!(matches!(&error, BindError::InUse { path } if *path == server.path), "{error:?}");
    assert!(error.to_string().contains("control.sock"));
    server.client().status().await.unwrap();
    assert_eq!(fs::read_dir(server.dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_socket_that_a_killed_agent_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let error = ControlClient::new(&path).status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
    let server = ControlServer::bind(&path).await.unwrap();
    assert_eq!(server.path(), path);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(server);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn of_many_servers_at_once_exactly_one_gets_a_stale_socket() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        let servers = (0..8).map(|_| ControlServer::bind(&path));
        let servers = futures_util::future::join_all(servers).await;
        assert_eq!(servers.iter().filter(|server| server.is_ok()).count(), 1, "{servers:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn what_is_not_a_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    fs::write(&path, "precious").unwrap();
    let error = ControlServer::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x".repeat(120));
    let error = ControlServer::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::PathTooLong { .. }), "{error:?}");
    assert!(error.to_string().contains("may have 107"), "{error}");
}

#[tokio::test]
async fn a_missing_directory_is_an_error_that_names_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no/control.sock");
    let error = ControlServer::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("no/control.sock"), "{error}");
}

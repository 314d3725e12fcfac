//! A connection that leaves HTTP and carries git.

use mesh_control::{ClientError, GitConnection, GitQuery};
use mesh_protocol::{ErrorCode, GitEnd, GitPiece, GitService};

use crate::harness::{Server, within};

fn query(repository: &str) -> GitQuery {
    let repository = repository.to_owned();
    GitQuery { peer: "mint".to_owned(), repository, service: GitService::UploadPack }
}

/// Says `words` to the service, and everything that it says then, up to its end.
async fn talk(connection: GitConnection, words: &[u8]) -> (Vec<u8>, Vec<u8>, GitEnd) {
    let GitConnection { mut input, mut output } = connection;
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let listening = async {
        loop {
            match output.next().await.unwrap() {
                GitPiece::Output(bytes) => said.extend(bytes),
                GitPiece::Complaint(bytes) => complained.extend(bytes),
                GitPiece::End(end) => return end,
            }
        }
    };
    let speaking = async {
        input.send(&GitPiece::Output(words.to_vec())).await.unwrap();
        let end = GitEnd { code: 0, reason: String::new() };
        input.send(&GitPiece::End(end)).await.unwrap();
        // Both halves stay until everything was said.
        input
    };
    let (_input, end) = within(async { tokio::join!(speaking, listening) }).await;
    (said, complained, end)
}

#[tokio::test]
async fn bytes_go_both_ways_with_complaints_and_an_exit_code() {
    let server = Server::start().await;
    let words: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let connection = within(server.client().git(&query("a/b c%"))).await.unwrap();
    let (said, complained, end) = talk(connection, &words).await;
    assert!(said == words, "{} of {} bytes came back", said.len(), words.len());
    assert_eq!((&complained[..], end), (&b"well"[..], GitEnd { code: 3, reason: String::new() }));
    assert_eq!(server.agent.asked(), ["git mint a/b c% git-upload-pack"]);
    server.stop().await;
}

#[tokio::test]
async fn a_service_that_is_lost_ends_with_a_reason_behind_its_last_whole_piece() {
    let server = Server::start().await;
    let connection = within(server.client().git(&query("lost"))).await.unwrap();
    let (said, _, end) = talk(connection, b"0000").await;
    assert_eq!((&said[..], end.code), (&b"0000"[..], 255));
    assert!(end.reason.contains("without saying how"), "{end:?}");
}

#[tokio::test]
async fn a_refusal_is_an_error_like_any_other() {
    let server = Server::start().await;
    server.agent.refuse(ErrorCode::UnknownRepository);
    let refused = within(server.client().git(&query("notes"))).await.unwrap_err();
    assert_eq!(refused.to_api_error().code, ErrorCode::UnknownRepository);
    let nobody = mesh_control::ControlClient::new(server.dir.path().join("nobody"));
    let absent = within(nobody.git(&query("notes"))).await.unwrap_err();
    assert!(matches!(absent, ClientError::NotRunning { .. }), "{absent}");
}

#[tokio::test]
async fn who_does_not_ask_for_the_upgrade_is_told_what_to_ask_for() {
    let server = Server::start().await;
    let path = "/v1/git?peer=mint&repository=notes&service=git-upload-pack";
    let (status, answer) = server.ask("POST", path, "").await;
    assert_eq!((status, answer.to_string().contains("Upgrade: mesh-git")), (400, true), "{answer}");
    let (status, answer) = server.ask("POST", &path.replace("git-upload", "--upload"), "").await;
    assert_eq!((status, answer.to_string().contains("bad_request")), (400, true), "{answer}");
    assert_eq!(server.agent.asked(), [""; 0]);
}

#[tokio::test]
async fn an_agent_that_stops_ends_what_it_carries() {
    let server = Server::start().await;
    let mut connection = within(server.client().git(&query("notes"))).await.unwrap();
    server.stop().await;
    assert!(within(connection.output.next()).await.is_err());
}

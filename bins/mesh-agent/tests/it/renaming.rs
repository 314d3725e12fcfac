//! A new name is known at once, and the old one is answered for a while.

use mesh_control::{RenameRequest, SendRequest};
use mesh_protocol::ErrorCode;

use crate::agent::{Agent, NEWS, eventually, mesh, text_message};

async fn rename(agent: &Agent, name: &str) {
    let request = RenameRequest { hostname: name.to_owned() };
    agent.client().rename(&request).await.unwrap();
}

#[tokio::test]
async fn a_new_hostname_is_seen_everywhere_and_the_old_one_is_answered_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, mut oak] = mesh(dir.path(), ["one", "two", "oak"]).await;
    let request = RenameRequest { hostname: String::from("elm") };
    let reply = oak.client().rename(&request).await.unwrap();
    assert_eq!((reply.hostname.as_str(), reply.former.as_str()), ("elm", "oak"));
    assert_eq!(reply.peers_told, 2);
    for agent in [&one, &two, &oak] {
        let what = format!("{} sees the new name", agent.name());
        eventually(NEWS, &what, async || {
            agent.is_linked_with(&["one", "two", "elm"]).await.then_some(())
        })
        .await;
    }

    let to_old = one.send_acked("oak", "to the old name").await;
    let [warning] = &to_old.warnings[..] else { panic!("{:?}", to_old.warnings) };
    assert!(warning.contains("oak") && warning.contains("elm"), "{warning}");
    let to_new = one.send_acked("elm", "to the new name").await;
    assert!(to_new.warnings.is_empty(), "{:?}", to_new.warnings);
    assert_eq!(oak.texts().await, ["to the old name", "to the new name"]);
    assert!(oak.inbox().await.iter().all(|message| message.to == "elm"));

    // A restart under the old flag changes nothing: the mesh knows the name.
    oak.kill9();
    oak.restart().await;
    assert_eq!(oak.status().await.hostname, "elm");
    let again = two.send_acked("oak", "still the old name").await;
    assert_eq!(again.warnings.len(), 1);
}

#[tokio::test]
async fn a_message_that_waits_finds_its_receiver_under_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let [one, mut oak] = mesh(dir.path(), ["one", "oak"]).await;
    oak.kill9();
    one.client().send(&text_message("oak", "before")).await.unwrap();
    oak.restart().await;
    rename(&oak, "elm").await;
    eventually(NEWS * 3, "the message arrives", async || {
        (oak.texts().await == ["before"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn names_that_are_taken_or_no_names_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let refused = async |name: &str| {
        let request = RenameRequest { hostname: name.to_owned() };
        two.client().rename(&request).await.unwrap_err().code()
    };
    assert_eq!(refused("one").await, ErrorCode::HostnameTaken);
    assert_eq!(refused("ONE").await, ErrorCode::HostnameTaken);
    for name in ["", "-two", "two words", "zwölf", &"x".repeat(64)] {
        assert_eq!(refused(name).await, ErrorCode::HostnameInvalid, "{name:?}");
    }
    assert!(one.is_linked_with(&["one", "two"]).await);
    // Names that nobody has.
    for name in ["three", "ffffffff"] {
        let request = SendRequest { to: Some(name.to_owned()), ..text_message("", "x") };
        let error = one.client().send(&request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::UnknownPeer, "{name:?}");
    }
}

#[tokio::test]
async fn a_peer_is_found_by_its_id_and_by_the_first_digits_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let id = two.peer_id().to_string();
    for name in [id.as_str(), &id[..8], &id[..20]] {
        one.send_acked(name, name).await;
    }
    assert_eq!(two.texts().await, [id.as_str(), &id[..8], &id[..20]]);
}

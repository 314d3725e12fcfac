//! Strangers and members that were removed: nothing of the mesh is open to them.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::Path;

use mesh_control::{RenameRequest, TokenCreate};
use mesh_crypto::JoinToken;
use mesh_protocol::{
    Admission, ErrorCode, Founding, Frame, Hello, LinkPing, Live, MeshId, PeerId, Record,
    RecordIds, Records, Removal, SignedRecord, TokenId, UnixMillis, VersionRange,
};
use mesh_store::{Store, StoreConfig};
use mesh_transport::{DialError, JoinRoute};
use tokio_util::task::TaskTracker;

use crate::agent::{Agent, NEWS, PATIENCE, eventually, linked, mesh, text_message};
use crate::stranger::{Stranger, content, key};

fn door(agent: &Agent) -> (PeerId, SocketAddr) {
    (agent.peer_id(), agent.address())
}

async fn mesh_id_of(agent: &Agent) -> MeshId {
    agent.status().await.mesh_id
}

/// The membership records in the database of an agent that does not run.
async fn stored_records(data_dir: &Path) -> Vec<SignedRecord> {
    let tracker = TaskTracker::new();
    let path = data_dir.join("mesh.db");
    let store = Store::open(&path, StoreConfig::default(), &tracker).await.unwrap();
    let records = store.load_records().await.unwrap();
    store.close().await.unwrap();
    tracker.close();
    tracker.wait().await;
    records
}

fn refusal(answer: Result<Frame, DialError>) -> ErrorCode {
    match answer {
        Ok(Frame::Refused(refused)) => refused.code,
        Ok(other) => panic!("not refused: {other:?}"),
        Err(error) if error.is_refusal() => error.code(),
        Err(error) => panic!("no answer: {error}"),
    }
}

async fn assert_no_link(stranger: &Stranger, agent: &Agent) {
    let mesh_id = mesh_id_of(agent).await;
    let error = stranger.link(door(agent), mesh_id).await.expect_err("no link");
    assert_eq!(error.code(), ErrorCode::NotAMember, "{error}");
}

#[tokio::test]
async fn a_stranger_gets_nothing_but_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let [member, other] = mesh(dir.path(), ["member", "other"]).await;
    let before = (member.members().await, member.status().await.inbox);
    let mesh_id = mesh_id_of(&member).await;
    let stranger = Stranger::new(key(9));

    assert_no_link(&stranger, &member).await;
    assert_no_link(&stranger, &other).await;

    // A token of his own making, under the right mesh and issuer.
    let genuine = member.parsed_token().await;
    let invented = JoinToken::new(
        mesh_id,
        member.peer_id(),
        TokenId::from_bytes([7; 16]),
        mesh_crypto::TokenSecret::from_bytes(zeroize::Zeroizing::new([7; 32])),
        genuine.expires_at,
        vec![member.address().into()],
    );
    assert_eq!(stranger.redeem(&invented, "x").await.unwrap_err(), ErrorCode::TokenInvalid);
    // A good token, but the profile is for another mesh or signed by somebody else.
    let Frame::JoinRequest(mut request) = stranger.request(&genuine, "x") else { unreachable!() };
    request.profile = stranger.profile(MeshId::from_bytes([3; 32]), "x", 1);
    let answer = stranger.ask(door(&member), JoinRoute::Join, Frame::JoinRequest(request)).await;
    assert_eq!(refusal(answer), ErrorCode::BadRequest);
    let Frame::JoinRequest(mut request) = stranger.request(&genuine, "x") else { unreachable!() };
    request.profile = Stranger::new(key(10)).profile(mesh_id, "x", 1);
    let answer = stranger.ask(door(&member), JoinRoute::Join, Frame::JoinRequest(request)).await;
    assert_eq!(refusal(answer), ErrorCode::BadRequest);

    // Frames of members have no place on either route.
    for route in [JoinRoute::Join, JoinRoute::Introduce] {
        for frame in frames_of_members(mesh_id) {
            let shown = format!("{route:?} {frame:?}");
            let answer = stranger.ask(door(&member), route, frame).await;
            assert_eq!(refusal(answer), ErrorCode::BadRequest, "{shown}");
        }
    }

    // Records that prove nothing: none, a mesh of his own, and forgeries.
    for records in [vec![], own_mesh(&stranger), forgeries(&stranger, mesh_id, member.peer_id())] {
        let answer = stranger.introduce(door(&member), mesh_id, records).await;
        assert_eq!(refusal(answer), ErrorCode::NotAMember);
    }
    let answer =
        stranger.introduce(door(&member), MeshId::from_bytes([3; 32]), own_mesh(&stranger)).await;
    assert_eq!(refusal(answer), ErrorCode::NotAMember);

    assert_no_link(&stranger, &member).await;
    assert_eq!((member.members().await, member.status().await.inbox), before);
    // All that did not even use the token up.
    let late = Stranger::new(key(11));
    late.redeem(&genuine, "late").await.unwrap();
}

fn frames_of_members(mesh_id: MeshId) -> Vec<Frame> {
    vec![
        Frame::Hello(Hello {
            versions: VersionRange::SUPPORTED,
            mesh_id,
            records_digest: [0; 32],
            pair_key_id: None,
        }),
        Frame::Ping(LinkPing { nonce: 1, sent_at: 1 }),
        Frame::Live(Live { request_id: 1, message: vec![0; 64] }),
        Frame::RecordIds(RecordIds { ids: Vec::new() }),
        Frame::Records(Records { records: Vec::new() }),
    ]
}

fn own_mesh(stranger: &Stranger) -> Vec<SignedRecord> {
    let founding = Founding {
        founder: stranger.peer_id(),
        founded_at: UnixMillis(1),
        nonce: [1; 32],
        remove_quorum: NonZeroU8::MIN,
    };
    vec![stranger.sign(Record::Founding(founding))]
}

/// Admissions that somebody else's signature is missing from.
fn forgeries(stranger: &Stranger, mesh_id: MeshId, member: PeerId) -> Vec<SignedRecord> {
    let admission = |sponsor| Admission {
        mesh_id,
        subject: stranger.peer_id(),
        sponsor,
        token_id: TokenId::from_bytes([0; 16]),
        admitted_at: UnixMillis(1),
        overrides: Vec::new(),
    };
    // By himself, which is well signed and says nothing; in a member's name, with his signature.
    let own = stranger.sign(Record::Admission(admission(stranger.peer_id())));
    let body = Record::Admission(admission(member)).encode().unwrap();
    let forged = SignedRecord { signer: member, body, signature: own.signature };
    vec![own, forged, stranger.profile(mesh_id, "x", 1)]
}

/// What a linked agent knows of `peer` going away.
async fn link_events(agent: &Agent, kind: &str, peer: PeerId) -> usize {
    let events = agent.client().events(1000).await.unwrap();
    let peer = peer.to_string();
    events
        .iter()
        .filter(|event| event.kind == kind && event.fields["peer_id"] == peer.as_str())
        .count()
}

#[tokio::test]
async fn a_removed_member_is_cut_off_everywhere_within_two_seconds_and_stays_out() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, mut gone] = mesh(dir.path(), ["one", "two", "gone"]).await;
    let gone_id = gone.peer_id();

    one.remove("gone").await;

    for agent in [&one, &two] {
        eventually(NEWS, "the link with the removed member is cut", async || {
            let is_cut = link_events(agent, "link_down", gone_id).await > 0;
            (is_cut && agent.is_linked_with(&["one", "two"]).await).then_some(())
        })
        .await;
    }
    eventually(NEWS, "the removed member knows it, and has no link", async || {
        let status = gone.status().await;
        (status.removed && status.peers.active == 0).then_some(())
    })
    .await;
    assert_is_out(&gone).await;
    let ups =
        (link_events(&one, "link_up", gone_id).await, link_events(&two, "link_up", gone_id).await);

    gone.kill9();
    gone.restart().await;
    assert!(gone.status().await.removed, "it is written down");
    assert_is_out(&gone).await;
    // Whatever it tried at its start has been answered by the time that these two have talked.
    one.send_acked("two", "the others go on").await;
    two.send_acked("one", "they do").await;
    let now =
        (link_events(&one, "link_up", gone_id).await, link_events(&two, "link_up", gone_id).await);
    assert_eq!(ups, now, "it never came back");
    assert!(one.is_linked_with(&["one", "two"]).await && two.is_linked_with(&["one", "two"]).await);

    // The one way back is a new token.
    let token = two.token().await;
    gone.join(&token).await.unwrap();
    linked(&[&one, &two, &gone]).await;
    assert!(!gone.status().await.removed);
    gone.send_acked("one", "back again").await;
}

async fn assert_is_out(gone: &Agent) {
    let client = gone.client();
    let send = client.send(&text_message("one", "let me in")).await.unwrap_err();
    assert_eq!(send.code(), ErrorCode::NotAMember);
    let token = client.token_create(&TokenCreate::default()).await.unwrap_err();
    assert_eq!(token.code(), ErrorCode::NotAMember);
    let rename = RenameRequest { hostname: String::from("somebody") };
    assert_eq!(client.rename(&rename).await.unwrap_err().code(), ErrorCode::NotAMember);
}

#[tokio::test]
async fn a_member_removed_while_it_was_away_learns_it_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, mut gone] = mesh(dir.path(), ["one", "two", "gone"]).await;
    let gone_id = gone.peer_id();
    gone.kill9();
    one.remove("gone").await;
    eventually(NEWS, "both know", async || {
        (one.is_linked_with(&["one", "two"]).await && two.is_linked_with(&["one", "two"]).await)
            .then_some(())
    })
    .await;
    let ups =
        (link_events(&one, "link_up", gone_id).await, link_events(&two, "link_up", gone_id).await);

    gone.restart().await;
    eventually(PATIENCE, "it learns that it was removed", async || {
        gone.status().await.removed.then_some(())
    })
    .await;
    assert_is_out(&gone).await;
    assert_eq!(gone.status().await.peers.active, 0);
    let now =
        (link_events(&one, "link_up", gone_id).await, link_events(&two, "link_up", gone_id).await);
    assert_eq!(ups, now, "it never linked");
    assert_eq!(one.peers().await.len(), 2);
}

/// The answer to a removed peer: a plain no, or the removal itself.
fn assert_tells_the_removal_alone(answer: Result<Frame, DialError>, removed: PeerId) {
    match answer {
        Ok(Frame::Records(records)) => {
            assert!(!records.records.is_empty());
            for record in &records.records {
                let content = content(record);
                assert!(
                    matches!(&content, Record::Removal(removal) if removal.subject == removed),
                    "{content:?}"
                );
            }
        }
        other => assert_eq!(refusal(other), ErrorCode::NotAMember),
    }
}

#[tokio::test]
async fn a_removed_member_cannot_replay_its_records_admit_others_or_take_revenge() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, mut gone] = mesh(dir.path(), ["one", "two", "gone"]).await;
    let mesh_id = mesh_id_of(&one).await;
    gone.kill9();
    let old = stored_records(gone.data_dir()).await;
    let thief = Stranger::new(gone.keys().node_key);
    // The key is good for as long as nobody knows.
    drop(thief.link(door(&two), mesh_id).await.unwrap());
    one.remove("gone").await;
    eventually(NEWS, "both know", async || {
        (one.is_linked_with(&["one", "two"]).await && two.is_linked_with(&["one", "two"]).await)
            .then_some(())
    })
    .await;

    for agent in [&one, &two] {
        assert_no_link(&thief, agent).await;
        let answer = thief.introduce(door(agent), mesh_id, old.clone()).await;
        assert_tells_the_removal_alone(answer, thief.peer_id());
    }

    // An accomplice, vouched for by the removed member before anybody removed it.
    let accomplice = Stranger::new(key(77));
    let admitted_at = old.iter().map(content).find_map(|record| match record {
        Record::Admission(admission) if admission.subject == thief.peer_id() => {
            Some(admission.admitted_at)
        }
        Record::Founding(_) | Record::Admission(_) | Record::Profile(_) | Record::Removal(_) => {
            None
        }
    });
    let back_dated = thief.sign(Record::Admission(Admission {
        mesh_id,
        subject: accomplice.peer_id(),
        sponsor: thief.peer_id(),
        token_id: TokenId::from_bytes([1; 16]),
        admitted_at: UnixMillis(admitted_at.unwrap().0 + 1),
        overrides: Vec::new(),
    }));
    let revenge = thief.sign(Record::Removal(Removal {
        mesh_id,
        subject: one.peer_id(),
        remover: thief.peer_id(),
        removed_at: UnixMillis(admitted_at.unwrap().0 + 1),
        reason: String::from("me first"),
        standing: Vec::new(),
    }));
    let mut proof = old.clone();
    proof.extend([back_dated, revenge, accomplice.profile(mesh_id, "accomplice", 1)]);
    for agent in [&one, &two] {
        let answer = accomplice.introduce(door(agent), mesh_id, proof.clone()).await;
        assert_eq!(refusal(answer), ErrorCode::NotAMember);
        let answer = thief.introduce(door(agent), mesh_id, proof.clone()).await;
        assert_tells_the_removal_alone(answer, thief.peer_id());
        assert_no_link(&accomplice, agent).await;
        assert_no_link(&thief, agent).await;
    }
    assert!(one.is_linked_with(&["one", "two"]).await && two.is_linked_with(&["one", "two"]).await);
    assert!(!one.status().await.removed);
}

#[tokio::test]
async fn whom_a_removed_member_admitted_behind_the_back_of_all_stays_outside() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, mut two, gone] = mesh(dir.path(), ["one", "two", "gone"]).await;
    let mut accomplice = Agent::start(dir.path(), "accomplice").await;
    // Nobody hears of it.
    one.kill9();
    two.kill9();
    let token = gone.token().await;
    let request = mesh_control::JoinRequestBody { token };
    join_in_part(&accomplice, &request).await;
    eventually(PATIENCE, "the two are linked", async || {
        accomplice.members().await.get("gone").copied().unwrap_or(false).then_some(())
    })
    .await;
    // Removed by a member that has not linked with either of them since: whom it had heard of when
    // it removed the sponsor would stay.
    drop(gone);
    accomplice.kill9();
    one.restart().await;
    one.remove("gone").await;
    accomplice.restart().await;
    two.restart().await;
    eventually(PATIENCE, "the members know", async || {
        (one.is_linked_with(&["one", "two"]).await && two.is_linked_with(&["one", "two"]).await)
            .then_some(())
    })
    .await;
    // It knocks and shows its admission. Who knows of the removal refuses it; who did not know yet
    // when it came has cut it off since, and told it.
    eventually(
        PATIENCE,
        "the accomplice was refused by both, or learned that it is out",
        async || {
            let is_out = accomplice.status().await.removed;
            let events = accomplice.client().events(1000).await.unwrap();
            let refused_by = |agent: &Agent| {
                let peer = agent.peer_id().to_string();
                events.iter().any(|event| {
                    event.kind == "refused_by_member" && event.fields["peer_id"] == peer.as_str()
                })
            };
            (is_out || (refused_by(&one) && refused_by(&two))).then_some(())
        },
    )
    .await;
    assert!(one.is_linked_with(&["one", "two"]).await && two.is_linked_with(&["one", "two"]).await);
    // With whom it was linked until it was cut off counts as active for a moment longer.
    eventually(PATIENCE, "the accomplice has nobody", async || {
        let status = accomplice.status().await;
        (status.peers.active == usize::from(!status.removed)).then_some(())
    })
    .await;
}

/// Joins, and does not wait for links with members that are away.
async fn join_in_part(joiner: &Agent, request: &mesh_control::JoinRequestBody) {
    use futures_util::StreamExt as _;
    use mesh_control::{JoinProgress, JoinStep};
    let mut progress = joiner.client().join(request).await.unwrap();
    while let Some(step) = crate::agent::within(progress.next()).await {
        match step.unwrap() {
            JoinProgress::Step { step: JoinStep::PeersStored, .. } => return,
            JoinProgress::Step { .. } => {}
            JoinProgress::Done { .. } | JoinProgress::Failed { .. } => panic!("too far"),
        }
    }
}

//! A member whose program is newer, and says what this one does not know.

use mesh_protocol::{Frame, Hello, LinkPing, ProtocolVersion, VersionRange};
use mesh_transport::Lane;

use crate::agent::{NEWS, eventually, mesh, within};
use crate::stranger::{Stranger, key};

/// A minor version that no program has.
const NEWER: ProtocolVersion = ProtocolVersion { major: 1, minor: 99 };

/// A kind that no version has.
const UNKNOWN_KIND: u16 = 40_000;

fn of_a_newer_program(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = b"MESH".to_vec();
    frame.extend([NEWER.major, NEWER.minor]);
    frame.extend(kind.to_le_bytes());
    frame.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    frame.extend(body);
    frame
}

#[tokio::test]
async fn what_a_newer_minor_version_adds_is_skipped_and_the_link_stays() {
    let dir = tempfile::tempdir().unwrap();
    let [one] = mesh(dir.path(), ["one"]).await;
    let stranger = Stranger::new(key(55));
    stranger.redeem(&one.parsed_token().await, "newer").await.unwrap();
    eventually(NEWS, "the member is known", async || {
        one.members().await.contains_key("newer").then_some(())
    })
    .await;
    let hello = Hello {
        versions: VersionRange { min: ProtocolVersion::CURRENT, max: NEWER },
        mesh_id: one.status().await.mesh_id,
        records_digest: [0; 32],
        pair_key_id: None,
    };
    let mut link = stranger.hello((one.peer_id(), one.address()), hello).await.unwrap();
    let mut urgent = link.take_receiver(Lane::Urgent);
    for lane in [Lane::Urgent, Lane::Normal, Lane::Bulk] {
        let unknown = of_a_newer_program(UNKNOWN_KIND, &[0xff; 100]);
        link.sender().send_encoded(lane, unknown.into()).await.unwrap();
    }
    // A ping that has grown a field is a ping.
    let ping = Frame::Ping(LinkPing { nonce: 0x5eed, sent_at: 1 }).encode().unwrap();
    let [_, _, _, _, _, _, k0, k1, _, _, _, _, fields @ ..] = &ping[..] else { unreachable!() };
    let grown = [fields, b"a field of a newer version"].concat();
    let grown = of_a_newer_program(u16::from_le_bytes([*k0, *k1]), &grown);
    link.sender().send_encoded(Lane::Urgent, grown.into()).await.unwrap();
    loop {
        let frame = within(urgent.next()).await.expect("the link is up").unwrap();
        if matches!(frame, Frame::Pong(pong) if pong.nonce == 0x5eed) {
            return;
        }
    }
}

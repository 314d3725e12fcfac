//! A member whose program does not keep to the rules: it was let in, and is believed no more for it.

use mesh_control::DeliveryState;
use mesh_protocol::{
    CustomJson, Deliver, DeliverItem, DeliverOutcome, DeliverResult, Encryption, ErrorCode,
    Forward, Frame, Hello, Itinerary, JsonText, LinkPing, MeshMessage, MessageId, Parcel, Payload,
    PeerId, ProtocolVersion, Receipt, Receipts, Recipient, Refused, UnixMillis, VersionRange,
    WireMessage,
};
use mesh_transport::{JoinRoute, Lane, LaneReceiver, Link};
use rustix::process::{Signal, kill_process};

use crate::agent::{Agent, NEWS, PATIENCE, eventually, mesh, text_message, text_of, within};
use crate::stranger::{Stranger, key};

/// A member by its key, its words made by hand.
pub(crate) struct Insider {
    pub(crate) stranger: Stranger,
    victim: PeerId,
    pub(crate) link: Link,
    urgent: LaneReceiver,
    batches: u64,
}

impl Insider {
    /// Joins through `issuer` and links with `victim`.
    pub(crate) async fn enter(issuer: &Agent, victim: &Agent) -> Self {
        let stranger = Stranger::new(key(33));
        let token = issuer.parsed_token().await;
        stranger.redeem(&token, "insider").await.unwrap();
        let known = async || victim.members().await.contains_key("insider").then_some(());
        eventually(NEWS, "the victim knows the new member", known).await;
        let link = Self::link(&stranger, victim).await;
        Self::with(stranger, victim.peer_id(), link)
    }

    pub(crate) async fn link(stranger: &Stranger, victim: &Agent) -> Link {
        let mesh_id = victim.status().await.mesh_id;
        stranger.link((victim.peer_id(), victim.address()), mesh_id).await.unwrap()
    }

    fn with(stranger: Stranger, victim: PeerId, mut link: Link) -> Self {
        let urgent = link.take_receiver(Lane::Urgent);
        Self { stranger, victim, link, urgent, batches: 0 }
    }

    fn message(&self, number: u8) -> MeshMessage {
        let data = JsonText::parse(&format!("{{\"text\":\"message {number}\"}}")).unwrap();
        let app_type = String::from("text");
        MeshMessage {
            message_id: MessageId::from_parts(UnixMillis(1), &[number; 10]),
            from: self.stranger.peer_id(),
            to: Recipient::Peer(self.victim),
            payload: Payload::CustomJson(CustomJson { app_type, data }),
            encryption: Encryption::Link,
            timestamp: UnixMillis(1),
        }
    }

    /// What becomes of these, sent as one batch.
    async fn deliver(&mut self, items: Vec<DeliverItem>) -> Vec<DeliverOutcome> {
        self.batches += 1;
        let batch_id = self.batches;
        let deliver = Frame::Deliver(Deliver { batch_id, items });
        self.link.sender().send(Lane::Normal, &deliver).await.unwrap();
        loop {
            // The other side talks about records and heartbeats meanwhile.
            let frame = within(self.urgent.next()).await.expect("the link is up").unwrap();
            if let Frame::DeliverResult(result) = frame
                && result.batch_id == batch_id
            {
                return result.outcomes;
            }
        }
    }
}

fn item(sequence: u64, message: &MeshMessage) -> DeliverItem {
    let message = WireMessage::Plain(message.clone()).encode().unwrap();
    DeliverItem { stream: 1, sequence, priority: 1, expires_at: in_an_hour().0, message }
}

pub(crate) fn in_an_hour() -> UnixMillis {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    UnixMillis(u64::try_from(since_epoch).unwrap() + 3_600_000)
}

#[tokio::test]
async fn a_member_speaks_for_nobody_else_and_is_heard_once() {
    let dir = tempfile::tempdir().unwrap();
    let [one, victim] = mesh(dir.path(), ["one", "victim"]).await;
    let mut insider = Insider::enter(&one, &victim).await;
    let honest = insider.message(1);
    let in_ones_name = MeshMessage { from: one.peer_id(), ..insider.message(2) };
    let to_one = MeshMessage { to: Recipient::Peer(one.peer_id()), ..insider.message(3) };
    let mut garbage = item(4, &insider.message(4));
    garbage.message.truncate(20);
    let mut too_late = item(5, &insider.message(5));
    too_late.expires_at = 1;
    let mut for_ever = item(6, &insider.message(6));
    for_ever.expires_at = u64::MAX;

    let outcomes = insider
        .deliver(vec![
            item(1, &honest),
            item(2, &in_ones_name),
            item(3, &to_one),
            garbage,
            too_late,
            for_ever,
        ])
        .await;
    let expected = [
        DeliverOutcome::Stored,
        DeliverOutcome::Refused(ErrorCode::MessageMisdirected),
        DeliverOutcome::Refused(ErrorCode::MessageMisdirected),
        DeliverOutcome::Refused(ErrorCode::ProtocolError),
        DeliverOutcome::Refused(ErrorCode::MessageExpired),
        DeliverOutcome::Refused(ErrorCode::ClockSkew),
    ];
    assert_eq!(outcomes, expected);
    let again = insider.deliver(vec![item(1, &honest), item(9, &honest)]).await;
    assert_eq!(again, [DeliverOutcome::Duplicate, DeliverOutcome::Duplicate]);
    // Nor after it was read, or after a new life of the link.
    let inbox = victim.empty_inbox().await;
    let texts: Vec<String> = inbox.iter().map(|message| text_of(&message.data)).collect();
    assert_eq!(texts, ["message 1"]);
    assert_eq!(inbox[0].from, "insider");
    let link = Insider::link(&insider.stranger, &victim).await;
    let mut insider = Insider::with(insider.stranger, insider.victim, link);
    assert_eq!(insider.deliver(vec![item(1, &honest)]).await, [DeliverOutcome::Duplicate]);
    assert!(victim.inbox().await.is_empty());
}

#[tokio::test]
async fn an_open_message_that_claims_to_be_sealed_is_not_shown_as_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let [one, victim] = mesh(dir.path(), ["one", "victim"]).await;
    let mut insider = Insider::enter(&one, &victim).await;
    let boast = MeshMessage { encryption: Encryption::Sealed, ..insider.message(1) };
    let _any_outcome = insider.deliver(vec![item(1, &boast)]).await;
    assert!(victim.inbox().await.iter().all(|message| !message.sealed));
}

#[tokio::test]
async fn a_member_that_breaks_the_protocol_loses_its_link_and_nothing_else_happens() {
    let dir = tempfile::tempdir().unwrap();
    let [one, victim] = mesh(dir.path(), ["one", "victim"]).await;
    let insider = Insider::enter(&one, &victim).await;
    let hello = Frame::Hello(Hello {
        versions: VersionRange::SUPPORTED,
        mesh_id: victim.status().await.mesh_id,
        records_digest: [0; 32],
        pair_key_id: None,
    });
    let mut endless = hello.encode().unwrap().to_vec();
    endless[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let hostile = [
        ("a frame of 4 GiB", endless),
        ("noise", crate::raw::noise(1, 4096)),
        ("a frame that has no place on a link", hello.encode().unwrap().to_vec()),
        ("a request for admission", {
            let token = one.parsed_token().await;
            insider.stranger.request(&token, "again").encode().unwrap().to_vec()
        }),
    ];
    let Insider { stranger, link, .. } = insider;
    drop(link);
    for (what, bytes) in hostile {
        for lane in [Lane::Urgent, Lane::Normal, Lane::Bulk] {
            let link = Insider::link(&stranger, &victim).await;
            link.sender().send_encoded(lane, bytes.clone().into()).await.unwrap();
            tokio::time::timeout(PATIENCE, link.closed())
                .await
                .unwrap_or_else(|_| panic!("{what} on lane {lane:?} passes"));
            let reply = one.send_acked("victim", what).await;
            assert_eq!(reply.deliveries[0].state, DeliveryState::Acked);
        }
    }
    assert_eq!(victim.texts().await.len(), 12);
    assert_eq!(victim.peers().await.len(), 3, "it is a member still");
}

#[tokio::test]
async fn a_program_of_another_major_version_is_refused_by_that_name() {
    let dir = tempfile::tempdir().unwrap();
    let [one, victim] = mesh(dir.path(), ["one", "victim"]).await;
    let newer = ProtocolVersion { major: 2, minor: 0 };
    let newer = VersionRange { min: newer, max: newer };
    // As a joiner,
    let stranger = Stranger::new(key(44));
    let token = one.parsed_token().await;
    let Frame::JoinRequest(mut request) = stranger.request(&token, "x") else { unreachable!() };
    request.versions = newer;
    let to = (one.peer_id(), one.address());
    let answer = stranger.ask(to, JoinRoute::Join, Frame::JoinRequest(request)).await.unwrap();
    let Frame::Refused(Refused { code, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(code, ErrorCode::VersionUnsupported);
    // which did not use the token up, and as a member.
    stranger.redeem(&token, "x").await.unwrap();
    let mesh_id = victim.status().await.mesh_id;
    eventually(NEWS, "the member is known", async || {
        victim.members().await.contains_key("x").then_some(())
    })
    .await;
    let hello = Hello { versions: newer, mesh_id, records_digest: [0; 32], pair_key_id: None };
    let error = stranger.hello((victim.peer_id(), victim.address()), hello).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::VersionUnsupported);
}

#[tokio::test]
async fn a_member_cannot_withdraw_or_use_what_another_issued() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let token = one.parsed_token().await;
    let id = token.token_id.to_string();
    let error = two.client().token_revoke(&id).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    // A member that asks again with a token of the mesh it is in is in, and gets what it had.
    let before = two.status().await;
    two.join(&token.encode()).await.unwrap();
    assert_eq!(two.status().await.mesh_id, before.mesh_id);
    assert_eq!(one.peers().await.len(), 2);
    one.client().send(&text_message("two", "still linked")).await.unwrap();
    eventually(PATIENCE, "it arrives", async || {
        (two.texts().await == ["still linked"]).then_some(())
    })
    .await;
}

impl Insider {
    /// Says something on the urgent lane, and returns what the victim says until it has dealt with it.
    async fn say(&mut self, frame: Frame) -> Vec<Frame> {
        self.batches += 1;
        let ping = LinkPing { nonce: self.batches, sent_at: 0 };
        for frame in [frame, Frame::Ping(ping)] {
            self.link.sender().send(Lane::Urgent, &frame).await.unwrap();
        }
        let mut said = Vec::new();
        loop {
            let frame = within(self.urgent.next()).await.expect("the link is up").unwrap();
            if matches!(&frame, Frame::Pong(pong) if pong.nonce == ping.nonce) {
                return said;
            }
            said.push(frame);
        }
    }

    /// What the victim answers to a parcel that came with this member as its relay.
    async fn receipts_for(&mut self, parcel: Parcel) -> Vec<DeliverOutcome> {
        let itinerary = Itinerary::new(self.stranger.peer_id(), self.victim);
        let said = self.say(Frame::Forward(Forward { itinerary, parcels: vec![parcel] })).await;
        let receipts = said.into_iter().filter_map(|frame| {
            if let Frame::Receipts(receipts) = frame { Some(receipts.receipts) } else { None }
        });
        receipts.flatten().map(|receipt| receipt.outcome).collect()
    }
}

#[tokio::test]
async fn a_parcel_that_its_sender_did_not_sign_is_dropped_without_a_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let [oak, baulder] = mesh(dir.path(), ["oak", "baulder"]).await;
    let mut insider = Insider::enter(&oak, &baulder).await;
    let mesh_id = baulder.status().await.mesh_id;
    let message = insider.message(1);
    let item = DeliverItem {
        stream: 7,
        sequence: 1,
        priority: 1,
        expires_at: u64::MAX,
        message: WireMessage::Plain(message.clone()).encode().unwrap(),
    };
    let genuine =
        key(33).sign_parcel(mesh_id, insider.victim, message.message_id, item.clone()).unwrap();
    // Its own words are heard, and refused for what they are: what goes through others is sealed.
    let refused = [DeliverOutcome::Refused(ErrorCode::MessageMisdirected)];
    assert_eq!(insider.receipts_for(genuine.clone()).await, refused);
    // Another's words, and its own with another place in its outbox, nobody signed.
    let forged = Parcel { from: oak.peer_id(), ..genuine.clone() };
    assert_eq!(insider.receipts_for(forged).await, []);
    let altered = Parcel { item: DeliverItem { sequence: 2, ..item }, ..genuine };
    assert_eq!(insider.receipts_for(altered).await, []);
    assert!(baulder.inbox().await.is_empty());
}

#[tokio::test]
async fn a_receipt_that_its_receiver_did_not_sign_ends_no_message() {
    let dir = tempfile::tempdir().unwrap();
    let [oak, baulder, mut mint] = mesh(dir.path(), ["oak", "baulder", "mint"]).await;
    let mut insider = Insider::enter(&oak, &baulder).await;
    let away = mint.peer_id();
    mint.kill9();
    let sent = baulder.client().send(&text_message("mint", "for mint alone")).await.unwrap();
    let mesh_id = baulder.status().await.mesh_id;
    let receipt = key(33)
        .sign_receipt(
            mesh_id,
            insider.victim,
            sent.message_id,
            DeliverOutcome::Stored,
            UnixMillis(1),
        )
        .unwrap();
    let forged = Receipt { from: away, ..receipt };
    for receipt in [receipt, forged] {
        let itinerary = Itinerary::new(insider.stranger.peer_id(), insider.victim);
        insider.say(Frame::Receipts(Receipts { itinerary, receipts: vec![receipt] })).await;
    }
    let outbox = baulder.client().outbox().await.unwrap();
    assert!(outbox.iter().any(|row| row.message_id == sent.message_id), "it waits still");
    mint.restart().await;
    let arrived = async || (mint.texts().await == ["for mint alone"]).then_some(());
    eventually(PATIENCE, "the message arrives all the same", arrived).await;
}

/// The next batch that the victim wants to hand over.
async fn batch_from(lane: &mut LaneReceiver) -> Deliver {
    loop {
        let frame = within(lane.next()).await.expect("the link is up").unwrap();
        if let Frame::Deliver(deliver) = frame {
            return deliver;
        }
    }
}

#[tokio::test]
async fn an_answer_ends_only_what_was_meant_for_who_gives_it_and_only_when_it_fits() {
    let dir = tempfile::tempdir().unwrap();
    let [oak, baulder, mint] = mesh(dir.path(), ["oak", "baulder", "mint"]).await;
    let mut insider = Insider::enter(&oak, &baulder).await;
    let mut normal = insider.link.take_receiver(Lane::Normal);
    let state_of = async |to: &str| {
        let outbox = baulder.client().outbox().await.unwrap();
        outbox.into_iter().find(|row| row.to == to).map(|row| row.state)
    };
    baulder.client().send(&text_message("insider", "for the insider")).await.unwrap();
    let batch = batch_from(&mut normal).await;
    assert_eq!(batch.items.len(), 1);
    for count in [0, 2] {
        let outcomes = vec![DeliverOutcome::Stored; count];
        let result = DeliverResult { batch_id: batch.batch_id, outcomes };
        insider.say(Frame::DeliverResult(result)).await;
        assert!(state_of("insider").await.is_some(), "{count} answers to one message");
    }
    let again = batch_from(&mut normal).await;
    assert_eq!(again.items, batch.items, "it is sent again");

    kill_process(mint.pid(), Signal::STOP).unwrap();
    baulder.client().send(&text_message("mint", "for mint alone")).await.unwrap();
    let is_sending = async || (state_of("mint").await? == "sending").then_some(());
    eventually(NEWS, "the message is under way", is_sending).await;
    for batch_id in 0..=again.batch_id + 16 {
        let outcomes = vec![DeliverOutcome::Stored];
        insider.say(Frame::DeliverResult(DeliverResult { batch_id, outcomes })).await;
    }
    assert_eq!(state_of("insider").await, None, "of its own it may say what it likes");
    assert_eq!(state_of("mint").await.as_deref(), Some("sending"));
    kill_process(mint.pid(), Signal::CONT).unwrap();
    let arrived = async || (mint.texts().await == ["for mint alone"]).then_some(());
    eventually(PATIENCE, "the message arrives all the same", arrived).await;
}

//! Messages: to one, to all, sealed or not; and those who read them.

use mesh_control::{ClientError, InboxQuery, SendRequest};
use mesh_protocol::MessageId;
use serde_json::json;

use super::{Client, Office};
use crate::ledger::{Read, Sent, Told};
use crate::world::Member;

const APP_TYPE: &str = "torture";

/// Read at one time.
const READ_MAX: usize = 200;

/// Sends one message.
pub(super) async fn send(client: &mut Client, number: u64) {
    let receiver = client.another();
    let to = (client.dice.below(10) > 0).then_some(receiver.peer_id);
    let request = SendRequest {
        to: to.map(|to| to.to_string()),
        broadcast: to.is_none(),
        app_type: APP_TYPE.to_owned(),
        data: json!({ "number": number }),
        seal: client.dice.below(5) == 0,
        ..SendRequest::default()
    };
    let result = client.member.client.send(&request).await;
    let mut ledger = client.office.ledger.borrow_mut();
    ledger.note("send", &result);
    let from = client.member.place;
    ledger.sent.push(Sent { from, number, to, told: Told::of(&result) });
}

pub(super) async fn read(client: &mut Client) {
    // What cannot be read is read later.
    let _later = take(&client.office, &client.member).await;
}

/// Reads what is in the inbox and takes it out; how much that was.
pub(crate) async fn take(office: &Office, member: &Member) -> Result<usize, ClientError> {
    let query = InboxQuery {
        app_type: Some(APP_TYPE.to_owned()),
        limit: Some(READ_MAX),
        ..InboxQuery::default()
    };
    let messages = member.client.inbox(&query).await?;
    let ids: Vec<MessageId> = messages.iter().map(|message| message.message_id).collect();
    let first = {
        let mut ledger = office.ledger.borrow_mut();
        let read = ledger.read.entry(member.place).or_default();
        let first = read.len();
        read.extend(messages.iter().map(|message| Read {
            from: message.from_peer_id,
            number: message.data["number"].as_u64().unwrap(),
            message_id: message.message_id,
            via: message.via.clone(),
            is_taken: false,
        }));
        first
    };
    if ids.is_empty() {
        return Ok(0);
    }
    let count = ids.len();
    member.client.inbox_ack(ids).await?;
    let mut ledger = office.ledger.borrow_mut();
    for read in &mut ledger.read.get_mut(&member.place).unwrap()[first..first + count] {
        read.is_taken = true;
    }
    Ok(count)
}

//! Writes of rows that say what they overwrote, and the operator who accepts what a wrong clock wrote.

use mesh_control::{ParkedAccept, SqlReply, SqlStatement};
use mesh_protocol::SqlValue;

use super::{Client, Office};
use crate::world::Member;
use crate::write::{Outcome, Write};

/// Rows that all of them write.
const ROWS: u64 = 60;

/// Makes one write.
pub(super) async fn write(client: &mut Client) {
    let no = client.office.next_write.get() + 1;
    client.office.next_write.set(no);
    let write = Write::draw(no, ROWS, &mut client.dice);
    let statement = SqlStatement { sql: write.sql.clone(), params: Vec::new() };
    let result = client.member.client.sql(&statement).await;
    let mut ledger = client.office.ledger.borrow_mut();
    ledger.note("write", &result);
    let outcome = match result {
        // What a newcomer wrote may go with it, when it is removed.
        Ok(_) if client.member.is_guest() => Outcome::unknown(write),
        Ok(SqlReply::Rows { rows, .. }) => {
            let values = rows.into_iter().next().map(|row| {
                row.into_iter().skip(1).map(|value| match value.0 {
                    SqlValue::Text(text) => text,
                    other => panic!("{other:?} is no text"),
                })
            });
            Outcome::acknowledged(write, values.map(Iterator::collect))
        }
        Ok(SqlReply::Changes { changes: 0 }) => Outcome::acknowledged(write, None),
        Ok(SqlReply::Changes { .. }) | Err(_) => Outcome::unknown(write),
    };
    ledger.writes.push(outcome);
}

/// Takes what members wrote while their clocks were ahead, as their operators would.
pub(super) async fn accept_all(client: &mut Client) {
    let Ok(status) = client.member.client.status().await else { return };
    for skew in status.data.clock_skew {
        accept(&client.office, &client.member, &skew.hostname).await;
    }
}

/// Whoever is not known any more, or cannot be asked, is tried again.
pub(crate) async fn accept(office: &Office, member: &Member, host: &str) {
    let accept = ParkedAccept { host: host.to_owned() };
    let result = member.client.parked_accept(&accept).await;
    office.ledger.borrow_mut().note("accept", &result);
}

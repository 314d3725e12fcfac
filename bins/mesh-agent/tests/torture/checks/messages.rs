//! Every acknowledged message is delivered once, and those that come from their sender itself in their order.

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::PeerId;

use crate::clients::Office;
use crate::ledger::{Ledger, Read, Sent, Told};

/// What is said of a message that came from its sender itself.
const DIRECT: &str = "direct";

pub(super) fn wrong(office: &Office) -> Vec<String> {
    let ledger = office.ledger.borrow();
    let mut wrong = Vec::new();
    let everybody = office.world.everybody();
    for receiver in &office.world.members {
        let read = ledger.read.get(&receiver.place).map_or(&[][..], Vec::as_slice);
        for sender in everybody.iter().filter(|sender| sender.place != receiver.place) {
            let pair = format!("from {} to {}", sender.name, receiver.name);
            let sent = sent(&ledger, sender.place, receiver.peer_id);
            let read = read.iter().filter(|read| read.from == sender.peer_id);
            // What a newcomer had not sent yet may go with it.
            let found = judge(&sent, read, sender.is_guest());
            wrong.extend(found.into_iter().map(|what| format!("{pair}: {what}")));
        }
    }
    let total = ledger.read.values().map(Vec::len).sum::<usize>();
    eprintln!("messages: {} sent, {total} read", ledger.sent.len());
    wrong
}

/// What one sender sent to one receiver, by number.
fn sent(ledger: &Ledger, from: usize, to: PeerId) -> BTreeMap<u64, Told> {
    let is_to = |sent: &&Sent| sent.from == from && sent.to.is_none_or(|receiver| receiver == to);
    ledger.sent.iter().filter(is_to).map(|sent| (sent.number, sent.told)).collect()
}

/// Compares what was sent with what was read, in the order of the inbox.
fn judge<'r>(
    sent: &BTreeMap<u64, Told>,
    read: impl Iterator<Item = &'r Read>,
    may_be_lost: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut taken, mut ids) = (BTreeSet::new(), BTreeMap::new());
    let mut latest = 0;
    for Read { number, message_id, via, is_taken, .. } in read {
        if taken.contains(number) {
            wrong.push(format!("message {number} was taken and is there again"));
        }
        if *is_taken {
            taken.insert(*number);
        }
        match ids.insert(*number, *message_id) {
            // Nobody knows whether it was taken the first time.
            Some(before) if before == *message_id => continue,
            Some(_) => wrong.push(format!("message {number} is there twice")),
            None => {}
        }
        match sent.get(number) {
            None => wrong.push(format!("message {number} was never sent, and is there")),
            Some(Told::Refused) => {
                wrong.push(format!("message {number} was refused, and is there"))
            }
            // Nobody knows when that was sent.
            Some(Told::Nothing) => {}
            // It may have come from one who kept it, and of those there are several.
            Some(Told::Done) if via != DIRECT => {}
            Some(Told::Done) if *number < latest => {
                wrong.push(format!("message {number} came after {latest}"));
            }
            Some(Told::Done) => latest = *number,
        }
    }
    let is_missing = |number: &u64, told: &Told| *told == Told::Done && !ids.contains_key(number);
    let missing = sent.iter().filter(|(number, told)| is_missing(number, told) && !may_be_lost);
    wrong.extend(
        missing.map(|(number, _)| format!("message {number} was acknowledged, and is lost")),
    );
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(number: u64, id: u8, is_taken: bool) -> Read {
        let message_id = mesh_protocol::MessageId::from_bytes([id; 16]);
        Read {
            from: PeerId::from_bytes([1; 32]),
            number,
            message_id,
            via: String::from(DIRECT),
            is_taken,
        }
    }

    fn judged(read: &[Read]) -> Vec<String> {
        let sent = [(1, Told::Done), (2, Told::Nothing), (3, Told::Done), (4, Told::Refused)];
        judge(&sent.into(), read.iter(), false)
    }

    #[test]
    fn what_was_acknowledged_is_there_once_and_in_order_and_the_rest_may_be() {
        assert_eq!(judged(&[read(1, 1, true), read(3, 3, true)]), [""; 0]);
        assert_eq!(judged(&[read(1, 1, true), read(3, 3, true), read(2, 2, true)]), [""; 0]);
        let again = [read(1, 1, false), read(1, 1, true), read(3, 3, true)];
        assert_eq!(judged(&again), [""; 0], "it was read twice before it was taken");
        let kept = Read { via: String::from("elm"), ..read(1, 1, true) };
        assert_eq!(judged(&[read(3, 3, true), kept]), [""; 0], "somebody kept it");
    }

    #[test]
    fn what_is_lost_doubled_out_of_order_or_nobodys_is_told() {
        let all = |found: &[Read]| judged(found).join(", ");
        assert_eq!(all(&[read(3, 3, true)]), "message 1 was acknowledged, and is lost");
        assert_eq!(all(&[read(3, 3, true), read(1, 1, true)]), "message 1 came after 3");
        let twice = [read(1, 1, false), read(1, 2, true), read(3, 3, true)];
        assert!(all(&twice).starts_with("message 1 is there twice"));
        let again = [read(1, 1, true), read(1, 1, true), read(3, 3, true)];
        assert_eq!(all(&again), "message 1 was taken and is there again");
        let more = [read(1, 1, true), read(3, 3, true), read(4, 4, true), read(9, 9, true)];
        let told = "message 4 was refused, and is there, message 9 was never sent, and is there";
        assert_eq!(all(&more), told);
    }
}

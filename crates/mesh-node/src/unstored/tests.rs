use mesh_protocol::{PeerId, RecordId, Signature, SignedRecord};

use super::*;

fn record(number: u8, replaces: Option<u8>) -> StoredRecord {
    StoredRecord {
        id: RecordId::from_bytes([number; 32]),
        signed: SignedRecord {
            signer: PeerId::from_bytes([1; 32]),
            body: vec![number],
            signature: Signature::from_bytes([0; 64]),
        },
        replaces: replaces.map(|number| RecordId::from_bytes([number; 32])),
    }
}

#[test]
fn of_many_revisions_that_wait_for_room_the_last_one_waits_and_replaces_what_is_on_the_disk() {
    let mut unstored = Vec::new();
    add_unstored(&mut unstored, record(100, None));
    for number in 1..50 {
        add_unstored(&mut unstored, record(number, Some(number - 1)));
    }
    let waiting: Vec<_> = unstored.iter().map(|record| (record.id, record.replaces)).collect();
    let [only, last] = [record(100, None), record(49, Some(0))];
    assert_eq!(waiting, [(only.id, only.replaces), (last.id, last.replaces)]);
}

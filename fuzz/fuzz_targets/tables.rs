//! Replicated tables: parts of transactions and pieces of snapshots, in the compact form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_protocol::{SnapshotChunk, TransactionPart};

// Integers have longer forms too, so the bytes may differ; what they say may not.
fn read_part(bytes: &[u8]) {
    let Ok(part) = TransactionPart::decode(bytes) else { return };
    let written = part.encode().expect("what is read can be written");
    assert!(written.len() <= bytes.len(), "the shortest form is written");
    assert_eq!(TransactionPart::peek_dot(bytes), Some(part.dot));
    assert_eq!(TransactionPart::decode(&written), Ok(part));
}

fn read_chunk(bytes: &[u8]) {
    let Ok(chunk) = SnapshotChunk::decode(bytes) else { return };
    let written = chunk.encode().expect("what is read can be written");
    assert!(written.len() <= bytes.len(), "the shortest form is written");
    assert_eq!(SnapshotChunk::decode(&written), Ok(chunk));
}

fuzz_target!(|bytes: &[u8]| {
    read_part(bytes);
    read_chunk(bytes);
});

//! Whatever a link brings is refused or read, and what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_protocol::{FRAME_HEADER_BYTES, Frame, FrameHeader};

fn decode(bytes: &[u8]) -> Option<Frame> {
    let (header, body) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    Frame::decode(&FrameHeader::decode(header).ok()?, body).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(frame) = decode(bytes) else { return };
    let again = frame.encode().expect("what was read keeps every bound");
    assert_eq!(decode(&again), Some(frame));
});

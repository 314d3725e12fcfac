//! Every decoder of this crate reads bytes from strangers. The tests here hold its three promises:
//! the bytes never drift, nothing that comes in panics or grows, and what goes out comes back.

mod debug;
mod decoding;
mod files;
mod git;
mod golden;
mod json;
mod limits;
mod properties;
mod records;
mod routing;
mod samples;
mod strategies;
mod tables;
mod texts;
mod versions;

use crate::{DecodeError, FRAME_HEADER_BYTES, Frame, FrameHeader, Payload};

/// Decodes header and body as a link does.
fn decode_frame(bytes: &[u8]) -> Result<Frame, DecodeError> {
    let (header, body) = bytes
        .split_first_chunk::<FRAME_HEADER_BYTES>()
        .ok_or(DecodeError::Malformed { what: "frame header" })?;
    Frame::decode(&FrameHeader::decode(header)?, body)
}

/// The structure of a payload alone.
fn encode_body(payload: &Payload) -> Vec<u8> {
    let mut bytes = Vec::new();
    payload.encode_body_into(&mut bytes).unwrap();
    bytes
}

/// Writes the length of the body into the header, after a test has changed the body.
fn fix_body_length(frame: &mut [u8]) {
    let body_bytes = u32::try_from(frame.len() - FRAME_HEADER_BYTES).unwrap();
    frame[8..12].copy_from_slice(&body_bytes.to_le_bytes());
}

//! Reads what an agent says on a link, beneath TLS and HTTP/2, as far as somebody waits for it.

use std::collections::BTreeMap;

use mesh_protocol::{FRAME_HEADER_BYTES, Frame, FrameHeader, PUSH_HEADER_BYTES, PushHeader};

const HTTP2_HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const IS_ACK: u8 = 1;

/// Frames that answer something: Welcome, DeliverResult, LiveResult.
const ANSWERS: [u16; 3] = [2, 5, 7];

/// Messages of a push that answer something: Answer, PageNeed, Need, Result.
const PUSH_ANSWERS: [u8; 4] = [2, 4, 6, 11];

/// What is waited for, such as `1 frame 2`: Welcome on the first stream.
pub(super) type Milestone = String;

/// Everything that one side of a connection said.
#[derive(Default)]
pub(super) struct Listener {
    unread: Vec<u8>,
    streams: BTreeMap<u32, Vec<u8>>,
    /// Frames of the lanes, in the order in which they were whole.
    pub(super) frames: Vec<Frame>,
}

impl Listener {
    /// Takes the next bytes; what was reached with them.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<Milestone> {
        self.unread.extend_from_slice(bytes);
        let mut reached = Vec::new();
        while self.unread.len() >= HTTP2_HEADER_BYTES {
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.unread[..HTTP2_HEADER_BYTES]
            else {
                unreachable!("nine bytes")
            };
            let whole =
                HTTP2_HEADER_BYTES + usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap();
            if self.unread.len() < whole {
                break;
            }
            let rest = self.unread.split_off(whole);
            let frame = std::mem::replace(&mut self.unread, rest);
            let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
            match kind {
                SETTINGS if flags & IS_ACK == 0 => reached.push(String::from("settings")),
                HEADERS => reached.push(format!("{stream} head")),
                DATA => reached.extend(self.hear_data(stream, &frame[HTTP2_HEADER_BYTES..])),
                _ => {}
            }
        }
        reached
    }

    fn hear_data(&mut self, stream: u32, data: &[u8]) -> Vec<Milestone> {
        let said = self.streams.entry(stream).or_default();
        said.extend_from_slice(data);
        let mut reached = Vec::new();
        // A lane begins with a frame; what does not is a push, the only stream that the recorded agents open.
        while said.starts_with(b"MESH") || said.starts_with(b"M") && said.len() < 4 {
            let Some(header) = said.first_chunk::<FRAME_HEADER_BYTES>() else { return reached };
            let header = FrameHeader::decode(header).unwrap();
            let Some(body) = said.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.body_bytes)
            else {
                return reached;
            };
            self.frames.push(Frame::decode(&header, body).unwrap());
            said.drain(..FRAME_HEADER_BYTES + header.body_bytes);
            if ANSWERS.contains(&header.kind) {
                reached.push(format!("{stream} frame {}", header.kind));
            }
        }
        while let Some(header) = said.first_chunk::<PUSH_HEADER_BYTES>() {
            let kind = header[0];
            let whole = PUSH_HEADER_BYTES + PushHeader::decode(header).unwrap().body_bytes;
            if said.len() < whole {
                break;
            }
            said.drain(..whole);
            if PUSH_ANSWERS.contains(&kind) {
                reached.push(format!("{stream} push {kind}"));
            }
        }
        reached
    }
}

//! Messages out of whatever pieces a stream brings them in.

use mesh_protocol::{ChunkRange, ChunkRanges, PushProblem, PushReason, PushStep};

use super::*;
use crate::pushes::roots::refuses;

fn problem() -> PushProblem {
    refuses(PushStep::Push, PushReason::Busy, "later")
}

fn have(count: u64) -> PushMessage {
    let mut ranges = ChunkRanges::default();
    (0..count).for_each(|number| {
        ranges.push(ChunkRange { first: number * 3, count: 1 });
    });
    PushMessage::Have(ranges)
}

/// Some messages, and the bytes that they travel as.
fn said() -> (Vec<Received>, Vec<u8>) {
    let (mut messages, mut bytes) = (Vec::new(), Vec::new());
    let plain = [have(0), PushMessage::Stop(problem()), have(300)];
    for (number, message) in plain.into_iter().enumerate() {
        bytes.extend(message.encode().unwrap());
        messages.push(Received::Message(message));
        let body = Bytes::from(vec![u8::try_from(number).unwrap(); 1 + 70_000 * number]);
        let raw_bytes = u32::try_from(body.len()).unwrap();
        let head = ChunkHead { number: number as u64, raw_bytes, is_compressed: false };
        bytes.extend(head.encode(&body).unwrap());
        bytes.extend(&body);
        messages.push(Received::Chunk(head, body));
    }
    (messages, bytes)
}

#[tokio::test]
async fn messages_come_whole_out_of_pieces_of_any_size() {
    for piece_bytes in [1, 2, 3, 7, 100, 16_384, 65_536, 1 << 20] {
        let (messages, bytes) = said();
        let [(mut reader, _), (_, mut writer)] = channel_here();
        let count = bytes.len() as u64;
        let saying = async {
            for piece in bytes.chunks(piece_bytes) {
                writer.send_encoded(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            writer.finish();
        };
        let hearing = async {
            for message in messages {
                let received = reader.recv().await.unwrap().unwrap();
                assert_eq!(format!("{received:?}"), format!("{message:?}"), "{piece_bytes}");
            }
            assert!(reader.recv().await.unwrap().is_none());
        };
        tokio::join!(saying, hearing);
        assert_eq!(reader.bytes, count);
    }
}

#[tokio::test]
async fn a_stream_that_ends_within_a_message_is_cut() {
    let (messages, bytes) = said();
    let first = PushMessage::Have(ChunkRanges::default()).encode().unwrap().len();
    for kept in [1, PUSH_HEADER_BYTES - 1, PUSH_HEADER_BYTES, first + 1, bytes.len() - 1] {
        let [(mut reader, _), (_, mut writer)] = channel_here();
        writer.send_encoded(Bytes::copy_from_slice(&bytes[..kept])).await.unwrap();
        writer.finish();
        let mut whole = 0;
        let end = loop {
            match reader.recv().await {
                Ok(Some(_)) => whole += 1,
                end => break end,
            }
        };
        assert!(matches!(end, Err(ChannelError::Cut)), "{kept} {end:?}");
        assert!(whole < messages.len());
    }
}

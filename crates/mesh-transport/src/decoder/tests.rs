use bytes::Bytes;
use mesh_protocol::{
    DecodeError, ErrorCode, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, Frame, LinkPing, Live,
    Refused,
};
use proptest::prelude::*;

use super::FrameDecoder;

fn decode_all(pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Frame>, DecodeError> {
    let mut decoder = FrameDecoder::new(FRAME_BODY_BYTES_MAX);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(frame) = decoder.next()? {
            frames.push(frame);
        }
    }
    if decoder.is_between_frames() {
        Ok(frames)
    } else {
        Err(DecodeError::Malformed { what: "end of the stream" })
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        (any::<u64>(), any::<u64>())
            .prop_map(|(nonce, sent_at)| Frame::Ping(LinkPing { nonce, sent_at })),
        (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..600))
            .prop_map(|(request_id, message)| Frame::Live(Live { request_id, message })),
        "[a-z ]{0,40}"
            .prop_map(|message| Frame::Refused(Refused { code: ErrorCode::BadRequest, message })),
    ]
}

fn cut(bytes: &[u8], places: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut cuts: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| Bytes::copy_from_slice(&bytes[pair[0]..pair[1]])).collect()
}

proptest! {
    #[test]
    fn frames_survive_being_split_anywhere(
        frames in proptest::collection::vec(frame(), 0..8),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        prop_assert_eq!(decode_all(cut(&bytes, &places)), Ok(frames));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let _outcome = decode_all(cut(&bytes, &places));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_noticed(frame in frame(), place in any::<prop::sample::Index>()) {
        let bytes = frame.encode().unwrap();
        let end = 1 + place.index(bytes.len() - 1);
        prop_assert!(decode_all([Bytes::copy_from_slice(&bytes[..end])]).is_err());
    }
}

#[test]
fn single_bytes_make_a_frame() {
    let frame = Frame::Ping(LinkPing { nonce: 7, sent_at: 8 });
    let bytes = frame.encode().unwrap();
    let pieces = bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
    assert_eq!(decode_all(pieces), Ok(vec![frame]));
}

#[test]
fn a_length_of_4_gib_is_refused_by_its_header() {
    let mut header = Frame::Ping(LinkPing { nonce: 0, sent_at: 0 }).encode().unwrap();
    header.truncate(FRAME_HEADER_BYTES);
    header[8..].copy_from_slice(&u32::MAX.to_le_bytes());
    let refused = decode_all([Bytes::from(header)]);
    assert!(matches!(refused, Err(DecodeError::TooLarge { .. })), "{refused:?}");
}

#[test]
fn a_smaller_bound_is_kept_too() {
    let mut decoder = FrameDecoder::new(100);
    let live = Frame::Live(Live { request_id: 1, message: vec![0; 200] });
    decoder.push(Bytes::from(live.encode().unwrap()));
    assert!(matches!(decoder.next(), Err(DecodeError::TooLarge { bytes_max: 100, .. })));
}

#[test]
fn reading_goes_on_behind_an_unknown_kind() {
    let ping = Frame::Ping(LinkPing { nonce: 1, sent_at: 2 });
    for split in [true, false] {
        let mut strange =
            Frame::Live(Live { request_id: 1, message: vec![1; 50] }).encode().unwrap();
        strange[6..8].copy_from_slice(&999_u16.to_le_bytes());
        let at = if split { 30 } else { strange.len() };
        let mut decoder = FrameDecoder::new(FRAME_BODY_BYTES_MAX);
        let rest = strange.split_off(at);
        decoder.push(Bytes::from(strange));
        if split {
            assert_eq!(decoder.next(), Ok(None));
            decoder.push(Bytes::from(rest));
        }
        assert_eq!(decoder.next(), Err(DecodeError::UnknownKind { kind: 999 }));
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(Bytes::from(ping.encode().unwrap()));
        assert_eq!(decoder.next(), Ok(Some(ping.clone())));
    }
}

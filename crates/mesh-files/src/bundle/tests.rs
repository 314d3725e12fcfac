//! Pushes in messages: whole ones, and what strangers make of them.

use mesh_protocol::{
    CHUNK_BYTES_MAX, Chunk, ChunkHead, ChunkId, Confirmation, Encryption, FileDigests, FileEntry,
    FileTime, ManifestItem, MeshMessage, MessageId, PAGE_IDS_MAX, PageIds, PageNeed, PageOf,
    Payload, PeerId, PushAnswer, PushMethod, PushOffer, PushProblem, PushResult, PushStep,
    PushTotals, Recipient, RelativePath, UnixMillis,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::tests::noise;
use crate::{ManifestBuilder, ManifestLimits, ManifestReader};

const PUSH: PushId = PushId::from_bytes([7; 16]);
const ME: PeerId = PeerId::from_bytes([1; 32]);

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text.as_bytes()).unwrap()
}

fn chunk(number: u64, bytes: &[u8]) -> PushMessage {
    let raw_bytes = u32::try_from(bytes.len()).unwrap();
    let head = ChunkHead { number, raw_bytes, is_compressed: false };
    PushMessage::Chunk(Chunk { head, bytes: bytes.to_vec() })
}

fn offer(totals: PushTotals, manifest: [u8; 32]) -> PushOffer {
    PushOffer {
        push_id: PUSH,
        by: ME,
        targets: vec![PeerId::from_bytes([2; 32])],
        root: "default".parse().unwrap(),
        destination: RelativePath::ROOT,
        message: "a small one".to_owned(),
        method: PushMethod::Message,
        totals,
        manifest,
        test: None,
        made_at: UnixMillis(1),
        expires_at: UnixMillis(2),
    }
}

/// A push of small files of these sizes, message by message.
fn push(sizes: &[usize]) -> Vec<PushMessage> {
    let files: Vec<Vec<u8>> =
        (0_u64..).zip(sizes).map(|(seed, bytes)| noise(seed, *bytes)).collect();
    let mut builder = ManifestBuilder::new(RelativePath::ROOT);
    let mut pages = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let entry = FileEntry {
            path: path(&format!("{index:06}")),
            bytes: file.len() as u64,
            is_executable: false,
            modified: FileTime::default(),
        };
        let digests = FileDigests { blake3: *blake3::hash(file).as_bytes(), sha256: [0; 32] };
        pages.extend(builder.add(ManifestItem::Whole(entry, digests)).unwrap());
    }
    let built = builder.finish().unwrap();
    pages.extend(built.page);
    let ids: Vec<ChunkId> = pages.iter().map(|page| page.id).collect();
    let mut messages = vec![PushMessage::Offer(offer(built.totals, built.digest))];
    for (first, ids) in (0..).step_by(PAGE_IDS_MAX).zip(ids.chunks(PAGE_IDS_MAX)) {
        messages.push(PushMessage::PageIds(PageIds { first, ids: ids.to_vec() }));
    }
    let pages = (0..).zip(pages);
    messages
        .extend(pages.map(|(number, page)| PushMessage::Page(PageOf { number, page: page.bytes })));
    let chunks = files.iter().filter(|file| !file.is_empty());
    messages.extend((0..).zip(chunks).map(|(number, file)| chunk(number, file)));
    messages
}

fn write(messages: &[PushMessage]) -> Result<Vec<u8>, BundleError> {
    let mut writer = BundleWriter::default();
    messages.iter().try_for_each(|message| writer.add(message))?;
    writer.finish()
}

fn read(bytes: &[u8]) -> Result<Vec<PushMessage>, BundleError> {
    BundleReader::new(bytes)?.collect()
}

/// As a writer that is not ours would.
fn encode_raw(messages: &[PushMessage]) -> Vec<u8> {
    messages.iter().flat_map(|message| message.encode().unwrap()).collect()
}

/// Neither side takes it.
fn refuse(messages: &[PushMessage], error: &BundleError) {
    assert_eq!(write(messages).map(|bytes| bytes.len()).as_ref(), Err(error));
    assert_eq!(read(&encode_raw(messages)).map(|messages| messages.len()).as_ref(), Err(error));
}

#[test]
fn the_largest_push_fits_one_message_and_comes_out_as_it_went_in() {
    let messages = push(&[64 << 10; 4]);
    let bundle = write(&messages).unwrap();
    assert_eq!(read(&bundle).unwrap(), messages);
    let transfer = to_transfer(PUSH, BundleKind::Push, bundle.clone());
    let found = from_transfer(&transfer).unwrap().unwrap();
    let expected = FoundBundle { push_id: PUSH, kind: BundleKind::Push, bytes: &bundle };
    assert_eq!(found, expected);
    let mut reader = BundleReader::new(found.bytes).unwrap();
    let Some(Ok(PushMessage::Offer(offer))) = reader.next() else { panic!("the offer") };
    let Some(Ok(PushMessage::PageIds(ids))) = reader.next() else { panic!("names of pages") };
    let Some(Ok(PushMessage::Page(page))) = reader.next() else { panic!("a page") };
    let limits = ManifestLimits { entries_max: 9, bytes_max: 1 << 20, folds_names: false };
    let mut manifest = ManifestReader::new(RelativePath::ROOT, offer.totals, limits).unwrap();
    manifest.page(&ids.ids[0], &page.page).unwrap();
    manifest.finish(&offer.manifest).unwrap();
    assert_eq!(reader.count(), 4, "the chunks");
}

fn message_with(bundle_bytes: usize) -> MeshMessage {
    MeshMessage {
        message_id: MessageId::from_bytes([1; 16]),
        from: ME,
        to: Recipient::Peer(PeerId::from_bytes([2; 32])),
        payload: Payload::FileTransfer(to_transfer(
            PUSH,
            BundleKind::Replies,
            vec![7; bundle_bytes],
        )),
        encryption: Encryption::Sealed,
        timestamp: UnixMillis(u64::MAX),
    }
}

#[test]
fn the_largest_bundle_fits_one_message() {
    assert!(message_with(BUNDLE_BYTES_MAX).encode().is_ok());
    assert!(message_with(MESSAGE_BYTES_MAX).encode().is_err());
}

#[test]
fn a_push_without_anything_in_it_is_one_too() {
    let messages = push(&[]);
    assert_eq!(read(&write(&messages).unwrap()).unwrap(), messages);
    let empty_files = push(&[0, 0, 1]);
    assert_eq!(read(&write(&empty_files).unwrap()).unwrap(), empty_files);
}

#[test]
fn what_is_too_much_for_a_message_is_refused() {
    refuse(&push(&[64 << 10, 64 << 10, 64 << 10, 64 << 10, 1]), &BundleError::TooLarge);
    // Many names take more room than the files.
    let many = push(&vec![0; 16_000]);
    refuse(&many, &BundleError::TooLarge);
}

#[test]
fn an_offer_for_a_stream_is_none_for_a_message() {
    let mut messages = push(&[10]);
    let Some(PushMessage::Offer(offer)) = messages.first_mut() else { panic!("the offer") };
    offer.method = PushMethod::Stream;
    refuse(&messages, &BundleError::Method);
}

#[test]
fn everything_stands_where_it_belongs() {
    let sound = push(&[10, 20, 30]);
    let with = |change: fn(&mut Vec<PushMessage>)| {
        let mut messages = sound.clone();
        change(&mut messages);
        messages
    };
    let need = || PushMessage::PageNeed(PageNeed { pages: Default::default(), is_last: true });
    assert_eq!(sound.len(), 6);
    for messages in [
        with(|messages| drop(messages.remove(0))),
        with(|messages| messages.swap(0, 1)),
        with(|messages| messages.swap(1, 2)),
        with(|messages| messages.swap(2, 3)),
        with(|messages| messages.swap(3, 4)),
        with(|messages| messages.insert(1, messages[0].clone())),
        with(|messages| messages.insert(3, messages[1].clone())),
        with(|messages| messages.insert(4, messages[3].clone())),
        [&sound[..1], &[need()], &sound[1..]].concat(),
        vec![need()],
        vec![PushMessage::Answer(PushAnswer::Accepted)],
    ] {
        refuse(&messages, &BundleError::Order);
    }
}

#[test]
fn what_was_announced_must_be_there_and_no_more() {
    let sound = push(&[10, 20, 30]);
    refuse(&[], &BundleError::CutOff);
    refuse(&sound[..5], &BundleError::Totals);
    refuse(&sound[..3], &BundleError::Totals);
    refuse(&sound[..1], &BundleError::Totals);
    refuse(&[&sound[..], &[chunk(3, b"more")]].concat(), &BundleError::Totals);
    refuse(&[&sound[..5], &[chunk(2, &[7; 31])]].concat(), &BundleError::Totals);
    refuse(&[&sound[..5], &[chunk(2, &[7; 29])]].concat(), &BundleError::Totals);
    let ids = PageIds { first: 1, ids: vec![ChunkId::from_bytes([1; 32])] };
    let more_ids = [&sound[..2], &[PushMessage::PageIds(ids)], &sound[2..]].concat();
    refuse(&more_ids, &BundleError::Totals);
    // A chunk that unpacks to more than all files have.
    let head = ChunkHead { number: 2, raw_bytes: CHUNK_BYTES_MAX, is_compressed: true };
    let bomb = PushMessage::Chunk(Chunk { head, bytes: vec![7] });
    refuse(&[&sound[..5], &[bomb]].concat(), &BundleError::Totals);
}

#[test]
fn a_bundle_that_is_cut_off_anywhere_is_refused_and_nothing_follows_an_error() {
    let bundle = write(&push(&[10, 20])).unwrap();
    for end in 0..bundle.len() {
        let mut reader = BundleReader::new(&bundle[..end]).unwrap();
        let error = reader.find_map(Result::err).expect("an end that is too early");
        assert!(matches!(error, BundleError::CutOff | BundleError::Totals), "{end}: {error}");
        assert_eq!(reader.next(), None);
    }
    let trailing = [&bundle[..], &[1]].concat();
    assert_eq!(read(&trailing), Err(BundleError::CutOff));
}

#[test]
fn a_kind_of_a_newer_peer_is_skipped() {
    let messages = push(&[10]);
    let mut bytes = encode_raw(&messages);
    bytes.splice(0..0, [200, 2, 0, 0, 0, 7, 7]);
    bytes.extend([201, 0, 0, 0, 0]);
    assert_eq!(read(&bytes).unwrap(), messages);
}

fn problem() -> PushProblem {
    let detail = "no room".to_owned();
    PushProblem { step: PushStep::Push, reason: PushReason::DiskFull, detail, test: None }
}

#[test]
fn replies_come_back_and_nothing_else_does() {
    let confirmation = Confirmation { location: b"/srv".to_vec(), replaced: 1, at: UnixMillis(3) };
    let replies = [
        PushMessage::Answer(PushAnswer::WaitingForApproval),
        PushMessage::Answer(PushAnswer::Refused(problem())),
        PushMessage::Result(PushResult::Confirmed(confirmation)),
    ];
    let bytes = encode_replies(&replies).unwrap();
    assert_eq!(decode_replies(&bytes).unwrap(), replies);
    let transfer = to_transfer(PUSH, BundleKind::Replies, bytes.clone());
    let expected = FoundBundle { push_id: PUSH, kind: BundleKind::Replies, bytes: &bytes };
    assert_eq!(from_transfer(&transfer).unwrap(), Some(expected));
    assert_eq!(decode_replies(&bytes[..bytes.len() - 1]), Err(BundleError::CutOff));

    let stop = [PushMessage::Stop(problem())];
    assert_eq!(encode_replies(&stop), Err(BundleError::Order));
    assert_eq!(decode_replies(&encode_raw(&stop)), Err(BundleError::Order));
    let many = vec![PushMessage::Answer(PushAnswer::Accepted); 9];
    assert_eq!(encode_replies(&many), Err(BundleError::TooLarge));
    assert_eq!(decode_replies(&encode_raw(&many)), Err(BundleError::TooLarge));
    assert_eq!(decode_replies(&encode_raw(&many[..8])).unwrap(), many[..8]);
}

type Change = fn(&mut FileTransfer);

#[test]
fn a_payload_that_contradicts_itself_is_refused_and_an_applications_own_is_let_be() {
    let sound = || to_transfer(PUSH, BundleKind::Push, b"bundle".to_vec());
    let changes: [Change; 8] = [
        |transfer| transfer.chunk_data[0] ^= 1,
        |transfer| transfer.checksum[0] ^= 1,
        |transfer| transfer.file_checksum[31] ^= 1,
        |transfer| transfer.file_bytes_total += 1,
        |transfer| transfer.chunk_index = 1,
        |transfer| transfer.chunk_count = 2,
        |transfer| transfer.offset = 1,
        |transfer| transfer.is_final = false,
    ];
    for change in changes {
        let mut transfer = sound();
        change(&mut transfer);
        assert_eq!(from_transfer(&transfer), Err(BundleError::Checksum));
        assert!(is_of_push(&transfer), "what it says it is about is another matter");
    }
    for path in ["push", "mesh.push", "mesh.push/", "", "mesh.push/push/x"] {
        let theirs = FileTransfer { path: path.to_owned(), ..sound() };
        assert_eq!(from_transfer(&theirs), Ok(None), "{path}");
        assert!(!is_of_push(&theirs), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pushes_survive(sizes in vec(0_usize..3000, 0..40)) {
        let messages = push(&sizes);
        prop_assert_eq!(read(&write(&messages).unwrap()).unwrap(), messages);
    }

    #[test]
    fn a_bundle_with_other_bytes_is_refused_or_read_as_one(
        sizes in vec(0_usize..300, 1..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = write(&push(&sizes)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(messages) = read(&bytes) {
            prop_assert_eq!(read(&write(&messages).unwrap()).unwrap(), messages);
        }
        if let Ok(replies) = decode_replies(&bytes) {
            prop_assert!(replies.is_empty());
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in vec(prop_oneof![Just(0_u8), 0..14_u8, any::<u8>()], 0..400)) {
        prop_assert!(read(&bytes).is_err());
        if let Ok(replies) = decode_replies(&bytes) {
            prop_assert_eq!(decode_replies(&encode_replies(&replies).unwrap()).unwrap(), replies);
        }
    }
}

//! Chunks, ranges, compression and limits.

#![expect(clippy::disallowed_methods, reason = "a moment can only be drawn from the clock")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesh_protocol::{ChunkRange, ChunkRef};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{
    Chunker, ChunkerConfig, Compress, Compression, FoundChunk, RANGES_MAX, RangeSet, RateLimit,
};

/// Bytes that repeat by their seed (SplitMix64).
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        noise.extend((mixed ^ (mixed >> 31)).to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

pub(crate) fn chunks_of(bytes: &[u8], piece: usize) -> Vec<FoundChunk> {
    let mut found = Vec::new();
    let mut chunker = Chunker::new(bytes.len() as u64);
    for piece in bytes.chunks(piece) {
        chunker.feed(piece, |chunk, bytes| {
            assert_eq!(bytes.len(), chunk.chunk.bytes as usize);
            found.push(chunk);
        });
    }
    chunker.finish(|chunk, _| found.push(chunk));
    found
}

#[test]
fn chunks_are_64_kib_until_a_file_would_have_a_million() {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    for (size, kib) in [
        (0, 64),
        (GIB, 64),
        (64 * GIB, 64),
        (64 * GIB + 1, 128),
        (1024 * GIB, 1024),
        (1 << 60, 1024),
    ] {
        assert_eq!(ChunkerConfig::for_size(size).average_bytes(), kib << 10, "{size}");
    }
    assert!(1024 * GIB / u64::from(ChunkerConfig::for_size(1024 * GIB).average_bytes()) <= MIB);
}

#[test]
fn a_small_file_is_one_chunk_and_an_empty_one_none() {
    assert!(chunks_of(&[], 1).is_empty());
    let bytes = noise(1, 64 << 10);
    let found = chunks_of(&bytes, 1000);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].chunk.id.as_bytes(), blake3::hash(&bytes).as_bytes());
}

#[test]
fn a_mebibyte_inserted_near_the_start_or_changed_inside_changes_few_chunks() {
    let bytes = noise(2, 48 << 20);
    let known: BTreeSet<_> =
        chunks_of(&bytes, 1 << 20).iter().map(|found| found.chunk.id).collect();
    let inserted = [&bytes[..70_000], &noise(3, 1 << 20), &bytes[70_000..]].concat();
    let mut changed = bytes;
    changed[20 << 20..21 << 20].copy_from_slice(&noise(4, 1 << 20));
    for other in [inserted, changed] {
        let new: Vec<FoundChunk> = chunks_of(&other, 1 << 20);
        let new = new.into_iter().filter(|found| !known.contains(&found.chunk.id));
        let bytes: u64 = new.map(|found| u64::from(found.chunk.bytes)).sum();
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn chunks_do_not_depend_on_the_pieces_and_are_the_file(
        seed: u64,
        bytes in 0_usize..2_000_000,
        pieces in (1_usize..400_000, 1_usize..400_000),
    ) {
        let file = noise(seed, bytes);
        let found = chunks_of(&file, pieces.0);
        prop_assert_eq!(&found, &chunks_of(&file, pieces.1));
        let mut end = 0;
        for (index, FoundChunk { offset, chunk: ChunkRef { id, bytes } }) in found.iter().enumerate() {
            prop_assert_eq!(*offset, end as u64);
            let piece = &file[end..end + *bytes as usize];
            prop_assert_eq!(blake3::hash(piece), blake3::Hash::from_bytes(*id.as_bytes()));
            prop_assert!(*bytes >= 16 << 10 || index + 1 == found.len());
            prop_assert!(*bytes <= 256 << 10);
            end += piece.len();
        }
        prop_assert_eq!(end, file.len());
    }
}

proptest! {
    #[test]
    fn a_set_of_ranges_is_the_set_of_its_numbers(
        inserted in vec((0_u64..60, 0_u64..12), 0..20),
        asked in (0_u64..60, 0_u64..12),
    ) {
        let mut ranges = RangeSet::default();
        let mut numbers = BTreeSet::new();
        for (first, count) in inserted {
            ranges.insert(ChunkRange { first, count });
            numbers.extend(first..first + count);
        }
        let read: BTreeSet<u64> = ranges.iter().flat_map(|range| range.first..range.end()).collect();
        prop_assert_eq!(&read, &numbers);
        prop_assert_eq!(ranges.count(), numbers.len() as u64);
        let (first, count) = asked;
        let covered = (first..first + count).all(|number| numbers.contains(&number));
        prop_assert_eq!(ranges.covers(ChunkRange { first, count }), covered);
        let list: Vec<ChunkRange> = ranges.iter().collect();
        prop_assert!(list.windows(2).all(|pair| pair[0].end() < pair[1].first));
    }

    #[test]
    fn a_limit_lets_no_more_through_than_its_rate_and_one_burst(
        sends in vec((1_u64..300_000, 0_u64..400), 1..60),
    ) {
        const RATE: u64 = 1_000_000;
        let start = Instant::now();
        let mut limit = RateLimit::new(RATE);
        let (mut now, mut sent, mut largest) = (start, 0, 0);
        for (bytes, pause) in sends {
            now += Duration::from_millis(pause);
            if let Err(wait) = limit.take(bytes, now) {
                now += wait;
                prop_assert!(limit.take(bytes, now).is_ok(), "it was told how long to wait");
            }
            (sent, largest) = (sent + bytes, bytes.max(largest));
            let passed = now.duration_since(start).as_micros();
            let most = passed + 200_000 + u128::from(largest) + 2 * u128::from(sent) / 1_000_000;
            prop_assert!(u128::from(sent) <= most, "{} of {}", sent, most);
        }
    }
}

#[test]
fn a_set_of_ranges_has_a_bound_and_is_not_wrong_beyond_it() {
    let mut ranges = RangeSet::default();
    for index in 0..RANGES_MAX as u64 {
        assert!(ranges.insert(ChunkRange { first: index * 2, count: 1 }));
    }
    assert!(!ranges.insert(ChunkRange { first: 1 << 40, count: 1 }));
    assert!(!ranges.contains(1 << 40));
    assert!(ranges.insert(ChunkRange { first: 1, count: 1 }), "it joins two of them");
    assert!(ranges.insert(ChunkRange { first: 1 << 40, count: 1 }));
}

#[test]
fn compression_goes_on_where_a_probe_saved_time() {
    let fast = Some(1_500_000_000);
    let slow = Some(10_000_000);
    let took = Duration::from_micros(240);
    let probe = |raw, compressed, rate| {
        let mut compression = Compression::default();
        assert_eq!(compression.next_chunk(), Compress::Probe);
        let pays = compression.probed(raw, compressed, took, rate);
        assert_eq!(compression.next_chunk(), if pays { Compress::Yes } else { Compress::No });
        compression.next_file();
        assert_eq!(compression.next_chunk(), Compress::Probe);
        pays
    };
    assert!(probe(65_536, 30_000, slow));
    assert!(!probe(65_536, 30_000, fast), "it would take longer than sending it");
    assert!(!probe(65_536, 65_000, slow), "it is hardly smaller");
    assert!(!probe(65_536, 70_000, None));
    assert!(probe(65_536, 30_000, None));
}

#[test]
fn a_probe_is_repeated_within_a_file() {
    let mut compression = Compression::default();
    compression.probed(100, 10, Duration::ZERO, None);
    let until = (0..).take_while(|_| compression.next_chunk() != Compress::Probe).count();
    assert_eq!(until, 32);
}

#[test]
fn a_probe_holds_for_the_small_files_behind_it() {
    let mut compression = Compression::default();
    assert_eq!(compression.next_chunk(), Compress::Probe);
    compression.probed(100, 10, Duration::ZERO, None);
    for _ in 0..32 {
        compression.next_file();
        assert_eq!(compression.next_chunk(), Compress::Yes);
    }
    compression.next_file();
    assert_eq!(compression.next_chunk(), Compress::Probe);
}

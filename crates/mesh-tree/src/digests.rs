//! The digests of files, of the bytes that reading them gives.
//!
//! SHA-256 goes from the first byte to the last one, so it may follow a file that is still being put together.
//! BLAKE3 is a tree, so the parts of a large file are hashed side by side.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use mesh_protocol::FileDigests;
use sha2::{Digest as _, Sha256};

use crate::local::{Piece, read_full};

/// How much is read at a time: it stays in the processor's own cache until it is hashed.
const PIECE_BYTES: usize = 128 << 10;
/// The least that a thread hashes at a stretch: a power of two, as the tree is built of such.
const PART_BYTES_MIN: u64 = 8 << 20;
/// Parts of the largest files.
const PARTS_AIM: u64 = 4096;
/// More threads would wait for memory.
const THREADS_MAX: usize = 4;

/// The beginning of a file that was read and taken into SHA-256.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    sha256: Sha256,
    end: u64,
}

impl Prefix {
    /// Where it ends.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Goes on to `end`. Says whether the file is as long as that.
    pub(crate) fn read(&mut self, file: &File, end: u64) -> io::Result<bool> {
        let Self { sha256, end: at } = self;
        let start = *at;
        each_piece(file, start..end, |piece| {
            sha256.update(piece);
            *at += piece.len() as u64;
        })
    }
}

/// Both digests of the first `bytes` of a file, of which `prefix` was read before; none when it is shorter.
pub(crate) fn digests_of(
    file: &File,
    bytes: u64,
    mut prefix: Prefix,
) -> io::Result<Option<FileDigests>> {
    if bytes <= PART_BYTES_MIN {
        return of_small(file, bytes, prefix);
    }
    let parts = Parts::of(file, bytes);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (is_whole, blake3) = thread::scope(|scope| {
        let prefix = &mut prefix;
        let is_behind = prefix.end < bytes;
        let following = is_behind.then(|| scope.spawn(move || prefix.read(file, bytes)));
        let beside = 1 + usize::from(is_behind);
        let others = (beside..threads).map(|_| scope.spawn(|| parts.hash())).collect();
        let blake3 = parts.finish(others);
        (following.map_or(Ok(true), joined), blake3)
    });
    let (true, Some(blake3)) = (is_whole?, blake3?) else { return Ok(None) };
    Ok(Some(FileDigests { blake3, sha256: prefix.sha256.finalize().into() }))
}

fn of_small(file: &File, bytes: u64, prefix: Prefix) -> io::Result<Option<FileDigests>> {
    let Prefix { mut sha256, end } = prefix;
    let mut blake3 = blake3::Hasher::new();
    let mut at: u64 = 0;
    let is_whole = each_piece(file, 0..bytes, |piece| {
        blake3.update(piece);
        let known = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        sha256.update(piece.get(known..).unwrap_or_default());
        at += piece.len() as u64;
    })?;
    let blake3 = *blake3.finalize().as_bytes();
    Ok(is_whole.then(|| FileDigests { blake3, sha256: sha256.finalize().into() }))
}

/// Gives every piece of a range, in order. Says whether the file is long enough.
fn each_piece(
    file: &File,
    range: std::ops::Range<u64>,
    mut take: impl FnMut(&[u8]),
) -> io::Result<bool> {
    let piece_of = |bytes: u64| usize::try_from(bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
    let mut at = range.start;
    let mut piece = Piece::new(piece_of(range.end.saturating_sub(at)));
    while at < range.end {
        let wanted = piece_of(range.end - at);
        let piece = piece.as_mut().get_mut(..wanted).unwrap_or_default();
        let read = read_full(file, piece, at)?;
        take(piece.get(..read).unwrap_or_default());
        if read < wanted {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

/// A file in parts of one size, each of which is one node of BLAKE3's tree.
struct Parts<'f> {
    file: &'f File,
    bytes: u64,
    part_bytes: u64,
    next: AtomicU64,
}

/// What a thread hashed, each with its number; none when the file is too short.
type Hashed = io::Result<Option<Vec<(u64, ChainingValue)>>>;

impl<'f> Parts<'f> {
    /// There are at least two of them: of one the digest would be another one.
    fn of(file: &'f File, bytes: u64) -> Self {
        let part_bytes = (bytes / PARTS_AIM).next_power_of_two().max(PART_BYTES_MIN);
        Self { file, bytes, part_bytes, next: AtomicU64::new(0) }
    }

    /// Hashes parts until none is left.
    fn hash(&self) -> Hashed {
        let mut hashed = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let start = number.saturating_mul(self.part_bytes);
            if start >= self.bytes {
                return Ok(Some(hashed));
            }
            let end = self.bytes.min(start.saturating_add(self.part_bytes));
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(start);
            let is_whole = each_piece(self.file, start..end, |piece| {
                hasher.update(piece);
            })?;
            if !is_whole {
                return Ok(None);
            }
            hashed.push((number, hasher.finalize_non_root()));
        }
    }

    /// Hashes what is left, and puts together what the others hashed.
    fn finish(&self, others: Vec<ScopedJoinHandle<'_, Hashed>>) -> io::Result<Option<[u8; 32]>> {
        let Some(mut hashed) = self.hash()? else { return Ok(None) };
        for other in others {
            let Some(more) = joined(other)? else { return Ok(None) };
            hashed.extend(more);
        }
        hashed.sort_unstable_by_key(|(number, _)| *number);
        let values: Vec<ChainingValue> = hashed.into_iter().map(|(_, value)| value).collect();
        let (left, right) = values.split_at(left_of(values.len()));
        let root = merge_subtrees_root(&merge(left), &merge(right), Mode::Hash);
        Ok(Some(*root.as_bytes()))
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread that hashes ended early")))
}

/// How many of the parts belong to the left: the largest power of two that leaves something to the right.
const fn left_of(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn merge(values: &[ChainingValue]) -> ChainingValue {
    match values {
        [] => ChainingValue::default(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(left_of(more.len()));
            merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn noise(bytes: u64) -> Vec<u8> {
        let mut noise = vec![0; usize::try_from(bytes).unwrap()];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }

    #[test]
    fn files_of_any_size_have_the_digests_that_their_bytes_have() {
        let sizes = [0, 1, 1024, MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 9 * MIB + 7, 16 * MIB];
        let more = [16 * MIB + 1, 24 * MIB, 25 * MIB, 40 * MIB - 1];
        let bytes = noise(40 * MIB);
        for size in sizes.into_iter().chain(more) {
            let bytes = &bytes[..usize::try_from(size).unwrap()];
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            let expected = FileDigests {
                blake3: *blake3::hash(bytes).as_bytes(),
                sha256: Sha256::digest(bytes).into(),
            };
            for read_before in [0, size / 3, size] {
                let mut prefix = Prefix::default();
                assert!(prefix.read(&file, read_before).unwrap());
                assert_eq!(prefix.end(), read_before);
                let found = digests_of(&file, size, prefix).unwrap();
                assert_eq!(found.as_ref(), Some(&expected), "{size} {read_before}");
            }
            assert_eq!(digests_of(&file, size + 1, Prefix::default()).unwrap(), None);
        }
    }

    #[test]
    fn the_tree_of_many_parts_is_that_of_the_whole() {
        for parts in 2..=40_u64 {
            let bytes = noise(parts * 1024 - 5);
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            let (bytes_of, next) = (bytes.len() as u64, AtomicU64::new(0));
            let split = Parts { file: &file, bytes: bytes_of, part_bytes: 1024, next };
            let found = split.finish(Vec::new()).unwrap();
            assert_eq!(found, Some(*blake3::hash(&bytes).as_bytes()), "{parts}");
        }
    }

    #[test]
    fn parts_grow_with_the_largest_files() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Parts::of(&file, 8 * MIB + 1).part_bytes, 8 * MIB);
        assert_eq!(Parts::of(&file, 1 << 40).part_bytes, 256 * MIB);
    }
}

//! Comparing small files that stand where they belong: on several threads, as opening one takes longer than hashing it.

use mesh_protocol::{FileDigests, FileEntry};
use mesh_tree::Root;

use super::super::finisher::compare;

const THREADS_MAX: usize = 4;
/// Fewer files than this are not worth a thread.
const FILES_MIN: usize = 32;

/// A file that seems to stand where it belongs.
pub(super) struct Standing {
    pub(super) number: u64,
    pub(super) entry: FileEntry,
    pub(super) digests: FileDigests,
}

/// Reads each of `files` once, and returns the numbers of those that are what was announced.
pub(super) fn compare_each(root: &Root, files: &[Standing]) -> Vec<u64> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let part = files.len().div_ceil(threads).max(FILES_MIN);
    let mut parts = files.chunks(part);
    let own = parts.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> =
            parts.map(|part| scope.spawn(move || compare_part(root, part))).collect();
        let mut same = compare_part(root, own);
        for other in others {
            // What a thread did not come to is looked at again, chunk by chunk.
            same.extend(other.join().unwrap_or_default());
        }
        same
    })
}

fn compare_part(root: &Root, files: &[Standing]) -> Vec<u64> {
    let mut root = root.reader();
    let is_same = |file: &&Standing| compare(&mut root, &file.entry, &file.digests).is_ok();
    files.iter().filter(is_same).map(|file| file.number).collect()
}

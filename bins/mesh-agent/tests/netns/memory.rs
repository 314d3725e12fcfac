//! What a process has in its memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use rustix::process::Pid;

use crate::search::{Needle, found};

/// Read at once; parts overlap, so that nothing is missed where two meet.
const PART_BYTES: usize = 1 << 20;
const OVERLAP_BYTES: usize = 1 << 10;

/// Which of `needles` are in the memory of a process, and how many bytes were looked at.
pub(crate) fn found_in_memory(process: Pid, needles: &[Needle]) -> (Vec<&str>, u64) {
    let id = process.as_raw_nonzero();
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let memory = File::open(format!("/proc/{id}/mem")).unwrap();
    let mut all = Vec::new();
    let mut bytes = 0;
    let mut part = vec![0; PART_BYTES];
    for (begin, end) in maps.lines().filter_map(readable) {
        let mut at = begin;
        // What was unmapped since, or belongs to the kernel, cannot be read and is nobody's secret.
        while let Ok(read @ 1..) = memory.read_at(&mut part[..size(at, end)], at) {
            all.extend(found(needles, &part[..read]));
            bytes += read as u64;
            if at + read as u64 >= end {
                break;
            }
            at += read.saturating_sub(OVERLAP_BYTES).max(1) as u64;
        }
    }
    all.sort_unstable();
    all.dedup();
    (all, bytes)
}

fn size(at: u64, end: u64) -> usize {
    usize::try_from(end - at).unwrap_or(usize::MAX).min(PART_BYTES)
}

/// The bounds of a mapping that may be read.
fn readable(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (begin, end) = words.next()?.split_once('-')?;
    words.next()?.starts_with('r').then_some(())?;
    Some((u64::from_str_radix(begin, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

#[test]
fn a_text_in_the_memory_of_this_process_is_found() {
    let needles = [Needle::text("in the program", "a text that stands in the program")];
    let (found, bytes) = found_in_memory(rustix::process::getpid(), &needles);
    assert_eq!(found, ["in the program"]);
    assert!(bytes > 1 << 20, "{bytes} bytes");
}

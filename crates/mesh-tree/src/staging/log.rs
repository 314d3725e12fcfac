//! The notes of a staging, one after the other.
//!
//! A note is written when its bytes are, so a process that is killed has lost nothing: what it wrote is in
//! the memory of the system. When the machine stops, that memory goes in no order. Therefore every process
//! begins with the boot that it lives in, and marks up to where everything was synced: notes of another
//! boot count only before the last mark.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::{Note, Noted};
use crate::TreeError;
use crate::folder::Folder;

const NAME: &[u8] = b"log";
/// Kind, three numbers, and the beginning of the digest of them.
const NOTE_BYTES: usize = 40;
const NOTES_AT_A_TIME: u64 = 1024;

const FORGOTTEN: u64 = 1;
const VERIFIED: u64 = 2;
const FINISHED: u64 = 3;
const BOOT: u64 = 4;
const DURABLE: u64 = 5;

pub(super) struct Log {
    file: Arc<File>,
    end: u64,
    /// Up to where notes count that a former process left.
    believed: u64,
    boot: [u64; 2],
}

impl Log {
    pub(super) fn open(folder: &Folder) -> Result<Self, TreeError> {
        let file = folder.own_file(NAME, OFlags::CREATE).map_err(TreeError::at(NAME))?;
        let file = Arc::new(file);
        let mut log = Self { file, end: 0, believed: 0, boot: boot_id() };
        let end;
        (end, log.believed) = log.scan()?;
        log.end = end;
        // A note that was cut off would make those behind it unreadable.
        log.file.set_len(end).map_err(io)?;
        Ok(log)
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Reads the next notes that count, behind those that were read before; tells whether there were any.
    pub(super) fn believed(
        &self,
        from: u64,
        notes: &mut Vec<Option<Note>>,
    ) -> Result<bool, TreeError> {
        notes.clear();
        let at = from.saturating_mul(NOTE_BYTES as u64);
        let left = self.believed.saturating_sub(at) / NOTE_BYTES as u64;
        let mut reader = BufReader::new(FileFrom { file: &self.file, at });
        for _ in 0..left.min(NOTES_AT_A_TIME) {
            let Some(fields) = next(&mut reader).map_err(io)? else { break };
            notes.push(to_note(fields));
        }
        Ok(!notes.is_empty())
    }

    /// Cuts off what does not count, and says which boot follows.
    pub(super) fn begin(&mut self) -> Result<(), TreeError> {
        self.file.set_len(self.believed).map_err(io)?;
        self.end = self.believed;
        let [high, low] = self.boot;
        self.append([BOOT, high, low, 0])
    }

    pub(super) fn note(&mut self, note: Note) -> Result<(), TreeError> {
        let number = note.number;
        self.append(match note.what {
            Noted::Forgotten => [FORGOTTEN, number, 0, 0],
            Noted::Verified { start, end } => [VERIFIED, number, start, end],
            Noted::Finished => [FINISHED, number, 0, 0],
        })
    }

    /// Says that everything noted before `end` was synced, which holds once what is returned is synced, too.
    pub(super) fn mark_durable(&mut self, end: u64) -> Result<Arc<File>, TreeError> {
        self.append([DURABLE, end, 0, 0])?;
        Ok(Arc::clone(&self.file))
    }

    fn append(&mut self, fields: [u64; 4]) -> Result<(), TreeError> {
        let mut bytes = [0; NOTE_BYTES];
        let (numbers, check) = bytes.split_at_mut(NOTE_BYTES - 8);
        for (place, field) in numbers.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        check.copy_from_slice(&digest(numbers));
        self.file.write_all_at(&bytes, self.end).map_err(io)?;
        self.end += NOTE_BYTES as u64;
        Ok(())
    }

    /// Returns where the notes end, and where those end that count.
    fn scan(&self) -> Result<(u64, u64), TreeError> {
        let mut reader = BufReader::new(FileFrom { file: &self.file, at: 0 });
        let mut end = 0;
        let mut durable = 0;
        let mut is_this_boot = false;
        while let Some(fields) = next(&mut reader).map_err(io)? {
            let is_known = (FORGOTTEN..=DURABLE).contains(&fields[0]);
            if !is_known {
                break;
            }
            end += NOTE_BYTES as u64;
            match fields {
                [BOOT, high, low, _] => {
                    is_this_boot = [high, low] == self.boot && self.boot != [0, 0];
                }
                [DURABLE, up_to, ..] => durable = durable.max(up_to.min(end)),
                _ => {}
            }
        }
        Ok((end, if is_this_boot { end } else { durable }))
    }
}

struct FileFrom<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FileFrom<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(piece, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Reads one note; none at the end and at one that is not whole.
fn next(reader: &mut impl Read) -> io::Result<Option<[u64; 4]>> {
    let mut bytes = [0; NOTE_BYTES];
    match reader.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (numbers, check) = bytes.split_at(NOTE_BYTES - 8);
    if check != digest(numbers) {
        return Ok(None);
    }
    let mut fields = [0; 4];
    for (field, place) in fields.iter_mut().zip(numbers.chunks_exact(8)) {
        *field = u64::from_le_bytes(place.try_into().unwrap_or_default());
    }
    Ok(Some(fields))
}

fn to_note(fields: [u64; 4]) -> Option<Note> {
    let [kind, number, start, end] = fields;
    let what = match kind {
        FORGOTTEN => Noted::Forgotten,
        VERIFIED => Noted::Verified { start, end },
        FINISHED => Noted::Finished,
        _ => return None,
    };
    Some(Note { number, what })
}

fn digest(bytes: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    for (place, byte) in short.iter_mut().zip(blake3::hash(bytes).as_bytes()) {
        *place = *byte;
    }
    short
}

/// Returns what tells this run of the machine from others; zeros where the system does not say, which is
/// believed to be another one every time.
fn boot_id() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    let half = |range| digits.get(range).and_then(|half| u64::from_str_radix(half, 16).ok());
    match (half(0..16), half(16..32)) {
        (Some(high), Some(low)) => [high, low],
        _ => [0, 0],
    }
}

pub(super) fn io(error: io::Error) -> TreeError {
    TreeError::from_io(NAME, error)
}

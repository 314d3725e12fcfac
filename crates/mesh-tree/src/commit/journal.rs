//! The list of renames of a commit, on disk.
//!
//! Written once, from the front to the end, and then only read: forwards to carry it out, backwards to
//! undo it. Each record is framed by its length on both sides, and the whole by a digest.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;

use mesh_protocol::{FileTime, PushId};

use crate::local::read_full;
use crate::path::shown;
use crate::{Facts, Kind, TreeError};

const MAGIC: &[u8; 8] = b"meshtr\0\x01";
/// Magic, push, where the items lie, when.
const HEADER_BYTES: u64 = 8 + 16 + 16 + 8;
/// Count of records, digest of everything before.
const TRAILER_BYTES: u64 = 8 + 32;
/// A path, and what else there is in a record.
const RECORD_BYTES_MAX: usize = 4096 + 256;
/// How much is read at a time.
const AHEAD_BYTES: usize = 64 << 10;
const NOTHING: PushId = PushId::from_bytes([0; 16]);

/// One path, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) path: Vec<u8>,
    pub(crate) what: What,
    /// What stood there.
    pub(crate) old: Option<Facts>,
    /// When a folder was modified, once everything is in it.
    pub(crate) folder_time: Option<FileTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An item takes the place.
    Put { item: Item, facts: Facts },
    /// What stands there goes.
    TakeAway,
    /// A folder stays.
    Keep,
}

/// What an item is called in the folder that the items lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A file of that number in the manifest, or what was replaced by the record of that number.
    Numbered(u64),
    /// A folder or link made for the record of that number.
    Made(u64),
}

impl Item {
    pub(crate) fn name(self) -> Vec<u8> {
        match self {
            Self::Numbered(number) => number.to_string().into_bytes(),
            Self::Made(number) => format!("made-{number}").into_bytes(),
        }
    }
}

/// What a journal says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) push: PushId,
    /// The push whose backup the items are; none when they were staged.
    pub(crate) from: Option<PushId>,
    /// When it was committed, in seconds since 1970.
    pub(crate) at: i64,
}

pub(crate) struct Writer {
    out: BufWriter<File>,
    hasher: blake3::Hasher,
    count: u64,
}

impl Writer {
    pub(crate) fn new(file: File, header: Header) -> Result<Self, TreeError> {
        let mut writer =
            Self { out: BufWriter::new(file), hasher: blake3::Hasher::new(), count: 0 };
        writer.write(MAGIC)?;
        writer.write(header.push.as_bytes())?;
        writer.write(header.from.unwrap_or(NOTHING).as_bytes())?;
        writer.write(&header.at.to_le_bytes())?;
        Ok(writer)
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn add(&mut self, record: &Record) -> Result<(), TreeError> {
        let bytes = encode(record);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.write(&length)?;
        self.write(&bytes)?;
        self.write(&length)?;
        self.count += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<File, TreeError> {
        let count = self.count.to_le_bytes();
        self.write(&count)?;
        let digest = self.hasher.finalize();
        self.out.write_all(digest.as_bytes()).map_err(io)?;
        self.out.into_inner().map_err(|error| io(error.into_error()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.hasher.update(bytes);
        self.out.write_all(bytes).map_err(io)
    }
}

/// A whole journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    name: String,
    pub(crate) header: Header,
    pub(crate) count: u64,
    /// Where the records end.
    end: u64,
}

impl Journal {
    /// Reads all of it once, to know that it is whole.
    pub(crate) fn open(file: File, name: &[u8]) -> Result<Self, TreeError> {
        let journal = Self::open_unread(file, name)?;
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; 64 << 10];
        let mut at = 0;
        let digested = journal.end + 8;
        while at < digested {
            let wanted = usize::try_from(digested - at).unwrap_or(usize::MAX).min(piece.len());
            let piece = piece.get_mut(..wanted).unwrap_or_default();
            let read = read_full(&journal.file, piece, at).map_err(io)?;
            if read < wanted {
                return Err(journal.damaged());
            }
            hasher.update(piece);
            at += read as u64;
        }
        let digest: [u8; 32] = journal.bytes(digested)?;
        if hasher.finalize() == digest { Ok(journal) } else { Err(journal.damaged()) }
    }

    /// Reads what it says of itself.
    pub(crate) fn open_unread(file: File, name: &[u8]) -> Result<Self, TreeError> {
        let size = file.metadata().map_err(io)?.len();
        let name = format!("journal {}", shown(name));
        let Some(end) = size.checked_sub(TRAILER_BYTES).filter(|end| *end >= HEADER_BYTES) else {
            return Err(TreeError::damaged(name));
        };
        let header = Header { push: NOTHING, from: None, at: 0 };
        let mut journal = Self { file, name, header, count: 0, end };
        let magic: [u8; 8] = journal.bytes(0)?;
        if magic != *MAGIC {
            return Err(journal.damaged());
        }
        let from = PushId::from_bytes(journal.bytes(24)?);
        journal.header = Header {
            push: PushId::from_bytes(journal.bytes(8)?),
            from: Some(from).filter(|from| *from != NOTHING),
            at: i64::from_le_bytes(journal.bytes(40)?),
        };
        journal.count = u64::from_le_bytes(journal.bytes(end)?);
        Ok(journal)
    }

    /// Goes through the records with their numbers.
    pub(crate) fn forward(&self) -> impl Iterator<Item = Result<(u64, Record), TreeError>> {
        let mut at = HEADER_BYTES;
        let mut ahead = Ahead { start: 0, bytes: Vec::new() };
        (0..self.count).map(move |number| {
            let length = ahead.bytes(self, at, 4)?;
            let length = u32::from_le_bytes(length.try_into().map_err(|_| self.damaged())?);
            let record = ahead.record(self, at + 4, length)?;
            at += 8 + u64::from(length);
            Ok((number, record))
        })
    }

    /// The same from the last one on.
    pub(crate) fn backward(&self) -> impl Iterator<Item = Result<(u64, Record), TreeError>> {
        let mut at = self.end;
        (0..self.count).rev().map(move |number| {
            let length = self.length(at.checked_sub(4).ok_or_else(|| self.damaged())?)?;
            at = at.checked_sub(8 + u64::from(length)).ok_or_else(|| self.damaged())?;
            Ok((number, self.record(at + 4, length)?))
        })
    }

    fn length(&self, at: u64) -> Result<u32, TreeError> {
        Ok(u32::from_le_bytes(self.bytes(at)?))
    }

    fn record(&self, at: u64, length: u32) -> Result<Record, TreeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > RECORD_BYTES_MAX {
            return Err(self.damaged());
        }
        let mut bytes = vec![0; length];
        let read = read_full(&self.file, &mut bytes, at).map_err(io)?;
        if read < length {
            return Err(self.damaged());
        }
        decode(&bytes).ok_or_else(|| self.damaged())
    }

    fn bytes<const N: usize>(&self, at: u64) -> Result<[u8; N], TreeError> {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, at).map_err(|_| self.damaged())?;
        Ok(bytes)
    }

    fn damaged(&self) -> TreeError {
        TreeError::damaged(&self.name)
    }
}

/// What was read of a journal ahead of what is asked for.
struct Ahead {
    start: u64,
    bytes: Vec<u8>,
}

impl Ahead {
    fn record(&mut self, journal: &Journal, at: u64, length: u32) -> Result<Record, TreeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > RECORD_BYTES_MAX {
            return Err(journal.damaged());
        }
        decode(self.bytes(journal, at, length)?).ok_or_else(|| journal.damaged())
    }

    fn bytes(&mut self, journal: &Journal, at: u64, count: usize) -> Result<&[u8], TreeError> {
        let within = |start: u64, bytes: usize| {
            let from = usize::try_from(at.checked_sub(start)?).ok()?;
            let to = from.checked_add(count)?;
            (to <= bytes).then_some(from..to)
        };
        if within(self.start, self.bytes.len()).is_none() {
            self.bytes.resize(AHEAD_BYTES, 0);
            let read = read_full(&journal.file, &mut self.bytes, at).map_err(io)?;
            self.bytes.truncate(read);
            self.start = at;
        }
        let range = within(self.start, self.bytes.len());
        range.and_then(|range| self.bytes.get(range)).ok_or_else(|| journal.damaged())
    }
}

fn io(error: std::io::Error) -> TreeError {
    TreeError::from_io(b"journal", error)
}

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record.path.len() + 128);
    match &record.what {
        What::Put { item, facts } => {
            let (tag, number) = match item {
                Item::Numbered(number) => (0, number),
                Item::Made(number) => (1, number),
            };
            bytes.push(tag);
            bytes.extend(number.to_le_bytes());
            put_facts(&mut bytes, facts);
        }
        What::TakeAway => bytes.push(2),
        What::Keep => bytes.push(3),
    }
    bytes.push(u8::from(record.old.is_some()));
    if let Some(old) = &record.old {
        put_facts(&mut bytes, old);
    }
    bytes.push(u8::from(record.folder_time.is_some()));
    if let Some(time) = record.folder_time {
        put_time(&mut bytes, time);
    }
    bytes.extend_from_slice(&record.path);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let mut rest = bytes;
    let what = match byte(&mut rest)? {
        tag @ (0 | 1) => {
            let number = u64::from_le_bytes(take(&mut rest)?);
            let item = if tag == 0 { Item::Numbered(number) } else { Item::Made(number) };
            What::Put { item, facts: take_facts(&mut rest)? }
        }
        2 => What::TakeAway,
        3 => What::Keep,
        _ => return None,
    };
    let old = if byte(&mut rest)? == 0 { None } else { Some(take_facts(&mut rest)?) };
    let folder_time = if byte(&mut rest)? == 0 { None } else { Some(take_time(&mut rest)?) };
    Some(Record { path: rest.to_vec(), what, old, folder_time })
}

const KINDS: [Kind; 3] = [Kind::File, Kind::Folder, Kind::Link];

fn put_facts(bytes: &mut Vec<u8>, facts: &Facts) {
    let kind = KINDS.iter().position(|kind| *kind == facts.kind).unwrap_or(KINDS.len());
    bytes.push(u8::try_from(kind).unwrap_or(u8::MAX));
    bytes.extend(facts.inode.to_le_bytes());
    bytes.extend(facts.size.to_le_bytes());
    bytes.extend(facts.mode.to_le_bytes());
    put_time(bytes, facts.modified);
    put_time(bytes, facts.changed);
}

fn take_facts(rest: &mut &[u8]) -> Option<Facts> {
    Some(Facts {
        kind: *KINDS.get(usize::from(byte(rest)?))?,
        inode: u64::from_le_bytes(take(rest)?),
        size: u64::from_le_bytes(take(rest)?),
        mode: u32::from_le_bytes(take(rest)?),
        modified: take_time(rest)?,
        changed: take_time(rest)?,
        device: 0,
        owner: 0,
        group: 0,
        blocks: 0,
    })
}

fn put_time(bytes: &mut Vec<u8>, time: FileTime) {
    bytes.extend(time.seconds.to_le_bytes());
    bytes.extend(time.nanos.to_le_bytes());
}

fn take_time(rest: &mut &[u8]) -> Option<FileTime> {
    let seconds = i64::from_le_bytes(take(rest)?);
    Some(FileTime { seconds, nanos: u32::from_le_bytes(take(rest)?) })
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    take::<1>(rest).map(|[byte]| byte)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

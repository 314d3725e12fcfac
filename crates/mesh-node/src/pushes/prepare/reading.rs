//! One pass over a file: chunks, digests and findings.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Scope;

use mesh_files::Chunker;
use mesh_protocol::{ChunkRef, FileDigests, WHOLE_FILE_BYTES_MAX};
use mesh_tree::{Facts, LocalFile, TreeError};

use super::PrepareWatch;
use super::digests::{Digester, PIECE_BYTES, digests_of};
use super::scanning::{Scan, Scanned};

/// What a file is.
pub(super) struct FileRead {
    pub(super) facts: Facts,
    pub(super) digests: FileDigests,
    /// None for a file that is one chunk.
    pub(super) chunks: Vec<ChunkRef>,
    pub(super) scanned: Scanned,
}

/// Reads files, one after the other.
pub(super) struct Reader {
    digester: Digester,
    small: Vec<u8>,
}

impl Reader {
    pub(super) fn new<'scope>(scope: &'scope Scope<'scope, '_>) -> Self {
        Self { digester: Digester::new(scope), small: Vec::new() }
    }

    /// Reads a file once; nothing when nobody wants it any more.
    ///
    /// # Errors
    /// [`TreeError::Changed`] when it changed meanwhile: it can be read again.
    pub(super) fn read(
        &mut self,
        file: &LocalFile,
        scan: Scan,
        watch: &PrepareWatch,
    ) -> Result<Option<FileRead>, TreeError> {
        if file.facts().size <= WHOLE_FILE_BYTES_MAX {
            read_small(file, &mut self.small, scan).map(Some)
        } else {
            self.read_large(file, scan, watch)
        }
    }

    fn read_large(
        &mut self,
        file: &LocalFile,
        mut scan: Scan,
        watch: &PrepareWatch,
    ) -> Result<Option<FileRead>, TreeError> {
        let facts = *file.facts();
        let mut chunker = Chunker::new(facts.size);
        let mut chunks = Vec::new();
        let mut offset = 0;
        while offset < facts.size {
            let mut piece = self.digester.buffer();
            let wanted = usize::try_from(facts.size - offset).unwrap_or(usize::MAX);
            let count = match Arc::get_mut(&mut piece) {
                Some(buffer) => {
                    buffer.resize(wanted.min(PIECE_BYTES), 0);
                    file.read_at(buffer, offset).map(|count| count == buffer.len())
                }
                None => Ok(false),
            };
            match count {
                Ok(true) if !watch.is_cancelled.load(Ordering::Relaxed) => {}
                Ok(is_whole) => {
                    self.digester.give_up();
                    return if is_whole { Ok(None) } else { Err(changed()) };
                }
                Err(error) => {
                    self.digester.give_up();
                    return Err(error);
                }
            }
            self.digester.feed(Arc::clone(&piece));
            chunker.feed(&piece, |found, _| chunks.push(found.chunk));
            scan.feed(&piece);
            offset += piece.len() as u64;
        }
        chunker.finish(|found, _| chunks.push(found.chunk));
        let digests = self.digester.finish().ok_or_else(changed)?;
        file.check_unchanged()?;
        Ok(Some(FileRead { facts, digests, chunks, scanned: scan.finish() }))
    }
}

/// Reads a file that is one chunk, or none.
///
/// # Errors
/// [`TreeError::Changed`] when it changed meanwhile: it can be read again.
pub(super) fn read_small(
    file: &LocalFile,
    buffer: &mut Vec<u8>,
    mut scan: Scan,
) -> Result<FileRead, TreeError> {
    let facts = *file.facts();
    buffer.resize(usize::try_from(facts.size).unwrap_or(0), 0);
    let bytes = buffer.as_mut_slice();
    let count = file.read_at(bytes, 0)?;
    file.check_unchanged()?;
    if count < bytes.len() {
        return Err(changed());
    }
    scan.feed(bytes);
    let digests = digests_of(bytes, *blake3::hash(bytes).as_bytes());
    Ok(FileRead { facts, digests, chunks: Vec::new(), scanned: scan.finish() })
}

/// Its name is known to the caller.
const fn changed() -> TreeError {
    TreeError::Changed { path: String::new() }
}

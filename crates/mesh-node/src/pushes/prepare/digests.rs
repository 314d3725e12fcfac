//! The digests of whole files, on a thread of their own: they take as long as reading and cutting do.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use mesh_protocol::FileDigests;
use sha2::{Digest as _, Sha256};

/// Pieces that wait to be hashed.
const WAITING_MAX: usize = 4;
/// One more is being hashed, and one is being read.
const BUFFERS: usize = WAITING_MAX + 2;
/// What is read at once.
pub(super) const PIECE_BYTES: usize = 1 << 20;

enum Piece {
    Bytes(Arc<Vec<u8>>),
    End,
    /// What was hashed is of a file that is begun anew.
    Drop,
}

/// Both digests of a file that is at hand.
pub(super) fn digests_of(bytes: &[u8], blake3: [u8; 32]) -> FileDigests {
    FileDigests { blake3, sha256: Sha256::digest(bytes).into() }
}

/// Hashes files piece by piece beside whoever reads them.
pub(super) struct Digester {
    pieces: SyncSender<Piece>,
    done: Receiver<FileDigests>,
    buffers: Vec<Arc<Vec<u8>>>,
}

impl Digester {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn new<'scope>(scope: &'scope Scope<'scope, '_>) -> Self {
        let (pieces, taken) = sync_channel(WAITING_MAX);
        let (tell, done) = sync_channel(1);
        let _ended_by_the_scope = scope.spawn(move || hash(&taken, &tell));
        Self { pieces, done, buffers: Vec::new() }
    }

    /// A buffer that nobody reads any more.
    pub(super) fn buffer(&mut self) -> Arc<Vec<u8>> {
        let free = self.buffers.iter().position(|buffer| Arc::strong_count(buffer) == 1);
        match free {
            Some(at) => self.buffers.swap_remove(at),
            None => Arc::new(vec![0; PIECE_BYTES]),
        }
    }

    /// Hashes the next piece.
    pub(super) fn feed(&mut self, piece: Arc<Vec<u8>>) {
        if self.buffers.len() < BUFFERS {
            self.buffers.push(Arc::clone(&piece));
        }
        // The thread lives as long as this.
        let _is_taken = self.pieces.send(Piece::Bytes(piece));
    }

    /// Ends a file. None when the thread is gone, which it never is before this.
    pub(super) fn finish(&self) -> Option<FileDigests> {
        self.pieces.send(Piece::End).ok()?;
        self.done.recv().ok()
    }

    /// Begins anew.
    pub(super) fn give_up(&self) {
        let _is_taken = self.pieces.send(Piece::Drop);
    }
}

fn hash(pieces: &Receiver<Piece>, tell: &SyncSender<FileDigests>) {
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Bytes(bytes) => {
                blake3.update(&bytes);
                sha256.update(&*bytes);
            }
            Piece::Drop => {
                blake3.reset();
                sha256.reset();
            }
            Piece::End => {
                let blake3_of_file = *blake3.finalize().as_bytes();
                blake3.reset();
                let sha256 = sha256.finalize_reset().into();
                if tell.send(FileDigests { blake3: blake3_of_file, sha256 }).is_err() {
                    return;
                }
            }
        }
    }
}

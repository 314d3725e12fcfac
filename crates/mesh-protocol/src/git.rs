//! Git over a stream: which of its services is asked for, and what both sides say.
//!
//! A service has two voices and an end with a code, and git closes its own direction while it waits for the
//! rest of the answer. So both say what they say in pieces: one byte for the kind, four for the length
//! (little-endian), then the bytes; and a direction that ends without an end means that its side is gone.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{DecodeError, GIT_PIECE_BYTES_MAX, ParseError, TEXT_BYTES_MAX};

const HEAD_BYTES: usize = 5;

/// Bytes between git here and git there.
const OUTPUT: u8 = 1;
/// A service's complaints, for people.
const COMPLAINT: u8 = 2;
/// How it ended; that nothing more is said to it.
const END: u8 = 3;

/// The half of git that runs where the repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GitService {
    /// Sends what a clone or fetch lacks.
    #[serde(rename = "git-upload-pack")]
    UploadPack,
    /// Takes what is pushed.
    #[serde(rename = "git-receive-pack")]
    ReceivePack,
}

impl GitService {
    /// Its name, as git says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

impl FromStr for GitService {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        [Self::UploadPack, Self::ReceivePack]
            .into_iter()
            .find(|service| service.as_str() == name)
            .ok_or(ParseError::Characters { what: "git service" })
    }
}

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitEnd {
    /// Its exit code; 255 where it has none.
    pub code: u8,
    /// Why it was not the code that ended it; empty otherwise.
    pub reason: String,
}

/// A piece of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitPiece {
    /// Bytes for git.
    Output(Vec<u8>),
    /// Words for people, of any bytes.
    Complaint(Vec<u8>),
    /// Nothing follows.
    End(GitEnd),
}

const fn too_large(bytes: usize, bytes_max: usize) -> DecodeError {
    DecodeError::TooLarge { bytes: bytes as u64, bytes_max }
}

const fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

impl GitPiece {
    /// Appends the piece's form to `bytes`. What is longer than a piece may be becomes several; a reason
    /// is cut to its bound.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Output(output) => encode_all(OUTPUT, output, bytes),
            Self::Complaint(words) => encode_all(COMPLAINT, words, bytes),
            Self::End(GitEnd { code, reason }) => {
                let mut end = vec![*code];
                let cut = reason.floor_char_boundary(TEXT_BYTES_MAX);
                end.extend_from_slice(reason.as_bytes().get(..cut).unwrap_or_default());
                encode_all(END, &end, bytes);
            }
        }
    }
}

fn encode_all(kind: u8, content: &[u8], bytes: &mut Vec<u8>) {
    for piece in content.chunks(GIT_PIECE_BYTES_MAX) {
        bytes.push(kind);
        // Bounded by the chunk's size.
        bytes.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(piece);
    }
}

/// Puts pieces together again, whatever the sizes in which their bytes come.
#[derive(Debug, Default)]
pub struct GitPieces {
    buffer: Vec<u8>,
    read: usize,
    has_ended: bool,
}

impl GitPieces {
    /// Takes bytes in. At most one piece waits for its rest, if [`next`](Self::next) is asked until it
    /// has none.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole piece; none until more bytes are fed.
    ///
    /// # Errors
    /// [`DecodeError`]: a kind that is not known, a piece that is too large, or bytes behind the end.
    #[expect(clippy::should_implement_trait, reason = "none means not yet, which ends no iterator")]
    pub fn next(&mut self) -> Result<Option<GitPiece>, DecodeError> {
        let waiting = self.buffer.get(self.read..).unwrap_or_default();
        let Some((&[kind, length @ ..], rest)) = waiting.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let bytes = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if bytes > GIT_PIECE_BYTES_MAX {
            return Err(too_large(bytes, GIT_PIECE_BYTES_MAX));
        }
        if self.has_ended {
            return Err(malformed("bytes behind the end of a git service"));
        }
        let Some(content) = rest.get(..bytes) else { return Ok(None) };
        let piece = match kind {
            OUTPUT => GitPiece::Output(content.to_vec()),
            COMPLAINT => GitPiece::Complaint(content.to_vec()),
            END => {
                let (&code, reason) =
                    content.split_first().ok_or_else(|| malformed("an end without a code"))?;
                if reason.len() > TEXT_BYTES_MAX {
                    return Err(too_large(reason.len(), TEXT_BYTES_MAX));
                }
                let reason = String::from_utf8_lossy(reason).into_owned();
                self.has_ended = true;
                GitPiece::End(GitEnd { code, reason })
            }
            _ => return Err(malformed("a piece of an unknown kind")),
        };
        self.read += HEAD_BYTES + bytes;
        Ok(Some(piece))
    }
}

//! Content that comes piece by piece, in bytes or in UTF-16.

use std::fmt;

use crate::finding::Finding;
use crate::lines::Lines;

/// Bytes that are gathered before they are looked at.
const PIECE_BYTES: usize = 64 << 10;

/// A file that comes piece by piece. Holds no more than two windows and a piece, whatever the file's size.
pub struct FileScan {
    lines: Lines,
    encoding: Encoding,
    buffer: Vec<u8>,
}

/// How the bytes are text, told by the first two.
enum Encoding {
    Unknown { first: Option<u8> },
    Bytes,
    Utf16 { is_big_endian: bool, half: Option<u8> },
}

impl FileScan {
    pub(crate) fn new(lines: Lines) -> Self {
        Self { lines, encoding: Encoding::Unknown { first: None }, buffer: Vec::new() }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut chunk = chunk;
        while let Encoding::Unknown { first } = self.encoding {
            let Some((byte, rest)) = chunk.split_first() else { return };
            chunk = rest;
            self.encoding = match (first, *byte) {
                (None, byte) => Encoding::Unknown { first: Some(byte) },
                (Some(0xff), 0xfe) => Encoding::Utf16 { is_big_endian: false, half: None },
                (Some(0xfe), 0xff) => Encoding::Utf16 { is_big_endian: true, half: None },
                (Some(first), byte) => {
                    self.buffer.extend([first, byte]);
                    Encoding::Bytes
                }
            };
        }
        for piece in chunk.chunks(PIECE_BYTES) {
            self.take(piece);
            if self.buffer.len() >= PIECE_BYTES {
                let taken = self.lines.advance(&self.buffer, false);
                self.buffer.drain(..taken);
            }
        }
    }

    fn take(&mut self, piece: &[u8]) {
        let Encoding::Utf16 { is_big_endian, half } = &mut self.encoding else {
            self.buffer.extend_from_slice(piece);
            return;
        };
        for byte in piece {
            let Some(first) = half.take() else {
                *half = Some(*byte);
                continue;
            };
            let (high, low) = if *is_big_endian { (first, *byte) } else { (*byte, first) };
            // No rule knows a letter that is not ASCII.
            self.buffer.push(if high == 0 && low.is_ascii() { low } else { 0xff });
        }
    }

    /// Looks at all of a content, without a copy of it.
    pub(crate) fn whole(&mut self, content: &[u8]) {
        if matches!(content, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
            return self.feed(content);
        }
        let _all = self.lines.advance(content, true);
    }

    /// Whether there are [`FINDINGS_MAX`](crate::FINDINGS_MAX) findings already, so that more bytes change nothing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lines.is_full()
    }

    /// What was found, in the order of the places.
    #[must_use]
    pub fn finish(mut self) -> Vec<Finding> {
        if let Encoding::Unknown { first: Some(first) } = self.encoding {
            self.buffer.push(first);
        }
        let _all = self.lines.advance(&self.buffer, true);
        self.lines.finish()
    }
}

impl fmt::Debug for FileScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileScan").finish_non_exhaustive()
    }
}

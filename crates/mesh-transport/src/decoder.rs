use bytes::{Buf, Bytes};
use mesh_protocol::{DecodeError, FRAME_HEADER_BYTES, Frame, FrameHeader};

#[cfg(test)]
mod tests;

/// A partly read body keeps this much of its buffer for the next one.
const SPARE_BYTES_MAX: usize = 128 << 10;

/// Cuts a stream of bytes into frames, however the bytes were split on their way. Holds no socket.
///
/// A frame that lies whole in one piece is decoded where it lies; only one that was split is put
/// together, and never more of it than its header announced and the bound allows.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    body_bytes_max: usize,
    header: Option<FrameHeader>,
    /// The beginning of a header or body whose rest has not come.
    partial: Vec<u8>,
    piece: Bytes,
}

impl FrameDecoder {
    pub(crate) const fn new(body_bytes_max: usize) -> Self {
        Self { body_bytes_max, header: None, partial: Vec::new(), piece: Bytes::new() }
    }

    /// Takes the next piece of the stream. The one before must have been used up: see [`Self::next`].
    pub(crate) fn push(&mut self, piece: Bytes) {
        debug_assert!(self.piece.is_empty(), "the piece before was not used up");
        self.piece = piece;
    }

    /// Whether the stream may end here.
    pub(crate) const fn is_between_frames(&self) -> bool {
        self.header.is_none() && self.partial.is_empty()
    }

    /// The next whole frame, or none when another piece is needed.
    ///
    /// # Errors
    /// After [`DecodeError::UnknownKind`] the stream can be read on: the frame was skipped.
    /// After every other error the place in the stream is lost.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(header) = self.next_header()? else { return Ok(None) };
        let body_bytes = header.body_bytes;
        if self.partial.is_empty() {
            let Some(body) = self.piece.get(..body_bytes) else {
                self.gather(body_bytes);
                return Ok(None);
            };
            let decoded = Frame::decode(&header, body);
            self.piece.advance(body_bytes);
            self.header = None;
            return decoded.map(Some);
        }
        self.gather(body_bytes);
        if self.partial.len() < body_bytes {
            return Ok(None);
        }
        let decoded = Frame::decode(&header, &self.partial);
        self.partial.clear();
        self.partial.shrink_to(SPARE_BYTES_MAX);
        self.header = None;
        decoded.map(Some)
    }

    fn next_header(&mut self) -> Result<Option<FrameHeader>, DecodeError> {
        if self.header.is_some() {
            return Ok(self.header);
        }
        let bytes: [u8; FRAME_HEADER_BYTES] = if self.partial.is_empty()
            && let Some(bytes) = self.piece.first_chunk()
        {
            let bytes = *bytes;
            self.piece.advance(FRAME_HEADER_BYTES);
            bytes
        } else {
            self.gather(FRAME_HEADER_BYTES);
            let Some(bytes) = self.partial.first_chunk() else { return Ok(None) };
            let bytes = *bytes;
            self.partial.clear();
            bytes
        };
        let header = FrameHeader::decode(&bytes)?;
        if header.body_bytes > self.body_bytes_max {
            return Err(DecodeError::TooLarge {
                bytes: header.body_bytes as u64,
                bytes_max: self.body_bytes_max,
            });
        }
        self.header = Some(header);
        Ok(self.header)
    }

    /// Moves bytes from the piece until `bytes_wanted` are together. The buffer grows with what
    /// has come, not with what was announced.
    fn gather(&mut self, bytes_wanted: usize) {
        let missing = bytes_wanted.saturating_sub(self.partial.len());
        let taken = self.piece.split_to(missing.min(self.piece.len()));
        self.partial.extend_from_slice(&taken);
    }
}

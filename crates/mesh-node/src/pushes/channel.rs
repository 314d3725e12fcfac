//! The messages of a push over a stream: bounded before they are buffered, decoded without trust.

use bytes::{Buf as _, Bytes, BytesMut};
use mesh_protocol::{
    CHUNK_HEAD_BYTES, ChunkHead, DecodeError, EncodeError, PUSH_HEADER_BYTES, PushHeader,
    PushMessage,
};
use mesh_transport::{LinkStream, StreamError, StreamReader, StreamSender};
use tokio::sync::mpsc;

/// Why there is nothing more to read or write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    /// The stream or its link ended.
    #[error("the stream ended")]
    Stream(#[from] StreamError),
    /// It ended within a message.
    #[error("the stream ended within a message")]
    Cut,
    /// The other side does not keep to the protocol.
    #[error("the other side sent what is not the protocol")]
    Decode(#[from] DecodeError),
    /// This side has something to say that is too large.
    #[error("a message is too large")]
    Encode(#[from] EncodeError),
}

/// What was read: a chunk is not copied out of what came.
#[expect(clippy::large_enum_variant, reason = "one is read at a time, and none is kept")]
#[derive(Debug)]
pub(crate) enum Received {
    /// A chunk: what it is, and its bytes, compressed or not.
    Chunk(ChunkHead, Bytes),
    /// Anything else.
    Message(PushMessage),
}

/// Pieces that may wait between two tasks of one node.
const PIECES_WAITING_MAX: usize = 16;

#[derive(Debug)]
enum Inlet {
    Link(StreamReader),
    Here(mpsc::Receiver<Bytes>),
}

#[derive(Debug)]
enum Outlet {
    Link(StreamSender),
    /// None when nothing more is to be said.
    Here(Option<mpsc::Sender<Bytes>>),
}

/// Reads the messages of a push.
#[derive(Debug)]
pub(crate) struct PushReader {
    stream: Inlet,
    /// What came and was not looked at.
    came: Bytes,
    /// The beginning of a header.
    head: BytesMut,
    /// The message that is coming, and what came of it: its bytes are copied once, into room of their own. What came keeps
    /// whole buffers of the link alive, however little of it is of use.
    coming: Option<(PushHeader, BytesMut)>,
    /// Bytes that came, headers and all.
    pub(crate) bytes: u64,
}

/// Writes them.
#[derive(Debug)]
pub(crate) struct PushWriter {
    stream: Outlet,
    /// Bytes that were sent, headers and all.
    pub(crate) bytes: u64,
}

/// Makes a stream one of messages.
pub(crate) fn channel(stream: LinkStream) -> (PushReader, PushWriter) {
    let (sender, reader) = stream.into_split();
    (PushReader::new(Inlet::Link(reader)), PushWriter { stream: Outlet::Link(sender), bytes: 0 })
}

/// Two ends within this node: for a push that came in a message, there is nobody else to ask.
pub(crate) fn channel_here() -> [(PushReader, PushWriter); 2] {
    let (one, to_one) = here();
    let (other, to_other) = here();
    [(one, to_other), (other, to_one)]
}

fn here() -> (PushReader, PushWriter) {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
    let writer = PushWriter { stream: Outlet::Here(Some(sender)), bytes: 0 };
    (PushReader::new(Inlet::Here(receiver)), writer)
}

impl PushReader {
    fn new(stream: Inlet) -> Self {
        let (came, head) = (Bytes::new(), BytesMut::new());
        Self { stream, came, head, coming: None, bytes: 0 }
    }

    /// Waits for the next message; none when the other side has finished. Kinds that are not known are skipped.
    /// Cancel safe: what was read stays for the next call.
    ///
    /// # Errors
    /// [`ChannelError`]: the stream is of no more use.
    pub(crate) async fn recv(&mut self) -> Result<Option<Received>, ChannelError> {
        loop {
            let Some((header, mut message)) = self.next()? else {
                if self.more().await? {
                    continue;
                }
                let is_between = self.head.is_empty() && self.coming.is_none();
                return if is_between { Ok(None) } else { Err(ChannelError::Cut) };
            };
            if header.is_chunk() {
                let (head, _) = ChunkHead::decode(&message)?;
                message.advance(CHUNK_HEAD_BYTES);
                return Ok(Some(Received::Chunk(head, message)));
            }
            match PushMessage::decode(header, &message) {
                Ok(message) => return Ok(Some(Received::Message(message))),
                Err(DecodeError::UnknownKind { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next message, if all of it came; otherwise everything that came was looked at.
    fn next(&mut self) -> Result<Option<(PushHeader, Bytes)>, DecodeError> {
        let (header, mut body) = match self.coming.take() {
            Some(coming) => coming,
            None => {
                take(&mut self.came, PUSH_HEADER_BYTES, &mut self.head);
                let Some(head) = self.head.first_chunk() else { return Ok(None) };
                let header = PushHeader::decode(head)?;
                self.head.clear();
                // No header names more than its kind may have.
                (header, BytesMut::with_capacity(header.body_bytes))
            }
        };
        take(&mut self.came, header.body_bytes, &mut body);
        if body.len() < header.body_bytes {
            self.coming = Some((header, body));
            return Ok(None);
        }
        Ok(Some((header, body.freeze())))
    }

    async fn more(&mut self) -> Result<bool, StreamError> {
        let next = match &mut self.stream {
            Inlet::Link(stream) => stream.recv().await.transpose()?,
            Inlet::Here(pieces) => pieces.recv().await,
        };
        match next {
            None => Ok(false),
            Some(bytes) => {
                self.bytes += bytes.len() as u64;
                self.came = bytes;
                Ok(true)
            }
        }
    }
}

/// Moves bytes from one to the other, until that has `wanted`.
fn take(from: &mut Bytes, wanted: usize, to: &mut BytesMut) {
    let lacking = wanted.saturating_sub(to.len()).min(from.len());
    to.extend_from_slice(&from.split_to(lacking));
}

impl PushWriter {
    /// Sends a message, waiting for room.
    ///
    /// # Errors
    /// [`ChannelError`]: nothing more can be said.
    pub(crate) async fn send(&mut self, message: &PushMessage) -> Result<(), ChannelError> {
        self.put(message.encode()?.into()).await
    }

    /// Sends a chunk of which `body` is what travels.
    ///
    /// # Errors
    /// [`ChannelError`]: nothing more can be said.
    pub(crate) async fn send_chunk(
        &mut self,
        head: ChunkHead,
        body: Bytes,
    ) -> Result<(), ChannelError> {
        let encoded = head.encode(&body)?;
        self.put(Bytes::copy_from_slice(&encoded)).await?;
        self.put(body).await
    }

    /// Sends whole messages that are encoded already.
    ///
    /// # Errors
    /// [`ChannelError`]: nothing more can be said.
    pub(crate) async fn send_encoded(&mut self, bytes: Bytes) -> Result<(), ChannelError> {
        self.put(bytes).await
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), ChannelError> {
        self.bytes += bytes.len() as u64;
        match &mut self.stream {
            Outlet::Link(stream) => Ok(stream.send(bytes).await?),
            Outlet::Here(pieces) => {
                let pieces = pieces.as_ref().ok_or(StreamError::EndedHere)?;
                Ok(pieces.send(bytes).await.map_err(|_| StreamError::LinkClosed)?)
            }
        }
    }

    /// Says that nothing more is said.
    pub(crate) fn finish(&mut self) {
        match &mut self.stream {
            Outlet::Link(stream) => stream.finish(),
            Outlet::Here(pieces) => *pieces = None,
        }
    }

    /// Gives the stream up.
    pub(crate) fn reset(&mut self, reason: &str) {
        match &mut self.stream {
            Outlet::Link(stream) => stream.reset(reason),
            Outlet::Here(pieces) => *pieces = None,
        }
    }
}

#[cfg(test)]
mod tests;

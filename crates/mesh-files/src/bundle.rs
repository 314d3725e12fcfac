//! A push in one message: what a stream would carry, one behind the other, for files that are small.
//!
//! Nothing is asked for on the way: the sender puts in every page and every chunk. What the target says to it
//! goes back in messages of the same form.

mod order;

use mesh_protocol::{
    DecodeError, EncodeError, FileTransfer, MESSAGE_BYTES_MAX, PUSH_HEADER_BYTES, PushHeader,
    PushId, PushMessage, PushReason,
};

use order::Order;

/// Most bytes of files in one message.
pub const BUNDLE_FILE_BYTES_MAX: u64 = 256 << 10;

/// Largest bundle: the rest of a message is its header and the fields around the bundle.
pub const BUNDLE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 4096;

/// Most replies in one message: a target says little.
const REPLIES_MAX: usize = 8;

/// Why something is no bundle. Nothing of it may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The files, or what names them, are too many or too large for one message.
    #[error("more than one message carries")]
    TooLarge,
    /// The offer is none for a message.
    #[error("the offer is not for a message")]
    Method,
    /// Something does not stand where it belongs, or does not belong here.
    #[error("something is out of order")]
    Order,
    /// There are more pages, chunks or bytes than were announced, or fewer.
    #[error("the message does not hold what was announced")]
    Totals,
    /// It ends in the middle of something.
    #[error("the message is cut off")]
    CutOff,
    /// What it says about itself is not so.
    #[error("the bytes are not those that were announced")]
    Checksum,
    /// A message breaks a bound, and was not written.
    #[error("a bound is broken")]
    Encode(#[source] EncodeError),
    /// A message breaks a bound.
    #[error("a message of a push cannot be read")]
    Decode(#[source] DecodeError),
}

impl BundleError {
    /// The stable word for this error.
    #[must_use]
    pub const fn reason(&self) -> PushReason {
        match self {
            Self::Checksum => PushReason::ChecksumMismatch,
            Self::TooLarge
            | Self::Method
            | Self::Order
            | Self::Totals
            | Self::CutOff
            | Self::Encode(_)
            | Self::Decode(_) => PushReason::ManifestInvalid,
        }
    }
}

/// Puts a push together: the offer, the names of all pages, the pages, the chunks, each in their order.
#[derive(Debug, Default)]
pub struct BundleWriter {
    bytes: Vec<u8>,
    order: Order,
}

impl BundleWriter {
    /// Adds the next message.
    ///
    /// # Errors
    /// [`BundleError`]: the push does not go this way.
    pub fn add(&mut self, message: &PushMessage) -> Result<(), BundleError> {
        self.order.follow(message)?;
        let encoded = message.encode().map_err(BundleError::Encode)?;
        if self.bytes.len() + encoded.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        self.bytes.extend(encoded);
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`BundleError::Totals`] when something that was announced is missing.
    pub fn finish(self) -> Result<Vec<u8>, BundleError> {
        self.order.finish()?;
        Ok(self.bytes)
    }
}

/// Reads a push message by message, in the order of [`BundleWriter`]. The first one is the offer; when the last
/// one has come without an error, everything that it announced was there. Whether pages and chunks are what
/// their names say is for whoever takes them in to find out, as on a stream.
#[derive(Debug)]
pub struct BundleReader<'b> {
    messages: Messages<'b>,
    order: Option<Order>,
}

impl<'b> BundleReader<'b> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`].
    pub fn new(bytes: &'b [u8]) -> Result<Self, BundleError> {
        Ok(Self { messages: Messages::new(bytes)?, order: Some(Order::default()) })
    }

    fn follow(&mut self, message: Option<&PushMessage>) -> Result<(), BundleError> {
        match (message, self.order.as_mut()) {
            (Some(message), Some(order)) => order.follow(message),
            (None, _) => self.order.take().map_or(Ok(()), Order::finish),
            (Some(_), None) => Err(BundleError::Order),
        }
    }
}

impl Iterator for BundleReader<'_> {
    type Item = Result<PushMessage, BundleError>;

    /// Nothing follows behind an error.
    fn next(&mut self) -> Option<Self::Item> {
        self.order.as_ref()?;
        let next = self.messages.next().transpose();
        let checked = next.and_then(|next| self.follow(next.as_ref()).map(|()| next));
        if checked.is_err() {
            self.order = None;
        }
        checked.transpose()
    }
}

/// Puts what a target says into one message: at most eight answers and results.
///
/// # Errors
/// [`BundleError::Order`] for anything else; [`BundleError::TooLarge`].
pub fn encode_replies(replies: &[PushMessage]) -> Result<Vec<u8>, BundleError> {
    if replies.len() > REPLIES_MAX {
        return Err(BundleError::TooLarge);
    }
    let mut bytes = Vec::new();
    for reply in replies {
        check_reply(reply)?;
        bytes.extend(reply.encode().map_err(BundleError::Encode)?);
    }
    if bytes.len() > BUNDLE_BYTES_MAX { Err(BundleError::TooLarge) } else { Ok(bytes) }
}

/// Reads them.
///
/// # Errors
/// As [`encode_replies`], and what is wrong with the bytes.
pub fn decode_replies(bytes: &[u8]) -> Result<Vec<PushMessage>, BundleError> {
    let mut replies = Vec::new();
    for reply in Messages::new(bytes)? {
        let reply = reply?;
        check_reply(&reply)?;
        if replies.len() == REPLIES_MAX {
            return Err(BundleError::TooLarge);
        }
        replies.push(reply);
    }
    Ok(replies)
}

const fn check_reply(message: &PushMessage) -> Result<(), BundleError> {
    match message {
        PushMessage::Answer(_) | PushMessage::Result(_) => Ok(()),
        PushMessage::Offer(_)
        | PushMessage::PageIds(_)
        | PushMessage::PageNeed(_)
        | PushMessage::Page(_)
        | PushMessage::Need(_)
        | PushMessage::Have(_)
        | PushMessage::Source(_)
        | PushMessage::Fetch(_)
        | PushMessage::Chunk(_)
        | PushMessage::Stop(_)
        | PushMessage::Rollback(_) => Err(BundleError::Order),
    }
}

/// What a message says about a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleKind {
    /// The push: [`BundleReader`] reads it.
    Push,
    /// What a target says: [`decode_replies`] reads it.
    Replies,
}

impl BundleKind {
    /// No application's file is called so: the name holds no path of a file.
    const fn path(self) -> &'static str {
        match self {
            Self::Push => "mesh.push/push",
            Self::Replies => "mesh.push/replies",
        }
    }
}

/// A bundle in a payload. Its bytes are as they came: nothing of them was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundBundle<'t> {
    /// The push that it says to be about.
    pub push_id: PushId,
    /// What it is.
    pub kind: BundleKind,
    /// The bundle.
    pub bytes: &'t [u8],
}

/// Makes the payload of a message from a bundle.
#[must_use]
pub fn to_transfer(push_id: PushId, kind: BundleKind, bundle: Vec<u8>) -> FileTransfer {
    let checksum = *blake3::hash(&bundle).as_bytes();
    FileTransfer {
        transfer_id: *push_id.as_bytes(),
        path: kind.path().to_owned(),
        mode: 0,
        file_bytes_total: bundle.len() as u64,
        file_checksum: checksum,
        chunk_index: 0,
        chunk_count: 1,
        offset: 0,
        chunk_data: bundle,
        checksum,
        is_final: true,
    }
}

/// Whether a payload says that it is about a push. Nothing of it is read.
#[must_use]
pub fn is_of_push(transfer: &FileTransfer) -> bool {
    [BundleKind::Push, BundleKind::Replies].iter().any(|kind| kind.path() == transfer.path)
}

/// Finds the bundle in a payload; none when that is not about a push but an application's own.
///
/// # Errors
/// [`BundleError::Checksum`] when its fields do not fit each other.
pub fn from_transfer(transfer: &FileTransfer) -> Result<Option<FoundBundle<'_>>, BundleError> {
    let kinds = [BundleKind::Push, BundleKind::Replies];
    let Some(kind) = kinds.into_iter().find(|kind| kind.path() == transfer.path) else {
        return Ok(None);
    };
    let checksum = *blake3::hash(&transfer.chunk_data).as_bytes();
    let is_whole = transfer.is_final
        && (transfer.chunk_index, transfer.chunk_count, transfer.offset) == (0, 1, 0)
        && transfer.file_bytes_total == transfer.chunk_data.len() as u64
        && transfer.checksum == checksum
        && transfer.file_checksum == checksum;
    if !is_whole {
        return Err(BundleError::Checksum);
    }
    let push_id = PushId::from_bytes(transfer.transfer_id);
    Ok(Some(FoundBundle { push_id, kind, bytes: &transfer.chunk_data }))
}

/// Messages one behind the other.
#[derive(Debug)]
struct Messages<'b> {
    rest: &'b [u8],
}

impl<'b> Messages<'b> {
    const fn new(bytes: &'b [u8]) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        Ok(Self { rest: bytes })
    }

    /// Cuts off the next message; a kind that is not known is none.
    fn cut(&mut self) -> Result<Option<PushMessage>, BundleError> {
        let (header, rest) =
            self.rest.split_first_chunk::<PUSH_HEADER_BYTES>().ok_or(BundleError::CutOff)?;
        let header = PushHeader::decode(header).map_err(BundleError::Decode)?;
        let (body, rest) = rest.split_at_checked(header.body_bytes).ok_or(BundleError::CutOff)?;
        self.rest = rest;
        match PushMessage::decode(header, body) {
            Ok(message) => Ok(Some(message)),
            Err(DecodeError::UnknownKind { .. }) => Ok(None),
            Err(error) => Err(BundleError::Decode(error)),
        }
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<PushMessage, BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.cut() {
                Ok(None) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;

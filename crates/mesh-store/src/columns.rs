//! Between rows and values: the one place that knows how a value lies in a column.

use mesh_protocol::{ErrorCode, KeyId, MessageId, PeerId, PushId, Signature, TokenId, UnixMillis};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Decode, Row as _, Sqlite, Type};

use crate::StoreError;

/// Something to bind to a `?`.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    /// A count, size or time. SQLite has no unsigned numbers; what exceeds its own is as good as endless.
    pub(crate) fn count(number: u64) -> Self {
        Self::Int(saturated(number))
    }

    /// A number that is compared by nobody but this program, bit for bit.
    pub(crate) const fn bits(number: u64) -> Self {
        Self::Int(number.cast_signed())
    }

    pub(crate) fn time(time: UnixMillis) -> Self {
        Self::count(time.0)
    }

    pub(crate) fn time_or_null(time: Option<UnixMillis>) -> Self {
        time.map_or(Self::Null, Self::time)
    }

    pub(crate) fn flag(is_set: bool) -> Self {
        Self::Int(i64::from(is_set))
    }

    pub(crate) fn blob(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }

    pub(crate) fn blob_or_null(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::Null, Self::blob)
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn text_or_null(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// Adds the value behind those that are bound already.
    pub(crate) fn bind_to(self, arguments: &mut SqliteArguments) -> Result<(), StoreError> {
        let bound = match self {
            Self::Null => arguments.add(None::<i64>),
            Self::Int(number) => arguments.add(number),
            Self::Text(text) => arguments.add(text),
            Self::Blob(bytes) => arguments.add(bytes),
        };
        bound.map_err(|error| StoreError::from(sqlx::Error::Encode(error)))
    }
}

/// `number` as SQLite's largest integer type, or the largest of those.
pub(crate) fn saturated(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads the columns of a row from left to right.
pub(crate) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(crate) const fn of(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    fn take<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Result<T, StoreError> {
        let index = self.next;
        self.next += 1;
        Ok(self.row.try_get_unchecked(index)?)
    }

    pub(crate) fn int(&mut self) -> Result<i64, StoreError> {
        self.take()
    }

    pub(crate) fn count(&mut self, what: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.int()?).map_err(|_| StoreError::Malformed { what })
    }

    pub(crate) fn small<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T, StoreError> {
        T::try_from(self.int()?).map_err(|_| StoreError::Malformed { what })
    }

    pub(crate) fn bits(&mut self) -> Result<u64, StoreError> {
        Ok(self.int()?.cast_unsigned())
    }

    pub(crate) fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.int()? != 0)
    }

    pub(crate) fn time(&mut self) -> Result<UnixMillis, StoreError> {
        self.count("time").map(UnixMillis)
    }

    pub(crate) fn time_or_none(&mut self) -> Result<Option<UnixMillis>, StoreError> {
        let number: Option<i64> = self.take()?;
        number
            .map(u64::try_from)
            .transpose()
            .map(|time| time.map(UnixMillis))
            .map_err(|_| StoreError::Malformed { what: "time" })
    }

    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        self.take()
    }

    pub(crate) fn text_or_none(&mut self) -> Result<Option<String>, StoreError> {
        self.take()
    }

    pub(crate) fn blob(&mut self) -> Result<Vec<u8>, StoreError> {
        self.take()
    }

    fn bytes(&mut self) -> Result<&'r [u8], StoreError> {
        self.take()
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], StoreError> {
        self.bytes()?.try_into().map_err(|_| StoreError::Malformed { what })
    }

    pub(crate) fn peer(&mut self) -> Result<PeerId, StoreError> {
        self.array("peer id").map(PeerId::from_bytes)
    }

    pub(crate) fn peer_or_none(&mut self) -> Result<Option<PeerId>, StoreError> {
        let bytes: Option<&[u8]> = self.take()?;
        bytes
            .map(PeerId::from_slice)
            .transpose()
            .map_err(|_| StoreError::Malformed { what: "peer id" })
    }

    /// Any number of peers, one behind the other.
    pub(crate) fn peers(&mut self) -> Result<Vec<PeerId>, StoreError> {
        let bytes: Option<&[u8]> = self.take()?;
        let bytes = bytes.unwrap_or_default();
        let (peers, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(StoreError::Malformed { what: "peers" });
        }
        Ok(peers.iter().map(|peer| PeerId::from_bytes(*peer)).collect())
    }

    pub(crate) fn message_id(&mut self) -> Result<MessageId, StoreError> {
        self.array("message id").map(MessageId::from_bytes)
    }

    pub(crate) fn push_id(&mut self) -> Result<PushId, StoreError> {
        self.array("push id").map(PushId::from_bytes)
    }

    pub(crate) fn push_id_or_none(&mut self) -> Result<Option<PushId>, StoreError> {
        let bytes: Option<&[u8]> = self.take()?;
        bytes
            .map(PushId::from_slice)
            .transpose()
            .map_err(|_| StoreError::Malformed { what: "push id" })
    }

    pub(crate) fn key_id(&mut self) -> Result<KeyId, StoreError> {
        self.array("key id").map(KeyId::from_bytes)
    }

    pub(crate) fn token_id(&mut self) -> Result<TokenId, StoreError> {
        self.array("token id").map(TokenId::from_bytes)
    }

    pub(crate) fn signature(&mut self) -> Result<Signature, StoreError> {
        self.array("signature").map(Signature::from_bytes)
    }

    pub(crate) fn code_or_none(&mut self) -> Result<Option<ErrorCode>, StoreError> {
        // A word of a newer program is still an error; the text beside it is gone, the fact is not.
        let word = self.text_or_none()?;
        Ok(word.map(|word| word.parse().unwrap_or(ErrorCode::Internal)))
    }
}

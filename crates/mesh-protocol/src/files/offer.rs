use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{PushProblem, RelativePath};
use crate::codec::{ByteCount, check_count, list};
use crate::{
    PUSH_TARGETS_MAX, ParseError, PeerId, PushId, ROOT_NAME_BYTES_MAX, TEXT_BYTES_MAX, UnixMillis,
};

/// The name of a root: 1 to 64 of `a-z 0-9 - _ .`, the first one a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RootName(String);

impl RootName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RootName {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        const WHAT: &str = "root name";
        if name.is_empty() || name.len() > ROOT_NAME_BYTES_MAX {
            return Err(ParseError::Length { what: WHAT, bytes: name.len() });
        }
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_known = |byte: u8| is_plain(byte) || matches!(byte, b'-' | b'_' | b'.');
        if !name.bytes().all(is_known) || !name.bytes().next().is_some_and(is_plain) {
            return Err(ParseError::Characters { what: WHAT });
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for RootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RootName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// How files travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushMethod {
    /// As chunks on a stream of the link.
    Stream,
    /// Inside one durable message.
    Message,
}

/// How much a manifest names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushTotals {
    /// Files, folders and links.
    pub entries: u64,
    /// Files alone.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Chunks of all files.
    pub chunks: u64,
    /// Pages of the manifest.
    pub pages: u64,
}

/// Says what a push would bring, and asks whether it may.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushOffer {
    /// The push.
    pub push_id: PushId,
    /// Who pushes.
    pub by: PeerId,
    /// To whom. They may serve each other.
    #[serde(deserialize_with = "list::<_, _, PUSH_TARGETS_MAX>")]
    pub targets: Vec<PeerId>,
    /// Which root.
    pub root: RootName,
    /// Where beneath it.
    pub destination: RelativePath,
    /// What for; at most 1,024 bytes.
    pub message: String,
    /// How.
    pub method: PushMethod,
    /// How much.
    pub totals: PushTotals,
    /// BLAKE3 of the names of the manifest's pages, one behind the other.
    pub manifest: [u8; 32],
    /// The test, by its name in the root's list; at most 1,024 bytes.
    pub test: Option<String>,
    /// When it was made, by the sender's clock.
    pub made_at: UnixMillis,
    /// When it is worth nothing any more.
    pub expires_at: UnixMillis,
}

impl PushOffer {
    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("targets", self.targets.len(), PUSH_TARGETS_MAX)?;
        check_count("message", self.message.len(), TEXT_BYTES_MAX)?;
        check_count("test", self.test.as_ref().map_or(0, String::len), TEXT_BYTES_MAX)
    }
}

impl fmt::Debug for PushOffer {
    /// Shows what it is about: names and words are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushOffer")
            .field("push_id", &self.push_id)
            .field("by", &self.by)
            .field("targets", &self.targets.len())
            .field("root", &self.root)
            .field("message", &ByteCount(self.message.len()))
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

/// Asks for what a push has replaced. A push itself: it is recorded, and can be taken back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackOffer {
    /// This push.
    pub push_id: PushId,
    /// Who makes it.
    pub by: PeerId,
    /// To whom.
    #[serde(deserialize_with = "list::<_, _, PUSH_TARGETS_MAX>")]
    pub targets: Vec<PeerId>,
    /// The push that it takes back.
    pub of: PushId,
    /// Whether files that were changed since are replaced too; they are kept like any other.
    pub is_forced: bool,
    /// What for; at most 1,024 bytes.
    pub message: String,
    /// When it was made, by the sender's clock.
    pub made_at: UnixMillis,
    /// When it is worth nothing any more.
    pub expires_at: UnixMillis,
}

impl RollbackOffer {
    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("targets", self.targets.len(), PUSH_TARGETS_MAX)?;
        check_count("message", self.message.len(), TEXT_BYTES_MAX)
    }
}

impl fmt::Debug for RollbackOffer {
    /// Shows what it is about: words are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RollbackOffer")
            .field("push_id", &self.push_id)
            .field("by", &self.by)
            .field("targets", &self.targets.len())
            .field("of", &self.of)
            .field("is_forced", &self.is_forced)
            .field("message", &ByteCount(self.message.len()))
            .finish_non_exhaustive()
    }
}

/// Answers [`PushOffer`] and [`RollbackOffer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushAnswer {
    /// It may begin, or go on.
    Accepted,
    /// Somebody has to approve it first.
    WaitingForApproval,
    /// It ends here.
    Refused(PushProblem),
}

impl PushAnswer {
    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        match self {
            Self::Accepted | Self::WaitingForApproval => Ok(()),
            Self::Refused(problem) => problem.check_bounds(),
        }
    }
}

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TestOutcome;
use crate::codec::check_count;
use crate::{ParseError, TEXT_BYTES_MAX};

/// The steps of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushStep {
    /// The sender reads, hashes and scans what is to be pushed.
    Prepare,
    /// Everybody is told.
    Announce,
    /// Chunks travel into staging.
    Push,
    /// The receiver checks what is staged, and runs the test.
    Verify,
    /// It is put in place, and the sender is told.
    Confirm,
}

/// Defines the reasons and their words in one place.
macro_rules! push_reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Why a push ended at a target: a stable word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PushReason {
            $($(#[$doc])* $variant,)*
        }

        impl PushReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for PushReason {
            type Err = ParseError;

            fn from_str(word: &str) -> Result<Self, ParseError> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(ParseError::Characters { what: "reason" }),
                }
            }
        }
    };
}

push_reasons! {
    /// The receiver opened no root of this name.
    RootUnknown = "root_unknown",
    /// The root takes nothing from this member.
    SenderNotAllowed = "sender_not_allowed",
    /// The root takes nothing without a test.
    TestRequired = "test_required",
    /// The root does not know the test that was named.
    TestUnknown = "test_unknown",
    /// The root would hold more than its quota.
    QuotaExceeded = "quota_exceeded",
    /// The disk is full.
    DiskFull = "disk_full",
    /// A path or link leads where it must not.
    PathRefused = "path_refused",
    /// Two names are one on the receiver's file system.
    NamesClash = "names_clash",
    /// Something that is no file, folder or link, or has a mode that is never set.
    KindRefused = "kind_refused",
    /// Who had to approve it said no.
    ApprovalDenied = "approval_denied",
    /// Its lifetime ended.
    Expired = "expired",
    /// The sender gave it up.
    Cancelled = "cancelled",
    /// The receiver has too many pushes under way; the same push may be offered again.
    Busy = "busy",
    /// The manifest breaks a rule, or does not add up.
    ManifestInvalid = "manifest_invalid",
    /// Bytes do not match their digest.
    ChecksumMismatch = "checksum_mismatch",
    /// A file changed on the sender after it was prepared.
    SourceChanged = "source_changed",
    /// A secret was found.
    SecretFound = "secret_found",
    /// The test said no.
    TestFailed = "test_failed",
    /// The test took longer than it may.
    TestTimedOut = "test_timed_out",
    /// A file at the target is not as the push left it, or changed while it was put in place.
    TargetChanged = "target_changed",
    /// The target keeps nothing of that push that could be brought back.
    NothingKept = "nothing_kept",
    /// The file system or database refused.
    StorageError = "storage_error",
    /// The target belongs to the mesh no more.
    NotAMember = "not_a_member",
    /// A fault of the program, or a word of a newer one.
    Internal = "internal",
}

impl fmt::Display for PushReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for PushReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PushReason {
    /// A word from a newer peer becomes [`PushReason::Internal`]: the text beside it still tells what happened.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(word.parse().unwrap_or(Self::Internal))
    }
}

/// Why, where and how a push ended at a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushProblem {
    /// During which step.
    pub step: PushStep,
    /// The stable word.
    pub reason: PushReason,
    /// For people: which file, which rule; at most 1,024 bytes.
    pub detail: String,
    /// What the test said, if it was the test.
    pub test: Option<TestOutcome>,
}

impl PushProblem {
    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("detail", self.detail.len(), TEXT_BYTES_MAX)?;
        self.test.as_ref().map_or(Ok(()), TestOutcome::check_bounds)
    }
}

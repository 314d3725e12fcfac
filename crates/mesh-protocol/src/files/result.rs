use std::fmt;

use serde::{Deserialize, Serialize};

use super::PushProblem;
use crate::codec::{ByteCount, check_count};
use crate::{PATH_BYTES_MAX, TEST_OUTPUT_BYTES_MAX, TEXT_BYTES_MAX, UnixMillis};

/// How a test's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestEnd {
    /// It returned this code; 0 is yes.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was ended, because it took longer than it may.
    TimedOut,
    /// It could not be started.
    NotStarted,
}

/// What a test did.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOutcome {
    /// Its name in the root's list; at most 1,024 bytes.
    pub command: String,
    /// How it ended.
    pub end: TestEnd,
    /// How long it ran.
    pub millis: u64,
    /// What it printed, up to [`TEST_OUTPUT_BYTES_MAX`].
    #[serde(with = "serde_bytes")]
    pub output: Vec<u8>,
    /// Whether it printed more.
    pub is_cut: bool,
}

impl TestOutcome {
    /// Whether it said yes.
    #[must_use]
    pub const fn is_passed(&self) -> bool {
        matches!(self.end, TestEnd::Exit(0))
    }

    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("test", self.command.len(), TEXT_BYTES_MAX)?;
        check_count("output", self.output.len(), TEST_OUTPUT_BYTES_MAX)
    }
}

impl fmt::Debug for TestOutcome {
    /// Shows the output's length alone: a test may print anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestOutcome")
            .field("end", &self.end)
            .field("millis", &self.millis)
            .field("output", &ByteCount(self.output.len()))
            .finish_non_exhaustive()
    }
}

/// What VERIFY found to be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Files whose presence, mode and digests were checked.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the test said; none when there is none.
    pub test: Option<TestOutcome>,
}

impl Verification {
    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        self.test.as_ref().map_or(Ok(()), TestOutcome::check_bounds)
    }
}

/// What was put in place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Where, as a path of the receiver's machine; at most [`PATH_BYTES_MAX`].
    #[serde(with = "serde_bytes")]
    pub location: Vec<u8>,
    /// How many old versions were moved aside.
    pub replaced: u64,
    /// When, by the receiver's clock.
    pub at: UnixMillis,
}

impl Confirmation {
    pub(super) const fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("location", self.location.len(), PATH_BYTES_MAX)
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation")
            .field("location", &ByteCount(self.location.len()))
            .field("replaced", &self.replaced)
            .field("at", &self.at)
            .finish()
    }
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushResult {
    /// VERIFY: what is staged is right.
    Verified(Verification),
    /// CONFIRM: it is in place.
    Confirmed(Confirmation),
    /// It ended. Nothing was put in place, or everything was put back.
    Failed(PushProblem),
}

impl PushResult {
    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        match self {
            Self::Verified(verification) => verification.check_bounds(),
            Self::Confirmed(confirmation) => confirmation.check_bounds(),
            Self::Failed(problem) => problem.check_bounds(),
        }
    }
}

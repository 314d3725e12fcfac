use serde::{Deserialize, Serialize};

use super::{Confirmation, PushProblem, PushTotals, Verification};
use crate::codec::compact;
use crate::{DecodeError, EncodeError, PUSH_EVENT_BYTES_MAX, PeerId, PushId, UnixMillis};

/// What a target waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WaitingFor {
    /// To be reached.
    Link,
    /// That somebody approves.
    Approval,
}

/// What happened to a push, on either side. Each fact happens at most once, at a target at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushFact {
    /// Everything was read, hashed and scanned.
    Prepared {
        /// How much it is.
        totals: PushTotals,
        /// As in the offer.
        manifest: [u8; 32],
    },
    /// Everybody is told, or will be.
    Announced,
    /// It goes no further anywhere: preparing failed, or it was cancelled.
    Ended(PushProblem),
    /// A target waits.
    Waiting {
        /// Who.
        target: PeerId,
        /// For what.
        waiting_for: WaitingFor,
    },
    /// A target said yes, or somebody did who had to.
    Accepted {
        /// Who.
        target: PeerId,
    },
    /// A target has every chunk.
    Staged {
        /// Who.
        target: PeerId,
    },
    /// A target found everything right.
    Verified {
        /// Who.
        target: PeerId,
        /// What it found.
        verification: Verification,
    },
    /// A target has put it in place.
    Confirmed {
        /// Who.
        target: PeerId,
        /// Where.
        confirmation: Confirmation,
    },
    /// It ended at a target without having been put in place.
    Failed {
        /// Who.
        target: PeerId,
        /// Why.
        problem: PushProblem,
    },
    /// A target has put back what was there before.
    RolledBack {
        /// Who.
        target: PeerId,
        /// The push that did.
        by: PushId,
    },
}

/// One line of a push's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushEvent {
    /// When, by the clock of whoever recorded it.
    pub at: UnixMillis,
    /// What.
    pub fact: PushFact,
}

impl PushEvent {
    /// Encodes the event as it is stored.
    ///
    /// # Errors
    /// [`EncodeError`] when a field exceeds its bound.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check_bounds().map_err(|what| EncodeError::FieldTooLarge { what })?;
        compact::encode(self, PUSH_EVENT_BYTES_MAX)
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] or [`DecodeError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let event: Self = compact::decode("event of a push", bytes, PUSH_EVENT_BYTES_MAX)?;
        event.check_bounds().map_err(|what| DecodeError::Malformed { what })?;
        Ok(event)
    }

    fn check_bounds(&self) -> Result<(), &'static str> {
        match &self.fact {
            PushFact::Ended(problem) | PushFact::Failed { target: _, problem } => {
                problem.check_bounds()
            }
            PushFact::Verified { target: _, verification } => verification.check_bounds(),
            PushFact::Confirmed { target: _, confirmation } => confirmation.check_bounds(),
            PushFact::Prepared { .. }
            | PushFact::Announced
            | PushFact::Waiting { .. }
            | PushFact::Accepted { .. }
            | PushFact::Staged { .. }
            | PushFact::RolledBack { .. } => Ok(()),
        }
    }
}

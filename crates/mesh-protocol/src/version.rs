use std::fmt;

use serde::{Deserialize, Serialize};

/// Version of the wire protocol. A newer minor only adds; a newer major may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProtocolVersion {
    /// Two peers must share it.
    pub major: u8,
    /// Additions that an older peer skips.
    pub minor: u8,
}

impl ProtocolVersion {
    /// What this build speaks.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The versions that one side can speak, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// The oldest.
    pub min: ProtocolVersion,
    /// The newest.
    pub max: ProtocolVersion,
}

impl VersionRange {
    /// What this build speaks.
    pub const SUPPORTED: Self =
        Self { min: ProtocolVersion { major: 1, minor: 0 }, max: ProtocolVersion::CURRENT };

    /// The newest version that both sides speak, if there is one.
    #[must_use]
    pub fn negotiate(self, other: Self) -> Option<ProtocolVersion> {
        let newest = self.max.min(other.max);
        let oldest = self.min.max(other.min);
        (oldest <= newest).then_some(newest)
    }
}

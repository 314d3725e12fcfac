use mesh_protocol::VersionRange;

use crate::finding::listed;
use crate::{Check, Finding};

/// What another member says that it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionReading {
    /// The member.
    pub hostname: String,
    /// Version of its program; empty when it has not said.
    pub program: String,
    /// The protocol versions that it speaks.
    pub versions: VersionRange,
}

fn range(versions: VersionRange) -> String {
    let VersionRange { min, max } = versions;
    if min == max { format!("{max}") } else { format!("{min} to {max}") }
}

/// Judges whether this agent and the other members speak a protocol version in common.
#[must_use]
pub fn judge_versions(readings: &[VersionReading]) -> Finding {
    let ours = VersionRange::SUPPORTED;
    let strangers: Vec<String> = readings
        .iter()
        .filter(|reading| reading.versions.negotiate(ours).is_none())
        .map(|reading| {
            format!(
                "{} (program {}, protocol {})",
                reading.hostname,
                reading.program,
                range(reading.versions)
            )
        })
        .collect();
    if strangers.is_empty() {
        let detail = format!("protocol {}, as all other members ({})", range(ours), readings.len());
        return Finding::good(Check::Versions, detail);
    }
    Finding::failed(
        Check::Versions,
        format!(
            "these members have no protocol version in common with this agent, which speaks {}: {}",
            range(ours),
            listed(&strangers)
        ),
        "install the same release of mesh-agent on these machines and on this one (docs/operations.md, upgrade)",
    )
}

#[cfg(test)]
mod tests {
    use mesh_protocol::ProtocolVersion;

    use super::*;

    fn reading(hostname: &str, min: u8, max: u8) -> VersionReading {
        let version = |major| ProtocolVersion { major, minor: 0 };
        VersionReading {
            hostname: hostname.to_owned(),
            program: format!("{max}.4.2"),
            versions: VersionRange { min: version(min), max: version(max) },
        }
    }

    #[test]
    fn a_member_without_a_version_in_common_is_named_with_the_mend() {
        let found = judge_versions(&[reading("mint", 1, 1), reading("oak", 8, 9)]);
        assert!(!found.ok);
        assert!(found.detail.contains("oak (program 9.4.2, protocol 8.0 to 9.0)"), "{found:?}");
        assert!(!found.detail.contains("mint"), "{found:?}");
        assert!(found.hint.contains("release"), "{found:?}");
    }

    #[test]
    fn members_that_speak_more_are_fine() {
        assert!(judge_versions(&[reading("mint", 1, 9)]).ok);
        assert!(judge_versions(&[]).ok);
    }
}

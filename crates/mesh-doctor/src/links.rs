use crate::finding::listed;
use crate::{Check, Finding};

/// How another member is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReading {
    /// The member.
    pub hostname: String,
    /// `alive`, `suspect`, `down` or `inactive`.
    pub state: &'static str,
    /// The members in between, none for a link; absent when nobody reaches it.
    pub via: Option<Vec<String>>,
}

/// Judges the links to the other members.
///
/// A member that is away is no fault of this machine; one that reaches nobody has one.
#[must_use]
pub fn judge_links(readings: &[LinkReading]) -> Finding {
    if readings.is_empty() {
        return Finding::good(Check::Links, "this agent is the only member of its mesh");
    }
    let is_linked = |reading: &&LinkReading| reading.via.as_ref().is_some_and(Vec::is_empty);
    let linked = readings.iter().filter(is_linked).count();
    let others = readings.len();
    let missing: Vec<String> = readings
        .iter()
        .filter(|reading| !is_linked(reading))
        .map(|reading| match &reading.via {
            Some(via) => {
                format!("{} ({}, through {})", reading.hostname, reading.state, via.join(" and "))
            }
            None => format!("{} ({})", reading.hostname, reading.state),
        })
        .collect();
    if linked == 0 {
        return Finding::failed(
            Check::Links,
            format!("linked with none of {others} other members: {}", listed(&missing)),
            "look whether this machine has a network, whether TCP port 13500 of the others is open from here (`nc -vz ADDRESS 13500`, addresses: `mesh-ctl peers`), and whether their agents run",
        );
    }
    if missing.is_empty() {
        return Finding::good(Check::Links, format!("linked with all other members ({others})"));
    }
    Finding::noted(
        Check::Links,
        format!("linked with {linked} of {others} other members; not with {}", listed(&missing)),
        "where such a machine is up, run `mesh-ctl doctor` on it, and look whether either of the two lets the other in on its port",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(hostname: &str, state: &'static str, via: Option<&[&str]>) -> LinkReading {
        let via = via.map(|via| via.iter().map(|&name| name.to_owned()).collect());
        LinkReading { hostname: hostname.to_owned(), state, via }
    }

    #[test]
    fn members_without_a_link_are_named_with_their_state() {
        let found = judge_links(&[
            reading("mint", "alive", Some(&[])),
            reading("oak", "alive", Some(&["mint"])),
            reading("elm", "inactive", None),
        ]);
        assert!(found.ok, "{found:?}");
        assert!(found.detail.contains("linked with 1 of 3"), "{found:?}");
        assert!(found.detail.contains("oak (alive, through mint), elm (inactive)"), "{found:?}");
    }

    #[test]
    fn a_machine_that_reaches_nobody_has_a_fault() {
        let found = judge_links(&[reading("mint", "down", None)]);
        assert!(!found.ok && found.hint.contains("13500"), "{found:?}");
        assert!(judge_links(&[]).ok);
        assert!(judge_links(&[reading("mint", "alive", Some(&[]))]).ok);
    }
}

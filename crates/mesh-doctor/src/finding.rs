use serde::Serialize;

/// What is looked at. The words are a contract: scripts pick findings by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Whether the agent runs and answers.
    Agent,
    /// Whether it listens, or could.
    Port,
    /// Whether others can get to the port.
    Firewall,
    /// Whether Tailscale works, where it is installed.
    Tailscale,
    /// Whether the members' clocks agree.
    Clock,
    /// Whether there is room for the database.
    Disk,
    /// Whether the data directory can be written, and by nobody else.
    Permissions,
    /// Whether the database is sound and of a schema that this program knows.
    Database,
    /// Whether the replicated tables are written, and in step.
    Tables,
    /// Whether the members speak a protocol version in common.
    Versions,
    /// Whether the members are linked.
    Links,
}

impl Check {
    /// The word of the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Port => "port",
            Self::Firewall => "firewall",
            Self::Tailscale => "tailscale",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Permissions => "permissions",
            Self::Database => "database",
            Self::Tables => "tables",
            Self::Versions => "versions",
            Self::Links => "links",
        }
    }
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// Whether it is as it should be, as far as can be told.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when there is nothing to do.
    pub hint: String,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn good(check: Check, detail: impl Into<String>) -> Self {
        Self { check, ok: true, detail: detail.into(), hint: String::new() }
    }

    /// No fault, but something to know: the hint says what.
    #[must_use]
    pub fn noted(check: Check, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, ok: true, detail: detail.into(), hint: hint.into() }
    }

    /// A fault and its mend.
    #[must_use]
    pub fn failed(check: Check, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, ok: false, detail: detail.into(), hint: hint.into() }
    }
}

/// Names in a list for people, at most this many of them: a mesh may have a thousand members.
const NAMES_MAX: usize = 10;

/// `a, b and 3 more`.
pub(crate) fn listed(items: &[String]) -> String {
    let (shown, rest) = items.split_at(items.len().min(NAMES_MAX));
    match rest.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_says_by_how_much() {
        let names: Vec<String> = (0..13).map(|number| number.to_string()).collect();
        assert_eq!(listed(&names[..2]), "0, 1");
        assert!(listed(&names).ends_with("9 and 3 more"));
    }
}

use serde::{Deserialize, Serialize};

/// What came of one check of the doctor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// What was looked at: `agent`, `port`, `firewall`, `tailscale`, `clock`, `disk`, `permissions`,
    /// `database`, `versions`, `links`.
    pub check: String,
    /// Whether it is as it should be, as far as can be told.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when there is nothing to do.
    #[serde(default)]
    pub hint: String,
}

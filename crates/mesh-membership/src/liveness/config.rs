use std::time::Duration;

/// Without a least step a probe would be due again the moment it was sent.
const STEP_MIN: Duration = Duration::from_millis(1);

/// Far enough to mean "never", near enough to be added to any moment.
const STEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// More helpers find out nothing that fewer do not, and cost every one of them a ping.
const HELPERS_MAX: usize = 16;

/// Pace of [`Liveness`](crate::Liveness), which brings values that cannot work (no helper, waits of zero
/// or of many years) to the nearest that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivenessConfig {
    /// How many linked members are asked about one that lost its link; at least 1, at most 16.
    pub helpers: usize,
    /// How long their answers may take.
    pub probe_timeout: Duration,
    /// Time between rounds of questions about a member that is alive without a link, or down.
    pub probe_every: Duration,
    /// A member that is down for so long is inactive.
    pub inactive_after: Duration,
    /// Time between rounds of questions about an inactive member.
    pub inactive_probe_every: Duration,
    /// An inactive member that nobody has heard of for so long may be removed; zero means never. Where
    /// not every pair links, it may be that nobody finds that it falls to itself to say so.
    pub forget_after: Duration,
}

impl Default for LivenessConfig {
    fn default() -> Self {
        Self {
            helpers: 3,
            probe_timeout: Duration::from_secs(1),
            probe_every: Duration::from_secs(5),
            inactive_after: Duration::from_secs(60),
            inactive_probe_every: Duration::from_secs(60),
            forget_after: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

impl LivenessConfig {
    /// Brings every value into the range in which the engine works.
    pub(super) fn clamped(self) -> Self {
        let usable = |duration: Duration| duration.clamp(STEP_MIN, STEP_MAX);
        Self {
            helpers: self.helpers.clamp(1, HELPERS_MAX),
            probe_timeout: usable(self.probe_timeout),
            probe_every: usable(self.probe_every),
            inactive_after: usable(self.inactive_after),
            inactive_probe_every: usable(self.inactive_probe_every),
            // Only ever compared with, so any length will do.
            forget_after: self.forget_after,
        }
    }
}

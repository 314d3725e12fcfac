//! Notices that the machine slept, that this process was stopped, or that the network is another one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_membership::LinkInput;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::config;
use crate::shared::Shared;

/// How often it is looked. A member that wakes has two seconds to be active again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sleep of the machine that counts: what is shorter breaks no link.
const SLEEP_MIN: Duration = Duration::from_secs(1);

/// A look that comes so late means that this process was stopped. On a busy machine looks are late as
/// well; to try every link then would make it busier.
const STOP_MIN: Duration = Duration::from_secs(10);

/// How things were at one moment.
#[derive(Clone, Debug)]
struct Look {
    /// Goes on while the machine sleeps.
    since_boot: Duration,
    /// Stands still while the machine sleeps.
    awake: Instant,
    addresses: BTreeSet<IpAddr>,
}

/// What is different from one look to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The machine slept, or this process was stopped.
    Woke,
    /// The machine has other addresses.
    Moved,
}

impl Look {
    fn take() -> Self {
        Self {
            since_boot: clock::since_boot(),
            awake: clock::now().instant,
            addresses: config::interface_ips().into_iter().collect(),
        }
    }

    fn change_since(&self, before: &Self) -> Option<Change> {
        let passed = self.since_boot.saturating_sub(before.since_boot);
        let awake = self.awake.saturating_duration_since(before.awake);
        if passed.saturating_sub(awake) >= SLEEP_MIN || awake >= STOP_MIN {
            Some(Change::Woke)
        } else if self.addresses != before.addresses {
            Some(Change::Moved)
        } else {
            None
        }
    }
}

impl Shared {
    pub(super) async fn watch_machine(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Look::take();
        loop {
            let _tick = looks.tick().await;
            let look = Look::take();
            if let Some(change) = look.change_since(&before) {
                match change {
                    Change::Woke => tracing::info!("awake again, trying every link"),
                    Change::Moved => tracing::info!("the network has changed, trying every link"),
                }
                self.drive(|core, now| core.plan(LinkInput::Woke, now));
                if let Err(error) = self.refresh_profile(None).await {
                    Self::log_failure("this node's profile cannot be renewed", &error);
                }
                self.discovery.lan_changed.notify_one();
                self.discovery.changed.notify_one();
            }
            before = look;
        }
    }
}

#[cfg(test)]
mod tests;

use crate::{Check, Finding};

/// What was learned of Tailscale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailscaleFact {
    /// There is none on this machine.
    Absent,
    /// There is one, but it gave no answer.
    Silent {
        /// Each way that was tried, with why.
        why: String,
    },
    /// It works.
    Running {
        /// This machine's name in the tailnet; empty when it has none.
        name: String,
        /// Other devices that are connected.
        online: usize,
    },
    /// Nobody is logged in.
    LoggedOut,
    /// An administrator of the tailnet has to approve this machine.
    NeedsMachineAuth,
    /// It was switched off.
    Stopped,
    /// It is coming up, or has not said what it does.
    Starting,
    /// It says something that this program does not know.
    Other {
        /// What.
        state: String,
    },
    /// This agent was told not to ask.
    NotAsked,
}

/// Judges whether Tailscale can be used. That there is none is no fault.
#[must_use]
pub fn judge_tailscale(fact: &TailscaleFact) -> Finding {
    let good = |detail: String| Finding::good(Check::Tailscale, detail);
    let failed = |detail: String, hint: &str| Finding::failed(Check::Tailscale, detail, hint);
    match fact {
        TailscaleFact::Absent => good(String::from(
            "there is no Tailscale on this machine; members are found by their known addresses and on the LAN",
        )),
        TailscaleFact::NotAsked => good(String::from("not used: the settings say so")),
        TailscaleFact::Running { name, online } => {
            let name = if name.is_empty() { String::new() } else { format!(" as {name}") };
            good(format!("running{name}, {online} other devices online"))
        }
        TailscaleFact::Silent { why } => Finding::noted(
            Check::Tailscale,
            format!("Tailscale is there but gives no answer: {why}"),
            "let the agent's user ask it (`sudo tailscale set --operator=USER`), or look with `sudo systemctl status tailscaled`",
        ),
        TailscaleFact::LoggedOut => failed(
            String::from("Tailscale is logged out, so no member is found or reached through it"),
            "log in: `sudo tailscale up`",
        ),
        TailscaleFact::NeedsMachineAuth => failed(
            String::from(
                "Tailscale waits until an administrator of the tailnet approves this machine",
            ),
            "approve it in Tailscale's admin console, under Machines",
        ),
        TailscaleFact::Stopped => failed(
            String::from("Tailscale is stopped, so no member is found or reached through it"),
            "start it: `sudo tailscale up`",
        ),
        TailscaleFact::Starting => Finding::noted(
            Check::Tailscale,
            String::from("Tailscale is starting"),
            "look again in a moment; if it stays so: `tailscale status`",
        ),
        TailscaleFact::Other { state } => Finding::noted(
            Check::Tailscale,
            format!("Tailscale is in a state that this program does not know: {}", plain(state)),
            "look with `tailscale status`",
        ),
    }
}

/// The word comes from another program; it is shown on terminals, which obey control characters.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_out_stopped_and_unapproved_are_faults_with_their_mend() {
        let cases = [
            (TailscaleFact::LoggedOut, "logged out", "tailscale up"),
            (TailscaleFact::Stopped, "stopped", "tailscale up"),
            (TailscaleFact::NeedsMachineAuth, "approves", "admin console"),
        ];
        for (fact, detail, hint) in cases {
            let found = judge_tailscale(&fact);
            assert!(!found.ok && found.detail.contains(detail), "{found:?}");
            assert!(found.hint.contains(hint), "{found:?}");
        }
    }

    #[test]
    fn none_at_all_is_no_fault_and_says_so() {
        let found = judge_tailscale(&TailscaleFact::Absent);
        assert!(found.ok && found.detail.contains("no Tailscale"), "{found:?}");
        let running =
            TailscaleFact::Running { name: String::from("mint.example.ts.net"), online: 3 };
        assert!(judge_tailscale(&running).detail.contains("as mint.example.ts.net, 3 other"));
    }

    #[test]
    fn what_is_not_known_is_told_without_judging() {
        let other = TailscaleFact::Other { state: String::from("In\u{1b}[2JUse") };
        let silent = TailscaleFact::Silent { why: String::from("not allowed") };
        for fact in [other, silent, TailscaleFact::Starting] {
            let found = judge_tailscale(&fact);
            assert!(found.ok && !found.hint.is_empty(), "{found:?}");
            assert!(!found.detail.contains('\u{1b}'), "{found:?}");
        }
    }
}

use std::time::Duration;

use super::*;
use crate::tests::{ME, ms, peer, start};
use MemberState::{Alive, Down, Inactive, Suspect};

mod forgetting;
mod probing;
mod properties;
mod states;

const START: UnixMillis = UnixMillis(1_800_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn changed(byte: u8, from: MemberState, to: MemberState) -> LivenessOutput {
    LivenessOutput::StateChanged { peer: peer(byte), from, to }
}

fn dial_now(byte: u8) -> LivenessOutput {
    LivenessOutput::DialNow { peer: peer(byte) }
}

/// Who was asked about whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    helper: PeerId,
    subject: PeerId,
    nonce: u64,
}

/// The questions among some outputs, and the others.
fn split(outputs: Vec<LivenessOutput>) -> (Vec<Asked>, Vec<LivenessOutput>) {
    let mut asked = Vec::new();
    let mut rest = Vec::new();
    for output in outputs {
        match output {
            LivenessOutput::Probe { helper, subject, nonce } => {
                asked.push(Asked { helper, subject, nonce });
            }
            LivenessOutput::StateChanged { .. }
            | LivenessOutput::DialNow { .. }
            | LivenessOutput::Forget { .. } => rest.push(output),
        }
    }
    (asked, rest)
}

/// An engine with a hand on both clocks.
struct Bench {
    liveness: Liveness,
    now: Instant,
    wall: UnixMillis,
}

impl Bench {
    fn with(config: LivenessConfig) -> Self {
        Self { liveness: Liveness::new(ME, config, 7), now: start(), wall: START }
    }

    /// These members, without links.
    fn new(members: &[u8]) -> Self {
        let mut bench = Self::with(LivenessConfig::default());
        assert_eq!(bench.members(members), []);
        bench
    }

    /// These members, all linked.
    fn linked(members: &[u8]) -> Self {
        let mut bench = Self::new(members);
        for member in members {
            assert_eq!(bench.link_up(*member), [changed(*member, Suspect, Alive)]);
        }
        bench
    }

    fn members(&mut self, members: &[u8]) -> Vec<LivenessOutput> {
        let members = members.iter().map(|byte| (peer(*byte), None)).collect();
        self.input(LivenessInput::MembersChanged(members))
    }

    fn link_up(&mut self, byte: u8) -> Vec<LivenessOutput> {
        self.input(LivenessInput::LinkUp { peer: peer(byte) })
    }

    fn link_down(&mut self, byte: u8) -> Vec<LivenessOutput> {
        self.input(LivenessInput::LinkDown { peer: peer(byte) })
    }

    fn announced(&mut self, byte: u8, incarnation: u64, is_fresh: bool) -> Vec<LivenessOutput> {
        self.input(LivenessInput::Announced { peer: peer(byte), incarnation, is_fresh })
    }

    fn answer(&mut self, asked: Asked, is_reached: bool) -> Vec<LivenessOutput> {
        self.answer_seen(asked, is_reached, UnixMillis(0))
    }

    fn answer_seen(
        &mut self,
        asked: Asked,
        is_reached: bool,
        last_seen_at: UnixMillis,
    ) -> Vec<LivenessOutput> {
        let Asked { helper, nonce, .. } = asked;
        let incarnation = 0;
        self.input(LivenessInput::ProbeAnswered {
            nonce,
            helper,
            is_reached,
            incarnation,
            last_seen_at,
        })
    }

    fn unsent(&mut self, asked: Asked) -> Vec<LivenessOutput> {
        let Asked { helper, nonce, .. } = asked;
        self.input(LivenessInput::ProbeUnsent { nonce, helper })
    }

    fn input(&mut self, input: LivenessInput) -> Vec<LivenessOutput> {
        self.liveness.handle_input(input, self.now, self.wall);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<LivenessOutput> {
        std::iter::from_fn(|| self.liveness.poll_output()).collect()
    }

    fn after(&mut self, duration: Duration) -> Vec<LivenessOutput> {
        self.now += duration;
        self.wall = self.wall.plus(duration);
        self.liveness.handle_timeout(self.now, self.wall);
        self.outputs()
    }

    /// Goes to the next timeout; says how long that took.
    fn next(&mut self) -> (Duration, Vec<LivenessOutput>) {
        let at = self.liveness.poll_timeout().expect("something is planned");
        let wait = at.saturating_duration_since(self.now);
        (wait, self.after(wait))
    }

    /// Goes from timeout to timeout, as a driver does. Every probe is answered in the negative, with that
    /// the helper has not seen the subject since `seen_at`; none if it is not answered at all.
    fn run(&mut self, duration: Duration, seen_at: Option<UnixMillis>) -> Vec<LivenessOutput> {
        let end = self.now + duration;
        let mut told = Vec::new();
        while let Some(at) = self.liveness.poll_timeout().filter(|at| *at <= end) {
            let mut outputs = self.after(at.saturating_duration_since(self.now));
            while !outputs.is_empty() {
                let (asked, rest) = split(std::mem::take(&mut outputs));
                told.extend(rest);
                let Some(seen_at) = seen_at else { break };
                for asked in asked {
                    outputs.extend(self.answer_seen(asked, false, seen_at));
                }
            }
        }
        let rest = end.saturating_duration_since(self.now);
        told.extend(split(self.after(rest)).1);
        told
    }

    fn state(&self, byte: u8) -> MemberState {
        self.liveness.state(&peer(byte)).unwrap()
    }
}

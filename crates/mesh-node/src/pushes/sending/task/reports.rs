//! What sessions tell.

use std::sync::atomic::Ordering;

use mesh_files::SenderInput;
use mesh_protocol::{ChunkRanges, PeerId, PushAnswer, PushReason, PushResult};

use super::SendingTask;
use crate::pushes::sending::chunks::problem;
use crate::pushes::sending::session::{Command, Heard, Report};

impl SendingTask {
    /// Takes in what a session tells, unless another one has taken its place.
    pub(super) fn take(&mut self, report: Report) {
        let Report { peer, session, heard } = report;
        let line = self.lines.get(&peer);
        let current = line.and_then(|line| line.session.as_ref()).map(|(id, _)| *id);
        if current != Some(session) {
            return;
        }
        let chunks = self.offer.totals.chunks;
        match heard {
            Heard::Answered(answer) => {
                if let PushAnswer::Refused(problem) = &answer
                    && problem.reason == PushReason::Busy
                {
                    self.end_session(peer);
                }
                self.input(SenderInput::Answered(peer, answer));
            }
            // Numbers without a bound would be kept.
            Heard::Need(need)
                if need.chunks.iter().last().is_some_and(|last| last.end() > chunks) =>
            {
                let detail = "the target asks for what the push does not have";
                let problem = problem(PushReason::ManifestInvalid, detail);
                self.command(peer, Command::Stop(problem.clone()));
                self.resulted(peer, PushResult::Failed(problem));
            }
            Heard::Need(need) => {
                let command =
                    self.spread.as_mut().and_then(|spread| spread.need(peer, &need.chunks));
                if let Some(command) = command {
                    self.command(peer, command);
                }
            }
            Heard::Have(chunks) => self.has(peer, &chunks),
            Heard::Resulted(result) => self.resulted(peer, result),
            Heard::Served(portion) => {
                let command = self.spread.as_mut().and_then(|spread| spread.served(peer, portion));
                if let Some(command) = command {
                    self.command(peer, command);
                }
            }
            // What is not there any more can be served to nobody.
            Heard::Failed(problem) => self.give_up(problem),
            Heard::Ended => {
                self.end_session(peer);
                self.input(SenderInput::StreamEnded(peer));
            }
        }
    }

    fn has(&mut self, peer: PeerId, chunks: &ChunkRanges) {
        let totals = self.offer.totals;
        let Some(line) = self.lines.get_mut(&peer) else { return };
        line.has.extend(chunks.iter().filter(|range| range.end() <= totals.chunks));
        let count = line.has.count();
        // Chunks are of about one size, and pages need not be read for this.
        let share = u128::from(totals.bytes) * u128::from(count) / u128::from(totals.chunks.max(1));
        line.progress.done.store(u64::try_from(share).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(spread) = &mut self.spread {
            spread.have(peer, chunks);
        }
        if totals.chunks > 0 && count == totals.chunks {
            self.input(SenderInput::Staged(peer));
        }
    }

    pub(super) fn resulted(&mut self, peer: PeerId, result: PushResult) {
        match &result {
            PushResult::Verified(_) => {}
            PushResult::Confirmed(_) => {
                if let Some(line) = self.lines.get(&peer) {
                    line.progress.done.store(self.offer.totals.bytes, Ordering::Relaxed);
                }
                if let Some(spread) = &mut self.spread {
                    spread.finish(peer);
                }
            }
            PushResult::Failed(_) => self.end_session(peer),
        }
        self.input(SenderInput::Resulted(peer, result));
    }

    /// Hands out what can be.
    pub(super) fn plan(&mut self) {
        let Some(spread) = &mut self.spread else { return };
        for (peer, command) in spread.plan() {
            self.command(peer, command);
        }
    }
}

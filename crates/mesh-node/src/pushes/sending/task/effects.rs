//! What the engine wishes for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_files::{BUNDLE_FILE_BYTES_MAX, RangeSet, SenderInput};
use mesh_protocol::{
    ErrorCode, PeerId, PushEvent, PushFact, PushMessage, PushOffer, PushProblem, PushReason,
    PushTotals, RollbackOffer, UnixMillis,
};
use tokio::sync::{mpsc, oneshot};

use super::{COMMANDS_MAX, Control, Over, Preparing, SendingTask};
use crate::clock;
use crate::error::NodeError;
use crate::pushes::ledger::Side;
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::notices::is_rolled_back;
use crate::pushes::prepare::{PrepareJob, Prepared, prepare};
use crate::pushes::sending::Work;
use crate::pushes::sending::chunks::{Pages, problem};
use crate::pushes::sending::session::{Command, Session};
use crate::pushes::sending::spread::Spread;

/// How long to wait before an announcement that was not taken is tried again.
const ANNOUNCE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Waits for PREPARE, or for ever when it does not run.
pub(super) async fn joined(preparing: &mut Option<Preparing>) -> Result<Prepared, PushProblem> {
    let Some(preparing) = preparing else { return std::future::pending().await };
    preparing.await.unwrap_or_else(|error| {
        let detail = format!("preparing broke off: {error}");
        Err(problem(PushReason::Internal, detail))
    })
}

/// Waits for the announcement, or for ever when there is none to wait for.
pub(super) async fn told(announced: &mut Option<oneshot::Receiver<()>>) {
    match announced {
        Some(announced) => match announced.await {
            Ok(()) => {}
            // The node stops.
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

impl SendingTask {
    /// Reads everything, beside this task. Of a rollback there is nothing to read.
    pub(super) fn prepare(&mut self) {
        let Some(sources) = self.work.sources() else {
            let totals = PushTotals::default();
            self.input(SenderInput::Prepared { totals, manifest: [0; 32] });
            return;
        };
        let now = i64::try_from(clock::now().wall.0 / 1000).unwrap_or(i64::MAX);
        let sources = match sources {
            Ok(sources) => sources,
            Err(NodeError { message, .. }) => {
                let problem = problem(PushReason::PathRefused, message);
                self.input(SenderInput::PrepareFailed(problem));
                return;
            }
        };
        let job = PrepareJob {
            data_dir: self.shared.data_dir.path().to_owned(),
            push_id: self.offer.push_id,
            sources,
            destination: self.offer.destination.clone(),
            // Rules of folders around a root are none of those that look into it.
            has_rules: matches!(&self.work, Work::Files(request) if !request.no_ignore),
            bytes_max: self.is_by_message().then_some(BUNDLE_FILE_BYTES_MAX),
            now,
        };
        let watch = Arc::clone(&self.watch);
        let reading = tokio::task::spawn_blocking(move || prepare(&job, &watch));
        // The stop waits for it: a node that starts anew on the same data must not meet it.
        self.preparing = Some(self.shared.tasks.isolate(async move {
            reading.await.unwrap_or_else(|error| {
                Err(problem(PushReason::Internal, format!("preparing broke off: {error}")))
            })
        }));
    }

    /// Tells every member, beside this task: the push can be given up while the database takes nothing.
    pub(super) fn announce(&mut self) {
        let (done, announced) = oneshot::channel();
        self.announced = Some(announced);
        let (shared, offer) = (Arc::clone(&self.shared), self.offer.clone());
        let rollback_of = match &self.work {
            Work::Files(_) | Work::Pulled(_) => None,
            Work::Rollback { of, .. } => Some(*of),
        };
        self.shared.tasks.spawn(async move {
            let mut is_said = false;
            while let Err(error) = shared.announce_push(&offer, rollback_of).await {
                // It went no further: nobody waits for it.
                if done.is_closed() || error.code == ErrorCode::ShuttingDown {
                    return;
                }
                if !std::mem::replace(&mut is_said, true) {
                    tracing::error!(push = %offer.push_id, %error, "a push waits: it cannot be announced");
                }
                clock::sleep_until(clock::now().instant.checked_add(ANNOUNCE_AGAIN_AFTER)).await;
            }
            let _nobody_waits = done.send(());
        });
    }

    /// Stores what PREPARE found before anybody is told of it.
    pub(super) async fn prepared(
        &mut self,
        prepared: Result<Prepared, PushProblem>,
    ) -> Result<(), Over> {
        match prepared {
            Ok(Prepared { totals, manifest }) => {
                self.offer = PushOffer { totals, manifest, ..self.offer.clone() };
                if self.is_by_message()
                    && let Err(problem) = self.make_bundle().await
                {
                    self.input(SenderInput::PrepareFailed(problem));
                    return Ok(());
                }
                let (push_id, offer) = (self.offer.push_id, self.offer.clone());
                self.shared.set_push_offer(push_id, Side::Sender, offer).await?;
                self.input(SenderInput::Prepared { totals, manifest });
            }
            Err(problem) => self.input(SenderInput::PrepareFailed(problem)),
        }
        Ok(())
    }

    /// Opens a stream to a target.
    pub(super) fn offer(&mut self, peer: PeerId) {
        let opening = match &self.work {
            Work::Files(_) | Work::Pulled(_) => PushMessage::Offer(self.offer.clone()),
            Work::Rollback { of, is_forced } => PushMessage::Rollback(RollbackOffer {
                push_id: self.offer.push_id,
                by: self.offer.by,
                targets: self.offer.targets.clone(),
                of: *of,
                is_forced: *is_forced,
                message: self.offer.message.clone(),
                made_at: self.offer.made_at,
                expires_at: self.offer.expires_at,
            }),
        };
        let is_direct = self.lines.len() == 1;
        self.sessions += 1;
        let Some(line) = self.lines.get_mut(&peer) else { return };
        line.has = RangeSet::default();
        line.progress.done.store(0, Ordering::Relaxed);
        let (command, commands) = mpsc::channel(COMMANDS_MAX);
        line.session = Some((self.sessions, command));
        let session = Session {
            peer,
            id: self.sessions,
            opening,
            is_direct,
            progress: Arc::clone(&line.progress),
            limit: self.limit.clone(),
            commands,
            reports: self.report.clone(),
        };
        self.shared.tasks.spawn(session.run(Arc::clone(&self.shared)));
    }

    /// Lets a target ask for pages and chunks.
    pub(super) async fn serve(&mut self, peer: PeerId) {
        // A message has everything in it.
        if self.is_by_message() {
            return;
        }
        let Some(Ok(sources)) = self.work.sources() else { return };
        let pages = match self.pages().await {
            Ok(pages) => pages,
            Err(problem) => {
                self.give_up(problem);
                return;
            }
        };
        if self.lines.len() > 1 {
            let targets: Vec<PeerId> = self.lines.keys().copied().collect();
            let config = self.shared.config.pushes.distribution;
            let spread =
                self.spread.get_or_insert_with(|| Spread::new(pages.chunks(), targets, config));
            spread.begin(peer);
            self.look_at_neighbours();
        }
        self.command(peer, Command::Serve { pages, sources });
    }

    async fn pages(&mut self) -> Result<Arc<Pages>, PushProblem> {
        if let Some(pages) = &self.pages {
            return Ok(Arc::clone(pages));
        }
        let data_dir = self.shared.data_dir.path().to_owned();
        let (push_id, manifest) = (self.offer.push_id, self.offer.manifest);
        let opening = tokio::task::spawn_blocking(move || {
            let file = ManifestFile::open(&data_dir, push_id).map_err(|error| {
                let detail = format!("the list of what is pushed cannot be read: {error}");
                problem(PushReason::StorageError, detail)
            })?;
            Pages::open(file, &manifest)
        });
        let opened = opening.await.unwrap_or_else(|error| {
            Err(problem(PushReason::Internal, format!("reading broke off: {error}")))
        })?;
        Ok(Arc::clone(self.pages.insert(Arc::new(opened))))
    }

    /// Tells a session something. One that is too far behind has ended itself by asking without end.
    pub(super) fn command(&mut self, peer: PeerId, command: Command) {
        let Some(line) = self.lines.get_mut(&peer) else { return };
        let Some((_, commands)) = &line.session else { return };
        if commands.try_send(command).is_err() {
            self.end_session(peer);
            self.input(SenderInput::StreamEnded(peer));
        }
    }

    /// A rollback that a target confirmed is part of the history of the push that it took back.
    pub(super) async fn note_rollback(&self, fact: &PushFact, at: UnixMillis) -> Result<(), Over> {
        let Work::Rollback { of, .. } = &self.work else { return Ok(()) };
        let PushFact::Confirmed { target, .. } = fact else { return Ok(()) };
        let (target, by) = (*target, self.offer.push_id);
        if self.shared.pushes.senders.tell(*of, Control::RolledBack { target, by }) {
            return Ok(());
        }
        let known = self.shared.store.load_push(*of).await.unwrap_or_default();
        // It may have been noted before the node stopped.
        if known.iter().any(|push| push.row.is_sender && !is_rolled_back(push, &target)) {
            let event = PushEvent { at, fact: PushFact::RolledBack { target, by } };
            self.shared.record_push(*of, Side::Sender, &event).await?;
        }
        Ok(())
    }
}

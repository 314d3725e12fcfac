//! Git over streams: the machine's own git, in repositories that are opened for it.
//!
//! What both sides say travels in pieces ([`GitPiece`](mesh_protocol::GitPiece)): a service has two voices and an
//! exit code, and the member that asks may be gone, which is not the same as having said everything.

mod child;
mod references;
mod serving;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mesh_control::GitQuery;
use mesh_protocol::{ErrorCode, GitEnd, GitService, PeerId, RootName};
use mesh_transport::{IncomingStream, LinkStream, OpenStreamError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::clock;
use crate::error::NodeError;
use crate::shared::{Shared, lock};
use crate::streams::StreamUse;

use serving::Service;
pub use settings::RepositorySettings;

/// Services that run at one time.
const SERVICES_MAX: usize = 16;

/// Those of one member among them.
const PEER_SERVICES_MAX: usize = 4;

/// Members whose services are counted, before those without any are forgotten.
const COUNTED_MAX: usize = 64;

/// Who is being served.
#[derive(Debug)]
pub(crate) struct GitDesk {
    places: Arc<Semaphore>,
    places_of: Mutex<BTreeMap<PeerId, Arc<Semaphore>>>,
    /// One push into a repository at a time, or nobody could say who moved a reference.
    pushing: BTreeMap<RootName, Arc<tokio::sync::Mutex<()>>>,
}

/// Room for one service, until it is dropped.
#[derive(Debug)]
struct Place(#[expect(dead_code, reason = "held, not read")] [OwnedSemaphorePermit; 2]);

impl GitDesk {
    pub(crate) fn new(repositories: &[RepositorySettings]) -> Self {
        let pushing = repositories.iter().map(|one| (one.name.clone(), Arc::default()));
        Self {
            places: Arc::new(Semaphore::new(SERVICES_MAX)),
            places_of: Mutex::default(),
            pushing: pushing.collect(),
        }
    }

    fn admit(&self, peer: PeerId) -> Option<Place> {
        let of_peer = {
            let mut places_of = lock(&self.places_of);
            if places_of.len() >= COUNTED_MAX {
                places_of.retain(|_, places| places.available_permits() < PEER_SERVICES_MAX);
            }
            let fresh = || Arc::new(Semaphore::new(PEER_SERVICES_MAX));
            Arc::clone(places_of.entry(peer).or_insert_with(fresh))
        };
        let of_peer = of_peer.try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place([of_peer, of_all]))
    }
}

/// What is said to a member that is not served. Starts with the stable word.
fn refusal(code: ErrorCode, why: &str) -> String {
    format!("{}: {why}", code.as_str())
}

/// The code in a refusal; only those that a refusal may have.
fn refused_code(reason: &str) -> Option<ErrorCode> {
    let code = reason.split(':').next()?.parse().ok()?;
    matches!(code, ErrorCode::UnknownRepository | ErrorCode::RateLimited).then_some(code)
}

impl Shared {
    /// Runs one of git's services for a member.
    pub(crate) fn serve_git(
        self: &Arc<Self>,
        peer: PeerId,
        repository: &str,
        service: GitService,
        stream: IncomingStream,
    ) {
        let (settings, place) = match self.admit_git(peer, repository, service) {
            Ok(admitted) => admitted,
            Err(reason) => {
                stream.refuse(&reason);
                return;
            }
        };
        tracing::info!(peer = %peer.short(), repository, service = service.as_str(), "git is served");
        let pushing = self.git.pushing.get(&settings.name).map(Arc::clone).unwrap_or_default();
        let served = Service {
            shared: Arc::clone(self),
            peer,
            hostname: self.view().label(&peer),
            settings,
            service,
            pushing,
        };
        // Needs the database to the end: what was pushed is recorded, also while the node stops.
        let _detached = self.tasks.spawn_handler(async move {
            let _held = place;
            served.run(stream.accept()).await;
        });
    }

    fn admit_git(
        &self,
        peer: PeerId,
        repository: &str,
        service: GitService,
    ) -> Result<(RepositorySettings, Place), String> {
        let view = self.view();
        let hostname = view.verdict.member(&peer).map(|member| &member.hostname);
        let known = |one: &&RepositorySettings| one.name.as_str() == repository;
        let settings = self.config.repositories.iter().find(known).ok_or_else(|| {
            refusal(ErrorCode::UnknownRepository, "no repository of this name is open there")
        })?;
        if !settings.allows(service, &peer, hostname) {
            let why = match service {
                GitService::UploadPack => "this member may not fetch from this repository",
                GitService::ReceivePack => "this member may not push to this repository",
            };
            return Err(refusal(ErrorCode::UnknownRepository, why));
        }
        let place = self.git.admit(peer).ok_or_else(|| {
            refusal(ErrorCode::RateLimited, "too many git commands are being served there")
        })?;
        Ok((settings.clone(), place))
    }

    /// Begins one of git's services at a member; also who is to hear how it ended.
    pub(crate) async fn open_git(
        self: &Arc<Self>,
        query: GitQuery,
    ) -> Result<(LinkStream, oneshot::Sender<GitEnd>), NodeError> {
        let view = self.view();
        view.check_member()?;
        let peer = view.resolve(&query.peer, clock::now().wall)?.peer;
        let label = view.label(&peer);
        if peer == self.me {
            let message = format!("{label} is this agent itself");
            return Err(NodeError::new(ErrorCode::BadRequest, message)
                .with_hint("use the repository's path instead of a mesh:// address"));
        }
        let GitQuery { peer: _, repository, service } = query;
        let what = StreamUse::Git { repository: repository.clone(), service };
        let stream = self
            .open_stream(&peer, &what)
            .await
            .map_err(|error| unopened(error, &label, &repository))?;
        let (ended, end) = oneshot::channel();
        if service == GitService::ReceivePack {
            let shared = Arc::clone(self);
            self.tasks.spawn(async move { shared.tell_pushed(&label, &repository, end).await });
        }
        Ok((stream, ended))
    }

    async fn tell_pushed(&self, to: &str, repository: &str, end: oneshot::Receiver<GitEnd>) {
        let unknown = || GitEnd { code: 255, reason: String::from("its end was not waited for") };
        let GitEnd { code, reason } = end.await.unwrap_or_else(|_| unknown());
        let detail = serde_json::json!({
            "to": to, "repository": repository, "exit_code": code, "reason": reason,
        });
        self.events.emit(clock::now().wall, "git_pushed", detail);
    }
}

fn unopened(error: OpenStreamError, label: &str, repository: &str) -> NodeError {
    let new = |code, message: String, hint: &str| NodeError::new(code, message).with_hint(hint);
    match error {
        OpenStreamError::Refused { reason } => {
            let code = refused_code(&reason).unwrap_or(ErrorCode::ProtocolError);
            let said = reason.split_once(": ").map_or(reason.as_str(), |(_, said)| said);
            let hint = if code == ErrorCode::RateLimited {
                "try again when they are done"
            } else {
                "[[repositories]] in the configuration file there says what is open, and to whom"
            };
            new(code, format!("{label} refused git in {repository:?}: {said}"), hint)
        }
        OpenStreamError::TooMany => new(
            ErrorCode::RateLimited,
            format!("too many streams are open between this agent and {label}"),
            "try again when they are done",
        ),
        OpenStreamError::Unsupported => new(
            ErrorCode::VersionUnsupported,
            format!("the agent of {label} is too old for git"),
            "update it",
        ),
        OpenStreamError::HeadTooLarge { .. } => {
            new(ErrorCode::BadRequest, String::from("the repository's name is too long"), "")
        }
        OpenStreamError::TimedOut => {
            new(ErrorCode::TimedOut, format!("{label} did not answer in time"), "try again")
        }
        OpenStreamError::Closed => new(
            ErrorCode::PeerUnreachable,
            format!("there is no link with {label} at the moment"),
            "git needs one, not a way through others: `mesh-ctl peers` shows who is linked",
        ),
    }
}

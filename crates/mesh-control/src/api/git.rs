use std::fmt;
use std::future::Future;

use mesh_protocol::GitEnd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::ApiError;
use crate::GitQuery;

/// Bytes both ways.
pub trait GitStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> GitStream for T {}

/// One of git's services at work in a member's repository.
pub struct GitTunnel {
    /// Carries [`GitPiece`](mesh_protocol::GitPiece)s both ways. Dropped, the service is ended.
    pub stream: Box<dyn GitStream>,
    /// Hears how the service ended; dropped when that stayed unknown.
    pub ended: oneshot::Sender<GitEnd>,
}

impl fmt::Debug for GitTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitTunnel").finish_non_exhaustive()
    }
}

/// What an agent can be asked about git.
pub trait GitApi: Clone + Send + Sync + 'static {
    /// Begins one of git's services in a member's repository. Fails with `unknown_peer`,
    /// `peer_unreachable`, `version_unsupported`, `unknown_repository` (also for one that is not open for
    /// that), `rate_limited`.
    fn git(&self, query: GitQuery) -> impl Future<Output = Result<GitTunnel, ApiError>> + Send;
}

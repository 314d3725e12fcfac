//! The agent's end of the socket.

mod metrics;
mod reply;
mod routes;
mod socket;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

pub use self::metrics::MetricsServer;
use self::socket::SocketFile;
use crate::{BindError, ControlApi};

/// Most connections at a time; the next ones wait unaccepted.
const CONNECTIONS_MAX: usize = 256;

/// Most of them that may follow something, so that followers cannot take every connection.
const FOLLOWERS_MAX: usize = CONNECTIONS_MAX / 2;

/// How long a client may take for the head of a request, which includes idling before it.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long an answer may go on once shutdown has begun.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Pause after a failed accept: what makes it fail (no file handle left) does not pass by itself.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A control socket that is open, with nobody answering yet: connections wait.
///
/// Its file is removed when this value, or [`ControlServer::run`], ends.
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    file: SocketFile,
}

impl ControlServer {
    /// Opens the socket at `path` with mode 0600 from its first moment. A socket that an agent left
    /// behind is replaced, one that is answered is not.
    ///
    /// # Errors
    /// [`BindError`]: the path is too long, taken, or its directory cannot be written.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let (listener, file) = socket::bind(path).await?;
        Ok(Self { listener, file })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Answers for `api` until `shutdown`, each connection in a task of `tracker`, then removes the
    /// socket. Requests under way get two seconds more; what follows something ends at once.
    pub async fn run(
        self,
        api: impl ControlApi,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) {
        let routes = routes::router(api, FOLLOWERS_MAX, tracker.clone(), shutdown.clone());
        let Self { listener, file } = self;
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Some((stream, permit)) = accept(&listener, &connections, &shutdown).await {
            tracker.spawn(serve(stream, routes.clone(), shutdown.clone(), permit));
        }
        // The name goes first: who comes from here on reads "not running", not a silence.
        drop(file);
        drop(listener);
    }
}

/// Where connections come in.
trait Door {
    type Stream;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// The next connection, once there is room for it; none when shutdown has begun.
async fn accept<D: Door>(
    door: &D,
    connections: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(D::Stream, OwnedSemaphorePermit)> {
    let accepted = async {
        let permit = Arc::clone(connections).acquire_owned().await.ok()?;
        loop {
            match door.next().await {
                Ok(stream) => return Some((stream, permit)),
                Err(error) => warn!(%error, "accepting a control connection failed"),
            }
            sleep(ACCEPT_PAUSE).await;
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        accepted = accepted => accepted,
    }
}

/// Serves one connection to its end. The permit is given back with it.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Router,
    shutdown: CancellationToken,
    _permit: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(DRAIN_MAX, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a control connection ended early");
    }
}

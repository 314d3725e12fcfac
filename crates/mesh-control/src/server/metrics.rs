//! Figures on a loopback port, for whoever collects them. Nothing can be changed over it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{accept, serve};
use crate::MetricsBindError;

/// Most connections at a time; the next ones wait unaccepted.
const CONNECTIONS_MAX: usize = 16;

/// The text format that collectors negotiate by.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A loopback port that is open, with nobody answering yet: connections wait.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Opens `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`MetricsBindError`]: the address is not a loopback address, or the system refused.
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsBindError> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(MetricsBindError::NotLoopback { address });
        }
        let failed = |source| MetricsBindError::Io { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `GET /metrics` with what `render` makes, until `shutdown`, each connection in a task of
    /// `tracker`.
    pub async fn run<F>(
        self,
        render: impl Fn() -> F + Clone + Send + Sync + 'static,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) where
        F: Future<Output = String> + Send + 'static,
    {
        let page = move || {
            let rendered = render();
            async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], rendered.await) }
        };
        let routes = Router::new().route("/metrics", get(page));
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let listener = self.listener;
        while let Some((stream, permit)) = accept(&listener, &connections, &shutdown).await {
            tracker.spawn(serve(stream, routes.clone(), shutdown.clone(), permit));
        }
    }
}

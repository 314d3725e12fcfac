//! Connections that stand between requests.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

use super::http::{Connection, Sender, lost, read_all};
use crate::ClientError;

/// Most connections that are kept: more requests at a time open their own.
const KEPT_MAX: usize = 4;

/// How long one may stand unused. The agent closes it later than that, so that no request meets its closing.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Connections without a request.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<Line>>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// A connection for one request at a time.
pub(super) struct Line {
    sender: Sender,
    connection: Pin<Box<Connection>>,
    /// Ends when it has stood unused for too long.
    idle: Option<Pin<Box<Sleep>>>,
}

/// What came of a request.
pub(super) enum Exchange {
    Answered(StatusCode, Bytes),
    /// Nothing of it left this program.
    Unsent(Box<Request<Full<Bytes>>>),
}

impl Kept {
    /// One that still stands.
    pub(super) async fn take(&self) -> Option<Line> {
        if self.lock().is_empty() {
            return None;
        }
        // What happened while the program was busy elsewhere is known to its runtime only after a look around.
        yield_now().await;
        loop {
            let mut line = self.lock().pop()?;
            if line.stands().await {
                return Some(line);
            }
        }
    }

    fn keep(&self, mut line: Line) {
        let mut lines = self.lock();
        if lines.len() < KEPT_MAX {
            line.idle = Some(Box::pin(sleep(IDLE_MAX)));
            lines.push(line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    pub(super) fn new((sender, connection): (Sender, Connection)) -> Self {
        Self { sender, connection: Box::pin(connection), idle: None }
    }

    /// Looks whether the agent has closed it, or may soon.
    async fn stands(&mut self) -> bool {
        poll_fn(|context| {
            let is_stale =
                self.idle.as_mut().is_some_and(|idle| idle.as_mut().poll(context).is_ready());
            let has_ended = self.connection.as_mut().poll(context).is_ready();
            let is_ready = matches!(self.sender.poll_ready(context), Poll::Ready(Ok(())));
            Poll::Ready(!is_stale && !has_ended && is_ready)
        })
        .await
    }

    /// Sends a request and reads its answer. The connection is kept when both are through.
    pub(super) async fn exchange(
        mut self,
        request: Request<Full<Bytes>>,
        kept: &Kept,
    ) -> Result<Exchange, ClientError> {
        let Self { sender, connection, .. } = &mut self;
        let mut answer = Box::pin(async {
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => {
                    return match error.take_message() {
                        Some(unsent) => Ok(Exchange::Unsent(Box::new(unsent))),
                        None => Err(lost(error.into_error())),
                    };
                }
            };
            let status = response.status();
            Ok(Exchange::Answered(status, read_all(response).await?))
        });
        let (answered, stands) = tokio::select! {
            biased;
            answered = answer.as_mut() => (answered, true),
            // What the connection had read is still there, and so is its error: the answer brings both.
            _ended = connection.as_mut() => (answer.as_mut().await, false),
        };
        drop(answer);
        if stands && matches!(answered, Ok(Exchange::Answered(..))) {
            kept.keep(self);
        }
        answered
    }
}

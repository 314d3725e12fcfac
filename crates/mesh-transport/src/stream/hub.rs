//! Where the streams of one link are opened and arrive, from either side.
//!
//! HTTP/2 lets only the dialler make requests. What it opens itself is a request. For what the acceptor
//! opens it keeps one request open ahead, which the acceptor answers when it wants a stream.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming as IncomingBody;
use hyper::client::conn::http2::SendRequest;
use hyper::rt::Executor as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::incoming::{Answer, IncomingStream, NOT_TAKEN, StreamReceiver};
use super::outbox::{Ending, Shared, StreamBody, outbox};
use super::{LinkStream, StreamSender, text};
use crate::driver::Spawner;
use crate::http as h2;
use crate::lane::Outgoing;
use crate::link::LinkState;
use crate::{OpenStreamError, TransportConfig};

/// Reverse requests that may wait for their use. One is enough; a second may be on its way.
const REVERSE_MAX: usize = 2;

/// The two routes of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamRoute {
    /// The dialler opens a stream.
    Stream,
    /// The acceptor may open one with the answer.
    Reverse,
}

impl StreamRoute {
    const ALL: [Self; 2] = [Self::Stream, Self::Reverse];

    const fn path(self) -> &'static str {
        match self {
            Self::Stream => "/v1/stream",
            Self::Reverse => "/v1/reverse",
        }
    }

    pub(crate) fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.path() == path)
    }
}

/// A reverse request that waits for its use.
struct Reverse {
    body: IncomingBody,
    answer: oneshot::Sender<Response<Outgoing>>,
}

/// How this side gets its streams opened.
enum Way {
    Dialled(SendRequest<Outgoing>),
    Accepted { arrived: mpsc::Sender<Reverse>, idle: tokio::sync::Mutex<mpsc::Receiver<Reverse>> },
}

/// The streams of one link.
pub(crate) struct Hub {
    config: TransportConfig,
    link: Arc<LinkState>,
    spawner: Spawner,
    way: Way,
    /// Places for streams that this side opens.
    own: Arc<Semaphore>,
    /// Places for those that the other side opens.
    theirs: Arc<Semaphore>,
    arrivals: mpsc::Sender<IncomingStream>,
    receiver: Mutex<Option<mpsc::Receiver<IncomingStream>>>,
    /// Dialling side: the other one has no such routes. Accepting side: a reverse request has come.
    is_unknown_there: AtomicBool,
    is_open: AtomicBool,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("own", &self.own.available_permits())
            .field("theirs", &self.theirs.available_permits())
            .finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn dialled(
        config: &TransportConfig,
        link: &Arc<LinkState>,
        spawner: Spawner,
        requests: SendRequest<Outgoing>,
    ) -> Arc<Self> {
        Self::new(config, link, spawner, Way::Dialled(requests), false)
    }

    pub(crate) fn accepted(
        config: &TransportConfig,
        link: &Arc<LinkState>,
        spawner: Spawner,
    ) -> Arc<Self> {
        let (arrived, idle) = mpsc::channel(REVERSE_MAX);
        let way = Way::Accepted { arrived, idle: tokio::sync::Mutex::new(idle) };
        // The first reverse request comes before the last lanes are opened, or never.
        Self::new(config, link, spawner, way, true)
    }

    fn new(
        config: &TransportConfig,
        link: &Arc<LinkState>,
        spawner: Spawner,
        way: Way,
        is_unknown_there: bool,
    ) -> Arc<Self> {
        let places = usize::try_from(config.streams_max).unwrap_or(usize::MAX).max(1);
        let (arrivals, receiver) = mpsc::channel(places.min(Semaphore::MAX_PERMITS));
        Arc::new(Self {
            config: config.clone(),
            link: Arc::clone(link),
            spawner,
            way,
            own: Arc::new(Semaphore::new(places)),
            theirs: Arc::new(Semaphore::new(places)),
            arrivals,
            receiver: Mutex::new(Some(receiver)),
            is_unknown_there: AtomicBool::new(is_unknown_there),
            is_open: AtomicBool::new(false),
        })
    }

    /// Lets streams come in: both sides have agreed to the link.
    pub(crate) fn open_up(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    /// Whoever wants the streams that the other side opens. The second one gets none.
    pub(crate) fn take_receiver(&self) -> StreamReceiver {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        StreamReceiver::new(receiver, &self.link)
    }

    fn new_stream(&self, place: Option<OwnedSemaphorePermit>) -> (Arc<Shared>, StreamBody) {
        outbox(&self.config, &self.link, place)
    }

    fn stream(&self, send: StreamSender, body: IncomingBody) -> LinkStream {
        LinkStream::new(send, body, self.spawner.clone())
    }

    /// Opens a stream, and waits until the other side has taken it.
    pub(crate) async fn open(&self, head: &[u8]) -> Result<LinkStream, OpenStreamError> {
        if head.len() > text::HEAD_BYTES_MAX {
            return Err(OpenStreamError::HeadTooLarge {
                bytes: head.len(),
                bytes_max: text::HEAD_BYTES_MAX,
            });
        }
        if self.link.is_over() {
            return Err(OpenStreamError::Closed);
        }
        if self.is_unknown_there.load(Ordering::Acquire) {
            return Err(OpenStreamError::Unsupported);
        }
        let place =
            Arc::clone(&self.own).try_acquire_owned().map_err(|_| OpenStreamError::TooMany)?;
        let opening = async {
            match &self.way {
                Way::Dialled(requests) => self.ask(requests.clone(), head, place).await,
                Way::Accepted { idle, .. } => self.claim(idle, head, place).await,
            }
        };
        let opened = tokio::select! {
            opened = timeout(self.config.stream_open_timeout, opening) => opened,
            () = self.link.over() => return Err(OpenStreamError::Closed),
        };
        opened.unwrap_or(Err(OpenStreamError::TimedOut))
    }

    async fn ask(
        &self,
        mut requests: SendRequest<Outgoing>,
        head: &[u8],
        place: OwnedSemaphorePermit,
    ) -> Result<LinkStream, OpenStreamError> {
        let (shared, body) = self.new_stream(Some(place));
        // Whatever the answer is, and should nobody wait for it any more: the request's body ends.
        let send = StreamSender::new(shared);
        let mut request = h2::post(StreamRoute::Stream.path(), Outgoing::Stream(body))
            .map_err(|_| OpenStreamError::Closed)?;
        text::write_head(request.headers_mut(), head);
        let response = match requests.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "no stream");
                // Most often it was the link that ended.
                let _over = timeout(super::CAUSE_WAIT, self.link.over()).await;
                return Err(OpenStreamError::Closed);
            }
        };
        let reason = text::read_reason(response.headers());
        match response.status() {
            StatusCode::OK => Ok(self.stream(send, response.into_body())),
            StatusCode::FORBIDDEN => Err(OpenStreamError::Refused { reason }),
            StatusCode::TOO_MANY_REQUESTS => Err(OpenStreamError::TooMany),
            _ => {
                self.is_unknown_there.store(true, Ordering::Release);
                Err(OpenStreamError::Unsupported)
            }
        }
    }

    async fn claim(
        &self,
        idle: &tokio::sync::Mutex<mpsc::Receiver<Reverse>>,
        head: &[u8],
        place: OwnedSemaphorePermit,
    ) -> Result<LinkStream, OpenStreamError> {
        let (shared, body) = self.new_stream(Some(place));
        let mut response = h2::answer(StatusCode::OK, Outgoing::Stream(body));
        text::write_head(response.headers_mut(), head);
        let request = loop {
            let Some(Reverse { body, answer }) = idle.lock().await.recv().await else {
                return Err(OpenStreamError::Closed);
            };
            match answer.send(response) {
                Ok(()) => break body,
                // The dialler gave this one up.
                Err(unsent) => response = unsent,
            }
        };
        let mut stream = self.stream(StreamSender::new(shared), request);
        match stream.recv.accepted().await {
            Ok(()) => Ok(stream),
            Err(Ending::Refused(reason) | Ending::Reset(reason)) => {
                Err(OpenStreamError::Refused { reason })
            }
            Err(Ending::Busy) => Err(OpenStreamError::TooMany),
            Err(Ending::LinkClosed) => Err(OpenStreamError::Closed),
            Err(Ending::Finished | Ending::Broken | Ending::Here) => {
                Err(OpenStreamError::Refused { reason: NOT_TAKEN.to_owned() })
            }
        }
    }

    /// Answers a request for one of the routes of streams, once it is settled.
    pub(crate) fn answer(
        self: &Arc<Self>,
        route: StreamRoute,
        request: Request<IncomingBody>,
    ) -> impl Future<Output = Result<Response<Outgoing>, Infallible>> + use<> {
        let hub = Arc::clone(self);
        let is_open = self.is_open.load(Ordering::Acquire);
        if is_open && route == StreamRoute::Reverse {
            // At once, and not when the answer is asked for: the link is up with its last lane.
            self.is_unknown_there.store(false, Ordering::Release);
        }
        async move {
            Ok(match route {
                _ if !is_open => h2::no_route(StatusCode::CONFLICT),
                StreamRoute::Stream => hub.take_stream(request).await,
                StreamRoute::Reverse => hub.take_reverse(request).await,
            })
        }
    }

    /// The dialler opens a stream.
    async fn take_stream(&self, request: Request<IncomingBody>) -> Response<Outgoing> {
        let Some(head) = text::read_head(request.headers()) else {
            return h2::no_route(StatusCode::BAD_REQUEST);
        };
        let Ok(place) = Arc::clone(&self.theirs).try_acquire_owned() else {
            return h2::no_route(StatusCode::TOO_MANY_REQUESTS);
        };
        let (shared, body) = self.new_stream(Some(place));
        let stream = self.stream(StreamSender::new(shared), request.into_body());
        let (answer, answered) = oneshot::channel();
        let arrival = IncomingStream::new(head, stream, Answer::Status(answer));
        let refusal = match self.arrivals.try_send(arrival) {
            Ok(()) => match answered.await {
                Ok(Ok(())) => return h2::answer(StatusCode::OK, Outgoing::Stream(body)),
                Ok(Err(reason)) => reason,
                Err(_dropped) => NOT_TAKEN.to_owned(),
            },
            // Streams that ended before anybody took them hold the queue, but no place.
            Err(mpsc::error::TrySendError::Full(_)) => {
                return h2::no_route(StatusCode::TOO_MANY_REQUESTS);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => NOT_TAKEN.to_owned(),
        };
        let mut response = h2::no_route(StatusCode::FORBIDDEN);
        text::write_reason(response.headers_mut(), &refusal);
        response
    }

    /// The dialler lets this side open a stream: the answer waits until it wants one.
    async fn take_reverse(&self, request: Request<IncomingBody>) -> Response<Outgoing> {
        let Way::Accepted { arrived, .. } = &self.way else {
            return h2::no_route(StatusCode::CONFLICT);
        };
        let (answer, answered) = oneshot::channel();
        let reverse = Reverse { body: request.into_body(), answer };
        if arrived.try_send(reverse).is_err() {
            return h2::no_route(StatusCode::CONFLICT);
        }
        answered.await.unwrap_or_else(|_| h2::no_route(StatusCode::CONFLICT))
    }

    /// Keeps one reverse request open, as long as the link lives. The first is sent before this returns.
    pub(crate) fn keep_reverse(self: &Arc<Self>) {
        let hub = Arc::clone(self);
        let Way::Dialled(requests) = &self.way else { return };
        let mut requests = requests.clone();
        let mut next = hub.reverse_request(&mut requests);
        self.spawner.execute(async move {
            while let Some((shared, response)) = next {
                let response = match response.await {
                    Ok(response) if response.status() == StatusCode::OK => response,
                    Ok(response) => {
                        tracing::debug!(status = %response.status(), "the peer knows no streams");
                        hub.is_unknown_there.store(true, Ordering::Release);
                        return;
                    }
                    Err(error) => {
                        tracing::trace!(%error, "no more reverse requests");
                        return;
                    }
                };
                hub.take_answer(shared, response);
                next = hub.reverse_request(&mut requests);
            }
        });
    }

    fn reverse_request(
        &self,
        requests: &mut SendRequest<Outgoing>,
    ) -> Option<(
        Arc<Shared>,
        impl Future<Output = hyper::Result<Response<IncomingBody>>> + Send + use<>,
    )> {
        let (shared, body) = self.new_stream(None);
        let request = h2::post(StreamRoute::Reverse.path(), Outgoing::Stream(body)).ok()?;
        Some((shared, requests.send_request(request)))
    }

    /// The acceptor opened a stream.
    fn take_answer(&self, shared: Arc<Shared>, response: Response<IncomingBody>) {
        let head = text::read_head(response.headers());
        // Dropped without a word, it is reset.
        let send = StreamSender::new(Arc::clone(&shared));
        let stream = self.stream(send, response.into_body());
        let Some(head) = head else {
            tracing::debug!("a stream without a head");
            return;
        };
        let Ok(place) = Arc::clone(&self.theirs).try_acquire_owned() else {
            shared.end(Ending::Busy);
            return;
        };
        shared.take_place(place);
        let arrival = IncomingStream::new(head, stream, Answer::Byte);
        match self.arrivals.try_send(arrival) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => shared.end(Ending::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                shared.end(Ending::Refused(NOT_TAKEN.to_owned()));
            }
        }
    }
}

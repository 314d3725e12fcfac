//! The join port, both sides: one request, one answer, then the connection closes.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming as IncomingBody;
use hyper_util::rt::TokioIo;
use mesh_protocol::{
    Address, DecodeError, ErrorCode, FRAME_BODY_BYTES_MAX, Frame, JOIN_BODY_BYTES_MAX, PeerId,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::dial::judged;
use crate::driver::{Driver, Spawner};
use crate::io::LinkIo;
use crate::lane::{FrameReader, Outgoing};
use crate::limits::Origin;
use crate::link::{EndOnDrop, LinkState, encode};
use crate::listen::{Door, Incoming};
use crate::tls::Purpose;
use crate::transport::Inner;
use crate::{DialError, Transport, http as h2};

/// What a stranger can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRoute {
    /// Admission with a join token.
    Join,
    /// To be known as a member, by showing the records that prove it.
    Introduce,
}

impl JoinRoute {
    const ALL: [Self; 2] = [Self::Join, Self::Introduce];

    const fn path(self) -> &'static str {
        match self {
            Self::Join => "/v1/join",
            Self::Introduce => "/v1/introduce",
        }
    }

    pub(crate) fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.path() == path)
    }
}

/// A stranger's request. Dropped without an answer, the stranger is told that something failed here.
#[derive(Debug)]
pub struct JoinCall {
    /// Who asks, proven by its key; nothing else is known about it.
    pub peer: PeerId,
    /// Where the request came from.
    pub remote: SocketAddr,
    /// What it asks for.
    pub route: JoinRoute,
    /// The request.
    pub frame: Frame,
    answer: oneshot::Sender<Frame>,
}

impl JoinCall {
    /// Answers. The stranger may have gone away meanwhile, which shows nowhere: it repeats its request.
    pub fn answer(self, frame: Frame) {
        let _gone = self.answer.send(frame);
    }
}

impl Transport {
    /// Sends one request to `issuer` as a stranger and returns its answer, which may be
    /// [`Frame::Refused`]. The issuer's key is checked before anything is said.
    ///
    /// # Errors
    /// [`DialError::Unreachable`] when none of the addresses led to the issuer, else what went wrong
    /// on the way. The request may have been carried out even so.
    pub async fn join_call(
        &self,
        issuer: PeerId,
        addresses: &[Address],
        route: JoinRoute,
        frame: Frame,
    ) -> Result<Frame, DialError> {
        let transport = &self.inner;
        let body = encode(&frame).map_err(DialError::Encode)?;
        let (tls, remote) = transport.connect(issuer, addresses, Purpose::Join).await?.into_parts();
        let (io, handle) = crate::io::share(tls.into());
        let link = LinkState::new(issuer, remote, true, &transport.shutdown);
        let _guard = EndOnDrop::new(&link);
        let call = transport.ask(io, &link, route, Outgoing::Once(Some(body)));
        let config = &transport.config;
        let within = config.header_timeout + config.join_body_timeout + config.join_answer_timeout;
        let outcome = timeout(within, call).await.unwrap_or(Err(DialError::TimedOut));
        outcome.map_err(|error| judged(error, &handle))
    }
}

impl Inner {
    async fn ask(
        &self,
        io: LinkIo,
        link: &Arc<LinkState>,
        route: JoinRoute,
        body: Outgoing,
    ) -> Result<Frame, DialError> {
        let closed = |error: hyper::Error| DialError::Closed(error.into());
        let (mut requests, _spawner) = self.start_client(io, link).await?;
        let request =
            h2::post(route.path(), body).map_err(|error| DialError::Closed(error.into()))?;
        let response = requests.send_request(request).await.map_err(closed)?;
        let status = response.status();
        match FrameReader::new(response.into_body(), FRAME_BODY_BYTES_MAX).next().await {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(DialError::Decode(error)),
            None if status.is_success() => Err(DialError::Closed("the answer ended early".into())),
            None => Err(DialError::Protocol { what: "a join route is missing" }),
        }
    }
}

/// How far a stranger's connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Silent,
    Asked,
    Answered,
}

/// What a stranger's request needs on its way to the node.
struct Caller {
    door: Arc<Door>,
    peer: PeerId,
    remote: SocketAddr,
    stage: watch::Sender<Stage>,
}

/// Serves one stranger: one request, one answer. Every step has its own end in time, so a silent or
/// slow stranger holds its place for seconds only.
pub(crate) async fn serve_stranger(door: Arc<Door>, io: LinkIo, peer: PeerId, remote: SocketAddr) {
    let (stage, mut stages) = watch::channel(Stage::Silent);
    let spawner = Spawner::new();
    let builder = h2::join_server(&door.transport.config, &spawner);
    let config = door.transport.config.clone();
    let caller = Arc::new(Caller { door, peer, remote, stage });
    let service = hyper::service::service_fn(move |request| {
        let caller = Arc::clone(&caller);
        async move { Ok::<_, std::convert::Infallible>(caller.handle(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let driver = Driver::new(&spawner, async move {
        if let Err(error) = connection.await {
            tracing::debug!(%remote, %error, "a stranger's connection ended");
        }
    });
    let limits = async {
        let asked = stages.wait_for(|stage| *stage >= Stage::Asked);
        if !matches!(timeout(config.header_timeout, asked).await, Ok(Ok(_))) {
            return;
        }
        if stages.wait_for(|stage| *stage >= Stage::Answered).await.is_ok() {
            // Time for the answer to arrive; the stranger closes when it has it.
            tokio::time::sleep(config.join_body_timeout).await;
        }
    };
    tokio::select! {
        () = driver => {}
        () = limits => {}
    }
}

impl Caller {
    async fn handle(&self, request: Request<IncomingBody>) -> Response<Outgoing> {
        let is_first = self.stage.send_if_modified(|stage| {
            let is_first = *stage == Stage::Silent;
            if is_first {
                *stage = Stage::Asked;
            }
            is_first
        });
        if !is_first {
            return h2::no_route(StatusCode::CONFLICT);
        }
        let response = self.respond(request).await;
        self.stage.send_replace(Stage::Answered);
        response
    }

    async fn respond(&self, request: Request<IncomingBody>) -> Response<Outgoing> {
        let route = match h2::join_route(&request) {
            Ok(route) => route,
            Err(status) => return h2::no_route(status),
        };
        if !self.door.take_token(Origin::from(self.remote.ip())) {
            let message = "too many join requests from this address, try again in a minute";
            return h2::refusal(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimited, message);
        }
        let frame = match self.read(request).await {
            Ok(frame) => frame,
            Err(response) => return response,
        };
        let (answer, answered) = oneshot::channel();
        let call = JoinCall { peer: self.peer, remote: self.remote, route, frame, answer };
        if let Err(error) = self.door.incoming.try_send(Incoming::Join(call)) {
            let code = match error {
                mpsc::error::TrySendError::Full(_) => ErrorCode::QueueFull,
                mpsc::error::TrySendError::Closed(_) => ErrorCode::ShuttingDown,
            };
            let message = "this agent takes no requests at the moment";
            return h2::refusal(StatusCode::SERVICE_UNAVAILABLE, code, message);
        }
        match timeout(self.door.transport.config.join_answer_timeout, answered).await {
            Ok(Ok(frame)) => h2::answer_frame(StatusCode::OK, &frame),
            Ok(Err(_dropped)) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                h2::refusal(status, ErrorCode::Internal, "the request was not answered")
            }
            Err(_elapsed) => {
                let status = StatusCode::GATEWAY_TIMEOUT;
                h2::refusal(status, ErrorCode::TimedOut, "the request was not answered in time")
            }
        }
    }

    /// Reads the one frame of a request. Its announced size is looked at before its bytes are kept.
    async fn read(&self, request: Request<IncomingBody>) -> Result<Frame, Response<Outgoing>> {
        let too_large = || {
            let message = "a join request is smaller";
            h2::refusal(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::MessageTooLarge, message)
        };
        let announced: Option<u64> = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|bytes| bytes > REQUEST_BYTES_MAX) {
            return Err(too_large());
        }
        let mut reader = FrameReader::new(request.into_body(), JOIN_BODY_BYTES_MAX);
        let bad = |code, message: &str| h2::refusal(StatusCode::BAD_REQUEST, code, message);
        match timeout(self.door.transport.config.join_body_timeout, reader.next()).await {
            Ok(Some(Ok(frame))) => Ok(frame),
            Ok(Some(Err(DecodeError::TooLarge { .. }))) => Err(too_large()),
            Ok(Some(Err(error))) => Err(bad(error.code(), &error.to_string())),
            Ok(None) => Err(bad(ErrorCode::BadRequest, "the request has no frame")),
            Err(_elapsed) => Err(h2::refusal(
                StatusCode::REQUEST_TIMEOUT,
                ErrorCode::TimedOut,
                "the request did not arrive in time",
            )),
        }
    }
}

/// A request of the largest size with its frame header.
const REQUEST_BYTES_MAX: u64 = (JOIN_BODY_BYTES_MAX + mesh_protocol::FRAME_HEADER_BYTES) as u64;

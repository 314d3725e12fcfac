//! A peer that does what it likes: TLS and HTTP/2 by hand.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use mesh_crypto::NodeKey;
use rustls::client::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;

pub(crate) const LINK: &[u8] = b"mesh/1";
pub(crate) const JOIN: &[u8] = b"mesh-join/1";

pub(crate) fn config(key: Option<&NodeKey>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    Arc::new(mesh_testkit::tls::client(key, alpn).unwrap())
}

pub(crate) async fn tls(
    addr: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    TlsConnector::from(config).connect(ServerName::from(addr.ip()), tcp).await
}

pub(crate) type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;
pub(crate) type Requests = SendRequest<Body>;

#[derive(Clone)]
struct Executor(TaskTracker);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// HTTP/2 over a TLS connection of the given kind.
pub(crate) async fn http2(addr: SocketAddr, key: &NodeKey, alpn: &[u8]) -> Requests {
    let tls = tls(addr, config(Some(key), &[alpn])).await.unwrap();
    let tracker = TaskTracker::new();
    let (requests, connection) =
        hyper::client::conn::http2::Builder::new(Executor(tracker.clone()))
            .handshake(TokioIo::new(tls))
            .await
            .unwrap();
    tracker.spawn(async move { drop(connection.await) });
    requests
}

pub(crate) fn request(method: &str, path: &str, body: Body) -> http::Request<Body> {
    http::Request::builder().method(method).uri(format!("https://mesh{path}")).body(body).unwrap()
}

pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body that is written piece by piece, and ends when the sender is dropped.
pub(crate) fn streamed() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
    let pieces = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let frames = futures_util::StreamExt::map(pieces, |piece| {
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(piece))
    });
    (sender, http_body_util::BodyExt::boxed(StreamBody::new(frames)))
}

/// Opens lane 0 with `bytes` as the beginning of its body.
pub(crate) async fn open_lane(
    requests: &mut Requests,
    lane: u8,
    bytes: impl Into<Bytes>,
) -> (mpsc::UnboundedSender<Bytes>, http::Response<hyper::body::Incoming>) {
    let (sender, body) = streamed();
    sender.send(bytes.into()).unwrap();
    let path = format!("/v1/lane/{lane}");
    let response = requests.send_request(request("POST", &path, body)).await.unwrap();
    (sender, response)
}

/// The frame that a response carries as its body.
pub(crate) async fn frame_of(
    response: http::Response<hyper::body::Incoming>,
) -> mesh_protocol::Frame {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let (header, body) = bytes.split_first_chunk().unwrap();
    mesh_protocol::Frame::decode(&mesh_protocol::FrameHeader::decode(header).unwrap(), body)
        .unwrap()
}

/// A member's agent from before there were streams: it answers three lanes, and nothing else.
/// Returns its port; whoever dials is answered by the given Welcome and then echoed on lane 0.
pub(crate) async fn old_acceptor(key: &NodeKey, welcome: Bytes) -> SocketAddr {
    let config = mesh_testkit::tls::server(key, &[LINK]).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let tracker = TaskTracker::new();
    tracker.clone().spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let tls = acceptor.accept(tcp).await.unwrap();
        let service = hyper::service::service_fn(move |request| {
            std::future::ready(Ok::<_, std::convert::Infallible>(old_answer(request, &welcome)))
        });
        hyper::server::conn::http2::Builder::new(Executor(tracker))
            .max_concurrent_streams(4)
            .max_header_list_size(4 << 10)
            .max_pending_accept_reset_streams(16)
            .max_local_error_reset_streams(16)
            .serve_connection(TokioIo::new(tls), service)
            .await
    });
    addr
}

type AnswerBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

fn old_answer(
    request: http::Request<hyper::body::Incoming>,
    welcome: &Bytes,
) -> http::Response<AnswerBody> {
    let first = match request.uri().path() {
        "/v1/lane/0" => Some(welcome.clone()),
        "/v1/lane/1" | "/v1/lane/2" => None,
        _ => {
            let mut response = http::Response::new(Full::new(Bytes::new()).boxed_unsync());
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            return response;
        }
    };
    // Hello is the first thing that comes, and is no frame to be echoed.
    let is_hello = first.is_some();
    let echoed = futures_util::StreamExt::filter_map(
        http_body_util::BodyStream::new(request.into_body()),
        |frame| std::future::ready(frame.ok()),
    );
    let echoed = futures_util::StreamExt::skip(echoed, usize::from(is_hello));
    let first = futures_util::stream::iter(first.map(http_body::Frame::data));
    let frames = futures_util::StreamExt::chain(first, echoed);
    let body = StreamBody::new(futures_util::StreamExt::map(frames, Ok));
    http::Response::new(http_body_util::BodyExt::boxed_unsync(body))
}

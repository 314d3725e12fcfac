//! The bare parts: TLS and HTTP/2 with the link's settings and nothing on top.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_crypto::NodeKey;
use mesh_testkit::tls;
use mesh_transport::TransportConfig;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use zeroize::Zeroizing;

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;
pub(crate) type Requests = hyper::client::conn::http2::SendRequest<Body>;

/// A runtime like that of `mesh-agent`.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Where the other side runs: two agents are two processes, and what they say to each other crosses
/// from one thread to another, for the bare parts as well.
pub(crate) fn far() -> &'static Runtime {
    static FAR: OnceLock<Runtime> = OnceLock::new();
    FAR.get_or_init(runtime)
}

/// Who answers does not matter here, only what the bytes cost.
fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let key = NodeKey::from_secret_bytes(&Zeroizing::new([9; 32]));
    let client = tls::client(Some(&key), &[]).unwrap();
    (Arc::new(client), Arc::new(tls::server(&key, &[]).unwrap()))
}

/// The two ends of a connection; the server's belongs to [`far`].
pub(crate) async fn tls_pair() -> (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
    let (client, server) = configs();
    let listening = far().spawn(async { TcpListener::bind("127.0.0.1:0").await.unwrap() });
    let listener = listening.await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connecting = async {
        let tcp = TcpStream::connect(addr).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::from(addr.ip());
        TlsConnector::from(client).connect(name, tcp).await.unwrap()
    };
    let accepting = far().spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        TlsAcceptor::from(server).accept(tcp).await.unwrap()
    });
    let (client, server) = tokio::join!(connecting, accepting);
    (client, server.unwrap())
}

/// An HTTP/2 client whose server reads every body and then answers with a few bytes.
pub(crate) async fn requests() -> Requests {
    let (client, server) = tls_pair().await;
    let config = TransportConfig::default();
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes())
        .max_frame_size(config.http_frame_bytes)
        .max_send_buf_size(config.send_buffer_bytes)
        .auto_date_header(false);
    let service = hyper::service::service_fn(|request: http::Request<Incoming>| async {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            drop(frame.unwrap());
        }
        let answer = Full::new(Bytes::from_static(&[1; 40]));
        Ok::<_, Infallible>(http::Response::new(answer))
    });
    far().spawn(builder.serve_connection(TokioIo::new(server), service));
    let (requests, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes())
        .max_frame_size(config.http_frame_bytes)
        .max_send_buf_size(config.send_buffer_bytes)
        .handshake(TokioIo::new(client))
        .await
        .unwrap();
    tokio::spawn(connection);
    requests
}

fn post(body: Body) -> http::Request<Body> {
    http::Request::post("https://mesh/").body(body).unwrap()
}

/// One stream that carries `piece` so many times; returns the seconds until it is answered.
pub(crate) async fn stream(piece: Bytes, count: usize) -> f64 {
    let mut requests = requests().await;
    let started = Instant::now();
    let pieces = futures_util::stream::iter(std::iter::repeat_n(piece, count));
    let frames = futures_util::StreamExt::map(pieces, |piece| {
        Ok::<_, Infallible>(http_body::Frame::data(piece))
    });
    let streaming = tokio::spawn(async move {
        let body = http_body_util::BodyExt::boxed(StreamBody::new(frames));
        let response = requests.send_request(post(body)).await.unwrap();
        response.into_body().collect().await.unwrap();
    });
    streaming.await.unwrap();
    started.elapsed().as_secs_f64()
}

/// One request per connection at once, all answers awaited, again and again.
pub(crate) async fn broadcasts(
    mut connections: Vec<Requests>,
    bytes: usize,
    rounds: usize,
) -> Vec<Duration> {
    let broadcasting = tokio::spawn(async move {
        let mut times = Vec::with_capacity(rounds);
        let piece = Bytes::from(vec![7; bytes]);
        for _ in 0..rounds {
            let started = Instant::now();
            let answers = connections.iter_mut().map(|requests| {
                let body = http_body_util::BodyExt::boxed(Full::new(piece.clone()));
                let answer = requests.send_request(post(body));
                async { answer.await.unwrap().into_body().collect().await.unwrap() }
            });
            join_all(answers).await;
            times.push(started.elapsed());
        }
        times
    });
    broadcasting.await.unwrap()
}

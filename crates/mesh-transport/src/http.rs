//! HTTP/2 settings, routes and answers.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use mesh_protocol::{ErrorCode, Frame, JOIN_BODY_BYTES_MAX, Refused};

use crate::TransportConfig;
use crate::driver::Spawner;
use crate::join::JoinRoute;
use crate::lane::{Lane, Outgoing};
use crate::link::encode;
use crate::stream::hub::StreamRoute;

/// A request's head is one path; nobody needs more.
const HEADER_LIST_BYTES_MAX: u32 = 4 << 10;

/// A stream's head is in the head of its request or answer: 4 KiB, as base64.
const LINK_HEADER_LIST_BYTES_MAX: u32 = 8 << 10;

/// What a stranger may send before its request is looked at.
const JOIN_WINDOW_BYTES: u32 = 66 << 10;
const _: () = assert!(JOIN_WINDOW_BYTES as usize > JOIN_BODY_BYTES_MAX);

/// Streams that a peer resets and streams that this side resets, before the connection is closed.
const RESETS_MAX: usize = 16;

/// Frames that a member may send on streams that this side has closed, and other errors of one stream,
/// in all the life of its connection. A stream that is cut off while a slow path is full costs some.
const LINK_ERRORS_MAX: usize = 1024;

pub(crate) fn client(
    config: &TransportConfig,
    spawner: &Spawner,
) -> hyper::client::conn::http2::Builder<Spawner> {
    let mut builder = hyper::client::conn::http2::Builder::new(spawner.clone());
    builder
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes())
        .max_frame_size(config.http_frame_bytes)
        .max_send_buf_size(config.send_buffer_bytes)
        .max_header_list_size(LINK_HEADER_LIST_BYTES_MAX);
    builder
}

pub(crate) fn link_server(
    config: &TransportConfig,
    spawner: &Spawner,
) -> hyper::server::conn::http2::Builder<Spawner> {
    let mut builder = hyper::server::conn::http2::Builder::new(spawner.clone());
    builder
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes())
        .max_frame_size(config.http_frame_bytes)
        .max_send_buf_size(config.send_buffer_bytes)
        .max_concurrent_streams(config.http_streams_max())
        .max_header_list_size(LINK_HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(LINK_ERRORS_MAX)
        .auto_date_header(false);
    builder
}

pub(crate) fn join_server(
    config: &TransportConfig,
    spawner: &Spawner,
) -> hyper::server::conn::http2::Builder<Spawner> {
    let mut builder = hyper::server::conn::http2::Builder::new(spawner.clone());
    builder
        .initial_stream_window_size(JOIN_WINDOW_BYTES)
        .initial_connection_window_size(JOIN_WINDOW_BYTES)
        .max_send_buf_size(config.send_buffer_bytes)
        .max_concurrent_streams(1)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .auto_date_header(false);
    builder
}

/// A request to a peer. The name in it is the same for everybody: keys say who is called.
pub(crate) fn post(path: &'static str, body: Outgoing) -> Result<Request<Outgoing>, http::Error> {
    let uri = Uri::builder().scheme("https").authority("mesh").path_and_query(path).build()?;
    Request::builder().method(Method::POST).uri(uri).body(body)
}

pub(crate) fn answer(status: StatusCode, body: Outgoing) -> Response<Outgoing> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// An answer that carries one frame.
pub(crate) fn answer_frame(status: StatusCode, frame: &Frame) -> Response<Outgoing> {
    match encode(frame) {
        Ok(bytes) => answer(status, Outgoing::Once(Some(bytes))),
        Err(error) => {
            tracing::warn!(%error, "an answer does not fit the protocol");
            answer(StatusCode::INTERNAL_SERVER_ERROR, Outgoing::Once(None))
        }
    }
}

/// An answer that says no, with the reason as a frame.
pub(crate) fn refusal(status: StatusCode, code: ErrorCode, message: &str) -> Response<Outgoing> {
    answer_frame(status, &refused(code, message))
}

pub(crate) fn refused(code: ErrorCode, message: &str) -> Frame {
    Frame::Refused(Refused { code, message: message.to_owned() })
}

/// An answer to something that no route takes.
pub(crate) fn no_route(status: StatusCode) -> Response<Outgoing> {
    answer(status, Outgoing::Once(Some(Bytes::new())))
}

/// Finds the route of a request among `find`'s, or the status that says why there is none.
fn route<B, R>(request: &Request<B>, find: impl Fn(&str) -> Option<R>) -> Result<R, StatusCode> {
    let found = find(request.uri().path()).ok_or(StatusCode::NOT_FOUND)?;
    if request.method() == Method::POST { Ok(found) } else { Err(StatusCode::METHOD_NOT_ALLOWED) }
}

/// What a member may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkRoute {
    Lane(Lane),
    Stream(StreamRoute),
}

pub(crate) fn link_route<B>(request: &Request<B>) -> Result<LinkRoute, StatusCode> {
    route(request, |path| {
        let lane = Lane::from_path(path).map(LinkRoute::Lane);
        lane.or_else(|| StreamRoute::from_path(path).map(LinkRoute::Stream))
    })
}

pub(crate) fn join_route<B>(request: &Request<B>) -> Result<JoinRoute, StatusCode> {
    route(request, JoinRoute::from_path)
}

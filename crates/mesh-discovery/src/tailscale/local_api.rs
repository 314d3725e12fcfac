//! The LocalAPI: plain HTTP over a Unix socket, or over a loopback port with a password.

use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Collected, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::fs;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::TailscaleError;

/// The daemon refuses every other Host, and any Origin or Referer at all: what a browser could be
/// made to send must not reach it.
const LOCAL_API_HOST: &str = "local-tailscaled.sock";

/// Bound on the head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The password is 20 to 40 characters.
const PASSWORD_BYTES_MAX: u64 = 1 << 10;

/// Asks over a Unix socket. The socket's own rights say who may.
pub(super) async fn over_socket(socket: &Path, bytes_max: usize) -> Result<Bytes, TailscaleError> {
    let stream = UnixStream::connect(socket).await.map_err(TailscaleError::opening)?;
    exchange(stream, None, bytes_max).await
}

/// Asks over the port that the files in `folder` name. They outlive the daemon that wrote them.
pub(super) async fn over_port(folder: &Path, bytes_max: usize) -> Result<Bytes, TailscaleError> {
    // The port is where a symbolic link points to; nothing has that name.
    let target = fs::read_link(folder.join("ipnport")).await.map_err(TailscaleError::opening)?;
    let port: u16 = target
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or(TailscaleError::PortFiles { what: "ipnport is no port" })?;
    let mut password = String::new();
    fs::File::open(folder.join(format!("sameuserproof-{port}")))
        .await
        .map_err(TailscaleError::opening)?
        .take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut password)
        .await
        .map_err(TailscaleError::opening)?;
    let password = password.trim();
    if password.is_empty() {
        return Err(TailscaleError::PortFiles { what: "sameuserproof is empty" });
    }
    let credentials = STANDARD.encode(format!(":{password}"));
    let mut authorization = HeaderValue::try_from(format!("Basic {credentials}"))
        .map_err(|error| TailscaleError::Http(error.into()))?;
    authorization.set_sensitive(true);

    let stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(TailscaleError::opening)?;
    exchange(stream, Some(authorization), bytes_max).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authorization: Option<HeaderValue>,
    bytes_max: usize,
) -> Result<Bytes, TailscaleError> {
    let mut request = Request::get("/localapi/v0/status").header(HOST, LOCAL_API_HOST);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| TailscaleError::Http(error.into()))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| TailscaleError::Http(error.into()))?;
    let mut answer = pin!(async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| TailscaleError::Http(error.into()))?;
        if response.status() != StatusCode::OK {
            return Err(TailscaleError::Status { status: response.status() });
        }
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        body.map(Collected::to_bytes).map_err(|source| {
            if source.is::<LengthLimitError>() {
                TailscaleError::TooLong { bytes_max }
            } else {
                TailscaleError::Http(source)
            }
        })
    });
    tokio::select! {
        biased;
        answered = answer.as_mut() => return answered,
        // What the connection had read is still there, and so is its error: the answer brings both.
        _ended = connection => {}
    }
    answer.await
}

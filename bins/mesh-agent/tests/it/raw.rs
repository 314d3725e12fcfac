//! A client that does what it likes: TLS by the library, HTTP/2 by hand, both as slow as it wants.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_crypto::NodeKey;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::agent::within;

pub(crate) const LINK: &[u8] = b"mesh/1";
pub(crate) const JOIN: &[u8] = b"mesh-join/1";

/// What a TLS 1.3 client says first, as far as it needs to be for a server to wait for the rest.
pub(crate) const HALF_A_CLIENT_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4];

/// A TLS connection under a key, or under none.
pub(crate) async fn tls(
    addr: SocketAddr,
    key: Option<&NodeKey>,
    alpn: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let config = mesh_testkit::tls::client(key, &[alpn]).unwrap();
    let tcp = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::from(addr.ip()), tcp).await
}

/// What an HTTP/2 client sends first: preface and empty settings.
pub(crate) fn http2_preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(http2_frame(4, 0, 0, &[]));
    bytes
}

/// The head of a request without an end: a body is to follow.
pub(crate) fn http2_post(path: &str) -> Vec<u8> {
    let mut head = vec![0x83, 0x87];
    // Literals without indexing (RFC 7541 §6.2.2): `:path` is name 4, `:authority` name 1.
    for (name, value) in [(4_u8, path), (1, "mesh")] {
        head.extend([name, u8::try_from(value.len()).unwrap()]);
        head.extend(value.as_bytes());
    }
    http2_frame(1, 0x4, 1, &head)
}

/// A piece of the request's body.
pub(crate) fn http2_data(body: &[u8]) -> Vec<u8> {
    http2_frame(0, 0, 1, body)
}

fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A complete head of a request to `path`, then `body`, and nothing that would end it.
pub(crate) async fn begin_post(
    addr: SocketAddr,
    key: &NodeKey,
    path: &str,
    body: &[u8],
) -> TlsStream<TcpStream> {
    let mut tls = tls(addr, Some(key), JOIN).await.unwrap();
    for bytes in [http2_preface(), http2_post(path), http2_data(body)] {
        tls.write_all(&bytes).await.unwrap();
    }
    tls.flush().await.unwrap();
    tls
}

/// Everything that the other side says until it closes.
pub(crate) async fn read_to_close(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut said = Vec::new();
    let _reset_or_end = within(stream.read_to_end(&mut said)).await;
    said
}

/// Reads until the other side has said `word`.
pub(crate) async fn read_until(mut stream: impl AsyncRead + Unpin, word: &str) {
    let mut said = Vec::new();
    loop {
        let read = within(stream.read_buf(&mut said)).await;
        if said.windows(word.len()).any(|part| part == word.as_bytes()) {
            return;
        }
        let is_open = read.is_ok_and(|bytes| bytes > 0);
        assert!(is_open, "{word} is not in {:?}", String::from_utf8_lossy(&said));
    }
}

/// Writes `bytes` one at a time, each as a packet of its own, until the other side has closed.
pub(crate) async fn drip(mut stream: impl AsyncWrite + Unpin, bytes: &[u8]) {
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
    for byte in bytes.iter().cycle() {
        pace.tick().await;
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Bytes without a meaning, the same in every run.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[1]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

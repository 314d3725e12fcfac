//! The bytes under HTTP/2: the TCP socket's options and the TLS stream.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_crypto::PAIR_EXPORTER_LABEL;
use mesh_protocol::MeshId;
use rustls::AlertDescription;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use zeroize::Zeroizing;

/// A path that went silent is noticed by heartbeats; this is the net below them for connections
/// that have none (join requests, links that are coming up).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// Sets the options of a socket. A system that lacks one of them still carries a link.
pub(crate) fn tune(tcp: &TcpStream, unsent_bytes_max: u32) {
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let tuned = tcp
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| limit_unsent(&socket, unsent_bytes_max));
    if let Err(error) = tuned {
        tracing::debug!(%error, "a socket option was refused");
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(socket: &SockRef<'_>, bytes_max: u32) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(bytes_max)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as where the option exists")]
const fn limit_unsent(_socket: &SockRef<'_>, _bytes_max: u32) -> io::Result<()> {
    Ok(())
}

struct Shared {
    tls: Mutex<TlsStream<TcpStream>>,
    is_access_denied: AtomicBool,
}

impl Shared {
    fn tls(&self) -> MutexGuard<'_, TlsStream<TcpStream>> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The TLS stream that HTTP/2 reads and writes. The lock is shared with [`TlsHandle`] alone, which
/// is gone before the link is up.
pub(crate) struct LinkIo {
    shared: Arc<Shared>,
}

/// Asks the TLS session what only it knows, while HTTP/2 has the stream. Keeps the connection open:
/// drop it as soon as the answer is there.
pub(crate) struct TlsHandle {
    shared: Arc<Shared>,
}

/// Shares a stream between HTTP/2 and the one who brings up the link.
pub(crate) fn share(tls: TlsStream<TcpStream>) -> (LinkIo, TlsHandle) {
    let shared =
        Arc::new(Shared { tls: Mutex::new(tls), is_access_denied: AtomicBool::new(false) });
    (LinkIo { shared: Arc::clone(&shared) }, TlsHandle { shared })
}

impl TlsHandle {
    /// The pair's secret: the same 32 bytes on both sides, bound to this connection and the mesh.
    pub(crate) fn pair_secret(&self, mesh: &MeshId) -> Result<Zeroizing<[u8; 32]>, rustls::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        let (label, context) = (PAIR_EXPORTER_LABEL, Some(mesh.as_bytes().as_slice()));
        match &*self.shared.tls() {
            TlsStream::Client(tls) => {
                tls.get_ref().1.export_keying_material(&mut *secret, label, context)?
            }
            TlsStream::Server(tls) => {
                tls.get_ref().1.export_keying_material(&mut *secret, label, context)?
            }
        };
        Ok(secret)
    }

    /// Whether the other side ended the handshake because it does not accept this node's key.
    pub(crate) fn is_access_denied(&self) -> bool {
        self.shared.is_access_denied.load(Ordering::Relaxed)
    }
}

impl AsyncRead for LinkIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut *self.shared.tls()).poll_read(cx, buf);
        // HTTP/2 keeps only the text of this error, so it is looked at here.
        if let Poll::Ready(Err(error)) = &polled
            && is_access_denied(error)
        {
            self.shared.is_access_denied.store(true, Ordering::Relaxed);
        }
        polled
    }
}

/// Whether the other side ended the handshake because it does not accept this node's key.
pub(crate) fn is_access_denied(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::AlertReceived(AlertDescription::AccessDenied)))
}

impl AsyncWrite for LinkIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.shared.tls()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.shared.tls()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.tls().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.tls()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.tls()).poll_shutdown(cx)
    }
}

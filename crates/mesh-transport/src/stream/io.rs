//! Streams for those who read and write bytes: child processes, codecs, `tokio::io::copy`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{LinkStream, StreamReader, StreamSender};
use crate::StreamError;

/// A write copies its bytes, and no more than this of them at a time.
const WRITE_BYTES_MAX: usize = 64 << 10;

fn io_error(error: StreamError) -> io::Error {
    let kind = match error {
        StreamError::LinkClosed | StreamError::Reset { .. } => io::ErrorKind::ConnectionReset,
        StreamError::Broken => io::ErrorKind::UnexpectedEof,
        StreamError::EndedHere => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error)
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.poll_recv(cx)) {
            None => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(io_error(error))),
            Some(Ok(mut bytes)) => {
                buf.put_slice(&bytes.split_to(bytes.len().min(buf.remaining())));
                self.piece = bytes;
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// Shutting down is [`StreamSender::finish`].
impl AsyncWrite for StreamSender {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = buf.len().min(WRITE_BYTES_MAX).min(self.shared.queue_bytes_max());
        ready!(self.poll_room(bytes, cx)).map_err(io_error)?;
        self.shared.push(Bytes::copy_from_slice(buf.get(..bytes).unwrap_or(buf)));
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.recv).poll_read(cx, buf)
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_shutdown(cx)
    }
}

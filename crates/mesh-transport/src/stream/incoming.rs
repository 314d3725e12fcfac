//! Streams that the other side opens, until somebody takes them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::LinkStream;
use super::outbox::Ending;
use crate::link::LinkState;

/// The first byte of the dialler's direction of a stream that the acceptor opened.
pub(crate) const ACCEPTED: u8 = 1;

/// What is said where nobody takes streams, or somebody took one and let it fall.
pub(crate) const NOT_TAKEN: &str = "nobody takes this stream";

/// How the other side hears whether its stream was taken.
#[derive(Debug)]
pub(crate) enum Answer {
    Status(oneshot::Sender<Result<(), String>>),
    Byte,
}

/// A stream that the other side wants to open. Dropped, it is refused.
#[derive(Debug)]
pub struct IncomingStream {
    head: Bytes,
    stream: LinkStream,
    answer: Answer,
}

impl IncomingStream {
    pub(crate) const fn new(head: Bytes, stream: LinkStream, answer: Answer) -> Self {
        Self { head, stream, answer }
    }

    /// What the stream is for, in the words of the other side: at most 4 KiB.
    #[must_use]
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// Takes the stream. Was it given up meanwhile, it says so at the first use.
    #[must_use]
    pub fn accept(self) -> LinkStream {
        match self.answer {
            Answer::Status(answer) => {
                let _given_up = answer.send(Ok(()));
            }
            Answer::Byte => self.stream.send.shared.push(Bytes::from_static(&[ACCEPTED])),
        }
        self.stream
    }

    /// Turns it away. Of the reason 256 bytes travel.
    pub fn refuse(self, reason: &str) {
        match self.answer {
            Answer::Status(answer) => {
                let _given_up = answer.send(Err(reason.to_owned()));
            }
            Answer::Byte => self.stream.send.shared.end(Ending::Refused(reason.to_owned())),
        }
    }

    /// Whether the other side has given it up.
    fn is_given_up(&self) -> bool {
        match &self.answer {
            Answer::Status(answer) => answer.is_closed(),
            Answer::Byte => self.stream.send.shared.is_outgoing_over(),
        }
    }
}

/// Streams that the other side opens. Dropping it refuses them; the link lives on.
#[derive(Debug)]
pub struct StreamReceiver {
    receiver: Option<mpsc::Receiver<IncomingStream>>,
    link: Arc<LinkState>,
}

impl StreamReceiver {
    pub(crate) fn new(
        receiver: Option<mpsc::Receiver<IncomingStream>>,
        link: &Arc<LinkState>,
    ) -> Self {
        Self { receiver, link: Arc::clone(link) }
    }

    /// Waits for the next stream; none when the link has ended, or this receiver was taken before.
    /// Those that were given up before anybody took them are left out. Cancel safe.
    pub async fn next(&mut self) -> Option<IncomingStream> {
        let receiver = self.receiver.as_mut()?;
        loop {
            let arrived = tokio::select! {
                biased;
                () = self.link.over() => None,
                arrived = receiver.recv() => arrived,
            };
            let Some(arrived) = arrived else {
                self.receiver = None;
                return None;
            };
            if !arrived.is_given_up() {
                return Some(arrived);
            }
        }
    }
}

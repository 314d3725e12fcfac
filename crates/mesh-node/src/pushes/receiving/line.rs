//! The stream on which a push is offered: what comes is read by the push's task, what is said waits in a queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh_protocol::{PushAnswer, PushMessage, PushProblem};
use tokio::sync::mpsc;

use crate::pushes::channel::{ChannelError, PushReader, PushWriter, Received};
use crate::pushes::ledger::Progress;
use crate::tasks::Tasks;

/// Messages that wait to be sent.
const WAITING_MAX: usize = 64;

/// One stream. Dropped, it ends behind what was said.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) reader: Reader,
    pub(super) sender: mpsc::Sender<PushMessage>,
}

/// What comes.
#[derive(Debug)]
pub(super) struct Reader {
    reader: PushReader,
    counted: u64,
    progress: Arc<Progress>,
}

impl Line {
    pub(super) fn over(
        tasks: &Tasks,
        reader: PushReader,
        mut writer: PushWriter,
        progress: Arc<Progress>,
    ) -> Self {
        let (sender, mut said) = mpsc::channel(WAITING_MAX);
        let written = Arc::clone(&progress);
        tasks.spawn(async move {
            while let Some(message) = said.recv().await {
                let before = writer.bytes;
                if let Err(error) = writer.send(&message).await {
                    tracing::debug!(%error, "the stream of a push ended");
                    return;
                }
                written.wire.fetch_add(writer.bytes - before, Ordering::Relaxed);
            }
            writer.finish();
        });
        let reader = Reader { counted: reader.bytes, reader, progress };
        Self { reader, sender }
    }

    /// Says no, and that is all.
    pub(super) fn refuse(self, problem: PushProblem) {
        let answer = PushMessage::Answer(PushAnswer::Refused(problem));
        // The queue is empty, or the other side is slow to hear what came before and asks again.
        let _unheard = self.sender.try_send(answer);
    }
}

impl Reader {
    /// Waits for the next message. Cancel safe.
    pub(super) async fn recv(&mut self) -> Result<Option<Received>, ChannelError> {
        let received = self.reader.recv().await;
        self.progress.wire.fetch_add(self.reader.bytes - self.counted, Ordering::Relaxed);
        self.counted = self.reader.bytes;
        received
    }
}

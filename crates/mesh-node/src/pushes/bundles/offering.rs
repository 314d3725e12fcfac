//! Offers a push that came in a message to this node's own receiver, as its sender would on a stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_files::BundleReader;
use mesh_protocol::{
    ChunkRanges, ErrorCode, PeerId, PushAnswer, PushId, PushMessage, PushMethod, PushProblem,
    PushReason, PushResult,
};
use tokio::sync::mpsc;

use super::{Kept, is_nobody};
use crate::clock;
use crate::pushes::channel::{ChannelError, PushReader, Received, channel_here};
use crate::pushes::roots::problem;
use crate::shared::Shared;

/// How long to wait before it is offered again where there was no room, and before replies are sent again; doubled
/// each time.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_mins(1);

/// One push.
pub(super) struct Offering {
    shared: Arc<Shared>,
    push_id: PushId,
    by: PeerId,
    stops: mpsc::UnboundedReceiver<PushProblem>,
}

/// What came of an offer.
enum Offered {
    /// It is over; this is to be said to the sender.
    Over(Vec<PushMessage>),
    /// There was no room, or the node stops.
    Again,
}

/// What is in a bundle, as it travels.
#[derive(Default)]
struct Parts {
    ids: Vec<Bytes>,
    pages: Vec<Bytes>,
    chunks: Vec<Bytes>,
}

impl Offering {
    pub(super) const fn new(
        shared: Arc<Shared>,
        push_id: PushId,
        by: PeerId,
        stops: mpsc::UnboundedReceiver<PushProblem>,
    ) -> Self {
        Self { shared, push_id, by, stops }
    }

    /// Offers it until it is over, and forgets it when the sender is told, or will be.
    pub(super) async fn run(mut self) {
        let mut wait = AGAIN_FIRST;
        let replies = loop {
            match self.offer().await {
                Offered::Over(replies) => break replies,
                Offered::Again => {
                    clock::sleep_until(clock::now().instant.checked_add(wait)).await;
                    wait = (wait * 2).min(AGAIN_MAX);
                }
            }
        };
        if !self.reply(&replies).await {
            return;
        }
        let (data_dir, push_id) = (self.shared.data_dir.path().to_owned(), self.push_id);
        let removing =
            tokio::task::spawn_blocking(move || Kept::Received.remove(&data_dir, push_id));
        if let Ok(Err(error)) = removing.await {
            Shared::log_failure("a push that came in a message cannot be removed", &error);
        }
    }

    /// Says whether the replies are in the outbox, or are for nobody.
    async fn reply(&self, replies: &[PushMessage]) -> bool {
        let mut wait = AGAIN_FIRST;
        loop {
            match self.shared.send_replies(self.by, self.push_id, replies).await {
                Ok(()) => return true,
                Err(error) if is_nobody(&error) => return true,
                Err(error) if error.code == ErrorCode::ShuttingDown => return false,
                Err(error) => {
                    tracing::warn!(push_id = %self.push_id, %error, "what became of a push cannot be said yet");
                }
            }
            clock::sleep_until(clock::now().instant.checked_add(wait)).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    async fn offer(&mut self) -> Offered {
        let [(reader, mut writer), (to_reader, to_writer)] = channel_here();
        let receiving = Arc::clone(&self.shared);
        self.shared.tasks.spawn(receiving.receive_on(
            self.by,
            PushMethod::Message,
            to_reader,
            to_writer,
        ));
        let offer = match self.parts().await {
            Ok((offer, _)) => offer,
            Err(problem) => return refused(problem),
        };
        // Apart from reading: the receiver says something while it is told something.
        let (say, mut said) = mpsc::unbounded_channel::<Bytes>();
        let _always_heard = say.send(offer);
        let writing = async move {
            while let Some(bytes) = said.recv().await {
                writer.send_encoded(bytes).await?;
            }
            Ok::<(), ChannelError>(())
        };
        let listening = self.listen(reader, say);
        let (mut listening, mut writing) = (std::pin::pin!(listening), std::pin::pin!(writing));
        tokio::select! {
            offered = &mut listening => offered,
            // What the receiver has said is still there to be read.
            _ended = &mut writing => listening.await,
        }
    }

    /// The offer, and what is behind it. Read when it is wanted: many may wait for approval.
    async fn parts(&self) -> Result<(Bytes, Parts), PushProblem> {
        let (data_dir, push_id) = (self.shared.data_dir.path().to_owned(), self.push_id);
        let reading = tokio::task::spawn_blocking(move || {
            let bundle = Kept::Received.load(&data_dir, push_id);
            let bundle =
                bundle.map_err(|error| problem(PushReason::StorageError, error.to_string()))?;
            read(&bundle)
        });
        reading.await.unwrap_or_else(|error| {
            Err(problem(PushReason::Internal, format!("reading broke off: {error}")))
        })
    }

    async fn listen(
        &mut self,
        mut reader: PushReader,
        say: mpsc::UnboundedSender<Bytes>,
    ) -> Offered {
        let mut parts = Parts::default();
        let mut replies = Vec::new();
        loop {
            let received = tokio::select! {
                received = reader.recv() => received,
                Some(problem) = self.stops.recv() => {
                    if let Ok(stop) = PushMessage::Stop(problem).encode() {
                        let _nobody_listens = say.send(stop.into());
                    }
                    continue;
                }
            };
            let Ok(Some(Received::Message(message))) = received else { return Offered::Again };
            match &message {
                PushMessage::Answer(PushAnswer::Accepted) => {
                    parts = match self.parts().await {
                        Ok((_, parts)) => parts,
                        Err(problem) => return refused(problem),
                    };
                    parts.ids.drain(..).for_each(|ids| {
                        let _nobody_listens = say.send(ids);
                    });
                    replies.push(message);
                }
                PushMessage::Answer(PushAnswer::WaitingForApproval) => {
                    if !self.reply(std::slice::from_ref(&message)).await {
                        return Offered::Again;
                    }
                }
                PushMessage::Answer(PushAnswer::Refused(problem)) | PushMessage::Stop(problem)
                    if problem.reason == PushReason::Busy =>
                {
                    return Offered::Again;
                }
                PushMessage::Answer(PushAnswer::Refused(_)) => {
                    replies.push(message);
                    return Offered::Over(replies);
                }
                PushMessage::Result(result) => {
                    let is_last = !matches!(result, PushResult::Verified(_));
                    replies.push(message);
                    if is_last {
                        return Offered::Over(replies);
                    }
                }
                PushMessage::PageNeed(need) => give(&say, &parts.pages, &need.pages),
                PushMessage::Need(need) => give(&say, &parts.chunks, &need.chunks),
                PushMessage::Stop(problem) => return refused(problem.clone()),
                PushMessage::Have(_)
                | PushMessage::Offer(_)
                | PushMessage::PageIds(_)
                | PushMessage::Page(_)
                | PushMessage::Source(_)
                | PushMessage::Fetch(_)
                | PushMessage::Chunk(_)
                | PushMessage::Rollback(_) => {}
            }
        }
    }
}

fn refused(problem: PushProblem) -> Offered {
    Offered::Over(vec![PushMessage::Answer(PushAnswer::Refused(problem))])
}

/// Says what was asked for. What there is not is asked for by nobody: the totals were compared.
fn give(say: &mpsc::UnboundedSender<Bytes>, parts: &[Bytes], wanted: &ChunkRanges) {
    for range in wanted.iter() {
        let numbers = range.first..range.end().min(parts.len() as u64);
        for number in numbers.filter_map(|number| usize::try_from(number).ok()) {
            if let Some(part) = parts.get(number) {
                let _nobody_listens = say.send(part.clone());
            }
        }
    }
}

fn read(bundle: &[u8]) -> Result<(Bytes, Parts), PushProblem> {
    let invalid = |detail: String| problem(PushReason::ManifestInvalid, detail);
    let (mut offer, mut parts) = (Bytes::new(), Parts::default());
    let messages = BundleReader::new(bundle).map_err(|error| invalid(error.to_string()))?;
    for message in messages {
        let message = message.map_err(|error| problem(error.reason(), error.to_string()))?;
        let encoded: Bytes = message.encode().map_err(|error| invalid(error.to_string()))?.into();
        match message {
            PushMessage::Offer(_) => offer = encoded,
            PushMessage::PageIds(_) => parts.ids.push(encoded),
            PushMessage::Page(_) => parts.pages.push(encoded),
            PushMessage::Chunk(_) => parts.chunks.push(encoded),
            // Nothing else is in a bundle.
            PushMessage::Answer(_)
            | PushMessage::PageNeed(_)
            | PushMessage::Need(_)
            | PushMessage::Have(_)
            | PushMessage::Source(_)
            | PushMessage::Fetch(_)
            | PushMessage::Result(_)
            | PushMessage::Stop(_)
            | PushMessage::Rollback(_) => {}
        }
    }
    Ok((offer, parts))
}

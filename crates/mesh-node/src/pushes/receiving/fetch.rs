//! Chunks from another target, where the sender says that it has them.

use std::time::Duration;

use mesh_protocol::{ChunkNeed, ChunkRange, ChunkRanges, Fetch, PeerId, PushMessage, PushOffer};
use mesh_transport::{LinkStream, OpenStreamError};

use super::work::{Input, Intake};
use crate::pushes::channel::{ChannelError, Received, channel};
use crate::shared::Shared;
use crate::streams::StreamUse;

/// How long a place for a stream is waited for.
const OPEN_WAIT: Duration = Duration::from_secs(5);

/// Who may wait for one at a time; others are sent away at once.
pub(super) const WAITING_MAX: usize = 32;

/// How often it is looked for.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Why another target did not send everything.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it is no target of the push, or no member")]
    Stranger,
    #[error("no stream can be opened")]
    Open(#[from] OpenStreamError),
    #[error("the stream broke off")]
    Channel(#[from] ChannelError),
    #[error("it does not serve: {0}")]
    Stopped(String),
}

impl Shared {
    /// Asks `from` for `lacking`, and hands over what it sends. What does not come is asked of the sender again.
    pub(super) async fn fetch_chunks(
        &self,
        offer: &PushOffer,
        from: PeerId,
        chunks: ChunkRange,
        lacking: Vec<ChunkRanges>,
        input: &Input,
    ) {
        if lacking.is_empty() {
            return;
        }
        if let Err(error) = self.fetch_from(offer, from, lacking, input).await {
            tracing::debug!(from = %from.short(), %error, "another target does not send its chunks");
            // The work may have ended, and then nothing is lacking.
            let _over = input.give(&mut Some(Intake::Unserved(chunks))).await;
        }
    }

    async fn fetch_from(
        &self,
        offer: &PushOffer,
        from: PeerId,
        lacking: Vec<ChunkRanges>,
        input: &Input,
    ) -> Result<(), FetchError> {
        let is_known = offer.targets.contains(&from) && self.view().verdict.is_member(&from);
        if !is_known || from == self.me {
            return Err(FetchError::Stranger);
        }
        let (mut reader, mut writer) = channel(self.open_fetch(&from).await?);
        let fetch = Fetch { push_id: offer.push_id, manifest: offer.manifest };
        writer.send(&PushMessage::Fetch(fetch)).await?;
        let mut left: u64 = lacking.iter().map(ChunkRanges::chunks).sum();
        let last = lacking.len();
        for (index, chunks) in lacking.into_iter().enumerate() {
            let need = ChunkNeed { chunks, is_last: index + 1 == last };
            writer.send(&PushMessage::Need(need)).await?;
        }
        while left > 0 {
            match reader.recv().await? {
                Some(Received::Chunk(head, bytes)) => {
                    left -= 1;
                    if !input.give(&mut Some(Intake::Chunk(head, bytes))).await {
                        break;
                    }
                }
                Some(Received::Message(PushMessage::Stop(problem))) => {
                    return Err(FetchError::Stopped(problem.detail));
                }
                Some(Received::Message(_)) => {}
                None => return Err(FetchError::Stopped("it ended".to_owned())),
            }
        }
        writer.finish();
        Ok(())
    }

    /// Opens a stream to another target. Portions may be small and their streams many: the places of those that have just
    /// ended are free in a moment, and whoever is given up for the want of one serves nothing more of the push.
    async fn open_fetch(&self, from: &PeerId) -> Result<LinkStream, OpenStreamError> {
        let Ok(_turn) = self.pushes.receivers.fetches.try_acquire() else {
            return self.open_stream(from, &StreamUse::Push).await;
        };
        let opening = async {
            loop {
                match self.open_stream(from, &StreamUse::Push).await {
                    Err(OpenStreamError::TooMany) => tokio::time::sleep(OPEN_AGAIN_AFTER).await,
                    opened => return opened,
                }
            }
        };
        let opened = tokio::time::timeout(OPEN_WAIT, opening).await;
        opened.unwrap_or(Err(OpenStreamError::TooMany))
    }
}

//! Streams that members open: what each is for, and who takes it.

use std::sync::Arc;

use mesh_protocol::{GitService, PeerId, PushId, RootName};
use mesh_transport::{IncomingStream, LinkStream, OpenStreamError, StreamReceiver};
use serde::{Deserialize, Serialize};

use crate::shared::Shared;

/// What a stream is for: its head, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "use", rename_all = "snake_case")]
pub(crate) enum StreamUse {
    /// The messages of a push.
    Push,
    /// Files of the taker's, which it is to push to the one who asks.
    Pull {
        /// The push that is to bring them.
        push_id: PushId,
        /// The root that they are in.
        root: RootName,
        /// Where in it; the whole root when it is empty.
        path: String,
    },
    /// Git's own protocol, with one of its services.
    Git {
        /// The repository's name.
        repository: String,
        /// What git is to do there.
        service: GitService,
    },
}

impl Shared {
    /// Takes the streams that a member opens, as long as its link lives.
    pub(crate) async fn take_streams(self: Arc<Self>, peer: PeerId, mut streams: StreamReceiver) {
        while let Some(stream) = streams.next().await {
            self.take_stream(peer, stream);
        }
    }

    fn take_stream(self: &Arc<Self>, peer: PeerId, stream: IncomingStream) {
        if !self.view().verdict.is_member(&peer) {
            stream.refuse("not a member of this mesh");
            return;
        }
        let shared = Arc::clone(self);
        match serde_json::from_slice(stream.head()) {
            Ok(StreamUse::Push) => self.tasks.spawn(shared.receive_push(peer, stream.accept())),
            Ok(StreamUse::Pull { push_id, root, path }) => {
                self.tasks.spawn(shared.serve_pull(peer, (push_id, root, path), stream));
            }
            Ok(StreamUse::Git { repository, service }) => {
                self.serve_git(peer, &repository, service, stream);
            }
            Err(_) => stream.refuse("what the stream is for is not known here"),
        }
    }

    /// Opens a stream to a member that there is a link with.
    pub(crate) async fn open_stream(
        &self,
        peer: &PeerId,
        what: &StreamUse,
    ) -> Result<LinkStream, OpenStreamError> {
        let entry = self.link(peer).ok_or(OpenStreamError::Closed)?;
        // A structure of plain words always has a form in JSON.
        let head = serde_json::to_vec(what).unwrap_or_default();
        entry.sender.open_stream(head.into()).await
    }
}

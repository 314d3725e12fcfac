//! What can be asked of the writer.

use futures_util::future::BoxFuture;
use mesh_protocol::MessageId;
use tokio::sync::oneshot;

use crate::inbox::{InboxOutcome, NewInbox};
use crate::outbox::NewOutbox;
use crate::writer::plan::Outcome;
use crate::writer::{Desk, State};
use crate::{StoreConfig, StoreError};

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A rare operation: runs its own transaction and answers its caller.
pub(crate) type Job = Box<dyn for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, ()> + Send>;

/// A frequent operation, merged with its neighbours.
pub(crate) enum HotOp {
    Append { rows: Vec<NewOutbox>, reply: Reply<Vec<u64>> },
    Inbox { rows: Vec<NewInbox>, reply: Reply<Vec<InboxOutcome>> },
    Ack { ids: Vec<MessageId>, reply: Reply<u64> },
}

impl HotOp {
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Append { rows, .. } => rows.len(),
            Self::Inbox { rows, .. } => rows.len(),
            Self::Ack { ids, .. } => ids.len(),
        }
    }

    pub(super) fn body_bytes(&self) -> usize {
        match self {
            Self::Append { rows, .. } => rows.iter().map(|row| row.body.len()).sum(),
            Self::Inbox { rows, .. } => rows.iter().map(|row| row.body.len()).sum(),
            Self::Ack { .. } => 0,
        }
    }

    /// Whether the inbox surely has room for it beside `planned` messages and bytes.
    pub(super) fn fits_inbox(
        &self,
        state: &State,
        config: &StoreConfig,
        planned: (u64, u64),
    ) -> bool {
        match self {
            Self::Append { .. } | Self::Ack { .. } => true,
            Self::Inbox { .. } => {
                let (messages, bytes) = self.inbox_load();
                state.has_inbox_room(config, planned.0 + messages, planned.1 + bytes)
            }
        }
    }

    pub(super) fn inbox_load(&self) -> (u64, u64) {
        match self {
            Self::Append { .. } | Self::Ack { .. } => (0, 0),
            Self::Inbox { rows, .. } => (rows.len() as u64, self.body_bytes() as u64),
        }
    }

    pub(super) fn fail(self, error: StoreError) {
        // A caller that went away has no use for the answer.
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error))),
            Self::Inbox { reply, .. } => drop(reply.send(Err(error))),
            Self::Ack { reply, .. } => drop(reply.send(Err(error))),
        }
    }

    pub(super) fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Append { reply, .. }, Outcome::Appended(sequences)) => {
                drop(reply.send(Ok(sequences)));
            }
            (Self::Inbox { reply, .. }, Outcome::Inbox(outcomes)) => drop(reply.send(Ok(outcomes))),
            (Self::Ack { reply, .. }, Outcome::Acked(count)) => drop(reply.send(Ok(count))),
            (op, Outcome::Appended(_) | Outcome::Inbox(_) | Outcome::Acked(_)) => {
                op.fail(StoreError::Malformed { what: "answer" });
            }
        }
    }
}

/// What waits in the writer's queue.
pub(crate) enum Op {
    Hot(HotOp),
    Alone(Job),
    Flush(Reply<()>),
    Close(Reply<()>),
}

//! From the inbox to the application. Each subscriber reads the inbox at its own pace from its own
//! position, so a slow one buffers nothing and holds nobody up.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};

use mesh_protocol::{ErrorCode, MeshMessage, MessageId, Payload, PeerId, UnixMillis};
use mesh_store::{InboxQuery, InboxRow, StoreError};
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::error::{NodeError, chain};
use crate::send::app_type_of;
use crate::shared::{Shared, lock};

/// Live messages that wait for one subscriber; more are refused with `queue_full`.
const LIVE_QUEUE_MAX: usize = 1024;

/// Messages read from the inbox at a time.
const READ_AHEAD: usize = 64;

/// How long a subscriber waits after the database refused.
const READ_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Which messages a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    Everything,
    /// Custom JSON of one application type.
    AppType(String),
}

impl Filter {
    fn matches(&self, payload: &Payload) -> bool {
        match self {
            Self::Everything => true,
            Self::AppType(wanted) => match payload {
                Payload::CustomJson(custom) => custom.app_type == *wanted,
                Payload::DatabaseSync(_)
                | Payload::FileTransfer(_)
                | Payload::MediaStream(_)
                | Payload::ConfigUpdate(_)
                | Payload::Ping(_)
                | Payload::Pong(_)
                | Payload::Ack(_)
                | Payload::Error(_)
                | Payload::Unknown(_) => false,
            },
        }
    }

    fn app_type(&self) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::AppType(app_type) => Some(app_type.clone()),
        }
    }
}

/// A message handed to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: MeshMessage,
    /// The sender's label; its peer id when it is no member any more.
    pub from_hostname: String,
    /// When it was committed, or handed over when it is live.
    pub received_at: UnixMillis,
    /// Live messages are not in the inbox and need no acknowledgement.
    pub is_live: bool,
    /// Members that it came through, in order; nobody for a link.
    pub via: Vec<PeerId>,
}

/// Who wants live messages.
#[derive(Debug, Default)]
pub(crate) struct LiveSubscribers {
    subscribers: Mutex<Vec<(Filter, mpsc::Sender<Received>)>>,
}

impl LiveSubscribers {
    fn subscribe(&self, filter: Filter) -> mpsc::Receiver<Received> {
        let (sender, receiver) = mpsc::channel(LIVE_QUEUE_MAX);
        let mut subscribers = lock(&self.subscribers);
        subscribers.retain(|(_, sender)| !sender.is_closed());
        subscribers.push((filter, sender));
        receiver
    }

    /// Hands `received` to everybody who wants it and has room.
    ///
    /// # Errors
    /// `not_found` when nobody wants it, `queue_full` when nobody has room.
    pub(crate) fn hand_over(&self, received: Received) -> Result<(), ErrorCode> {
        let mut result = Err(ErrorCode::NotFound);
        let mut subscribers = lock(&self.subscribers);
        subscribers.retain(|(_, sender)| !sender.is_closed());
        let mut wanting = subscribers
            .iter()
            .filter(|(filter, _)| filter.matches(&received.message.payload))
            .peekable();
        while let Some((_, sender)) = wanting.next() {
            if wanting.peek().is_none() {
                // The last one takes the message itself: one subscriber costs no copy.
                return match sender.try_send(received) {
                    Ok(()) => Ok(()),
                    Err(_) if result.is_ok() => Ok(()),
                    Err(_) => Err(ErrorCode::QueueFull),
                };
            }
            match sender.try_send(received.clone()) {
                Ok(()) => result = Ok(()),
                Err(_) if result.is_ok() => {}
                Err(_) => result = Err(ErrorCode::QueueFull),
            }
        }
        result
    }
}

/// Messages for one reader, oldest first: what is in the inbox, then what arrives.
///
/// Durable messages stay in the inbox, also over a restart, until [`Subscription::ack`].
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    filter: Filter,
    /// Inbox position behind which this subscriber reads on.
    position: i64,
    /// Whether the inbox may hold more behind the position than the head says: at first, and until a
    /// read comes back empty.
    is_behind: bool,
    buffered: VecDeque<Received>,
    live: mpsc::Receiver<Received>,
    head: watch::Receiver<i64>,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, filter: Filter) -> Self {
        let live = shared.live.subscribe(filter.clone());
        let head = shared.inbox_head.subscribe();
        Self { shared, filter, position: 0, is_behind: true, buffered: VecDeque::new(), live, head }
    }

    /// The next message; waits for one. None when the node has stopped.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            if let Some(received) = self.buffered.pop_front() {
                return Some(received);
            }
            if let Ok(received) = self.live.try_recv() {
                return Some(received);
            }
            let head = *self.head.borrow_and_update();
            let mut retry_at = None;
            if self.is_behind || head > self.position {
                match self.read_ahead(head).await {
                    Ok(()) => continue,
                    Err(error) => {
                        Shared::log_failure("the inbox cannot be read", &error);
                        retry_at = Some(clock::now().instant + READ_RETRY);
                    }
                }
            }
            let shutdown = self.shared.tasks.shutdown().clone();
            tokio::select! {
                () = shutdown.cancelled() => return None,
                changed = self.head.changed() => changed.ok()?,
                Some(received) = self.live.recv() => return Some(received),
                () = clock::sleep_until(retry_at) => {}
            }
        }
    }

    async fn read_ahead(&mut self, head: i64) -> Result<(), StoreError> {
        let query = InboxQuery {
            after_id: Some(self.position),
            app_type: self.filter.app_type(),
            from: None,
            limit: READ_AHEAD,
            unacked_only: true,
        };
        let rows = self.shared.store.list_inbox(query).await?;
        // An answer may also end early because of its size, so only an empty one is the end.
        self.is_behind = !rows.is_empty();
        for row in rows {
            self.position = row.inbox_id;
            if let Some(received) = self.shared.received(row) {
                self.buffered.push_back(received);
            }
        }
        if !self.is_behind {
            // Whatever else was committed up to the head is not for this subscriber.
            self.position = self.position.max(head);
        }
        Ok(())
    }

    /// Says that a message was dealt with: it leaves the inbox and is not handed out again.
    ///
    /// # Errors
    /// `storage_error`; the message is still in the inbox.
    pub async fn ack(&self, message_id: MessageId) -> Result<(), NodeError> {
        self.shared.store.ack_inbox(vec![message_id]).await.map_err(NodeError::storage)?;
        Ok(())
    }
}

impl Shared {
    /// Reads a row of the inbox; a damaged one is logged and skipped.
    pub(crate) fn received(&self, row: InboxRow) -> Option<Received> {
        match MeshMessage::decode(&row.body) {
            Ok(message) => Some(Received {
                from_hostname: self.view().label(&message.from),
                received_at: row.received_at,
                is_live: false,
                via: row.via,
                message,
            }),
            Err(error) => {
                tracing::error!(message_id = %row.message_id, %error, "a message in the inbox cannot be read");
                None
            }
        }
    }

    /// Runs `handler` for every message, one after the other, each in a task of its own: a panic
    /// costs that message, not the handler. A message is acknowledged when its handler returns true.
    pub(crate) async fn run_handler<F, H>(self: Arc<Self>, filter: Filter, handler: F)
    where
        F: Fn(Received) -> H + Send + Sync + 'static,
        H: Future<Output = bool> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let mut subscription = Subscription::new(Arc::clone(&self), filter);
        while let Some(received) = subscription.next().await {
            let message_id = received.message.message_id;
            let app_type = app_type_of(&received.message.payload);
            let is_live = received.is_live;
            let (handler, shared) = (Arc::clone(&handler), Arc::clone(&self));
            let stopped = self.tasks.shutdown().clone();
            let handled = self.tasks.spawn_handler(async move {
                // Called in here as well: it may panic before it has a future to return.
                let handled = stopped.run_until_cancelled(async { handler(received).await }).await;
                // What was dealt with is acknowledged even when the node stops at this moment.
                if handled == Some(true) && !is_live {
                    shared.ack_handled(message_id).await;
                }
            });
            if let Err(error) = handled.await {
                tracing::error!(%message_id, app_type, %error, "a message handler failed; the message stays in the inbox");
            }
        }
    }

    async fn ack_handled(&self, message_id: MessageId) {
        if let Err(error) = self.store.ack_inbox(vec![message_id]).await {
            tracing::warn!(%message_id, error = %chain(&error), "a handled message could not be acknowledged");
        }
    }
}

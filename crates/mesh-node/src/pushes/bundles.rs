//! Pushes that travel in one message: what comes out of the inbox, and what goes back.
//!
//! A push that came is kept as a file before its message leaves the inbox (`kept.rs`), and then offered to this node's own
//! receiver as a stream would offer it (`offering.rs`). It is forgotten when the replies are in the outbox.

mod kept;
mod offering;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_files::{
    BundleError, BundleKind, BundleReader, FoundBundle, decode_replies, encode_replies,
    from_transfer, to_transfer,
};
use mesh_protocol::{
    ErrorCode, FileTransfer, MESSAGE_TTL_MILLIS_MAX, MeshMessage, Payload, PeerId, PushAnswer,
    PushId, PushMessage, PushProblem, PushReason,
};
use mesh_store::InboxQuery;
use tokio::sync::mpsc;

use super::notices::{APP_TYPE, is_cancel_of};
use super::roots::problem;
use crate::error::NodeError;
use crate::outgoing::{Outgoing, Target};
use crate::shared::{Shared, lock};

pub(crate) use kept::Kept;
use offering::Offering;

/// Pushes in messages that are kept at once, most of them because they wait for approval. Each has at most 1 MiB.
const KEPT_MAX: usize = 128;
/// How many of them may be one member's.
const KEPT_OF_ONE_MAX: usize = 32;

/// The pushes that came in a message and are not over.
#[derive(Debug, Default)]
pub(crate) struct Bundles(Mutex<BTreeMap<PushId, Live>>);

#[derive(Debug)]
struct Live {
    by: PeerId,
    stops: mpsc::UnboundedSender<PushProblem>,
}

/// What there is to say to a push that came.
enum Place {
    Free,
    /// It is offered already.
    Same,
    /// Somebody else's push has this id.
    Other,
    Full,
}

impl Bundles {
    fn place(&self, push_id: PushId, by: PeerId) -> Place {
        let live = lock(&self.0);
        let of_one = live.values().filter(|push| push.by == by).count();
        match live.get(&push_id) {
            Some(known) if known.by == by => Place::Same,
            Some(_) => Place::Other,
            None if live.len() >= KEPT_MAX || of_one >= KEPT_OF_ONE_MAX => Place::Full,
            None => Place::Free,
        }
    }

    /// Its sender has given a push up.
    pub(super) fn stop(&self, push_id: PushId, by: PeerId) {
        let live = lock(&self.0);
        if let Some(push) = live.get(&push_id).filter(|push| push.by == by) {
            // One that has ended meanwhile has nothing to stop.
            let _ended = push.stops.send(given_up());
        }
    }
}

impl Shared {
    /// Takes a message about a push out of the inbox. Says whether it was dealt with.
    pub(super) async fn take_transfer(
        self: &Arc<Self>,
        from: PeerId,
        transfer: &FileTransfer,
    ) -> bool {
        match from_transfer(transfer) {
            Ok(Some(FoundBundle { push_id, kind: BundleKind::Push, bytes })) => {
                self.take_bundle(from, push_id, bytes).await
            }
            Ok(Some(FoundBundle { push_id, kind: BundleKind::Replies, bytes })) => {
                match decode_replies(bytes) {
                    Ok(replies) => self.push_replied(push_id, from, replies).await,
                    Err(error) => {
                        tracing::debug!(%push_id, peer = %from.short(), %error, "replies to a push cannot be read");
                        true
                    }
                }
            }
            // An application's own.
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(peer = %from.short(), %error, "a push in a message is damaged");
                true
            }
        }
    }

    async fn take_bundle(self: &Arc<Self>, from: PeerId, push_id: PushId, bytes: &[u8]) -> bool {
        let refusal = match check(from, push_id, bytes) {
            Err(problem) => Some(problem),
            Ok(()) => match self.pushes.bundles.place(push_id, from) {
                Place::Free if self.is_given_up(push_id, from).await => Some(given_up()),
                Place::Free => None,
                // Whoever offers it says what there is to say.
                Place::Same => return true,
                Place::Other => {
                    Some(problem(PushReason::ManifestInvalid, "another push has this id"))
                }
                Place::Full => Some(problem(PushReason::Busy, "too many pushes wait")),
            },
        };
        if let Some(problem) = refusal {
            return self.refuse_bundle(from, push_id, problem).await;
        }
        let (data_dir, bundle) = (self.data_dir.path().to_owned(), bytes.to_vec());
        let saving =
            tokio::task::spawn_blocking(move || Kept::Received.save(&data_dir, push_id, &bundle));
        match saving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let detail = format!("the push cannot be kept: {error}");
                return self.refuse_bundle(from, push_id, problem(PushReason::Busy, detail)).await;
            }
            Err(_) => return false,
        }
        self.start_offering(push_id, from);
        true
    }

    /// Whether its sender's last word is there already: whoever was away gets both at once.
    async fn is_given_up(&self, push_id: PushId, by: PeerId) -> bool {
        let query = InboxQuery {
            app_type: Some(APP_TYPE.to_owned()),
            from: Some(by),
            ..InboxQuery::default()
        };
        let rows = self.store.list_inbox(query).await.unwrap_or_default();
        let messages = rows.iter().filter_map(|row| MeshMessage::decode(&row.body).ok());
        messages.into_iter().any(|message| is_cancel_of(&message, push_id))
    }

    async fn refuse_bundle(
        self: &Arc<Self>,
        to: PeerId,
        push_id: PushId,
        problem: PushProblem,
    ) -> bool {
        let answer = PushMessage::Answer(PushAnswer::Refused(problem));
        match self.send_replies(to, push_id, &[answer]).await {
            Ok(()) => true,
            Err(error) => is_nobody(&error),
        }
    }

    fn start_offering(self: &Arc<Self>, push_id: PushId, by: PeerId) {
        let (stops, stopped) = mpsc::unbounded_channel();
        lock(&self.pushes.bundles.0).insert(push_id, Live { by, stops });
        let offering = Offering::new(Arc::clone(self), push_id, by, stopped);
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            offering.run().await;
            lock(&shared.pushes.bundles.0).remove(&push_id);
        });
    }

    /// Goes on with what had left the inbox and was not over when the node stopped.
    pub(super) async fn resume_bundles(self: &Arc<Self>) {
        let data_dir = self.data_dir.path().to_owned();
        let reading = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            for push_id in Kept::Received.list(&data_dir)? {
                let bundle = Kept::Received.load(&data_dir, push_id)?;
                match sender_of(&bundle) {
                    Some(by) => found.push((push_id, by)),
                    None => Kept::Received.remove(&data_dir, push_id)?,
                }
            }
            Ok::<_, std::io::Error>(found)
        });
        match reading.await {
            Ok(Ok(found)) => {
                found.into_iter().for_each(|(push_id, by)| self.start_offering(push_id, by));
            }
            Ok(Err(error)) => {
                Self::log_failure("pushes that came in messages cannot be read", &error)
            }
            Err(_) => {}
        }
    }

    /// Says what a target says. Committed when this returns.
    async fn send_replies(
        self: &Arc<Self>,
        to: PeerId,
        push_id: PushId,
        replies: &[PushMessage],
    ) -> Result<(), NodeError> {
        let bytes = encode_replies(replies)
            .map_err(|error| NodeError::new(ErrorCode::Internal, error.to_string()))?;
        let payload = Payload::FileTransfer(to_transfer(push_id, BundleKind::Replies, bytes));
        let ttl = Duration::from_millis(MESSAGE_TTL_MILLIS_MAX);
        self.send(Outgoing { ttl, ..Outgoing::new(Target::Peer(to), payload) }).await.map(|_| ())
    }
}

fn given_up() -> PushProblem {
    problem(PushReason::Cancelled, "the sender gave it up")
}

/// Whether there is nobody to be told any more, or nothing to tell.
fn is_nobody(error: &NodeError) -> bool {
    matches!(error.code, ErrorCode::UnknownPeer | ErrorCode::NotAMember | ErrorCode::Internal)
}

/// Whether a bundle is whole, and of the one who sends it.
fn check(from: PeerId, push_id: PushId, bytes: &[u8]) -> Result<(), PushProblem> {
    let read = || {
        let mut messages = BundleReader::new(bytes)?;
        let first = messages.next().transpose()?;
        messages.try_for_each(|message| message.map(|_| ()))?;
        Ok(first)
    };
    match read() {
        Ok(Some(PushMessage::Offer(offer))) if offer.push_id != push_id => {
            Err(problem(PushReason::ManifestInvalid, "the message is about another push"))
        }
        Ok(Some(PushMessage::Offer(offer))) if offer.by != from => {
            Err(problem(PushReason::NotAMember, "who offers is not who pushes"))
        }
        Ok(Some(PushMessage::Offer(_))) => Ok(()),
        Ok(_) => Err(problem(PushReason::ManifestInvalid, "a push begins with an offer")),
        Err(error) => {
            let error: BundleError = error;
            Err(problem(error.reason(), error.to_string()))
        }
    }
}

fn sender_of(bundle: &[u8]) -> Option<PeerId> {
    match BundleReader::new(bundle).ok()?.next()? {
        Ok(PushMessage::Offer(offer)) => Some(offer.by),
        Ok(_) | Err(_) => None,
    }
}

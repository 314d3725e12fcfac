//! A link that is up, and what waits for its answers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mesh_delivery::Now;
use mesh_protocol::{ErrorCode, Frame, LinkPing, LiveResult, PeerId, UnixMillis};
use mesh_transport::{Lane, Link, LinkSender};
use tokio::sync::oneshot;

use crate::clock;
use crate::config::LINK_AGE_MAX;
use crate::shared::lock;

/// Answers that one link may owe at a time; more requests are refused with `queue_full`.
const PENDING_MAX: usize = 4096;

/// The answer to a ping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PongSeen {
    pub(crate) rtt: Duration,
    /// The peer's clock when it answered.
    pub(crate) peer_clock: UnixMillis,
}

#[derive(Debug)]
struct PendingPing {
    sent_at: Instant,
    /// None for a heartbeat, which nobody waits for.
    answer: Option<oneshot::Sender<PongSeen>>,
}

/// A link that is up.
#[derive(Debug)]
pub(crate) struct LinkEntry {
    /// Tells two links of one peer apart.
    pub(crate) id: u64,
    pub(crate) peer: PeerId,
    pub(crate) sender: LinkSender,
    pub(super) link: Link,
    up_since: Instant,
    /// Latest round trip, microseconds; 0 when there was none yet.
    rtt_micros: AtomicU64,
    /// Unix milliseconds of the latest frame that proves the peer alive.
    last_seen_at: AtomicU64,
    /// Whether both sides have the same membership records, as far as this side knows.
    pub(crate) is_in_step: AtomicBool,
    /// Whether the peer is owed records that its queue had no room for.
    pub(crate) is_owed_records: AtomicBool,
    /// Whether this side has said which records it has since the last heartbeat, so that two sides
    /// that refuse records of each other do not ask for ever.
    has_shown_records: AtomicBool,
    /// Probes of the peer that are being answered.
    pub(crate) probes: AtomicUsize,
    /// Records that the peer lacked and was sent over this link.
    pub(crate) records_given: AtomicU64,
    /// How often the peer has said what its tables have.
    pub(crate) haves_heard: AtomicU64,
    /// Statements of what the tables here have that wait for room.
    pub(crate) haves_waiting: AtomicUsize,
    pings: Mutex<BTreeMap<u64, PendingPing>>,
    lives: Mutex<BTreeMap<u64, oneshot::Sender<LiveResult>>>,
}

impl LinkEntry {
    pub(super) fn new(id: u64, link: Link, is_in_step: bool, now: Now) -> Self {
        Self {
            id,
            peer: link.peer(),
            sender: link.sender(),
            link,
            rtt_micros: AtomicU64::new(0),
            up_since: now.instant,
            last_seen_at: AtomicU64::new(now.wall.0),
            is_in_step: AtomicBool::new(is_in_step),
            is_owed_records: AtomicBool::new(false),
            has_shown_records: AtomicBool::new(false),
            probes: AtomicUsize::new(0),
            records_given: AtomicU64::new(0),
            haves_heard: AtomicU64::new(0),
            haves_waiting: AtomicUsize::new(0),
            pings: Mutex::default(),
            lives: Mutex::default(),
        }
    }

    /// Whether this side may say which records it has; once until [`LinkEntry::rest`].
    pub(crate) fn may_show_records(&self) -> bool {
        !self.has_shown_records.swap(true, Ordering::Relaxed)
    }

    /// A heartbeat has passed.
    pub(super) fn rest(&self) {
        self.has_shown_records.store(false, Ordering::Relaxed);
    }

    /// Whether this side should dial anew, so that a fresh link yields a fresh secret of the pair.
    pub(crate) fn is_worn(&self, now: Instant) -> bool {
        self.link.is_dialled() && now.saturating_duration_since(self.up_since) >= LINK_AGE_MAX
    }

    /// Whether this side opened the link.
    pub(crate) fn is_dialled(&self) -> bool {
        self.link.is_dialled()
    }

    /// Bytes of frames that were sent and received over this link.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.link.bytes_sent(), self.link.bytes_received())
    }

    /// Waits until the link is over.
    pub(crate) async fn closed(&self) {
        self.link.closed().await;
    }

    pub(crate) fn close(&self) {
        self.link.close();
    }

    /// Latest round trip.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        match self.rtt_micros.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    pub(crate) fn last_seen_at(&self) -> UnixMillis {
        UnixMillis(self.last_seen_at.load(Ordering::Relaxed))
    }

    pub(super) fn touch(&self, now: UnixMillis) {
        self.last_seen_at.store(now.0, Ordering::Relaxed);
    }

    /// Sends a ping; `answer` hears of the pong.
    pub(crate) fn ping(&self, answer: Option<oneshot::Sender<PongSeen>>) -> Result<(), ErrorCode> {
        let now = clock::now();
        let nonce = clock::random_u64();
        {
            let mut pings = lock(&self.pings);
            // Nobody waits for these any more; a peer that never answers must not make them pile up.
            pings.retain(|_, ping| ping.answer.as_ref().is_some_and(|answer| !answer.is_closed()));
            if pings.len() >= PENDING_MAX {
                return Err(ErrorCode::QueueFull);
            }
            pings.insert(nonce, PendingPing { sent_at: now.instant, answer });
        }
        let frame = Frame::Ping(LinkPing { nonce, sent_at: now.wall.0 });
        self.sender.try_send(Lane::Urgent, &frame).map_err(|_| ErrorCode::PeerUnreachable)
    }

    /// One round trip.
    pub(crate) async fn ping_and_wait(&self, timeout: Duration) -> Result<PongSeen, ErrorCode> {
        let (answer, pong) = oneshot::channel();
        self.ping(Some(answer))?;
        match tokio::time::timeout(timeout, pong).await {
            Ok(Ok(pong)) => Ok(pong),
            Ok(Err(_)) => Err(ErrorCode::PeerUnreachable),
            Err(_) => Err(ErrorCode::TimedOut),
        }
    }

    /// Takes the answer of a ping in and says how long it took; none when there was no such ping.
    pub(super) fn pong(&self, pong: LinkPing) -> Option<Duration> {
        let ping = lock(&self.pings).remove(&pong.nonce)?;
        let rtt = clock::now().instant.saturating_duration_since(ping.sent_at);
        let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX).max(1);
        self.rtt_micros.store(micros, Ordering::Relaxed);
        if let Some(answer) = ping.answer {
            let _gone = answer.send(PongSeen { rtt, peer_clock: UnixMillis(pong.sent_at) });
        }
        Some(rtt)
    }

    /// Waits for the result of a live message.
    pub(crate) fn expect_live(
        &self,
        request_id: u64,
    ) -> Result<oneshot::Receiver<LiveResult>, ErrorCode> {
        let (answer, receiver) = oneshot::channel();
        let mut lives = lock(&self.lives);
        if lives.len() >= PENDING_MAX {
            lives.retain(|_, answer| !answer.is_closed());
        }
        if lives.len() >= PENDING_MAX {
            return Err(ErrorCode::QueueFull);
        }
        lives.insert(request_id, answer);
        Ok(receiver)
    }

    pub(super) fn live_result(&self, result: LiveResult) {
        if let Some(answer) = lock(&self.lives).remove(&result.request_id) {
            let _gone = answer.send(result);
        }
    }

    pub(super) fn fail_pending(&self) {
        lock(&self.pings).clear();
        lock(&self.lives).clear();
    }
}

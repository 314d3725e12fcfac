//! What happened on this node: the latest in memory, and a live feed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use mesh_protocol::UnixMillis;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

/// Events kept in memory; older ones are dropped.
const EVENTS_KEPT: usize = 1000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: UnixMillis,
    /// What, as a stable word: `link_up`, `peer_joined`, `message_expired`, …
    pub kind: &'static str,
    /// Everything else, by kind.
    pub fields: Map<String, Value>,
}

/// Keeps the latest events and tells whoever listens. A listener that is too slow misses events;
/// it never holds anybody up.
#[derive(Debug)]
pub(crate) struct Events {
    latest: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Events {
    pub(crate) fn new() -> Self {
        let (live, _) = broadcast::channel(256);
        Self { latest: Mutex::new(VecDeque::new()), live }
    }

    /// Records an event. `detail` is a JSON object; anything else has no fields to show.
    pub(crate) fn emit(&self, at: UnixMillis, kind: &'static str, detail: Value) {
        let fields = if let Value::Object(fields) = detail { fields } else { Map::new() };
        let event = Event { at, kind, fields };
        let shown = Value::Object(event.fields.clone());
        tracing::debug!(kind, fields = %shown, "event");
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() >= EVENTS_KEPT {
            latest.pop_front();
        }
        latest.push_back(event.clone());
        // Sent under the lock, so that `follow` neither misses nor repeats an event.
        let _listeners = self.live.send(event);
    }

    /// The latest `limit` events, oldest first.
    pub(crate) fn latest(&self, limit: usize) -> Vec<Event> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().skip(latest.len().saturating_sub(limit)).cloned().collect()
    }

    /// The latest `limit` events and everything after them.
    pub(crate) fn follow(&self, limit: usize) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.live.subscribe();
        let past = latest.iter().skip(latest.len().saturating_sub(limit)).cloned().collect();
        (past, receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_oldest_events_give_way() {
        let events = Events::new();
        for number in 0..=EVENTS_KEPT {
            events.emit(UnixMillis(0), "tick", json!({ "number": number }));
        }
        let kept = events.latest(usize::MAX);
        assert_eq!(kept.len(), EVENTS_KEPT);
        assert_eq!(kept[0].fields["number"], 1);
    }

    #[test]
    fn a_follower_sees_the_past_and_then_the_present_without_a_gap() {
        let events = Events::new();
        events.emit(UnixMillis(1), "first", json!({}));
        let (past, mut live) = events.follow(10);
        events.emit(UnixMillis(2), "second", json!({}));
        assert_eq!(past.len(), 1);
        assert_eq!(live.try_recv().unwrap().kind, "second");
    }
}

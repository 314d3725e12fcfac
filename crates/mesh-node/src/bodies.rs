//! Bodies of outbox messages in memory, so that the way from commit to link does not read the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_delivery::Priority;
use mesh_protocol::UnixMillis;

/// Bodies kept at the most, bytes. What does not fit is read from the database when its turn comes.
const BODIES_BYTES_MAX: usize = 32 << 20;

#[derive(Debug)]
struct Held {
    priority: Priority,
    expires_at: UnixMillis,
    body: Option<Arc<[u8]>>,
}

/// What is known of the messages in the outbox beyond the engine's own facts.
///
/// One small entry per waiting message, so bounded by the outbox; bodies by [`BODIES_BYTES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    held: BTreeMap<u64, Held>,
    bytes: usize,
}

impl Bodies {
    /// Remembers a message; its body too while there is room.
    pub(crate) fn insert(
        &mut self,
        sequence: u64,
        priority: Priority,
        expires_at: UnixMillis,
        body: Option<Arc<[u8]>>,
    ) {
        self.remove(sequence);
        let body = body.filter(|body| self.bytes.saturating_add(body.len()) <= BODIES_BYTES_MAX);
        self.bytes += body.as_ref().map_or(0, |body| body.len());
        self.held.insert(sequence, Held { priority, expires_at, body });
    }

    /// Forgets a message that has come to its end.
    pub(crate) fn remove(&mut self, sequence: u64) {
        if let Some(Held { body: Some(body), .. }) = self.held.remove(&sequence) {
            self.bytes = self.bytes.saturating_sub(body.len());
        }
    }

    /// The bodies of all of `sequences`, or none when one of them is not in memory.
    pub(crate) fn all(&self, sequences: &[u64]) -> Option<Vec<Arc<[u8]>>> {
        sequences.iter().map(|sequence| self.held.get(sequence)?.body.clone()).collect()
    }

    /// When the message expires; the end of time for one that is not known.
    pub(crate) fn expires_at(&self, sequence: u64) -> UnixMillis {
        self.held.get(&sequence).map_or(UnixMillis(u64::MAX), |held| held.expires_at)
    }

    /// The message's lane and expiry; none for a message that has come to its end.
    pub(crate) fn facts(&self, sequence: u64) -> Option<(Priority, UnixMillis)> {
        self.held.get(&sequence).map(|held| (held.priority, held.expires_at))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_beyond_the_bound_are_left_to_the_database() {
        let mut bodies = Bodies::default();
        let large: Arc<[u8]> = vec![0; BODIES_BYTES_MAX].into();
        bodies.insert(1, Priority::Urgent, UnixMillis(9), Some(large));
        bodies.insert(2, Priority::Normal, UnixMillis(9), Some(vec![1].into()));
        assert!(bodies.all(&[1]).is_some());
        assert!(bodies.all(&[1, 2]).is_none());
        assert_eq!(bodies.expires_at(2), UnixMillis(9));
        assert_eq!(bodies.facts(2), Some((Priority::Normal, UnixMillis(9))));
        assert_eq!(bodies.facts(3), None);
        bodies.remove(1);
        bodies.insert(2, Priority::Normal, UnixMillis(9), Some(vec![1].into()));
        assert!(bodies.all(&[2]).is_some());
    }
}

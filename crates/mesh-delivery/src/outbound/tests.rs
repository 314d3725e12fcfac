use std::ops::Range;

use mesh_protocol::{DELIVER_ITEMS_MAX, DeliverOutcome, MessageId};

use super::*;
use crate::Priority;

mod bounds;
mod delivery;
mod failure;
mod receipt;

const ALICE: PeerId = PeerId::from_bytes([1; 32]);
const BOB: PeerId = PeerId::from_bytes([2; 32]);
const STORED: DeliverOutcome = DeliverOutcome::Stored;
const ACKED: End = End::Acked { was_duplicate: false };
const LIFETIME: Duration = Duration::from_secs(3600);

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
fn start() -> Now {
    Now { instant: Instant::now(), wall: UnixMillis(1_800_000_000_000) }
}

/// An engine, its clock, and short words for what a driver does.
struct Desk {
    engine: Outbound,
    now: Now,
}

impl Desk {
    fn new(config: DeliveryConfig) -> Self {
        Self { engine: Outbound::new(config, 42), now: start() }
    }

    /// With a link to Alice and the sequences committed as normal messages for her.
    fn linked(config: DeliveryConfig, sequences: Range<u64>) -> Self {
        let mut desk = Self::new(config);
        desk.input(Input::PeerUp(ALICE));
        desk.commit(sequences.map(|sequence| desk.entry(sequence, ALICE)).collect());
        desk
    }

    fn entry(&self, sequence: u64, to: PeerId) -> Entry {
        Entry {
            sequence,
            message_id: message_id(sequence),
            to,
            priority: Priority::Normal,
            bytes: 100,
            expires_at: self.now.wall.plus(LIFETIME),
            attempts: 0,
        }
    }

    fn input(&mut self, input: Input) {
        self.engine.handle_input(input, self.now);
    }

    fn commit(&mut self, entries: Vec<Entry>) {
        let recipients: Vec<PeerId> = entries.iter().map(|entry| entry.to).collect();
        let reservation = self.engine.reserve(&recipients, 100).unwrap();
        self.input(Input::Committed { reservation, entries });
    }

    fn answer(&mut self, batch_id: u64, outcomes: &[DeliverOutcome]) {
        self.input(Input::BatchAnswered { batch_id, outcomes: outcomes.to_vec() });
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall = self.now.wall.plus(time);
        self.engine.handle_timeout(self.now);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    /// The one batch that the engine wants sent, and nothing else.
    fn batch(&mut self) -> (u64, Vec<u64>) {
        match self.outputs().as_slice() {
            [Output::SendBatch { batch_id, sequences, .. }] => (*batch_id, sequences.clone()),
            other => panic!("one batch was expected: {other:?}"),
        }
    }

    /// The batches among the outputs, and the others.
    fn batches_and_rest(&mut self) -> (Vec<(u64, Vec<u64>)>, Vec<Output>) {
        let mut batches = Vec::new();
        let mut rest = Vec::new();
        for output in self.outputs() {
            match output {
                Output::SendBatch { batch_id, sequences, .. } => {
                    batches.push((batch_id, sequences))
                }
                other @ (Output::Finished { .. } | Output::RetryScheduled { .. }) => {
                    rest.push(other);
                }
            }
        }
        (batches, rest)
    }

    fn states(&self) -> Vec<(u64, WaitingState)> {
        self.engine.waiting().map(|view| (view.sequence, view.state)).collect()
    }

    /// Whether the engine has forgotten everything that a message can leave behind.
    fn is_bare(&self) -> bool {
        let engine = &self.engine;
        let stats = engine.stats();
        engine.entries.is_empty()
            && engine.lanes.is_empty()
            && engine.batches.is_empty()
            && engine.settled.is_empty()
            && engine.expiries.is_empty()
            && engine.timers.is_empty()
            && engine.touched.is_empty()
            && stats.messages == 0
            && stats.bytes == 0
            && stats.reserved_messages == 0
            && stats.reserved_bytes == 0
            && stats.peers.is_empty()
            && engine.poll_timeout().is_none()
    }
}

fn message_id(sequence: u64) -> MessageId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&sequence.to_be_bytes());
    MessageId::from_bytes(bytes)
}

fn finished(sequence: u64, to: PeerId, end: End) -> Output {
    Output::Finished { sequence, message_id: message_id(sequence), to, end }
}

fn retry(sequence: u64, attempts: u32, reason: Option<ErrorCode>) -> Output {
    Output::RetryScheduled { sequence, peer: ALICE, attempts, reason }
}

use std::time::Duration;

use mesh_protocol::{DeliverOutcome, ErrorCode};

use super::*;

const ALICE: PeerId = id(100);
const BOB: PeerId = id(101);
const STORED: DeliverOutcome = DeliverOutcome::Stored;
const QUEUE_FULL: DeliverOutcome = DeliverOutcome::Deferred(ErrorCode::QueueFull);

const fn id(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
fn some_instant() -> Instant {
    Instant::now()
}

/// The members 1 to 9 in the order in which they keep messages for a receiver.
fn order_of(receiver: PeerId) -> Vec<PeerId> {
    let mut members: Vec<PeerId> = (1..10).map(id).collect();
    members.sort_by_key(|peer| crate::mix::mix(&receiver, peer));
    members
}

/// An offer, as the driver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    custodian: PeerId,
    request_id: u64,
    to: PeerId,
    sequences: Vec<u64>,
}

/// An engine, its clock, and short words for what a driver does.
struct Desk {
    engine: Handover,
    now: Instant,
}

impl Desk {
    /// Without links.
    fn new(config: HandoverConfig) -> Self {
        Self { engine: Handover::new(config), now: some_instant() }
    }

    /// With links to the members 1 to 9.
    fn linked(config: HandoverConfig) -> Self {
        let mut desk = Self::new(config);
        for peer in 1..10 {
            desk.input(HandoverInput::CustodianUp(id(peer)));
        }
        desk
    }

    /// With messages of 100 bytes for Alice that are offered at once.
    fn with_messages(config: HandoverConfig, sequences: std::ops::Range<u64>) -> Self {
        let mut desk = Self::linked(config);
        for sequence in sequences {
            desk.wait(sequence, ALICE);
        }
        desk.pass(Duration::from_secs(1));
        desk
    }

    fn input(&mut self, input: HandoverInput) {
        self.engine.handle_input(input, self.now);
    }

    fn wait(&mut self, sequence: u64, to: PeerId) {
        self.input(HandoverInput::Waiting { sequence, to, bytes: 100 });
    }

    fn answer(&mut self, offer: &Seen, outcomes: &[DeliverOutcome]) {
        let Seen { custodian, request_id, .. } = *offer;
        let outcomes = outcomes.to_vec();
        self.input(HandoverInput::Answered { custodian, request_id, outcomes });
    }

    fn keep(&mut self, offer: &Seen) {
        self.answer(offer, &vec![STORED; offer.sequences.len()]);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.handle_timeout(self.now);
    }

    fn offers(&mut self) -> Vec<Seen> {
        let outputs = std::iter::from_fn(|| self.engine.poll_output());
        let seen = outputs.map(|HandoverOutput::Offer { custodian, request_id, to, sequences }| {
            Seen { custodian, request_id, to, sequences }
        });
        seen.collect()
    }

    /// The custodians of the offers that come out, sorted.
    fn asked(&mut self) -> Vec<PeerId> {
        sorted(self.offers().iter().map(|offer| offer.custodian))
    }

    fn is_bare(&self) -> bool {
        let engine = &self.engine;
        engine.messages.is_empty()
            && engine.receivers.is_empty()
            && engine.queues.is_empty()
            && engine.under_way.is_empty()
            && engine.offers.is_empty()
            && engine.timers.is_empty()
            && engine.touched.is_empty()
    }
}

fn sorted(peers: impl IntoIterator<Item = PeerId>) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = peers.into_iter().collect();
    peers.sort_unstable();
    peers
}

fn first_of(receiver: PeerId, count: usize) -> Vec<PeerId> {
    sorted(order_of(receiver).into_iter().take(count))
}

#[test]
fn messages_of_one_receiver_go_to_the_first_of_its_order_oldest_first() {
    let mut desk = Desk::linked(HandoverConfig::default());
    for sequence in [3, 1, 2] {
        desk.wait(sequence, ALICE);
    }
    desk.wait(4, BOB);
    desk.pass(Duration::from_secs(1) - Duration::from_nanos(1));
    assert_eq!(desk.offers(), []);
    desk.pass(Duration::from_nanos(1));
    let offers = desk.offers();
    let of = |to: PeerId| offers.iter().filter(move |offer| offer.to == to);
    assert_eq!(sorted(of(ALICE).map(|offer| offer.custodian)), first_of(ALICE, 2));
    assert_eq!(sorted(of(BOB).map(|offer| offer.custodian)), first_of(BOB, 2));
    assert!(of(ALICE).all(|offer| offer.sequences == [1, 2, 3]));
    for offer in &offers {
        desk.keep(offer);
    }
    assert_eq!(desk.engine.custodians_of(1), first_of(ALICE, 2));
    assert_eq!(desk.offers(), []);
    assert_eq!(desk.engine.poll_timeout(), None);
    for sequence in 1..5 {
        desk.input(HandoverInput::Ended { sequence });
    }
    assert_eq!(desk.engine.custodians_of(1), []);
    assert!(desk.is_bare());
}

#[test]
fn nothing_is_offered_for_a_receiver_in_reach() {
    let mut desk = Desk::linked(HandoverConfig::default());
    desk.input(HandoverInput::ReceiverUp(ALICE));
    desk.wait(1, ALICE);
    desk.pass(Duration::from_secs(60));
    desk.input(HandoverInput::ReceiverDown(ALICE));
    desk.pass(Duration::from_millis(999));
    desk.input(HandoverInput::ReceiverUp(ALICE));
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.offers(), []);
    assert_eq!(desk.engine.poll_timeout(), None);
    desk.input(HandoverInput::ReceiverDown(ALICE));
    desk.pass(Duration::from_millis(999));
    desk.input(HandoverInput::ReceiverDown(ALICE));
    assert_eq!(desk.offers(), []);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.asked(), first_of(ALICE, 2));
}

#[test]
fn custodians_are_sought_for_receivers_that_are_away_for_long_only() {
    let mut desk = Desk::linked(HandoverConfig::default());
    let ranked = |desk: &Desk| desk.engine.receivers[&ALICE].ranked.len();
    desk.input(HandoverInput::ReceiverUp(ALICE));
    desk.wait(1, ALICE);
    desk.input(HandoverInput::CustodianUp(id(10)));
    desk.input(HandoverInput::ReceiverDown(ALICE));
    desk.wait(2, ALICE);
    desk.input(HandoverInput::CustodianUp(id(11)));
    desk.input(HandoverInput::CustodianDown(id(1)));
    assert_eq!(ranked(&desk), 0);
    desk.pass(Duration::from_secs(1));
    assert_eq!(ranked(&desk), 10);
    let offers = desk.offers();
    assert!(offers.len() == 2 && offers.iter().all(|offer| offer.sequences == [1, 2]));
}

#[test]
fn messages_that_have_their_custodians_are_left_alone_by_new_links() {
    let mut desk = Desk::new(HandoverConfig { batch_items_max: 1, ..Default::default() });
    let order = order_of(ALICE);
    for peer in &order[2..4] {
        desk.input(HandoverInput::CustodianUp(*peer));
    }
    for sequence in 1..4 {
        desk.wait(sequence, ALICE);
    }
    desk.pass(Duration::from_secs(1));
    let offers = desk.offers();
    // 1 is kept by both and 2 under way; 3 waits, and turns to those that are better for it.
    for offer in &offers {
        desk.keep(offer);
    }
    assert!(desk.offers().iter().all(|offer| offer.sequences == [2]));
    for peer in &order[..2] {
        desk.input(HandoverInput::CustodianUp(*peer));
    }
    let offers = desk.offers();
    assert!(offers.iter().all(|offer| offer.sequences == [3]));
    assert_eq!(sorted(offers.iter().map(|offer| offer.custodian)), first_of(ALICE, 2));
}

#[test]
fn a_message_leaves_the_queues_when_its_holder_is_back() {
    let config = HandoverConfig { batch_items_max: 1, ..Default::default() };
    let mut desk = Desk::with_messages(config, 2..3);
    for offer in desk.offers() {
        desk.keep(&offer);
    }
    desk.wait(1, ALICE);
    desk.pass(Duration::from_secs(1));
    let order = order_of(ALICE);
    // The third is busy with the older message, so that the other one waits for it.
    desk.input(HandoverInput::CustodianDown(order[0]));
    assert_eq!(desk.engine.messages[&2].queued_for, [order[2]]);
    desk.input(HandoverInput::CustodianUp(order[0]));
    assert!(desk.engine.messages[&2].queued_for.is_empty());
}

#[test]
fn offers_end_when_the_receiver_is_back_and_what_is_kept_stays_known() {
    let config = HandoverConfig { batch_items_max: 1, ..Default::default() };
    let mut desk = Desk::with_messages(config, 1..4);
    let offers = desk.offers();
    desk.input(HandoverInput::ReceiverUp(ALICE));
    for offer in &offers {
        desk.keep(offer);
    }
    assert_eq!(desk.offers(), []);
    assert_eq!(desk.engine.custodians_of(1), first_of(ALICE, 2));
    desk.input(HandoverInput::ReceiverDown(ALICE));
    desk.pass(Duration::from_secs(1));
    assert!(desk.offers().iter().all(|offer| offer.sequences == [2]));
}

#[test]
fn nothing_is_offered_to_the_receiver_itself() {
    let mut desk = Desk::linked(HandoverConfig { custodians: 4, ..Default::default() });
    let receiver = order_of(id(1)).into_iter().find(|peer| *peer == id(1)).unwrap();
    desk.wait(1, receiver);
    desk.pass(Duration::from_secs(1));
    let asked = desk.asked();
    assert_eq!(asked.len(), 4);
    assert!(!asked.contains(&receiver));
}

#[test]
fn one_offer_per_custodian_and_receiver_is_under_way() {
    let config = HandoverConfig { batch_items_max: 2, ..Default::default() };
    let mut desk = Desk::with_messages(config, 1..6);
    let offers = desk.offers();
    assert!(offers.len() == 2 && offers.iter().all(|offer| offer.sequences == [1, 2]));
    desk.wait(6, ALICE);
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.offers(), []);
    desk.keep(&offers[0]);
    let next = desk.offers();
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].custodian, &next[0].sequences), (offers[0].custodian, &vec![3, 4]));
}

#[test]
fn a_large_message_goes_alone() {
    let config = HandoverConfig { batch_bytes_max: 150, custodians: 1, ..Default::default() };
    let mut desk = Desk::linked(config);
    for (sequence, bytes) in [(1, 500), (2, 100), (3, 50), (4, 1)] {
        desk.input(HandoverInput::Waiting { sequence, to: ALICE, bytes });
    }
    desk.pass(Duration::from_secs(1));
    let mut batches = Vec::new();
    while let Some(offer) = desk.offers().pop() {
        desk.keep(&offer);
        batches.push(offer.sequences);
    }
    assert_eq!(batches, [vec![1], vec![2, 3], vec![4]]);
}

#[test]
fn the_next_takes_the_place_of_a_custodian_that_refuses() {
    let refused = DeliverOutcome::Refused(ErrorCode::QueueFull);
    for outcome in [QUEUE_FULL, refused] {
        let mut desk = Desk::with_messages(HandoverConfig::default(), 1..3);
        let offers = desk.offers();
        desk.keep(&offers[1]);
        // One is kept all the same.
        desk.answer(&offers[0], &[STORED, outcome]);
        let next = desk.offers();
        assert_eq!(next.len(), 1);
        assert_eq!((next[0].custodian, &next[0].sequences), (order_of(ALICE)[2], &vec![2]));
        assert_eq!(desk.engine.custodians_of(1), first_of(ALICE, 2));
        assert_eq!(desk.engine.custodians_of(2), [offers[1].custodian]);
        // It is left alone for a while, with newer messages too.
        desk.keep(&next[0]);
        desk.pass(Duration::from_secs(28));
        desk.wait(3, ALICE);
        desk.pass(Duration::from_secs(1));
        let asked = desk.asked();
        assert!(asked.len() == 2 && !asked.contains(&offers[0].custodian));
    }
}

#[test]
fn a_custodian_is_asked_again_when_its_rest_is_over() {
    let mut desk = Desk::new(HandoverConfig::default());
    desk.input(HandoverInput::CustodianUp(id(1)));
    desk.wait(1, ALICE);
    desk.pass(Duration::from_secs(1));
    let offer = desk.offers().remove(0);
    desk.answer(&offer, &[QUEUE_FULL]);
    desk.pass(Duration::from_millis(29_999));
    assert_eq!(desk.offers(), []);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.asked(), [id(1)]);
}

#[test]
fn silence_and_a_wrong_count_are_no_answers() {
    let mut desk = Desk::with_messages(HandoverConfig::default(), 1..3);
    let offers = desk.offers();
    desk.answer(&offers[0], &[STORED]);
    let [first, second, third, fourth] = order_of(ALICE)[..4].try_into().unwrap();
    assert_eq!(desk.asked(), [third]);
    desk.pass(Duration::from_secs(10));
    assert_eq!(sorted(offers.iter().map(|offer| offer.custodian)), sorted([first, second]));
    assert_eq!(desk.asked(), [fourth], "four may have a copy by then");
    assert_eq!(desk.engine.custodians_of(1), []);
    // An answer that comes too late, and one of somebody else.
    desk.keep(&offers[1]);
    desk.keep(&Seen { request_id: 3, ..offers[0].clone() });
    assert_eq!(desk.engine.custodians_of(1), []);
    desk.pass(Duration::from_secs(60));
    let again = desk.asked();
    assert!(!again.is_empty() && again.iter().all(|peer| order_of(ALICE)[..4].contains(peer)));
}

#[test]
fn what_was_not_sent_is_kept_by_nobody() {
    let mut desk = Desk::with_messages(HandoverConfig::default(), 1..2);
    for round in 0..3 {
        let offers = desk.offers();
        assert_eq!(offers.len(), 2, "{round}");
        for offer in offers {
            desk.input(HandoverInput::Unsent { request_id: offer.request_id });
        }
    }
    assert_eq!(desk.engine.messages[&1].perhaps.len(), desk.offers().len());
}

#[test]
fn one_more_is_chosen_while_a_holder_is_away() {
    let mut desk = Desk::with_messages(HandoverConfig::default(), 1..2);
    for offer in desk.offers() {
        desk.keep(&offer);
    }
    let order = order_of(ALICE);
    desk.input(HandoverInput::CustodianDown(order[0]));
    let offers = desk.offers();
    assert_eq!(offers[0].custodian, order[2]);
    desk.keep(&offers[0]);
    assert_eq!(desk.engine.custodians_of(1), first_of(ALICE, 3));
    desk.input(HandoverInput::CustodianUp(order[0]));
    desk.input(HandoverInput::CustodianDown(order[1]));
    assert_eq!(desk.offers(), [], "two of the three are up");
}

#[test]
fn no_message_has_more_than_four_holders() {
    let mut desk = Desk::with_messages(HandoverConfig::default(), 1..2);
    for peer in order_of(ALICE) {
        for offer in desk.offers() {
            desk.keep(&offer);
        }
        desk.input(HandoverInput::CustodianDown(peer));
    }
    assert_eq!(desk.engine.custodians_of(1), first_of(ALICE, 4));
}

#[test]
fn an_offer_that_a_broken_link_left_open_is_repeated_to_the_same_custodian() {
    let mut desk = Desk::new(HandoverConfig::default());
    desk.input(HandoverInput::CustodianUp(id(1)));
    desk.wait(1, ALICE);
    desk.pass(Duration::from_secs(1));
    let lost = desk.offers().remove(0);
    desk.input(HandoverInput::CustodianDown(id(1)));
    desk.keep(&lost);
    assert_eq!(desk.engine.custodians_of(1), []);
    desk.input(HandoverInput::CustodianUp(id(1)));
    let again = desk.offers().remove(0);
    assert_ne!(again.request_id, lost.request_id);
    desk.answer(&again, &[DeliverOutcome::Duplicate]);
    assert_eq!(desk.engine.custodians_of(1), [id(1)]);
}

#[test]
fn a_message_that_ended_is_not_offered_and_its_answer_counts_for_the_others() {
    let config = HandoverConfig { custodians: 1, batch_items_max: 2, ..Default::default() };
    let mut desk = Desk::with_messages(config, 1..5);
    let offer = desk.offers().remove(0);
    desk.input(HandoverInput::Ended { sequence: 1 });
    desk.input(HandoverInput::Ended { sequence: 3 });
    desk.input(HandoverInput::Ended { sequence: 99 });
    desk.keep(&offer);
    assert_eq!(desk.engine.custodians_of(2), [order_of(ALICE)[0]]);
    assert_eq!(desk.offers()[0].sequences, [4]);
    desk.input(HandoverInput::Ended { sequence: 2 });
    desk.input(HandoverInput::Ended { sequence: 4 });
    desk.pass(Duration::from_secs(60));
    assert!(desk.is_bare());
}

#[test]
fn a_row_that_is_told_twice_is_one_message() {
    let mut desk = Desk::with_messages(HandoverConfig::default(), 1..2);
    let offers = desk.offers();
    desk.wait(1, ALICE);
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.offers(), []);
    desk.keep(&offers[0]);
    desk.wait(1, BOB);
    assert_eq!(desk.engine.custodians_of(1).len(), 1);
}

#[test]
fn without_custodians_nothing_is_handed_over() {
    let config = HandoverConfig { custodians: 0, ..Default::default() };
    let mut desk = Desk::with_messages(config, 1..9);
    desk.pass(Duration::from_secs(100));
    assert_eq!(desk.offers(), []);
}

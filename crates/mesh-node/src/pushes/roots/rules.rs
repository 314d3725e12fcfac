//! What a root's rules say to an offer: pure, so that every rule can be tested by itself.

use mesh_files::Judgement;
use mesh_protocol::{
    CHUNK_BYTES_MIN, Hostname, PeerId, PushOffer, PushProblem, PushReason, PushStep, PushTotals,
    TEXT_BYTES_MAX,
};

use crate::pushes::settings::RootSettings;

/// Most pages that a manifest has here. Of a million small files there are some thousands.
const PAGES_MAX: u64 = 32 << 10;

/// A page has at least so many chunks, when it has nothing else: 16 KiB of 37 bytes each are more than 400.
const CHUNKS_OF_PAGE_MIN: u64 = 256;

/// Most pages that a manifest of these totals can need, so that nobody fills the disk with pages of nearly nothing.
///
/// Every page but the last holds at least 16 KiB by the builder's count. An entry counts for less than that even with
/// the longest path and link, and every chunk of a file but its last has at least [`CHUNK_BYTES_MIN`] bytes.
fn pages_max(totals: &PushTotals) -> u64 {
    let chunks_max = totals.entries.saturating_add(totals.bytes / u64::from(CHUNK_BYTES_MIN));
    let of_chunks = totals.chunks.min(chunks_max) / CHUNKS_OF_PAGE_MIN;
    totals.entries.saturating_add(of_chunks).saturating_add(2).min(PAGES_MAX)
}

/// What the rules of a root say to an offer of `offer.by`, who is called `hostname`.
pub(crate) fn judge(
    settings: &RootSettings,
    offer: &PushOffer,
    hostname: Option<&Hostname>,
) -> Judgement {
    match refusal(settings, offer, hostname) {
        Some(problem) => Judgement::Refuse(problem),
        None if settings.approve => Judgement::NeedsApproval,
        None => Judgement::Accept,
    }
}

/// Whether a member may push into a root.
pub(crate) fn may_push(
    settings: &RootSettings,
    peer: &PeerId,
    hostname: Option<&Hostname>,
) -> bool {
    is_named(&settings.allow_from, peer, hostname)
}

/// Whether a member is among those of a list.
pub(crate) fn is_named(allowed: &[String], peer: &PeerId, hostname: Option<&Hostname>) -> bool {
    allowed.iter().any(|who| {
        who == "*"
            || who.parse().is_ok_and(|id: PeerId| id == *peer)
            || hostname.is_some_and(|hostname| hostname.as_str() == who)
    })
}

fn refusal(
    settings: &RootSettings,
    offer: &PushOffer,
    hostname: Option<&Hostname>,
) -> Option<PushProblem> {
    let root = &settings.name;
    if !may_push(settings, &offer.by, hostname) {
        let detail = format!("the root {root} takes nothing from this member");
        return Some(problem(PushReason::SenderNotAllowed, detail));
    }
    match &offer.test {
        None if settings.require_test => {
            let detail = format!("the root {root} takes nothing without a test");
            return Some(problem(PushReason::TestRequired, detail));
        }
        Some(test) if !settings.test_commands.contains(test) => {
            let detail = format!("the root {root} does not know this test: {test}");
            return Some(problem(PushReason::TestUnknown, detail));
        }
        Some(_) | None => {}
    }
    let (totals, tree) = (&offer.totals, &settings.tree);
    if totals.bytes > tree.bytes_max {
        let max = tree.bytes_max;
        let detail = format!("{} bytes are more than the {max} of the root {root}", totals.bytes);
        return Some(problem(PushReason::QuotaExceeded, detail));
    }
    if totals.entries > tree.files_max {
        let max = tree.files_max;
        let detail = format!("{} files are more than the {max} of the root {root}", totals.entries);
        return Some(problem(PushReason::QuotaExceeded, detail));
    }
    let max = pages_max(totals);
    if totals.pages > max {
        let detail = format!("{} pages are more than {max}", totals.pages);
        return Some(problem(PushReason::QuotaExceeded, detail));
    }
    None
}

/// A problem of the step PUSH.
pub(crate) fn problem(reason: PushReason, detail: impl Into<String>) -> PushProblem {
    refuses(PushStep::Push, reason, detail)
}

/// A problem, with no more detail than travels.
pub(crate) fn refuses(
    step: PushStep,
    reason: PushReason,
    detail: impl Into<String>,
) -> PushProblem {
    PushProblem { step, reason, detail: bounded(detail.into()), test: None }
}

/// Cuts what people are told to what travels.
pub(crate) fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

//! A push in words.

use mesh_control::{
    PushErrorView, PushState, PushTargetState, PushTargetView, PushTestView, PushView,
};
use mesh_protocol::{PushReason, PushStep, UnixMillis};

use super::advice::{advice, is_policy};
use crate::exit::Exit;
use crate::text::{BAD, Columns, DIM, GOOD, NORMAL, ODD, bytes, millis, plain, styled, until};

/// What a push is: its id, what it carries, where to.
pub(in crate::commands) fn headline(push: &PushView) -> String {
    let what = match push.rollback_of {
        Some(of) => format!("Rollback {} of push {of}", push.push_id),
        None => format!("Push {}", push.push_id),
    };
    let place = match push.dest.as_str() {
        "" => plain(&push.root),
        dest => format!("{}/{}", plain(&push.root), plain(dest)),
    };
    if is_prepared(push) {
        format!("{what} to {place}: {}", carried(push))
    } else {
        format!("{what} to {place}")
    }
}

/// Whether it is known what it carries; a rollback carries nothing.
pub(super) fn is_prepared(push: &PushView) -> bool {
    let failed = push.error.as_ref().is_some_and(|error| error.step == PushStep::Prepare);
    push.state != PushState::Preparing && push.rollback_of.is_none() && !failed
}

/// `3 files, 1.2 MiB`.
pub(super) fn carried(push: &PushView) -> String {
    let files = if push.files == 1 { "file" } else { "files" };
    format!("{} {files}, {}", push.files, bytes(push.bytes_total))
}

/// Everything that is known of a push and its targets.
pub(in crate::commands) fn details(push: &PushView, now: UnixMillis) -> String {
    let mut text = headline(push);
    if is_prepared(push) {
        let moved = if push.is_own { "sent" } else { "received" };
        text.push_str(&format!(", {} {moved}", bytes(push.bytes_sent)));
    }
    text.push('\n');
    if let Some(error) = &push.error {
        text.push_str(&failure("", error));
    }
    // What went no further anywhere is told once.
    let is_told = |target: &PushTargetView| {
        target.state == PushTargetState::Pending
            || (target.error.is_some() && target.error == push.error)
    };
    if push.state == PushState::Ended && push.targets.iter().all(is_told) {
        return text;
    }
    text.push('\n');
    let mut columns = Columns::new(["TARGET", "STATE", "DETAIL"]);
    for target in &push.targets {
        let state = state_word(target.state).to_owned();
        let style = style_of(target.state);
        columns.row(style, [plain(&target.hostname), state, detail(push, target, now)]);
    }
    text.push_str(&columns.render());
    for target in &push.targets {
        if let Some(error) = &target.error {
            text.push_str(&format!("\n{}", failure(&target.hostname, error)));
        }
    }
    text
}

fn detail(push: &PushView, target: &PushTargetView, now: UnixMillis) -> String {
    let expires = || until(push.expires_at, now);
    match target.state {
        PushTargetState::Pending => String::new(),
        PushTargetState::Waiting => format!("is not reached; its time ends {}", expires()),
        PushTargetState::WaitingForApproval => {
            format!("has to be approved there; its time ends {}", expires())
        }
        PushTargetState::Receiving | PushTargetState::Verifying | PushTargetState::Placing => {
            format!("{} of {}", bytes(target.bytes_done), bytes(push.bytes_total))
        }
        PushTargetState::Confirmed | PushTargetState::RolledBack => confirmed(target),
        PushTargetState::Failed => target.error.as_ref().map_or_else(String::new, |error| {
            format!("{} failed: {}", step_word(error.step), error.reason)
        }),
    }
}

fn confirmed(target: &PushTargetView) -> String {
    let mut parts: Vec<String> = target.location.as_deref().map(plain).into_iter().collect();
    match target.replaced {
        Some(1) => parts.push("1 old version kept".to_owned()),
        Some(replaced @ 2..) => parts.push(format!("{replaced} old versions kept")),
        Some(0) | None => {}
    }
    if let Some(test) = &target.test {
        parts.push(format!("its test passed in {}", took(test)));
    }
    parts.join(", ")
}

/// Step, reason, detail and what the test said.
fn failure(hostname: &str, error: &PushErrorView) -> String {
    let who = if hostname.is_empty() { String::new() } else { format!("{}: ", plain(hostname)) };
    let title = format!("{who}{} failed: {}", step_word(error.step), error.reason);
    let mut text = format!("{}\n", styled(BAD, &title));
    for line in error.detail.lines() {
        text.push_str(&format!("  {}\n", plain(line)));
    }
    if let Some(test) = &error.test {
        text.push_str(&format!("  `{}` {}\n", plain(&test.command), ended(test)));
        for line in test.output.lines() {
            text.push_str(&format!("  | {}\n", plain(line)));
        }
        if test.is_cut {
            text.push_str(&format!("  {}\n", styled(DIM, "it printed more than is kept")));
        }
    }
    text
}

fn ended(test: &PushTestView) -> String {
    let time = took(test);
    match (test.is_timed_out, test.exit_code, test.signal) {
        (true, _, _) => format!("took longer than it may and was ended after {time}"),
        (false, Some(code), _) => format!("ended with exit code {code} after {time}"),
        (false, None, Some(signal)) => format!("was ended by signal {signal} after {time}"),
        (false, None, None) => "could not be started".to_owned(),
    }
}

fn took(test: &PushTestView) -> String {
    // A test that takes days is stopped long before the figure is not exact.
    millis(u32::try_from(test.ms).unwrap_or(u32::MAX).into())
}

pub(in crate::commands) const fn step_word(step: PushStep) -> &'static str {
    match step {
        PushStep::Prepare => "prepare",
        PushStep::Announce => "announce",
        PushStep::Push => "push",
        PushStep::Verify => "verify",
        PushStep::Confirm => "confirm",
    }
}

pub(in crate::commands) const fn state_word(state: PushTargetState) -> &'static str {
    match state {
        PushTargetState::Pending => "pending",
        PushTargetState::Waiting => "waiting",
        PushTargetState::WaitingForApproval => "waiting for approval",
        PushTargetState::Receiving => "receiving",
        PushTargetState::Verifying => "verifying",
        PushTargetState::Placing => "placing",
        PushTargetState::Confirmed => "confirmed",
        PushTargetState::Failed => "failed",
        PushTargetState::RolledBack => "rolled back",
    }
}

const fn style_of(state: PushTargetState) -> anstyle::Style {
    match state {
        PushTargetState::Confirmed => GOOD,
        PushTargetState::Failed => BAD,
        PushTargetState::Waiting | PushTargetState::WaitingForApproval => ODD,
        PushTargetState::Pending
        | PushTargetState::Receiving
        | PushTargetState::Verifying
        | PushTargetState::Placing
        | PushTargetState::RolledBack => NORMAL,
    }
}

/// Everything that went wrong: at all targets at once, or at some.
fn errors(push: &PushView) -> impl Iterator<Item = &PushErrorView> {
    push.error.iter().chain(push.targets.iter().filter_map(|target| target.error.as_ref()))
}

/// Why a push failed: how the command ends, one sentence, and the next step. None when it did not fail.
pub(super) fn verdict(push: &PushView) -> Option<(Exit, String, &'static str)> {
    let is = |wanted| move |target: &&PushTargetView| target.state == wanted;
    let failed: Vec<_> = push.targets.iter().filter(is(PushTargetState::Failed)).collect();
    if push.error.is_none() && failed.is_empty() {
        return None;
    }
    let done = [PushTargetState::Confirmed, PushTargetState::RolledBack];
    let is_placed = push.targets.iter().any(|target| done.contains(&target.state));
    let what = if push.rollback_of.is_some() { "rollback" } else { "push" };
    let message = if !is_placed {
        format!("the {what} failed; nothing was changed anywhere")
    } else if failed.is_empty() {
        format!("the {what} ended before every target had it")
    } else {
        let names: Vec<_> = failed.iter().map(|target| target.hostname.as_str()).collect();
        format!("the {what} failed at {}; nothing was changed there", names.join(", "))
    };
    // One step at a time; the details say the rest.
    let hint = errors(push).map(|error| advice(error.reason)).find(|hint| !hint.is_empty());
    Some((exit(push), message, hint.unwrap_or_default()))
}

/// A secret outweighs everything; other rules count when nothing else went wrong.
fn exit(push: &PushView) -> Exit {
    let is_secret = errors(push).any(|error| error.reason == PushReason::SecretFound);
    let is_known = push.error.is_some()
        || push
            .targets
            .iter()
            .all(|target| target.state != PushTargetState::Failed || target.error.is_some());
    if is_secret || (is_known && errors(push).all(|error| is_policy(error.reason))) {
        Exit::Refused
    } else {
        Exit::Failed
    }
}

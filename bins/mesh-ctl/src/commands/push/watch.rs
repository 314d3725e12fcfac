//! Follows a push until it is over, or until it waits for somebody who may be away for days.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_control::{
    ApiError, ClientError, ControlClient, ControlStream, PushState, PushTargetState, PushView,
};
use mesh_protocol::{ErrorCode, PeerId};
use tokio::signal::ctrl_c;
use tokio::time::timeout;

use super::super::Context;
use super::bars::Bars;
use super::report::{self, carried, details, headline, state_word, verdict};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::text::{DIM, plain, styled};

/// How long a target may be away before it is said to wait: links that broke come back by themselves.
const GRACE: Duration = Duration::from_secs(2);

/// How often bars are drawn while nothing changes.
const TICK: Duration = Duration::from_millis(250);

/// When a command that pushes is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Until {
    /// At once.
    Begun,
    /// When every target is done, or waits.
    Rests,
    /// When every target is done.
    Ended,
}

impl Until {
    pub(in crate::commands) const fn of(no_wait: bool, wait: bool) -> Self {
        match (no_wait, wait) {
            (true, _) => Self::Begun,
            (false, false) => Self::Rests,
            (false, true) => Self::Ended,
        }
    }
}

/// Shows how a push goes on, and how it ended.
pub(in crate::commands) async fn watch(
    client: &ControlClient,
    begun: PushView,
    until: Until,
    context: &Context,
) -> Result<Exit, Failure> {
    let output = &context.output;
    if until == Until::Begun {
        if output.is_json() {
            output.line(&begun, |_| String::new())?;
        } else {
            output.news(&format!("{} is begun.", headline(&begun)))?;
            output.news(&later(&begun))?;
        }
        return Ok(Exit::Done);
    }
    let mut shown = Shown::new(output);
    let last = tokio::select! {
        biased;
        _interrupted = ctrl_c() => None,
        last = follow(client, begun.clone(), until, &mut shown) => Some(last?),
    };
    let has_lines = shown.has_lines();
    // What bars stand there makes room for the result.
    drop(shown);
    let Some(last) = last else {
        output.news(&format!("The push goes on. {}", later(&begun)))?;
        return Ok(Exit::TimedOut);
    };
    if has_lines {
        output.news("")?;
    }
    conclude(&last, output)
}

fn later(push: &PushView) -> String {
    let id = push.push_id;
    format!("`mesh-ctl pushes {id}` shows how it stands, `mesh-ctl pushes cancel {id}` ends it.")
}

/// The last that was heard of it.
async fn follow(
    client: &ControlClient,
    begun: PushView,
    until: Until,
    shown: &mut Shown<'_>,
) -> Result<PushView, Failure> {
    let id = begun.push_id.to_string();
    let mut last = begun;
    shown.update(&last)?;
    let mut views = client.push_follow(&id).await?;
    while last.state != PushState::Ended {
        let next = if until == Until::Rests && rests(&last) {
            match timeout(GRACE, next(&mut views, shown)).await {
                Ok(next) => next,
                Err(_nothing_new) => return Ok(last),
            }
        } else {
            next(&mut views, shown).await
        };
        let view = match next {
            Some(Err(ClientError::Lost { .. })) | None => return Err(agent_stopped(&id)),
            Some(view) => view?,
        };
        if view != last {
            last = view;
            shown.update(&last)?;
        }
    }
    Ok(last)
}

/// The next view. While there is none, time goes on in what is shown.
async fn next(
    views: &mut ControlStream<PushView>,
    shown: &mut Shown<'_>,
) -> Option<Result<PushView, ClientError>> {
    loop {
        match timeout(TICK, views.next()).await {
            Ok(next) => return next,
            Err(_nothing_new) => shown.tick(),
        }
    }
}

fn agent_stopped(id: &str) -> Failure {
    let message = "the agent stopped before the push was over; it goes on when the agent does";
    let hint = format!("start the agent, then `mesh-ctl pushes {id}` shows how it stands");
    ApiError::new(ErrorCode::ShuttingDown, message, hint).into()
}

/// Whether nothing happens before somebody else comes or decides.
fn rests(push: &PushView) -> bool {
    let waits =
        |state| matches!(state, PushTargetState::Waiting | PushTargetState::WaitingForApproval);
    push.state == PushState::Running
        && push.targets.iter().any(|target| waits(target.state))
        && push.targets.iter().all(|target| target.state.is_final() || waits(target.state))
}

/// The result for people; programs have had it as the last line.
fn conclude(push: &PushView, output: &Output) -> Result<Exit, Failure> {
    if !output.is_json() {
        output.print(&details(push, clock::now()))?;
        if push.state != PushState::Ended {
            output.news(&format!("\nIt goes on by itself. {}", later(push)))?;
        }
    }
    let Some((exit, message, hint)) = verdict(push) else { return Ok(Exit::Done) };
    output.complain(&message, hint);
    Ok(exit)
}

/// How a push is shown on its way.
enum Shown<'a> {
    /// Every view is a line.
    Json(&'a Output),
    /// A person looks at it.
    Bars(Bars),
    /// What changed is a line.
    Lines { output: &'a Output, is_prepared: bool, states: Vec<(PeerId, PushTargetState)> },
}

impl<'a> Shown<'a> {
    fn new(output: &'a Output) -> Self {
        if output.is_json() {
            Self::Json(output)
        } else if io::stderr().is_terminal() {
            Self::Bars(Bars::new())
        } else {
            Self::Lines { output, is_prepared: false, states: Vec::new() }
        }
    }

    fn tick(&mut self) {
        match self {
            Self::Bars(bars) => bars.tick(),
            Self::Json(_) | Self::Lines { .. } => {}
        }
    }

    /// Whether lines stand above the result.
    const fn has_lines(&self) -> bool {
        match self {
            Self::Lines { states, .. } => !states.is_empty(),
            Self::Json(_) | Self::Bars(_) => false,
        }
    }

    fn update(&mut self, push: &PushView) -> io::Result<()> {
        match self {
            Self::Json(output) => output.line(push, |_| String::new()),
            Self::Bars(bars) => {
                bars.update(push);
                Ok(())
            }
            Self::Lines { output, is_prepared, states } => {
                if report::is_prepared(push) && !*is_prepared {
                    *is_prepared = true;
                    output.news(&line("prepared", &carried(push)))?;
                }
                for target in &push.targets {
                    let now = (target.peer_id, target.state);
                    if target.state == PushTargetState::Pending || states.contains(&now) {
                        continue;
                    }
                    states.retain(|(peer_id, _)| *peer_id != target.peer_id);
                    states.push(now);
                    output.news(&line(state_word(target.state), &plain(&target.hostname)))?;
                }
                Ok(())
            }
        }
    }
}

fn line(what: &str, about: &str) -> String {
    format!("{} {about}", styled(DIM, &format!("{what:20}")))
}

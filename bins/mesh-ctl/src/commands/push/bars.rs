//! Shows on a terminal how far a push has come at each target, with rate and time left.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mesh_control::{PushState, PushView};
use mesh_protocol::PeerId;

use super::report::{carried, state_word};
use crate::clock::Stopwatch;
use crate::progress::PATIENCE;
use crate::text::plain;

const TEMPLATE: &str = "{prefix:16} {msg:20} {wide_bar} {binary_bytes} of {binary_total_bytes} {binary_bytes_per_sec} {eta}";

/// More would not fit on a screen.
const BARS_MAX: usize = 20;

/// A line for the preparing, and one for each target. Its end clears them.
pub(super) struct Bars {
    all: MultiProgress,
    preparing: ProgressBar,
    targets: Vec<(PeerId, ProgressBar)>,
    since: Stopwatch,
}

impl Bars {
    pub(super) fn new() -> Self {
        // What takes less needs no sign.
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let preparing = all.add(ProgressBar::new_spinner().with_message("reading the files"));
        Self { all, preparing, targets: Vec::new(), since: Stopwatch::start() }
    }

    /// Shows that time goes on.
    pub(super) fn tick(&mut self) {
        if self.all.is_hidden() && self.since.elapsed() >= PATIENCE {
            self.all.set_draw_target(ProgressDrawTarget::stderr());
        }
        // Those that are done as well: they may never have been drawn.
        self.preparing.tick();
        self.targets.iter().for_each(|(_, bar)| bar.tick());
    }

    pub(super) fn update(&mut self, push: &PushView) {
        self.tick();
        if push.state == PushState::Preparing {
            self.preparing.set_message(format!("reading the files: {}", carried(push)));
            return;
        }
        self.preparing.finish_and_clear();
        for target in push.targets.iter().take(BARS_MAX) {
            let bar = self.bar(target.peer_id, &plain(&target.hostname));
            bar.set_length(push.bytes_total);
            bar.set_message(state_word(target.state));
            bar.set_position(target.bytes_done);
            if target.state.is_final() {
                bar.abandon();
            }
        }
    }

    fn bar(&mut self, peer_id: PeerId, name: &str) -> ProgressBar {
        let known = self.targets.iter().find(|(known, _)| *known == peer_id);
        if let Some((_, bar)) = known {
            return bar.clone();
        }
        let bar = self.all.add(ProgressBar::no_length());
        // The template is the one above; without it the bar has its ordinary look.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        self.targets.push((peer_id, bar.clone()));
        bar
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.preparing.finish_and_clear();
        for (_, bar) in &self.targets {
            bar.finish_and_clear();
        }
        // A terminal that is gone needs no clearing.
        let _cleared = self.all.clear();
    }
}

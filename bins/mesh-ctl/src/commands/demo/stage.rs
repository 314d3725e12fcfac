//! The three agents of the demo.

use std::path::{Path, PathBuf};

use super::agent::Agent;

/// The agents, by the names that they start with.
pub(super) struct Stage {
    pub(super) baulder: Agent,
    pub(super) mint: Agent,
    pub(super) oak: Agent,
}

impl Stage {
    pub(super) fn new(program: PathBuf, directory: &Path) -> Self {
        let agent = |name| Agent::new(&program, directory, name);
        Self { baulder: agent("baulder"), mint: agent("mint"), oak: agent("oak") }
    }

    pub(super) const fn agents(&self) -> [&Agent; 3] {
        [&self.baulder, &self.mint, &self.oak]
    }

    pub(super) const fn agents_mut(&mut self) -> [&mut Agent; 3] {
        [&mut self.baulder, &mut self.mint, &mut self.oak]
    }

    /// Ends every process, so that nothing writes into the directory any more.
    pub(super) async fn stop(&mut self) {
        for agent in self.agents_mut() {
            // One that cannot be ended is gone already; dropping the child tries once more.
            let _ended = agent.kill().await;
        }
    }

    /// The end of each agent's log, with its name.
    pub(super) fn log_tails(&self) -> Vec<(&'static str, Vec<String>)> {
        self.agents().map(|agent| (agent.name(), agent.log_tail())).into()
    }
}
